//! Objects whose known fields are taken out one by one, so that the unknown ones remain.

use serde_json::{Map, Value};

use super::{Api, Problem};

/// An object that is being read.
#[derive(Debug)]
pub(super) struct Fields {
    place: String,
    map: Map<String, Value>,
}

impl Fields {
    pub(super) fn of(place: impl Into<String>, value: Value) -> Result<Self, Problem> {
        let place = place.into();
        match value {
            Value::Object(map) => Ok(Self { place, map }),
            other => {
                Err(Problem::at(place, format!("an object is expected, not {}", kind(&other))))
            }
        }
    }

    pub(super) fn problem(&self, key: &str, what: impl Into<String>) -> Problem {
        Problem::at(self.place_of(key), what)
    }

    pub(super) fn place_of(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    /// A field; `None` where it is missing or null.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.shift_remove(key).filter(|value| !value.is_null())
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key)
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Problem> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.unexpected(key, "a text", &other)),
        }
    }

    pub(super) fn needed_text(&mut self, key: &str) -> Result<String, Problem> {
        self.text(key)?.ok_or_else(|| self.problem(key, "a text is missing"))
    }

    pub(super) fn list(&mut self, key: &str) -> Result<Option<Vec<Value>>, Problem> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(self.unexpected(key, "a list", &other)),
        }
    }

    pub(super) fn number(&mut self, key: &str) -> Result<Option<f64>, Problem> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.unexpected(key, "a number", &value)),
            },
        }
    }

    pub(super) fn count(&mut self, key: &str) -> Result<Option<u64>, Problem> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.unexpected(key, "a whole number", &value)),
            },
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<bool, Problem> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(self.unexpected(key, "true or false", &other)),
        }
    }

    /// Drops fields that say nothing: null, an empty list.
    pub(super) fn drop_empty(&mut self, keys: &[&str]) {
        for key in keys {
            let empty = match self.map.get(*key) {
                Some(Value::Null) => true,
                Some(Value::Array(list)) => list.is_empty(),
                _ => false,
            };
            if empty {
                self.map.shift_remove(*key);
            }
        }
    }

    /// What was not taken.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.map
    }

    fn unexpected(&self, key: &str, wanted: &str, found: &Value) -> Problem {
        self.problem(key, format!("{wanted} is expected, not {}", kind(found)))
    }
}

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Keeps what only this API knows.
pub(super) fn keep(extra: &mut Map<String, Value>, api: Api, fields: Map<String, Value>) {
    if !fields.is_empty() {
        extra.insert(api.name().to_owned(), Value::Object(fields));
    }
}

/// What only this API knows.
pub(super) fn own(extra: &Map<String, Value>, api: Api) -> Option<&Map<String, Value>> {
    extra.get(api.name()).and_then(Value::as_object)
}

/// A list of the unknown fields of parts or calls, unless none has any.
pub(super) fn keep_list(fields: &mut Map<String, Value>, key: &str, list: Vec<Map<String, Value>>) {
    if list.iter().any(|one| !one.is_empty()) {
        fields.insert(key.to_owned(), list.into_iter().map(Value::Object).collect());
    }
}

/// The unknown fields of one part or call.
pub(super) fn nth<'a>(
    fields: Option<&'a Map<String, Value>>,
    key: &str,
    index: usize,
) -> Option<&'a Map<String, Value>> {
    fields?.get(key)?.get(index)?.as_object()
}

/// Adds fields that are not there yet.
pub(super) fn add<'a>(
    to: &mut Map<String, Value>,
    fields: impl IntoIterator<Item = (&'a String, &'a Value)>,
) {
    for (key, value) in fields {
        if !to.contains_key(key) {
            to.insert(key.clone(), value.clone());
        }
    }
}

/// Adds the further fields of a request: those for every API, and this one's own but for `kept`,
/// which are not fields of the body.
pub(super) fn add_further(
    to: &mut Map<String, Value>,
    extra: &Map<String, Value>,
    api: Api,
    kept: &[&str],
) {
    let foreign = |key: &str| Api::ALL.iter().any(|api| api.name() == key);
    add(to, extra.iter().filter(|(key, _)| !foreign(key)));
    if let Some(fields) = own(extra, api) {
        add(to, fields.iter().filter(|(key, _)| !kept.contains(&key.as_str())));
    }
}
