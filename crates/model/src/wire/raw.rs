//! Arguments of tool calls where an API wants an object.
//!
//! The model's bytes are worth keeping: numbers beyond 64 bits, spaces, the order of fields. Bodies
//! are values; so a text that its value would not be written as stands in it as an object with one
//! field of a reserved name, and becomes bytes when the body does.

use std::collections::HashMap;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Problem;

/// Holds arguments that are no JSON object, where the API allows only objects.
const NOT_JSON: &str = "__raw_arguments";
/// Holds JSON whose bytes are to be written as they are. Never leaves this crate.
const VERBATIM: &str = "\u{0}verbatim";

pub(super) fn parse(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::at("body", format!("it is not JSON ({error})")))
}

/// A value as bytes. Values have only texts as keys, so nothing can fail.
pub(super) fn plain(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Arguments as an object: theirs, or one that holds the text. Spaces around an object are no part
/// of it.
pub(super) fn to_object(arguments: &str, verbatim: bool) -> Value {
    if arguments.is_empty() {
        return json!({});
    }
    match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Object(object)) if !is_wrapper(&object) => {
            let value = Value::Object(object);
            if verbatim && plain(&value) != arguments.trim().as_bytes() {
                json!({ VERBATIM: arguments.trim() })
            } else {
                value
            }
        }
        _ => json!({ NOT_JSON: arguments }),
    }
}

/// The text that is streamed for arguments, so that a client can parse it.
pub(super) fn to_text(arguments: &str) -> String {
    match to_object(arguments, true) {
        Value::Object(object) if object.contains_key(VERBATIM) => arguments.to_owned(),
        value => value.to_string(),
    }
}

/// The arguments that an object stands for, with the bytes that it had where they are known.
pub(super) fn from_object(input: &Value, bytes: Option<&str>) -> String {
    if let Value::Object(object) = input
        && is_wrapper(object)
        && let Some(Value::String(text)) = object.get(NOT_JSON)
    {
        return text.clone();
    }
    match bytes {
        Some(bytes) => bytes.to_owned(),
        None => input.to_string(),
    }
}

/// The arguments that a streamed text stands for.
pub(super) fn from_text(text: String) -> String {
    if text.trim().is_empty() {
        return "{}".to_owned();
    }
    if text.contains(NOT_JSON)
        && let Ok(value) = serde_json::from_str::<Value>(&text)
    {
        return from_object(&value, Some(&text));
    }
    text
}

fn is_wrapper(object: &Map<String, Value>) -> bool {
    object.len() == 1 && object.get(NOT_JSON).is_some_and(Value::is_string)
}

/// A value as bytes, with the bytes of arguments as they were.
pub(super) fn to_vec(value: &Value) -> Vec<u8> {
    serde_json::to_vec(&Verbatim(value)).unwrap_or_else(|_| plain(value))
}

struct Verbatim<'a>(&'a Value);

impl Serialize for Verbatim<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(list) => {
                let mut out = serializer.serialize_seq(Some(list.len()))?;
                for value in list {
                    out.serialize_element(&Verbatim(value))?;
                }
                out.end()
            }
            Value::Object(object) => {
                if object.len() == 1
                    && let Some(Value::String(text)) = object.get(VERBATIM)
                    && let Ok(raw) = serde_json::from_str::<&RawValue>(text)
                {
                    return raw.serialize(serializer);
                }
                let mut out = serializer.serialize_map(Some(object.len()))?;
                for (key, value) in object {
                    out.serialize_entry(key, &Verbatim(value))?;
                }
                out.end()
            }
            value => value.serialize(serializer),
        }
    }
}

/// The bytes of `input` fields by message and block.
#[derive(Debug, Default)]
pub(super) struct Inputs(HashMap<(usize, usize), String>);

#[derive(Deserialize)]
struct RawRequest<'a> {
    #[serde(borrow, default)]
    messages: Vec<RawMessage<'a>>,
}

#[derive(Deserialize)]
struct RawMessage<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawBlock<'a> {
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
}

impl Inputs {
    pub(super) fn of_request(body: &[u8]) -> Self {
        let mut inputs = Self::default();
        if let Ok(request) = serde_json::from_slice::<RawRequest<'_>>(body) {
            for (index, message) in request.messages.iter().enumerate() {
                inputs.add(index, message);
            }
        }
        inputs
    }

    pub(super) fn of_reply(body: &[u8]) -> Self {
        let mut inputs = Self::default();
        if let Ok(message) = serde_json::from_slice::<RawMessage<'_>>(body) {
            inputs.add(0, &message);
        }
        inputs
    }

    pub(super) fn get(&self, message: usize, block: usize) -> Option<&str> {
        self.0.get(&(message, block)).map(String::as_str)
    }

    pub(super) fn put(&mut self, message: usize, block: usize, text: String) {
        self.0.insert((message, block), text);
    }

    fn add(&mut self, index: usize, message: &RawMessage<'_>) {
        let Some(content) = message.content.map(RawValue::get) else { return };
        if !content.contains("\"input\"") {
            return;
        }
        let Ok(blocks) = serde_json::from_str::<Vec<RawBlock<'_>>>(content) else { return };
        for (place, block) in blocks.iter().enumerate() {
            if let Some(input) = block.input {
                self.0.insert((index, place), input.get().to_owned());
            }
        }
    }
}
