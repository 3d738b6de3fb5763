//! Wire forms, the client, cassettes and the scripted server, with real connections; and real client
//! libraries against the scripted server.

mod cassette;
mod client;
mod hostile;
mod keys;
mod ledger;
mod limits;
mod lossless;
mod python;
mod tokens;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use palestra_model::scripted::{Say, Script, Scripted, ScriptedOptions, ScriptedServer};
use palestra_model::{
    Api, CallOptions, Client, ClientConfig, Message, Request, Sampling, Tool, client::Backoff,
};
use serde_json::json;

/// A server that plays a script.
fn serve(script: impl Script) -> ScriptedServer {
    ScriptedServer::start(script, ScriptedOptions::default()).unwrap()
}

/// A server that always says the same.
fn saying(say: Say) -> ScriptedServer {
    serve(move |_: &Request| Scripted::Say(say.clone()))
}

/// How a server is asked in tests: with short waits.
fn config(api: Api, url: &str, stream: bool) -> ClientConfig {
    let backoff = Backoff { first: Duration::from_millis(2), longest: Duration::from_millis(20) };
    ClientConfig { stream, backoff, ..ClientConfig::new(api, url) }
}

fn client(api: Api, server: &ScriptedServer, stream: bool) -> Client {
    Client::new(config(api, &server.url(), stream)).unwrap()
}

/// Every API, whole and as a stream.
fn ways() -> impl Iterator<Item = (Api, bool)> {
    Api::ALL.into_iter().flat_map(|api| [(api, false), (api, true)])
}

/// A short conversation with a tool.
fn question() -> Request {
    let messages = vec![Arc::new(Message::system("Be brief.")), Arc::new(Message::user("Hello?"))];
    Request {
        tools: Arc::from([bash()]),
        sampling: Sampling { max_tokens: Some(100), ..Sampling::default() },
        session: Some("s-1".to_owned()),
        ..Request::new("a-model", messages)
    }
}

fn bash() -> Tool {
    Tool {
        name: "bash".to_owned(),
        description: "Runs a command.".to_owned(),
        parameters: json!({
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        }),
    }
}

fn patient(seconds: f64) -> CallOptions {
    CallOptions {
        timeout: Duration::from_secs(60),
        patience: Duration::from_secs_f64(seconds),
        ..CallOptions::default()
    }
}
