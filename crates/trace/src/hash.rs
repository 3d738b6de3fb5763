//! Names of contents.

use std::fmt;

use palestra_model::{Message, Part, Role, Tool};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

/// The first 16 bytes of a BLAKE3 hash; written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 16]);

impl Hash {
    /// The hash of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::cut(&blake3::hash(bytes))
    }

    pub(crate) fn cut(hash: &blake3::Hash) -> Self {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
        Self(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 16];
        if text.len() != 32 || !text.is_ascii() {
            return Err(de::Error::custom("a hash has 32 hexadecimal digits"));
        }
        for (byte, place) in bytes.iter_mut().zip((0..32).step_by(2)) {
            *byte = u8::from_str_radix(&text[place..place + 2], 16).map_err(de::Error::custom)?;
        }
        Ok(Self(bytes))
    }
}

/// The hash of a message in every byte.
pub(crate) fn exact(message: &Message) -> Hash {
    // Writing to memory fails only for keys that are no strings, which a message cannot have.
    Hash::of(&serde_json::to_vec(message).unwrap_or_default())
}

/// The hash of a message without what client libraries change; see the crate's documentation.
pub(crate) fn relaxed(message: &Message) -> Hash {
    let own = message.role == Role::Assistant;
    let mut text = String::new();
    let mut content = Vec::new();
    for part in &message.content {
        match plain_text(part) {
            Some(more) if own => text.push_str(more),
            Some(more) => content.push(Value::from(more)),
            None => content.push(match part {
                Part::Image(url) => Value::from(vec!["image", url]),
                Part::Other(value) => Value::from(vec![plain(value)]),
                Part::Text(_) => Value::Null,
            }),
        }
    }
    let calls = message.tool_calls.iter().map(|call| {
        // A tool without arguments is called with `{}` or with nothing.
        let arguments = match call.arguments.trim() {
            "" => Value::Object(Map::new()),
            written => match serde_json::from_str::<Value>(written) {
                Ok(value) => sorted(&value),
                Err(_) => Value::from(vec![call.arguments.as_str()]),
            },
        };
        Value::from(vec![Value::from(&*call.id), Value::from(&*call.name), arguments])
    });
    let calls: Vec<_> = calls.collect();
    let rest = if own { Value::Null } else { plain(&Value::Object(message.extra.clone())) };
    let whole = Value::from(vec![
        serde_json::to_value(message.role).unwrap_or_default(),
        Value::from(text.trim()),
        Value::from(content),
        Value::from(calls),
        message.tool_call_id.as_deref().map_or(Value::Null, Value::from),
        rest,
    ]);
    Hash::of(&serde_json::to_vec(&whole).unwrap_or_default())
}

/// Text of a part, be it written as text or as the part of an API whose type is text.
fn plain_text(part: &Part) -> Option<&str> {
    match part {
        Part::Text(text) => Some(text),
        Part::Other(Value::Object(fields)) => {
            let kind = fields.get("type")?.as_str()?;
            let text = fields.get("text")?.as_str()?;
            let only = fields.keys().all(|key| matches!(&**key, "type" | "text" | "cache_control"));
            (only && matches!(kind, "text" | "input_text" | "output_text")).then_some(text)
        }
        _ => None,
    }
}

/// A value with sorted keys, without marks for caches and without what is empty then.
fn plain(value: &Value) -> Value {
    let kept = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.iter().all(Value::is_null),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(key, _)| *key != "cache_control");
            let mut fields: Vec<_> =
                fields.map(|(key, value)| (key, plain(value))).filter(|(_, v)| kept(v)).collect();
            fields.sort_by_key(|(key, _)| *key);
            match fields.is_empty() {
                true => Value::Null,
                false => fields.into_iter().map(|(key, value)| (key.clone(), value)).collect(),
            }
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

/// A value with sorted keys, and whole numbers written as such.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut pairs: Vec<_> = fields.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            pairs.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        // 1.0 and 1 are one number to most writers of JSON.
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => Value::from(float as i64),
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

/// The hash of a set of tools, in order. No tools have a hash too.
pub fn of_tools(tools: &[Tool]) -> Hash {
    Hash::of(&serde_json::to_vec(tools).unwrap_or_default())
}

/// The hash of a conversation.
pub fn of_messages<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Hash {
    join(messages.into_iter().map(exact))
}

/// The hash of a list of hashes.
pub(crate) fn join(hashes: impl IntoIterator<Item = Hash>) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for hash in hashes {
        hasher.update(&hash.0);
    }
    Hash::cut(&hasher.finalize())
}
