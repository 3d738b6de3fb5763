//! Streams into answers.

use serde_json::{Map, Value, json};

use super::reply::read_reply;
use crate::message::Reply;
use crate::wire::{Problem, Progress};

/// What a stream has said so far, in the form of a whole answer.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    head: Map<String, Value>,
    message: Map<String, Value>,
    calls: Vec<Call>,
    logprobs: Vec<Value>,
    token_ids: Option<Vec<Value>>,
    finish: Option<String>,
    done: bool,
}

#[derive(Debug, Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    rest: Map<String, Value>,
}

impl Stream {
    pub(crate) fn done(&mut self) {
        self.done = true;
    }

    pub(crate) fn progress(&self) -> Progress {
        match (&self.finish, self.done) {
            (Some(_), true) => Progress::Done,
            (Some(_), false) => Progress::Finished,
            // A terminator alone ends nothing that has begun.
            (None, _) => Progress::Open,
        }
    }

    pub(crate) fn push(&mut self, chunk: Value) {
        let Value::Object(chunk) = chunk else { return };
        for (key, value) in chunk {
            match key.as_str() {
                "choices" => {
                    let Value::Array(choices) = value else { continue };
                    let first = |choice: &Value| {
                        choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0
                    };
                    for choice in choices.into_iter().filter(first) {
                        self.choice(choice);
                    }
                }
                "id" | "model" if self.head.contains_key(&key) => {}
                _ if value.is_null() => {}
                _ => {
                    self.head.insert(key, value);
                }
            }
        }
    }

    fn choice(&mut self, choice: Value) {
        let Value::Object(mut choice) = choice else { return };
        if let Some(Value::String(word)) = choice.shift_remove("finish_reason")
            && !word.is_empty()
        {
            self.finish = Some(word);
        }
        if let Some(Value::Object(mut logprobs)) = choice.shift_remove("logprobs")
            && let Some(Value::Array(list)) = logprobs.shift_remove("content")
        {
            self.logprobs.extend(list);
        }
        if let Some(Value::Array(list)) = choice.shift_remove("token_ids") {
            self.token_ids.get_or_insert_default().extend(list);
        }
        if let Some(list @ Value::Array(_)) = choice.shift_remove("prompt_token_ids") {
            self.head.entry("prompt_token_ids").or_insert(list);
        }
        let Some(Value::Object(delta)) = choice.shift_remove("delta") else { return };
        for (key, value) in delta {
            match (key.as_str(), value) {
                (_, Value::Null) => {}
                ("tool_calls", Value::Array(calls)) => {
                    for call in calls {
                        self.call(call);
                    }
                }
                ("role", value) => {
                    self.message.entry("role").or_insert(value);
                }
                (_, value) => merge(&mut self.message, key, value),
            }
        }
    }

    fn call(&mut self, value: Value) {
        let Value::Object(mut value) = value else { return };
        let index = value.shift_remove("index").and_then(|index| index.as_u64());
        let id = match value.shift_remove("id") {
            Some(Value::String(id)) => id,
            _ => String::new(),
        };
        let place = self.place_of(index, &id);
        let call = &mut self.calls[place];
        if call.id.is_empty() {
            call.id = id;
        }
        if let Some(Value::Object(mut function)) = value.shift_remove("function") {
            if let Some(Value::String(name)) = function.shift_remove("name")
                // Some servers say the name with every piece.
                && call.name != name
            {
                call.name.push_str(&name);
            }
            match function.shift_remove("arguments") {
                Some(Value::String(piece)) => call.arguments.push_str(&piece),
                None | Some(Value::Null) => {}
                Some(other) => call.arguments.push_str(&other.to_string()),
            }
            if !function.is_empty() {
                merge(&mut call.rest, "function".to_owned(), Value::Object(function));
            }
        }
        for (key, value) in value {
            if !value.is_null() {
                match key.as_str() {
                    "type" => {
                        call.rest.insert(key, value);
                    }
                    _ => merge(&mut call.rest, key, value),
                }
            }
        }
    }

    /// The call that a piece belongs to. Some servers give no index, and some give all calls the
    /// same; a new name means a new call.
    fn place_of(&mut self, index: Option<u64>, id: &str) -> usize {
        let known = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index),
            None if id.is_empty() => self.calls.len().checked_sub(1),
            None => self.calls.iter().rposition(|call| call.id == id),
        };
        match known {
            Some(place)
                if id.is_empty()
                    || self.calls[place].id.is_empty()
                    || self.calls[place].id == id =>
            {
                place
            }
            _ => {
                self.calls.push(Call { index, ..Call::default() });
                self.calls.len() - 1
            }
        }
    }

    pub(crate) fn finish(self) -> Result<Reply, Problem> {
        let mut message = self.message;
        message.entry("role").or_insert(json!("assistant"));
        if !self.calls.is_empty() {
            let calls = self.calls.into_iter().map(|call| {
                let mut map = call.rest;
                map.insert("id".to_owned(), json!(call.id));
                if !map.contains_key("custom") {
                    let mut function = Map::new();
                    function.insert("name".to_owned(), json!(call.name));
                    function.insert("arguments".to_owned(), json!(call.arguments));
                    if let Some(Value::Object(more)) = map.shift_remove("function") {
                        function.extend(more);
                    }
                    map.insert("function".to_owned(), Value::Object(function));
                }
                Value::Object(map)
            });
            message.insert("tool_calls".to_owned(), calls.collect());
        }
        // An empty text beside tool calls or nothing at all is a chunk's way to say none.
        if message.get("content") == Some(&json!("")) && message.contains_key("tool_calls") {
            message.insert("content".to_owned(), Value::Null);
        }
        let mut choice = Map::new();
        choice.insert("message".to_owned(), Value::Object(message));
        choice.insert("finish_reason".to_owned(), json!(self.finish));
        if !self.logprobs.is_empty() {
            choice.insert("logprobs".to_owned(), json!({"content": self.logprobs}));
        }
        if let Some(ids) = self.token_ids {
            choice.insert("token_ids".to_owned(), json!(ids));
        }
        let mut body = self.head;
        body.insert("choices".to_owned(), json!([choice]));
        read_reply(Value::Object(body))
    }
}

/// Adds a piece: texts and lists grow, objects by their fields, anything else is replaced.
fn merge(map: &mut Map<String, Value>, key: String, piece: Value) {
    match (map.get_mut(&key), piece) {
        (Some(Value::String(text)), Value::String(piece)) => text.push_str(&piece),
        (Some(Value::Array(list)), Value::Array(piece)) => list.extend(piece),
        (Some(Value::Object(object)), Value::Object(piece)) => {
            for (key, value) in piece {
                merge(object, key, value);
            }
        }
        (_, piece) => {
            map.insert(key, piece);
        }
    }
}
