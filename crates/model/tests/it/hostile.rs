//! Bodies and streams that mean harm, or nothing: they are read or refused, and never more.

use palestra_model::wire::anthropic::mark_for_cache;
use palestra_model::{Api, Reply, Request};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Words of the three APIs, so that what is made by chance looks like something.
const KEYS: [&str; 64] = [
    "model",
    "messages",
    "role",
    "content",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "id",
    "type",
    "text",
    "image_url",
    "url",
    "input",
    "output",
    "instructions",
    "tools",
    "tool_choice",
    "parameters",
    "input_schema",
    "choices",
    "message",
    "delta",
    "finish_reason",
    "usage",
    "logprobs",
    "token_ids",
    "prompt_token_ids",
    "index",
    "error",
    "code",
    "status",
    "system",
    "thinking",
    "signature",
    "tool_use_id",
    "call_id",
    "summary",
    "refusal",
    "reasoning",
    "reasoning_content",
    "custom",
    "source",
    "data",
    "media_type",
    "is_error",
    "response",
    "item",
    "output_index",
    "content_block",
    "partial_json",
    "stop_reason",
    "stop_sequence",
    "cache_control",
    "extra",
    "output_config",
    "disable_parallel_tool_use",
    "parallel_tool_calls",
    "include",
    "stop",
    "__raw_arguments",
    "thinking_blocks",
    "annotations",
    "incomplete_details",
];

const WORDS: [&str; 34] = [
    "",
    "x",
    "user",
    "assistant",
    "system",
    "developer",
    "tool",
    "function",
    "text",
    "image_url",
    "image",
    "tool_use",
    "tool_result",
    "thinking",
    "message",
    "function_call",
    "custom",
    "custom_tool_call",
    "function_call_output",
    "reasoning",
    "output_text",
    "input_text",
    "refusal",
    "base64",
    "completed",
    "incomplete",
    "stop",
    "message_start",
    "content_block_start",
    "content_block_delta",
    "message_delta",
    "message_stop",
    "response.completed",
    "auto",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => prop::sample::select(WORDS.as_slice()).prop_map(|word| json!(word)),
        1 => any::<i64>().prop_map(|number| json!(number)),
        1 => Just(json!(0)),
        1 => Just(json!(1.5)),
        1 => any::<bool>().prop_map(|flag| json!(flag)),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(7, 96, 6, |inner| {
        let key = prop::sample::select(KEYS.as_slice()).prop_map(str::to_owned);
        let map = prop::collection::vec((key, inner.clone()), 0..6);
        let map = map.prop_map(|fields| Value::Object(Map::from_iter(fields)));
        prop_oneof![3 => map, 1 => prop::collection::vec(inner, 0..4).prop_map(Value::Array)]
    })
}

/// A body with what it needs, and anything else.
fn body(needed: Value, more: Value) -> Value {
    let mut body = needed;
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        for (key, value) in more {
            body.entry(key).or_insert(value);
        }
    }
    body
}

fn write_request(request: &Request) {
    for api in Api::ALL {
        let mut body = api.request_to_json(request, true);
        mark_for_cache(api, &mut body);
        let bytes = api.request_to_vec(request, false);
        // Parts of another API are sent as they are, and may be refused.
        let _ = api.request_from_slice(&bytes);
    }
}

fn write_reply(reply: &Reply, request: &Request) {
    for api in Api::ALL {
        let _ = api.reply_to_json(reply, request);
        let _ = api.reply_to_vec(reply, request);
        let mut assembler = api.assembler();
        assembler.push(api.events_of(reply, request, true).concat().as_bytes());
        let _ = assembler.finish();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn requests(
        first in value(), second in value(), third in value(), more in value(), role in 0_usize..7,
    ) {
        let role = WORDS[role];
        let said = json!({"role": role, "content": [first, {"type": "text", "text": "x"}]});
        let called = json!({"role": "assistant", "content": second, "tool_calls": [third]});
        let list = json!([said, called, first, body(json!({"role": "assistant"}), third.clone())]);
        for api in Api::ALL {
            let key = if api == Api::Responses { "input" } else { "messages" };
            for list in [list.clone(), json!([said]), json!([called]), json!([first, second]), third.clone()] {
                let whole = body(json!({"model": "m", key: list}), more.clone());
                if let Ok(request) = api.request_from_json(&whole) {
                    write_request(&request);
                }
                let _ = api.request_from_slice(whole.to_string().as_bytes());
            }
        }
    }

    #[test]
    fn replies(first in value(), second in value(), more in value()) {
        let request = Request::new("m", Vec::new());
        let choice = json!([{"message": body(json!({"role": "assistant"}), first.clone())}]);
        let call = json!([{"message": {"role": "assistant", "tool_calls": [first, second]}}]);
        let blocks = json!([first, {"type": "tool_use", "input": second}]);
        for (api, key, list) in [
            (Api::Chat, "choices", choice),
            (Api::Chat, "choices", call),
            (Api::Anthropic, "content", blocks),
            (Api::Anthropic, "content", json!([first])),
            (Api::Responses, "output", json!([first, second])),
            (Api::Responses, "output", json!([{"type": "message", "content": [first, second]}])),
        ] {
            let whole = body(json!({ key: list }), more.clone());
            if let Ok(reply) = api.reply_from_json(&whole) {
                write_reply(&reply, &request);
            }
            let _ = api.reply_from_bytes(whole.to_string().as_bytes());
        }
    }

    #[test]
    fn streams(values in prop::collection::vec(value(), 0..8), kinds in prop::collection::vec(27_usize..33, 8)) {
        let request = Request::new("m", Vec::new());
        for api in Api::ALL {
            let mut assembler = api.assembler();
            for (value, kind) in values.iter().zip(&kinds) {
                let event = match api {
                    Api::Chat => json!({"choices": [{"delta": value, "finish_reason": "stop"}]}),
                    _ => body(json!({"type": WORDS[*kind], "index": 0}), value.clone()),
                };
                assembler.push(format!("data: {event}\n\ndata: {value}\n\n").as_bytes());
            }
            assembler.push(b"data: [DONE]\n\n");
            if let Ok(reply) = assembler.finish() {
                write_reply(&reply, &request);
            }
        }
    }

    #[test]
    fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for api in Api::ALL {
            let _ = api.request_from_slice(&bytes);
            let _ = api.reply_from_bytes(&bytes);
            let mut assembler = api.assembler();
            assembler.push(&bytes);
            assembler.push(b"\n\n");
            let _ = assembler.finish();
        }
    }
}
