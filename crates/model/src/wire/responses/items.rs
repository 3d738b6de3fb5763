//! Items.
//!
//! The order of a turn's items and their unknown fields are kept in `extra` as `items`, and the
//! unknown fields of parts as `content`; nothing is kept of items in the usual order (text, then
//! calls) that have no more fields.

use serde_json::{Map, Value, json};

use crate::message::{Message, Part, Role, ToolCall};
use crate::wire::fields::{self, Fields, keep, keep_list, nth, own};
use crate::wire::{Api, Problem, ids};

/// A turn of the model that is being read.
#[derive(Debug, Default)]
pub(super) struct Turn {
    content: Vec<Part>,
    parts: Vec<Map<String, Value>>,
    calls: Vec<ToolCall>,
    thoughts: Vec<String>,
    refusal: Option<String>,
    items: Vec<Value>,
    unusual: bool,
    /// Log-probabilities of its text.
    pub(super) logprobs: Vec<Value>,
}

impl Turn {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn item(&mut self, place: String, item: Value) -> Result<(), Problem> {
        let kind = item.get("type").and_then(Value::as_str).unwrap_or("message").to_owned();
        match kind.as_str() {
            "message" => self.message_item(place, item),
            "function_call" | "custom_tool_call" => {
                let mut fields = Fields::of(place, item)?;
                fields.take("type");
                let name = fields.text("name")?.unwrap_or_default();
                let custom = kind == "custom_tool_call";
                let key = if custom { "input" } else { "arguments" };
                let arguments = match fields.take(key) {
                    Some(Value::String(text)) => text,
                    Some(other) => other.to_string(),
                    None => String::new(),
                };
                let id = fields.text("call_id")?.filter(|id| !id.is_empty());
                let count = self.calls.len().to_string();
                let id = id.unwrap_or_else(|| ids::derive("call_", &[&count, &name, &arguments]));
                self.calls.push(ToolCall { id, name, arguments });
                let rest = fields.rest();
                self.unusual |= custom || !rest.is_empty();
                self.keep_item(&kind, rest);
                Ok(())
            }
            "reasoning" => {
                let texts = |key: &str| {
                    let list = item.get(key).and_then(Value::as_array);
                    list.into_iter().flatten().filter_map(|part| part.get("text")?.as_str())
                };
                let mut thoughts: Vec<String> = texts("content").map(str::to_owned).collect();
                if thoughts.is_empty() {
                    thoughts = texts("summary").map(str::to_owned).collect();
                }
                self.thoughts.extend(thoughts);
                self.unusual = true;
                self.items.push(item);
                Ok(())
            }
            _ => {
                self.content.push(Part::Other(item));
                self.parts.push(Map::new());
                self.unusual = true;
                self.keep_item("other", Map::new());
                Ok(())
            }
        }
    }

    fn keep_item(&mut self, kind: &str, rest: Map<String, Value>) {
        let mut item = Map::from_iter([("type".to_owned(), json!(kind))]);
        item.extend(rest);
        self.items.push(Value::Object(item));
    }

    fn message_item(&mut self, place: String, item: Value) -> Result<(), Problem> {
        self.unusual |= !self.calls.is_empty() || !self.content.is_empty();
        let mut fields = Fields::of(place, item)?;
        fields.take("type");
        fields.take("role");
        let place = fields.place_of("content");
        let before = self.content.len();
        for part in parts_of(&place, fields.take("content"))? {
            if let (Some("refusal"), Some(text)) =
                (part.get("type").and_then(Value::as_str), part.get("refusal"))
            {
                self.refusal.get_or_insert_default().push_str(text.as_str().unwrap_or(""));
                continue;
            }
            let (part, mut rest) = read_part(part);
            if let Some(Value::Array(list)) = rest.shift_remove("logprobs") {
                self.logprobs.extend(list);
            }
            self.content.push(part);
            self.parts.push(rest);
        }
        let rest = fields.rest();
        self.unusual |= !rest.is_empty();
        let mut item = Map::from_iter([
            ("type".to_owned(), json!("message")),
            ("parts".to_owned(), json!(self.content.len() - before)),
        ]);
        item.extend(rest);
        self.items.push(Value::Object(item));
        Ok(())
    }

    pub(super) fn message(self) -> Message {
        let mut unknown = Map::new();
        if self.unusual {
            unknown.insert("items".to_owned(), Value::Array(self.items));
        }
        keep_list(&mut unknown, "content", self.parts);
        let mut extra = Map::new();
        if let Some(refusal) = self.refusal {
            extra.insert("refusal".to_owned(), json!(refusal));
        }
        keep(&mut extra, Api::Responses, unknown);
        Message {
            role: Role::Assistant,
            content: self.content,
            reasoning: (!self.thoughts.is_empty()).then(|| self.thoughts.join("\n\n")),
            tool_calls: self.calls,
            tool_call_id: None,
            extra,
        }
    }
}

/// Reads the items of a request into messages.
pub(super) fn read(list: Vec<Value>, place: &str) -> Result<Vec<Message>, Problem> {
    let mut messages = Vec::new();
    let mut turn = Turn::default();
    for (index, item) in list.into_iter().enumerate() {
        let place = format!("{place}[{index}]");
        let word = |key: &str| item.get(key).and_then(Value::as_str);
        let kind = word("type").unwrap_or("message");
        if kind == "item_reference" {
            return Err(Problem::at(place, "nothing is stored that could be referred to"));
        }
        let said = kind == "message" && word("role") != Some("assistant");
        if !said && !kind.ends_with("_output") {
            turn.item(place, item)?;
            continue;
        }
        if !turn.is_empty() {
            messages.push(std::mem::take(&mut turn).message());
        }
        messages.push(if said { read_said(place, item)? } else { read_output(place, item)? });
    }
    if !turn.is_empty() {
        messages.push(turn.message());
    }
    Ok(messages)
}

fn read_said(place: String, item: Value) -> Result<Message, Problem> {
    let mut fields = Fields::of(place, item)?;
    fields.take("type");
    let mut unknown = Map::new();
    let role = match fields.needed_text("role")?.as_str() {
        "user" => Role::User,
        word @ ("system" | "developer") => {
            unknown.insert("role".to_owned(), json!(word));
            Role::System
        }
        other => return Err(fields.problem("role", format!("`{other}` is no role"))),
    };
    let place = fields.place_of("content");
    let (content, rests) = read_parts(parts_of(&place, fields.take("content"))?);
    keep_list(&mut unknown, "content", rests);
    unknown.extend(fields.rest());
    let mut message = Message { content, ..Message::text(role, "") };
    keep(&mut message.extra, Api::Responses, unknown);
    Ok(message)
}

fn read_output(place: String, item: Value) -> Result<Message, Problem> {
    let kind = item.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
    let mut unknown = Map::new();
    if kind != "function_call_output" {
        unknown.insert("type".to_owned(), json!(kind));
    }
    if !matches!(kind.as_str(), "function_call_output" | "custom_tool_call_output") {
        let id = item.get("call_id").and_then(Value::as_str).map(str::to_owned);
        let mut message = Message { content: vec![Part::Other(item)], ..Message::tool("", "") };
        message.tool_call_id = id;
        keep(&mut message.extra, Api::Responses, unknown);
        return Ok(message);
    }
    let mut fields = Fields::of(place, item)?;
    fields.take("type");
    let id = fields.needed_text("call_id")?;
    let place = fields.place_of("output");
    let (content, rests) = read_parts(parts_of(&place, fields.take("output"))?);
    keep_list(&mut unknown, "content", rests);
    unknown.extend(fields.rest());
    let mut message = Message { content, ..Message::tool(id, "") };
    keep(&mut message.extra, Api::Responses, unknown);
    Ok(message)
}

fn parts_of(place: &str, content: Option<Value>) -> Result<Vec<Value>, Problem> {
    match content {
        None => Ok(Vec::new()),
        Some(text @ Value::String(_)) => Ok(vec![json!({"type": "input_text", "text": text})]),
        Some(Value::Array(parts)) => Ok(parts),
        Some(other) => {
            let what = format!("text or parts are expected, not {}", fields::kind(&other));
            Err(Problem::at(place, what))
        }
    }
}

fn read_parts(parts: Vec<Value>) -> (Vec<Part>, Vec<Map<String, Value>>) {
    parts.into_iter().map(read_part).unzip()
}

fn read_part(part: Value) -> (Part, Map<String, Value>) {
    let Value::Object(mut map) = part else { return (Part::Other(part), Map::new()) };
    let kind = map.get("type").and_then(Value::as_str).unwrap_or("");
    let key = match kind {
        "input_text" | "output_text" | "text" => "text",
        "input_image" => "image_url",
        _ => return (Part::Other(Value::Object(map)), Map::new()),
    };
    if !map.get(key).is_some_and(Value::is_string) {
        return (Part::Other(Value::Object(map)), Map::new());
    }
    let text = match map.shift_remove(key) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    map.shift_remove("type");
    for key in ["annotations", "logprobs"] {
        if map.get(key).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            map.shift_remove(key);
        }
    }
    (if key == "text" { Part::Text(text) } else { Part::Image(text) }, map)
}

/// Where items are written for.
#[derive(Debug, Clone, Copy)]
pub(super) enum For<'a> {
    /// A server.
    Request,
    /// A client: every item needs a name, made of the name of the response.
    Reply(&'a str),
}

/// Writes a message as items.
pub(super) fn write(message: &Message, wanted: For<'_>) -> Vec<Value> {
    let own = own(&message.extra, Api::Responses);
    match message.role {
        Role::Assistant => Writer { message, wanted, own, items: Vec::new(), next: 0 }.turn(),
        Role::Tool => vec![write_output(message, own)],
        Role::System | Role::User => {
            let role = if message.role == Role::User { "user" } else { "system" };
            let role = own.and_then(|own| own.get("role")).cloned().unwrap_or_else(|| json!(role));
            let mut map = Map::new();
            map.insert("type".to_owned(), json!("message"));
            map.insert("role".to_owned(), role);
            map.insert("content".to_owned(), write_parts(message, own, 0..message.content.len()));
            add_unknown(&mut map, own);
            vec![Value::Object(map)]
        }
    }
}

fn add_unknown(map: &mut Map<String, Value>, own: Option<&Map<String, Value>>) {
    let kept = |key: &str| matches!(key, "content" | "items" | "role" | "type");
    fields::add(map, own.into_iter().flatten().filter(|(key, _)| !kept(key)));
}

fn write_output(message: &Message, own: Option<&Map<String, Value>>) -> Value {
    let kind = own.and_then(|own| own.get("type")).and_then(Value::as_str);
    if let ([Part::Other(item)], Some(_)) = (message.content.as_slice(), kind)
        && item.get("type").and_then(Value::as_str) == kind
    {
        return item.clone();
    }
    let mut map = Map::new();
    map.insert("type".to_owned(), json!(kind.unwrap_or("function_call_output")));
    map.insert("call_id".to_owned(), json!(message.tool_call_id.as_deref().unwrap_or("")));
    map.insert("output".to_owned(), write_parts(message, own, 0..message.content.len()));
    add_unknown(&mut map, own);
    Value::Object(map)
}

/// Parts: a text where they are nothing else.
fn write_parts(
    message: &Message,
    own: Option<&Map<String, Value>>,
    range: std::ops::Range<usize>,
) -> Value {
    let rest = |index| nth(own, "content", index);
    match &message.content[range.clone()] {
        [] => json!(""),
        [Part::Text(text)] if rest(range.start).is_none_or(Map::is_empty) => json!(text),
        parts => {
            let assistant = message.role == Role::Assistant;
            let parts = parts.iter().zip(range);
            parts.map(|(part, index)| write_part(part, rest(index), assistant)).collect()
        }
    }
}

fn write_part(part: &Part, rest: Option<&Map<String, Value>>, assistant: bool) -> Value {
    let mut map = match part {
        Part::Text(text) if assistant => json!({"type": "output_text", "text": text}),
        Part::Text(text) => json!({"type": "input_text", "text": text}),
        Part::Image(url) => json!({"type": "input_image", "image_url": url}),
        Part::Other(value) => return value.clone(),
    };
    if let (Value::Object(map), Some(rest)) = (&mut map, rest) {
        fields::add(map, rest);
    }
    map
}

struct Writer<'a> {
    message: &'a Message,
    wanted: For<'a>,
    own: Option<&'a Map<String, Value>>,
    items: Vec<Value>,
    /// Parts that are written.
    next: usize,
}

impl Writer<'_> {
    fn turn(mut self) -> Vec<Value> {
        let mut calls = self.message.tool_calls.iter();
        let all = self.message.content.len();
        if let Some(items) = self.own.and_then(|own| own.get("items")?.as_array()) {
            for rest in items.iter().filter_map(Value::as_object) {
                match rest.get("type").and_then(Value::as_str).unwrap_or("") {
                    "message" => {
                        let count = rest.get("parts").and_then(Value::as_u64).unwrap_or(1);
                        let end = all.min(self.next.saturating_add(count as usize));
                        self.text(end, Some(rest));
                    }
                    kind @ ("function_call" | "custom_tool_call") => {
                        if let Some(call) = calls.next() {
                            self.call(call, kind, Some(rest));
                        }
                    }
                    "reasoning" => self.items.push(Value::Object(rest.clone())),
                    _ => {
                        if let Some(Part::Other(item)) = self.message.content.get(self.next) {
                            self.items.push(item.clone());
                            self.next += 1;
                        }
                    }
                }
            }
        } else if let (For::Reply(id), Some(text)) = (self.wanted, &self.message.reasoning) {
            let id = ids::derive("rs_", &[id]);
            let summary = json!([{"type": "summary_text", "text": text}]);
            self.items.push(json!({"type": "reasoning", "id": id, "summary": summary}));
        }
        let refused = self.message.extra.contains_key("refusal")
            && !self.items.iter().any(|item| item.get("type") == Some(&json!("message")));
        if self.next < all || refused {
            self.text(all, None);
        }
        for call in calls {
            self.call(call, "function_call", None);
        }
        self.items
    }

    fn text(&mut self, end: usize, rest: Option<&Map<String, Value>>) {
        let mut map = Map::new();
        map.insert("type".to_owned(), json!("message"));
        map.insert("role".to_owned(), json!("assistant"));
        let range = self.next..end;
        self.next = end;
        let mut content = match self.wanted {
            For::Request => write_parts(self.message, self.own, range),
            For::Reply(_) => range
                .map(|index| {
                    let rest = nth(self.own, "content", index);
                    let mut part = write_part(&self.message.content[index], rest, true);
                    if part.get("annotations").is_none() && part.get("text").is_some() {
                        part["annotations"] = json!([]);
                    }
                    part
                })
                .collect(),
        };
        if let Some(refusal) = self.message.extra.get("refusal")
            && self.next == self.message.content.len()
        {
            let part = json!({"type": "refusal", "refusal": refusal});
            match &mut content {
                Value::Array(parts) => parts.push(part),
                Value::String(text) if text.is_empty() => content = json!([part]),
                other => content = json!([{"type": "output_text", "text": other}, part]),
            }
        }
        map.insert("content".to_owned(), content);
        let unknown = rest.into_iter().flatten().filter(|(key, _)| *key != "parts");
        fields::add(&mut map, unknown);
        self.name(&mut map, "msg_");
        self.items.push(Value::Object(map));
    }

    fn call(&mut self, call: &ToolCall, kind: &str, rest: Option<&Map<String, Value>>) {
        let key = if kind == "function_call" { "arguments" } else { "input" };
        let mut map = Map::new();
        map.insert("type".to_owned(), json!(kind));
        map.insert("call_id".to_owned(), json!(call.id));
        map.insert("name".to_owned(), json!(call.name));
        map.insert(key.to_owned(), json!(call.arguments));
        fields::add(&mut map, rest.into_iter().flatten());
        self.name(&mut map, "fc_");
        self.items.push(Value::Object(map));
    }

    fn name(&self, map: &mut Map<String, Value>, prefix: &str) {
        let For::Reply(id) = self.wanted else { return };
        if !map.contains_key("id") {
            let place = self.items.len().to_string();
            map.insert("id".to_owned(), json!(ids::derive(prefix, &[id, &place])));
        }
        map.entry("status").or_insert_with(|| json!("completed"));
    }
}
