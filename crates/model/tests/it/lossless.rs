//! Any text survives: through requests and replies of every API, whole and as streams that are cut
//! anywhere.

use std::sync::Arc;

use palestra_model::{
    Api, Finish, Message, Part, Reply, Request, Role, Sampling, Tool, ToolCall, Usage,
};
use proptest::prelude::*;
use serde_json::{Map, json};

/// Texts that have hurt someone before, and any others.
fn text() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "",
        " ",
        "  leading",
        "trailing \t ",
        "\r\n",
        "a\r\nb\n\rc\r",
        "\u{0}",
        "a\u{0}b",
        "</function>",
        "</parameter></parameter>",
        "<think></think>",
        "data: [DONE]\n\n",
        "\n\n",
        "event: x\ndata: {}\n\n",
        "[DONE]",
        "\u{feff}bom",
        "\u{2028}\u{2029}\u{85}",
        "🤖\u{200d}é",
        "\"\\\"{}[]",
        "{\"a\": 1}",
        "\u{7f}\u{1b}[0m",
        "null",
        "__raw_arguments",
    ]);
    let pieces = prop_oneof![3 => nasty.prop_map(str::to_owned), 2 => any::<String>()];
    prop::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat())
}

/// Arguments: JSON objects in odd spellings, and things that are none.
fn arguments() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "{}",
        "{ }",
        "{\"a\":  1}",
        "{\"n\": 123456789012345678901234567890}",
        "{\"f\": 1.50e+3}",
        "{\"b\":1,\"a\":2,\"b\":3}",
        "[1]",
        "\"x\"",
        "null",
        "{\"a\":",
        "not json",
        "{\"__raw_arguments\": \"x\"}",
        "{\"__raw_arguments\": \"x\", \"y\": 1}",
        "{\"s\":\"\\u0041\\/\"}",
    ]);
    let command = text().prop_map(|text| json!({"command": text}).to_string());
    let not_empty = |text: &String| !text.is_empty();
    let any = prop_oneof![2 => odd.prop_map(str::to_owned), 3 => command, 1 => text().prop_filter("", not_empty)];
    // Spaces around an object are no part of it, where an API wants an object.
    any.prop_map(|text| match serde_json::from_str::<Map<String, serde_json::Value>>(&text) {
        Ok(_) => text.trim().to_owned(),
        Err(_) => text,
    })
}

fn calls(most: usize) -> impl Strategy<Value = Vec<ToolCall>> {
    prop::collection::vec(arguments(), 0..=most).prop_map(|list| {
        let call = |(index, arguments)| ToolCall {
            id: format!("call_{index}"),
            name: format!("tool_{index}"),
            arguments,
        };
        list.into_iter().enumerate().map(call).collect()
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    let reasoning = prop::option::of(text().prop_filter("", |text| !text.is_empty()));
    (text(), reasoning, calls(10), 0_u64..1000, any::<bool>()).prop_map(
        |(text, reasoning, tool_calls, tokens, cut)| {
            let content = if text.is_empty() { Vec::new() } else { vec![Part::Text(text)] };
            let finish = match (cut, tool_calls.is_empty()) {
                (true, _) => Finish::Length,
                (false, true) => Finish::Stop,
                (false, false) => Finish::ToolCalls,
            };
            Reply {
                id: "id-1".to_owned(),
                model: "a-model".to_owned(),
                message: Message {
                    content,
                    reasoning,
                    tool_calls,
                    ..Message::text(Role::Assistant, "")
                },
                finish,
                usage: Usage { prompt: 10 + tokens, completion: tokens, ..Usage::default() },
                tokens: None,
                logprobs: None,
            }
        },
    )
}

/// What must be the same; `extra` may tell more after a way through an API.
fn same(one: &Message, other: &Message) {
    assert_eq!(one.role, other.role);
    assert_eq!(one.content_text(), other.content_text());
    assert_eq!(one.reasoning, other.reasoning);
    assert_eq!(one.tool_calls, other.tool_calls);
    assert_eq!(one.tool_call_id, other.tool_call_id);
}

fn same_reply(one: &Reply, other: &Reply) {
    same(&one.message, &other.message);
    assert_eq!((&one.id, &one.model, &one.finish), (&other.id, &other.model, &other.finish));
    assert_eq!(one.usage, other.usage);
}

/// A conversation with the tool calls and results of each turn.
fn conversation() -> impl Strategy<Value = Vec<Message>> {
    let said = || text().prop_filter("an API refuses it", |text| !text.is_empty());
    let turn = (text(), calls(3), prop::collection::vec(text(), 3), any::<bool>(), said());
    let turns = prop::collection::vec(turn, 0..5);
    (said(), said(), turns).prop_map(|(system, user, turns)| {
        let mut messages = vec![Message::system(system), Message::user(user)];
        for (number, (text, calls, results, nudge, said)) in turns.into_iter().enumerate() {
            let mut message = Message::assistant(text);
            if message.content_text().is_empty() {
                message.content.clear();
            }
            if calls.is_empty() && message.content.is_empty() {
                continue;
            }
            let rename = |mut call: ToolCall| {
                call.id = format!("call_{number}_{}", call.id);
                call
            };
            message.tool_calls = calls.into_iter().map(rename).collect();
            let called = message.tool_calls.clone();
            messages.push(message);
            for (call, result) in called.iter().zip(results) {
                messages.push(Message::tool(call.id.clone(), result));
            }
            if nudge || called.is_empty() {
                messages.push(Message::user(said));
            }
        }
        messages
    })
}

fn request(messages: Vec<Message>) -> Request {
    let tool = Tool {
        name: "tool_0".to_owned(),
        description: String::new(),
        parameters: json!({"type": "object", "properties": {"command": {"type": "string"}}}),
    };
    Request {
        tools: Arc::from([tool]),
        sampling: Sampling {
            temperature: Some(0.3),
            top_p: Some(0.9),
            max_tokens: Some(512),
            stop: vec!["</function>".to_owned()],
            ..Sampling::default()
        },
        ..Request::new("a-model", messages.into_iter().map(Arc::new).collect())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn requests(messages in conversation()) {
        let asked = request(messages);
        for api in Api::ALL {
            let bytes = api.request_to_vec(&asked, false);
            let (read, streaming) = api.request_from_slice(&bytes).unwrap();
            prop_assert!(!streaming.stream);
            prop_assert_eq!(read.messages.len(), asked.messages.len());
            for (one, other) in read.messages.iter().zip(&asked.messages) {
                same(one, other);
            }
            prop_assert_eq!(&read.tools, &asked.tools);
            prop_assert_eq!(&read.sampling, &asked.sampling);
            // A second way changes nothing.
            prop_assert_eq!(api.request_to_vec(&read, false), bytes);
        }
    }

    #[test]
    fn replies(reply in reply()) {
        let asked = request(Vec::new());
        for api in Api::ALL {
            let bytes = api.reply_to_vec(&reply, &asked);
            same_reply(&api.reply_from_slice(&bytes).unwrap(), &reply);
        }
    }

    #[test]
    fn streams(reply in reply(), cuts in prop::collection::vec(1_usize..40, 1..20)) {
        let asked = request(Vec::new());
        for api in Api::ALL {
            let bytes = api.events_of(&reply, &asked, true).concat().into_bytes();
            for ending in ["\n", "\r\n"] {
                let bytes = if ending == "\n" {
                    bytes.clone()
                } else {
                    // JSON has no line feeds of its own.
                    String::from_utf8(bytes.clone()).unwrap().replace('\n', "\r\n").into_bytes()
                };
                let mut assembler = api.assembler();
                let (mut rest, mut sizes) = (bytes.as_slice(), cuts.iter().cycle());
                while !rest.is_empty() {
                    let size = rest.len().min(*sizes.next().unwrap());
                    assembler.push(&rest[..size]);
                    rest = &rest[size..];
                }
                same_reply(&assembler.finish().unwrap(), &reply);
            }
        }
    }

    #[test]
    fn a_stream_that_is_cut_is_no_reply(reply in reply(), part in 0.0_f64..0.8) {
        let asked = request(Vec::new());
        for api in Api::ALL {
            let events = api.events_of(&reply, &asked, true);
            // The last events say that it is over.
            let whole: usize = events.iter().rev().skip(3).map(String::len).sum();
            let bytes = events.concat().into_bytes();
            let mut assembler = api.assembler();
            assembler.push(&bytes[..(whole as f64 * part) as usize]);
            prop_assert!(assembler.finish().is_err());
        }
    }

    /// What a client of one API is told by a server of another.
    #[test]
    fn from_one_api_to_another(reply in reply()) {
        let asked = request(Vec::new());
        for from in Api::ALL {
            let came = from.reply_from_slice(&from.reply_to_vec(&reply, &asked)).unwrap();
            for to in Api::ALL {
                let told = to.reply_from_slice(&to.reply_to_vec(&came, &asked)).unwrap();
                prop_assert_eq!(told.message.content_text(), reply.message.content_text());
                prop_assert_eq!(&told.message.tool_calls, &reply.message.tool_calls);
                prop_assert_eq!(&told.message.reasoning, &reply.message.reasoning);
                let events = to.events_of(&came, &asked, true).concat();
                let mut assembler = to.assembler();
                assembler.push(events.as_bytes());
                let told = assembler.finish().unwrap();
                prop_assert_eq!(told.message.content_text(), reply.message.content_text());
                prop_assert_eq!(&told.message.tool_calls, &reply.message.tool_calls);
            }
        }
    }
}

#[test]
fn a_megabyte() {
    let line = "  \t</function>\r\n\u{0}é🤖\\\"";
    let long = line.repeat((1 << 20) / line.len() + 1);
    let asked = request(vec![Message::user(long.clone()), Message::tool("call_0", long.clone())]);
    let arguments = json!({"command": long}).to_string();
    let call = ToolCall { id: "c".to_owned(), name: "tool_0".to_owned(), arguments };
    let message = Message { tool_calls: vec![call], ..Message::assistant(long.clone()) };
    let reply = Reply {
        id: "id".to_owned(),
        model: "a-model".to_owned(),
        message,
        finish: Finish::ToolCalls,
        usage: Usage::default(),
        tokens: None,
        logprobs: None,
    };
    for api in Api::ALL {
        let (read, _) = api.request_from_slice(&api.request_to_vec(&asked, true)).unwrap();
        assert_eq!(read.messages[0].content_text(), long);
        same_reply(&api.reply_from_slice(&api.reply_to_vec(&reply, &asked)).unwrap(), &reply);
        let mut assembler = api.assembler();
        for event in api.events_of(&reply, &asked, true) {
            for piece in event.as_bytes().chunks(4099) {
                assembler.push(piece);
            }
        }
        same_reply(&assembler.finish().unwrap(), &reply);
    }
}

#[test]
fn unknown_fields_go_back() {
    let body = json!({
        "model": "m",
        "messages": [
            {"role": "developer", "content": "x", "name": "boss"},
            {"role": "user", "content": [
                {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ]},
            {"role": "assistant", "content": null, "reasoning": "hm",
             "reasoning_details": [{"type": "reasoning.encrypted", "data": "zz"}],
             "tool_calls": [{"id": "c1", "type": "function",
                "function": {"name": "f", "arguments": "{\"a\":  1}"},
                "extra_content": {"google": {"thought_signature": "sig"}}}]},
            {"role": "tool", "content": "", "tool_call_id": "c1", "name": "f"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": "d",
            "parameters": {"type": "object"}, "strict": true}}, {"type": "web_search"}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "max_completion_tokens": 9, "top_k": 4, "chat_template_kwargs": {"enable_thinking": false},
        "parallel_tool_calls": false, "response_format": {"type": "json_object"},
    });
    let request = Api::Chat.request_from_json(&body).unwrap();
    let again = Api::Chat.request_to_json(&request, false);
    assert_eq!(sorted(&again), sorted(&body));
    // What only one API knows is not sent to another.
    for api in [Api::Anthropic, Api::Responses] {
        let text = api.request_to_json(&request, false).to_string();
        for foreign in ["top_k", "reasoning_details", "boss", "response_format", "web_search"] {
            assert!(!text.contains(foreign), "{api} {foreign}: {text}");
        }
    }
    let anthropic = Api::Anthropic.request_to_json(&request, false);
    assert_eq!(anthropic["messages"][0]["content"][0]["cache_control"]["type"], "ephemeral");
    assert_eq!(anthropic["tool_choice"]["disable_parallel_tool_use"], true);
}

fn sorted(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let mut sorted: Map<_, _> =
                map.iter().map(|(k, v)| (k.clone(), self::sorted(v))).collect();
            sorted.sort_keys();
            sorted.into()
        }
        serde_json::Value::Array(list) => list.iter().map(sorted).collect(),
        value => value.clone(),
    }
}

#[test]
fn anthropic_goes_back() {
    let body = json!({
        "model": "m", "max_tokens": 5, "metadata": {"user_id": "u"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "system": [{"type": "text", "text": "a"},
                   {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
                {"type": "text", "text": "look"}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "zz"},
                {"type": "text", "text": "I will"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                {"type": "text", "text": "and"},
                {"type": "tool_use", "id": "t2", "name": "f", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "no such file", "is_error": true},
                {"type": "tool_result", "tool_use_id": "t2", "content": [
                    {"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                 "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "go on"}]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}},
                  {"type": "bash_20250124", "name": "bash"}],
        "tool_choice": {"type": "any"}, "stop_sequences": ["x"],
    });
    let request = Api::Anthropic.request_from_json(&body).unwrap();
    assert_eq!(request.messages.len(), 6);
    assert_eq!(request.messages[2].reasoning.as_deref(), Some("hm"));
    assert_eq!(request.messages[3].extra["is_error"], true);
    assert_eq!(sorted(&Api::Anthropic.request_to_json(&request, false)), sorted(&body));
    let chat = Api::Chat.request_to_json(&request, false);
    assert_eq!(chat["tool_choice"], "required");
    assert!(!chat.to_string().contains("cache_control"));
    assert!(!chat.to_string().contains("is_error"));
}

#[test]
fn responses_go_back() {
    let body = json!({
        "model": "m", "instructions": "Be brief.", "store": false,
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "input": [
            {"type": "message", "role": "developer", "content": "x"},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}],
             "encrypted_content": "zz"},
            {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
             "phase": "commentary",
             "content": [{"type": "output_text", "text": "I will", "annotations": [{"x": 1}]}]},
            {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "yy"},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f",
             "arguments": "{\"a\":  1}", "status": "completed"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** x"},
            {"type": "function_call_output", "call_id": "c1", "output": "a\r\n"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "done"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true},
                  {"type": "custom", "name": "patch"}],
        "tool_choice": {"type": "function", "name": "f"},
    });
    let request = Api::Responses.request_from_json(&body).unwrap();
    assert_eq!(request.messages.len(), 6);
    assert_eq!(request.messages[3].tool_calls[1].arguments, "*** x");
    assert_eq!(sorted(&Api::Responses.request_to_json(&request, false)), sorted(&body));
    let chat = Api::Chat.request_to_json(&request, false);
    assert_eq!(chat["reasoning_effort"], "high");
    assert!(!chat.to_string().contains("encrypted"));
    for key in ["previous_response_id", "conversation"] {
        let mut body = body.clone();
        body[key] = json!("resp_1");
        assert!(Api::Responses.request_from_json(&body).is_err());
    }
}

#[test]
fn spaces_around_an_object_are_no_part_of_it() {
    let call = |arguments: &str| ToolCall {
        id: "c".to_owned(),
        name: "tool_0".to_owned(),
        arguments: arguments.to_owned(),
    };
    for (arguments, told) in
        [(" {\"a\":1}\n", "{\"a\":1}"), ("\t{\"a\": 1}", "{\"a\": 1}"), ("", "{}")]
    {
        let message = Message { tool_calls: vec![call(arguments)], ..Message::assistant("x") };
        let asked = request(vec![Message::user("x"), message]);
        let (read, _) = Api::Anthropic
            .request_from_slice(&Api::Anthropic.request_to_vec(&asked, false))
            .unwrap();
        assert_eq!(read.messages[1].tool_calls, [call(told)]);
    }
}
