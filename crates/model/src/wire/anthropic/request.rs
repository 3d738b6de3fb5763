//! Requests.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::blocks::{self, For, Reader};
use crate::message::{Message, Request, Role, Sampling};
use crate::wire::fields::{Fields, add_further, keep, own};
use crate::wire::raw::{self, Inputs};
use crate::wire::{Api, Problem, tools};

/// Sent where the request says nothing, because the API insists.
const MAX_TOKENS: u64 = 8192;

/// Body of a request.
pub fn request_to_json(request: &Request, stream: bool) -> Value {
    body(request, stream, false)
}

/// Body of a request as bytes, with the arguments of tool calls as the model wrote them.
pub fn request_to_vec(request: &Request, stream: bool) -> Vec<u8> {
    raw::to_vec(&body(request, stream, true))
}

fn body(request: &Request, stream: bool, verbatim: bool) -> Value {
    let sampling = &request.sampling;
    let kept = own(&sampling.extra, Api::Anthropic);
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("model", json!(request.model));
    put("max_tokens", json!(sampling.max_tokens.unwrap_or(MAX_TOKENS)));
    let leading =
        request.messages.iter().take_while(|one| one.role == Role::System && !is_item(one)).count();
    let (system, messages) = request.messages.split_at(leading);
    if !system.is_empty() {
        let blocks = system.iter().flat_map(|one| blocks::write(one, For::Request, verbatim));
        put("system", blocks::text_or(blocks.collect()));
    }
    put("messages", Value::Array(write_messages(messages, verbatim)));
    if let Some(tools) = tools::write(Api::Anthropic, &request.tools, kept) {
        put("tools", Value::Array(tools));
    }
    let one_at_a_time = sampling.extra.get("parallel_tool_calls") == Some(&json!(false));
    let mut choice =
        request.tool_choice.as_ref().map(|choice| tools::write_choice(Api::Anthropic, choice));
    if one_at_a_time && !request.tools.is_empty() {
        let choice = choice.get_or_insert_with(|| json!({"type": "auto"}));
        if let Value::Object(choice) = choice {
            choice.insert("disable_parallel_tool_use".to_owned(), json!(true));
        }
    }
    if let Some(choice) = choice {
        put("tool_choice", choice);
    }
    if let Some(temperature) = sampling.temperature {
        put("temperature", json!(temperature));
    }
    if let Some(top_p) = sampling.top_p {
        put("top_p", json!(top_p));
    }
    if !sampling.stop.is_empty() {
        put("stop_sequences", json!(sampling.stop));
    }
    if let Some(effort) = &sampling.reasoning_effort {
        let mut config = Map::new();
        config.insert("effort".to_owned(), json!(effort));
        if let Some(more) = kept.and_then(|kept| kept.get("output_config")?.as_object()) {
            config.extend(more.clone());
        }
        put("output_config", Value::Object(config));
    }
    if sampling.token_ids {
        put("return_token_ids", json!(true));
    }
    if stream {
        put("stream", json!(true));
    }
    let mut extra = sampling.extra.clone();
    extra.shift_remove("parallel_tool_calls");
    add_further(&mut map, &extra, Api::Anthropic, &["tools", "other_tools"]);
    Value::Object(map)
}

/// A system message that came as a message, and not before all of them.
fn is_item(message: &Message) -> bool {
    own(&message.extra, Api::Anthropic).is_some_and(|own| own.contains_key("role"))
}

fn write_messages(messages: &[Arc<Message>], verbatim: bool) -> Vec<Value> {
    let mut list = Vec::with_capacity(messages.len());
    // Results of tools wait for those that follow and for the text of the user after them: the API
    // wants all results of one turn in one message.
    let mut results: Vec<Value> = Vec::new();
    for message in messages {
        if message.role == Role::Tool {
            results.push(blocks::result_block(message));
            continue;
        }
        let mut content = blocks::write(message, For::Request, verbatim);
        if message.role == Role::User || (message.role == Role::System && !is_item(message)) {
            results.append(&mut content);
            content = std::mem::take(&mut results);
        } else if !results.is_empty() {
            list.push(json!({"role": "user", "content": std::mem::take(&mut results)}));
        }
        if content.is_empty() && message.role == Role::Assistant {
            // The API refuses a turn that says nothing, and joins the turns around it.
            continue;
        }
        let role = match message.role {
            Role::Assistant => "assistant",
            Role::System if is_item(message) => "system",
            _ => "user",
        };
        let mut map = Map::new();
        map.insert("role".to_owned(), json!(role));
        map.insert("content".to_owned(), blocks::text_or(content));
        if let Some(own) = own(&message.extra, Api::Anthropic) {
            let unknown = own.iter().filter(|(key, _)| !matches!(key.as_str(), "blocks" | "role"));
            crate::wire::fields::add(&mut map, unknown);
        }
        list.push(Value::Object(map));
    }
    if !results.is_empty() {
        list.push(json!({"role": "user", "content": results}));
    }
    list
}

/// Reads the body of a request.
///
/// # Errors
/// Where the body is not what the API allows.
pub fn request_from_json(body: &Value) -> Result<Request, Problem> {
    read_request(body.clone(), &Inputs::default())
}

pub(crate) fn read_request(body: Value, inputs: &Inputs) -> Result<Request, Problem> {
    let mut fields = Fields::of("", body)?;
    let mut kept = Map::new();
    let model = fields.needed_text("model")?;
    let mut messages = Vec::new();
    if let Some(system) = fields.take("system") {
        let mut reader = Reader::default();
        blocks::read_content(&mut reader, "system", Some(system), None)?;
        messages.push(Arc::new(reader.message(Role::System, Map::new())));
    }
    let list = fields.list("messages")?;
    let list = list.ok_or_else(|| fields.problem("messages", "the list is missing"))?;
    for (index, value) in list.into_iter().enumerate() {
        read_message(index, value, inputs, &mut messages)?;
    }
    let list = fields.list("tools")?.unwrap_or_default();
    let tools = tools::read(Api::Anthropic, list)?.keep(&mut kept);
    let mut sampling = Sampling {
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        max_tokens: fields.count("max_tokens")?,
        token_ids: fields.flag("return_token_ids")?,
        ..Sampling::default()
    };
    for stop in fields.list("stop_sequences")?.unwrap_or_default() {
        let Value::String(stop) = stop else {
            return Err(fields.problem("stop_sequences", "a list of texts is expected"));
        };
        sampling.stop.push(stop);
    }
    let mut tool_choice = fields.take("tool_choice");
    if let Some(Value::Object(choice)) = &mut tool_choice
        && let Some(alone) = choice.shift_remove("disable_parallel_tool_use")
    {
        let parallel = json!(alone != json!(true));
        sampling.extra.insert("parallel_tool_calls".to_owned(), parallel);
    }
    let tool_choice = tool_choice.map(|choice| tools::read_choice(Api::Anthropic, choice));
    if let Some(Value::Object(mut config)) = fields.take("output_config") {
        if config.get("effort").is_some_and(Value::is_string)
            && let Some(Value::String(effort)) = config.shift_remove("effort")
        {
            sampling.reasoning_effort = Some(effort);
        }
        if !config.is_empty() {
            kept.insert("output_config".to_owned(), Value::Object(config));
        }
    }
    fields.take("stream");
    kept.extend(fields.rest());
    keep(&mut sampling.extra, Api::Anthropic, kept);
    Ok(Request { model, messages, tools, tool_choice, sampling, session: None })
}

fn read_message(
    index: usize,
    value: Value,
    inputs: &Inputs,
    messages: &mut Vec<Arc<Message>>,
) -> Result<(), Problem> {
    let place = format!("messages[{index}]");
    let mut fields = Fields::of(place.clone(), value)?;
    let mut unknown = Map::new();
    let role = match fields.needed_text("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => {
            unknown.insert("role".to_owned(), json!("system"));
            Role::System
        }
        other => return Err(fields.problem("role", format!("`{other}` is no role"))),
    };
    let content = fields.take("content");
    unknown.extend(fields.rest());
    let place = format!("{place}.content");
    let Some(Value::Array(blocks)) = content else {
        let mut reader = Reader::default();
        blocks::read_content(&mut reader, &place, content, None)?;
        messages.push(Arc::new(reader.message(role, unknown)));
        return Ok(());
    };
    let mut reader = Reader::default();
    let mut results = false;
    for (number, block) in blocks.into_iter().enumerate() {
        let place = format!("{place}[{number}]");
        if block.get("type").and_then(Value::as_str) != Some("tool_result") {
            reader.block(place, block, inputs.get(index, number))?;
            continue;
        }
        if !reader.is_empty() {
            let before = std::mem::take(&mut reader);
            messages.push(Arc::new(before.message(role, Map::new())));
        }
        messages.push(Arc::new(blocks::read_result(place, block)?));
        results = true;
    }
    if !reader.is_empty() || !results {
        messages.push(Arc::new(reader.message(role, unknown)));
    }
    Ok(())
}
