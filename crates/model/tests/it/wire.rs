//! What particular servers say.

use palestra_model::wire::Progress;
use palestra_model::{Api, Finish, Reply, Request, Sampling, Tokens, Usage};
use serde_json::json;

fn assembled(api: Api, events: &[&str]) -> Result<Reply, String> {
    let mut assembler = api.assembler();
    for event in events {
        assembler.push(format!("{event}\n\n").as_bytes());
    }
    assembler.finish().map_err(|problem| problem.to_string())
}

#[test]
fn vllm_gives_token_ids() {
    let body = json!({
        "id": "c", "object": "chat.completion", "model": "qwen", "prompt_token_ids": [1, 2, 3],
        "choices": [{"index": 0, "finish_reason": "stop", "stop_reason": null, "token_ids": [4, 5],
            "message": {"role": "assistant", "content": "ab", "reasoning_content": null,
                "refusal": null, "annotations": null, "tool_calls": [], "function_call": null},
            "logprobs": {"content": [
                {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []},
                {"token": "b", "logprob": -0.25, "bytes": [98], "top_logprobs": []}]}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 2}},
    });
    let reply = Api::Chat.reply_from_json(&body).unwrap();
    let tokens =
        Tokens { prompt: vec![1, 2, 3], completion: vec![4, 5], logprobs: vec![-0.1, -0.25] };
    assert_eq!(reply.tokens, Some(tokens));
    assert!(reply.message.extra.is_empty(), "{:?}", reply.message.extra);
    assert_eq!(reply.usage, Usage { prompt: 3, completion: 2, cached: 2, ..Usage::default() });

    let asked = Request {
        sampling: Sampling { token_ids: true, logprobs: true, ..Sampling::default() },
        ..Request::new("qwen", Vec::new())
    };
    assert_eq!(Api::Chat.request_to_json(&asked, false)["return_token_ids"], true);
    for api in Api::ALL {
        let told = api.reply_from_json(&api.reply_to_json(&reply, &asked)).unwrap();
        let mut assembler = api.assembler();
        assembler.push(api.events_of(&reply, &asked, true).concat().as_bytes());
        let streamed = assembler.finish().unwrap();
        for told in [told, streamed] {
            let tokens = told.tokens.unwrap();
            assert_eq!((tokens.prompt, tokens.completion), (vec![1, 2, 3], vec![4, 5]), "{api}");
            // Messages of Anthropic have no place for log-probabilities.
            if api != Api::Anthropic {
                assert_eq!(told.logprobs, reply.logprobs, "{api}");
            }
        }
    }
}

#[test]
fn vllm_streams_token_ids_in_pieces() {
    let reply = assembled(Api::Chat, &[
        r#"data: {"id":"c","model":"q","prompt_token_ids":[1,2],"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}"#,
        ": ping",
        r#"data: {"id":"c","model":"q","choices":[{"index":0,"delta":{"reasoning":"hm"},"token_ids":[3]}]}"#,
        r#"data: {"id":"c","model":"q","choices":[{"index":0,"delta":{"content":"a"},"token_ids":[4],"logprobs":{"content":[{"token":"a","logprob":-1.0}]}}]}"#,
        r#"data: {"id":"c","model":"q","choices":[{"index":0,"delta":{"content":""},"finish_reason":"length","token_ids":[5]}]}"#,
        r#"data: {"id":"c","model":"q","choices":[],"usage":{"prompt_tokens":2,"completion_tokens":3}}"#,
        "data: [DONE]",
    ]).unwrap();
    assert_eq!(reply.tokens.unwrap().completion, [3, 4, 5]);
    assert_eq!(reply.message.reasoning.as_deref(), Some("hm"));
    assert_eq!((reply.finish, reply.usage.completion), (Finish::Length, 3));
    // It goes back under the name that it had.
    let again = Request::new("q", vec![reply.message.into()]);
    assert_eq!(Api::Chat.request_to_json(&again, false)["messages"][0]["reasoning"], "hm");
}

#[test]
fn tool_calls_of_careless_servers() {
    // No index, the name in every piece, arguments as an object, no ids.
    let reply = assembled(Api::Chat, &[
        r#"data: {"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\""}}]}}]}"#,
        r#"data: {"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":": 1}"}}]}}]}"#,
        r#"data: {"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"g","arguments":"{}"}}]}}]}"#,
        r#"data: {"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
    ]).unwrap();
    let calls = &reply.message.tool_calls;
    assert_eq!((calls[0].name.as_str(), calls[0].arguments.as_str()), ("f", r#"{"x": 1}"#));
    assert_eq!((calls[1].id.as_str(), calls[1].name.as_str()), ("b", "g"));
    // The same index for all.
    let reply = assembled(Api::Chat, &[
        r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}}]}"#,
        r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}]}}]}"#,
        r#"data: {"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
    ]).unwrap();
    assert_eq!(reply.message.tool_calls.len(), 2);
    let body = json!({"id": "r", "choices": [{"message": {"content": null, "tool_calls": [
        {"function": {"name": "f", "arguments": {"x": 1}}}, {"function": {"name": "f", "arguments": {"x": 1}}},
    ]}, "finish_reason": "tool_calls"}]});
    let calls = Api::Chat.reply_from_json(&body).unwrap().message.tool_calls;
    assert_eq!(calls[0].arguments, r#"{"x":1}"#);
    assert_ne!(calls[0].id, calls[1].id);
}

#[test]
fn a_stream_tells_how_far_it_is() {
    let mut assembler = Api::Chat.assembler();
    assembler.push(b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n");
    assert_eq!(assembler.progress(), Progress::Open);
    assembler.push(b"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
    assert_eq!(assembler.progress(), Progress::Finished);
    assembler.push(b"data: [DO");
    assert_eq!(assembler.progress(), Progress::Finished);
    assembler.push(b"NE]\r\n\r\n");
    assert_eq!(assembler.progress(), Progress::Done);
    assert_eq!(assembler.finish().unwrap().message.content_text(), "a");
}

#[test]
fn errors_within_a_stream() {
    for (api, event, status) in [
        (Api::Chat, r#"data: {"error":{"message":"no","code":503}}"#, Some(503)),
        (
            Api::Anthropic,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"no\"}}",
            Some(529),
        ),
        (
            Api::Responses,
            r#"data: {"type":"response.failed","response":{"error":{"code":"server_error","message":"no"}}}"#,
            Some(500),
        ),
        (
            Api::Responses,
            r#"data: {"type":"error","code":"rate_limit_exceeded","message":"no"}"#,
            Some(429),
        ),
    ] {
        let mut assembler = api.assembler();
        assembler.push(format!("{event}\n\n").as_bytes());
        let failure = assembler.failure().unwrap();
        assert_eq!((failure.status, failure.text.as_str()), (status, "no"), "{event}");
        assert!(assembler.finish().is_err());
    }
}

#[test]
fn anthropic_streams() {
    let reply = assembled(Api::Anthropic, &[
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"c\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":4,\"cache_creation_input_tokens\":5,\"output_tokens\":1}}}",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"sig\"}}",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}",
        "event: ping\ndata: {\"type\":\"ping\"}",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":  1\"}}",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\".0}\"}}",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"tool_use\",\"id\":\"u\",\"name\":\"g\",\"input\":{}}}",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":7}}",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}",
    ]).unwrap();
    assert_eq!(reply.message.tool_calls[0].arguments, r#"{"a":  1.0}"#);
    assert_eq!(reply.message.tool_calls[1].arguments, "{}");
    assert_eq!(
        reply.usage,
        Usage { prompt: 12, completion: 7, cached: 4, cache_written: 5, reasoning: 0 }
    );
    // The signed thought goes back with its signature.
    let again = Request::new("c", vec![reply.message.clone().into()]);
    let body = Api::Anthropic.request_to_json(&again, false);
    let thought = json!({"type": "thinking", "thinking": "hm", "signature": "sig"});
    assert_eq!(body["messages"][0]["content"][0], thought);
    // Also through a client of chat completions that keeps what LiteLLM calls thinking blocks.
    let told = Api::Chat.reply_to_json(&reply, &again);
    assert_eq!(told["choices"][0]["message"]["thinking_blocks"], json!([thought]));
    let back = json!({"model": "c", "messages": [told["choices"][0]["message"]]});
    let back = Api::Chat.request_from_json(&back).unwrap();
    let body = Api::Anthropic.request_to_json(&back, false);
    assert_eq!(body["messages"][0]["content"][0], thought);
}

#[test]
fn bytes_of_arguments_are_kept() {
    let body = br#"{"id":"m","model":"c","role":"assistant","content":[{"type":"text","text":"x"},
        {"type":"tool_use","id":"t","name":"f","input":{"n": 123456789012345678901234567890, "f": 1.50 }}],
        "stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}}"#;
    let reply = Api::Anthropic.reply_from_slice(body).unwrap();
    let arguments = r#"{"n": 123456789012345678901234567890, "f": 1.50 }"#;
    assert_eq!(reply.message.tool_calls[0].arguments, arguments);
    let request = Request::new("c", vec![reply.message.into()]);
    let sent = Api::Anthropic.request_to_vec(&request, false);
    assert!(String::from_utf8(sent).unwrap().contains(arguments));
}

#[test]
fn bodies_that_are_wrong_say_where() {
    for (api, body, place) in [
        (Api::Chat, json!([]), ""),
        (Api::Chat, json!({"model": "m"}), "messages"),
        (Api::Chat, json!({"model": "m", "messages": [{"role": "alien"}]}), "messages[0].role"),
        (
            Api::Chat,
            json!({"model": "m", "messages": [{"role": "user", "content": 1}]}),
            "messages[0].content",
        ),
        (Api::Chat, json!({"model": "m", "messages": [], "n": 2}), "n"),
        (Api::Chat, json!({"messages": []}), "model"),
        (
            Api::Anthropic,
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}),
            "messages[0].content[0].tool_use_id",
        ),
        (Api::Anthropic, json!({"model": "m", "messages": {}}), "messages"),
        (Api::Responses, json!({"model": "m", "input": 3}), "input"),
        (
            Api::Responses,
            json!({"model": "m", "input": [{"role": "user", "content": {}}]}),
            "input[0].content",
        ),
    ] {
        let problem = api.request_from_json(&body).unwrap_err();
        assert_eq!(problem.place, place, "{problem}");
    }
    for api in Api::ALL {
        for body in
            [json!(null), json!({}), json!({"choices": []}), json!({"content": "x", "output": 1})]
        {
            assert!(api.reply_from_json(&body).is_err(), "{api} {body}");
        }
        assert!(api.reply_from_slice(b"<html>").is_err());
    }
}

#[test]
fn caches_are_marked() {
    let request = crate::question();
    let mut body = Api::Anthropic.request_to_json(&request, false);
    palestra_model::wire::anthropic::mark_for_cache(Api::Anthropic, &mut body);
    let mark = json!({"type": "ephemeral"});
    assert_eq!(body["system"][0]["cache_control"], mark);
    assert_eq!(body["tools"][0]["cache_control"], mark);
    assert_eq!(body["messages"][0]["content"][0]["cache_control"], mark);
    let marked = body.clone();
    palestra_model::wire::anthropic::mark_for_cache(Api::Anthropic, &mut body);
    assert_eq!(body, marked);
}

#[test]
fn errors_have_the_form_of_the_api() {
    let body = Api::Anthropic.error_to_json(429, "slow");
    assert_eq!(
        body,
        json!({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}})
    );
    let body = Api::Chat.error_to_json(400, "no");
    assert_eq!(body["error"]["message"], "no");
}
