//! Token ids of the scripted server, through the client.

use std::sync::Arc;

use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer, TokenIds};
use palestra_model::{Api, Message, Model, Request, Tokens};

use crate::{client, patient, question, ways};

/// Ten turns with tools; the ids of each call.
fn turns(api: Api, stream: bool, tokens: TokenIds) -> Vec<Tokens> {
    let script = |request: &Request| {
        let turn = request.messages.len();
        let say = Say::text(format!("turn {turn} é\r\n")).thinking("hm");
        Scripted::Say(say.and_call("bash", format!("{{\"command\":  \"echo {turn}\"}}")))
    };
    let options = ScriptedOptions { tokens, ..ScriptedOptions::default() };
    let server = ScriptedServer::start(script, options).unwrap();
    let client = client(api, &server, stream);
    let mut request = question();
    request.sampling.token_ids = true;
    request.sampling.logprobs = true;
    let mut all = Vec::new();
    for _ in 0..10 {
        let reply = client.call(&request, &patient(60.0)).unwrap().reply;
        let id = reply.message.tool_calls[0].id.clone();
        all.push(reply.tokens.unwrap());
        request.messages.push(Arc::new(reply.message));
        request.messages.push(Arc::new(Message::tool(id, "out\r\n")));
    }
    all
}

fn extends(turn: &Tokens, next: &Tokens) -> bool {
    let known = [turn.prompt.as_slice(), &turn.completion].concat();
    next.prompt.starts_with(&known) && next.prompt.len() > known.len()
}

#[test]
fn each_prompt_extends_the_last() {
    for (api, stream) in ways() {
        let all = turns(api, stream, TokenIds::Exact);
        assert!(all.windows(2).all(|pair| extends(&pair[0], &pair[1])), "{api} {stream}");
        // Messages of Anthropic have no log-probabilities.
        let full = |tokens: &Tokens| tokens.logprobs.len() == tokens.completion.len();
        assert_eq!(all.iter().all(full), api != Api::Anthropic);
    }
}

#[test]
fn another_tokenisation_is_seen() {
    let all = turns(Api::Chat, false, TokenIds::Retokenised);
    assert!(!all.windows(2).any(|pair| extends(&pair[0], &pair[1])));
}
