//! Keys reach the server and nobody else.

use std::sync::Arc;

use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer};
use palestra_model::{
    Api, Cassette, Client, ClientConfig, Ledger, Model, ModelError, Request, Secret,
};

use crate::{config, patient, question, serve};

const KEY: &str = "sk-very-secret-0123456789";
const HEADER: &str = "another-secret-value";

fn with_key(api: Api, url: &str) -> ClientConfig {
    ClientConfig {
        key: Some(Secret::from(KEY)),
        headers: vec![("x-team".to_owned(), Secret::from(HEADER))],
        ..config(api, url, false)
    }
}

fn is_clean(text: &str) {
    assert!(!text.contains(KEY) && !text.contains(HEADER), "{text}");
}

#[test]
fn the_server_gets_it() {
    let options = ScriptedOptions { key: Some(KEY.to_owned()), ..ScriptedOptions::default() };
    let script = |_: &Request| Scripted::Say(Say::text("in"));
    let server = ScriptedServer::start(script, options).unwrap();
    for api in Api::ALL {
        let client = Client::new(with_key(api, &server.url())).unwrap();
        assert!(client.call(&question(), &patient(60.0)).is_ok());
        let wrong = ClientConfig { key: Some("wrong".into()), ..with_key(api, &server.url()) };
        let error = Client::new(wrong).unwrap().call(&question(), &patient(60.0)).unwrap_err();
        assert!(matches!(error, ModelError::Unauthorised { .. }), "{error}");
    }
}

#[test]
fn nobody_else_does() {
    // A server that quotes it.
    let server = serve(|request: &Request| match request.model.as_str() {
        "good" => Scripted::Say(Say::text("fine")),
        "garbage" => Scripted::Garbage(format!("<b>{KEY} {HEADER}</b>").into_bytes()),
        status => Scripted::Status {
            status: status.parse().unwrap(),
            body: format!("{{\"error\": {{\"message\": \"key {KEY} of {HEADER} is wrong\"}}}}"),
            retry_after: None,
        },
    });
    let dir = tempfile::tempdir().unwrap();
    for api in Api::ALL {
        let ledger = Arc::new(Ledger::open(dir.path().join("ledger"), None).unwrap());
        let config = ClientConfig { ledger: Some(ledger), ..with_key(api, &server.url()) };
        is_clean(&format!("{config:?} {config:#?}"));
        let client = Arc::new(Client::new(config).unwrap());
        is_clean(&format!("{client:?} {client:#?} {}", client.server()));
        let cassette = Cassette::record(&dir.path().join("cassette"), client).unwrap();
        for model in ["good", "garbage", "400", "401", "404", "413", "429", "402", "500"] {
            let request = Request { model: model.to_owned(), ..question() };
            match cassette.call(&request, &patient(0.02)) {
                Ok(answer) => is_clean(&format!("{answer:?}")),
                Err(error) => is_clean(&format!("{error} {error:?}")),
            }
        }
    }
    for name in ["ledger", "cassette"] {
        let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(text.lines().count() > 3);
        is_clean(&text);
    }
}

#[test]
fn nor_do_addresses_and_headers_that_are_wrong() {
    for (url, key) in [
        ("http://user:sk-very-secret-0123456789@h", "x"),
        ("sk-very-secret-0123456789", "x"),
        ("http://h", "sk-very-secret-0123456789\n"),
    ] {
        let config = ClientConfig { key: Some(key.into()), ..ClientConfig::new(Api::Chat, url) };
        is_clean(&Client::new(config).unwrap_err().to_string());
    }
    let secret = Secret::from(KEY);
    is_clean(&format!("{secret} {secret:?} {:?}", Some(&secret)));
}
