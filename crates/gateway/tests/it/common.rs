//! A scripted server, a gateway before it, and a plain client.

use std::time::Duration;

use palestra_gateway::{Gateway, GatewayOptions, Session, SessionOptions, Upstream};
use palestra_model::Api;
use palestra_model::client::Backoff;
use palestra_model::scripted::{Script, ScriptedOptions, ScriptedServer, TokenIds};
use palestra_trace::Graph;
use serde_json::{Value, json};

/// The upstream's key. Nothing may show it.
pub(crate) const KEY: &str = "sk-upstream-0123456789-secret";

pub(crate) struct Place {
    pub(crate) gateway: Gateway,
    pub(crate) server: ScriptedServer,
}

pub(crate) fn quick(upstreams: Vec<Upstream>) -> GatewayOptions {
    GatewayOptions {
        implicit: Some(SessionOptions::default()),
        timeout: Duration::from_secs(20),
        patience: Duration::from_secs(20),
        backoff: Backoff { first: Duration::from_millis(20), longest: Duration::from_secs(1) },
        keep_alive: Duration::from_millis(200),
        ..GatewayOptions::new(upstreams)
    }
}

pub(crate) fn server(script: impl Script, tokens: TokenIds) -> ScriptedServer {
    let options =
        ScriptedOptions { key: Some(KEY.to_owned()), tokens, ..ScriptedOptions::default() };
    ScriptedServer::start(script, options).expect("a server")
}

pub(crate) fn place(api: Api, script: impl Script) -> Place {
    place_with(api, script, |options| options)
}

pub(crate) fn place_with(
    api: Api,
    script: impl Script,
    change: impl FnOnce(GatewayOptions) -> GatewayOptions,
) -> Place {
    let server = server(script, TokenIds::None);
    let upstream = Upstream::http(server.url(), api, Some(KEY.to_owned()));
    let gateway = Gateway::start(change(quick(vec![upstream]))).expect("a gateway");
    Place { gateway, server }
}

impl Place {
    pub(crate) fn url(&self, session: &str, path: &str) -> String {
        format!("{}/sessions/{session}{path}", self.gateway.url())
    }

    pub(crate) fn ask(&self, session: &str, api: Api, stream: bool) -> Reply {
        post(&self.url(session, api.path()), &body(api, stream))
    }

    pub(crate) fn session(&self, id: &str) -> Session {
        self.gateway.session(id).expect("a session")
    }
}

/// The graph of a session, which has no problem and no key.
pub(crate) fn graph(session: &Session) -> Graph {
    let bytes = std::fs::read(session.trace()).expect("a record");
    assert!(!String::from_utf8_lossy(&bytes).contains(KEY), "the record tells the key");
    let read = palestra_trace::read(session.trace()).expect("a record");
    assert_eq!(read.problems, Vec::<String>::new());
    read.graph
}

pub(crate) fn body(api: Api, stream: bool) -> Value {
    match api {
        Api::Chat => {
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream})
        }
        Api::Responses => json!({"model": "m", "input": "hi", "stream": stream}),
        Api::Anthropic => json!({
            "model": "m", "max_tokens": 100,
            "messages": [{"role": "user", "content": "hi"}], "stream": stream,
        }),
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
}

pub(crate) fn client() -> reqwest::blocking::Client {
    reqwest::blocking::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .expect("a client")
}

pub(crate) fn post(url: &str, body: &Value) -> Reply {
    finish(client().post(url).body(body.to_string()).send().expect("an answer"))
}

pub(crate) fn get(url: &str) -> Reply {
    finish(client().get(url).send().expect("an answer"))
}

pub(crate) fn finish(response: reqwest::blocking::Response) -> Reply {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().expect("a text");
    assert!(!text.contains(KEY), "the answer tells the key: {text}");
    assert!(!format!("{headers:?}").contains(KEY), "a header tells the key");
    Reply { status, headers, text }
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("this never came: {what}");
}
