//! Token ids: one chain where the server keeps them, a branch where it does not.

use palestra_gateway::{Gateway, Session, SessionOptions, Upstream};
use palestra_model::scripted::{Say, Scripted, TokenIds, render};
use palestra_model::{Api, Request};
use palestra_trace::Graph;
use serde_json::{Value, json};

use crate::common::{KEY, Place, graph, post, quick, server};

const TURNS: usize = 6;

fn script(request: &Request) -> Scripted {
    let turn = request.messages.len();
    // A client that reads arguments writes them anew, without spaces.
    let space = if request.session.as_deref() == Some("compact") { "" } else { "  " };
    let arguments = format!("{{\"n\":{space}{turn}}}");
    Say::text(format!(" text {turn}\n")).and_call("bash", arguments).into()
}

fn place(tokens: TokenIds, session: &str) -> (Place, Session) {
    let server = server(script, tokens);
    let upstream = Upstream::http(server.url(), Api::Chat, Some(KEY.to_owned()));
    let gateway = Gateway::start(quick(vec![upstream])).expect("a gateway");
    let options = SessionOptions { tokens: true, ..SessionOptions::default() };
    let session = gateway.create(session, options, None).expect("a session");
    (Place { gateway, server }, session)
}

/// A conversation of chat completions, whose messages are sent back as they came.
fn talk(place: &Place, stream: bool) {
    let mut messages = vec![json!({"role": "user", "content": "hi"})];
    for turn in 0..TURNS {
        let tools = json!([{"type": "function", "function": {"name": "bash", "parameters": {}}}]);
        let ask = json!({"model": "m", "messages": messages, "tools": tools, "stream": stream});
        let reply = post(&place.url("x", "/v1/chat/completions"), &ask);
        assert_eq!(reply.status, 200, "{}", reply.text);
        let message = if stream {
            let mut assembler = Api::Chat.assembler();
            assembler.push(reply.text.as_bytes());
            let said = assembler.finish().expect("a reply").message;
            let call = &said.tool_calls[0];
            json!({"role": "assistant", "content": said.content_text(), "tool_calls": [{
                "id": call.id, "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }]})
        } else {
            reply.json()["choices"][0]["message"].clone()
        };
        let id: Value = message["tool_calls"][0]["id"].clone();
        messages.push(message);
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": format!("r{turn}")}));
    }
}

/// Every branch is exactly the prompt and the completion that the server had for its last call.
fn nothing_is_silent(graph: &Graph, session: &Session, tokens: TokenIds) {
    let mut calls = 0;
    for call in graph.calls() {
        let sample = graph.sample(call.head);
        assert!(sample.complete());
        let sent = sample.messages.len() - 1;
        let request = Request {
            tools: sample.tools.clone(),
            ..Request::new("m", sample.messages[..sent].to_vec())
        };
        let prompt = render(&request, tokens);
        assert_eq!(sample.token_ids[..prompt.len()], prompt);
        assert!(sample.mask[prompt.len()..].iter().all(|mask| *mask == 1));
        assert_eq!(sample.logprobs.expect("given").len(), sample.token_ids.len());
        calls += 1;
    }
    assert_eq!(calls, TURNS);
    assert_eq!(session.status().counters, graph.counters());
}

#[test]
fn a_server_that_keeps_its_ids_gives_one_chain() {
    for stream in [false, true] {
        let (place, session) = place(TokenIds::Exact, "x");
        talk(&place, stream);
        let graph = graph(&session);
        nothing_is_silent(&graph, &session, TokenIds::Exact);
        let counters = graph.counters();
        assert_eq!((counters.branches_tokens, counters.branches_history), (0, 0));
        assert_eq!(counters.missing_tokens, 0);
        let samples = graph.branches();
        assert_eq!(samples.len(), 1);
        let sampled = samples[0].sampled.iter().filter(|sampled| **sampled).count();
        assert_eq!(sampled, TURNS);
    }
}

#[test]
fn a_server_that_tokenises_anew_is_caught() {
    for stream in [false, true] {
        let (place, session) = place(TokenIds::Retokenised, "x");
        talk(&place, stream);
        let graph = graph(&session);
        nothing_is_silent(&graph, &session, TokenIds::Retokenised);
        let counters = graph.counters();
        assert_eq!(counters.branches_tokens as usize, TURNS - 1, "{counters:?}");
        let samples = graph.branches();
        assert_eq!(samples.len(), TURNS);
        // Only what was sampled at its place counts as sampled.
        for sample in &samples {
            assert_eq!(sample.sampled.iter().filter(|sampled| **sampled).count(), 1);
        }
    }
}

#[test]
fn a_server_without_ids_is_told() {
    let (place, session) = place(TokenIds::None, "x");
    talk(&place, false);
    let graph = graph(&session);
    assert_eq!(graph.counters().missing_tokens as usize, TURNS);
    let samples = graph.branches();
    assert_eq!(samples.len(), 1);
    assert!(!samples[0].complete() && samples[0].token_ids.is_empty());
}

/// A conversation of Anthropic's messages. The client reads arguments and writes them anew.
fn talk_anthropic(place: &Place, session: &str) {
    let mut messages = vec![json!({"role": "user", "content": "hi"})];
    for turn in 0..TURNS {
        let ask = json!({
            "model": "m", "max_tokens": 9, "messages": messages, "stream": false,
            "tools": [{"name": "bash", "input_schema": {"type": "object"}}],
        });
        let reply = post(&place.url(session, "/v1/messages"), &ask).json();
        let content = reply["content"].clone();
        let id = content.as_array().and_then(|list| list.last()).expect("a call")["id"].clone();
        messages.push(json!({"role": "assistant", "content": content}));
        let result =
            json!({"type": "tool_result", "tool_use_id": id, "content": format!("r{turn}")});
        messages.push(json!({"role": "user", "content": [result]}));
    }
}

#[test]
fn a_client_of_another_api_gives_one_chain_too() {
    let (place, session) = place(TokenIds::Exact, "compact");
    talk_anthropic(&place, "compact");
    let graph = graph(&session);
    let counters = graph.counters();
    assert_eq!((counters.branches_tokens, counters.branches_history), (0, 0), "{counters:?}");
    assert_eq!(graph.branches().len(), 1);
    assert!(graph.branches()[0].complete());
}

#[test]
fn a_client_that_writes_arguments_anew_is_caught() {
    let (place, session) = place(TokenIds::Exact, "x");
    talk_anthropic(&place, "x");
    let graph = graph(&session);
    let counters = graph.counters();
    assert_eq!(counters.branches_tokens as usize, TURNS - 1, "{counters:?}");
    assert_eq!(counters.branches_history, 0);
    for call in graph.calls() {
        assert!(graph.sample(call.head).complete());
    }
}
