//! Tools on offer, and the choice among them.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::fields::{self, Fields};
use super::{Api, Problem};
use crate::message::Tool;

/// Tools, with the unknown fields of each (`"tools"`) and what is not a function (`"other_tools"`,
/// by its place in the list).
pub(super) struct Tools {
    pub(super) tools: Arc<[Tool]>,
    fields: Vec<Map<String, Value>>,
    others: Map<String, Value>,
}

impl Tools {
    pub(super) fn keep(self, own: &mut Map<String, Value>) -> Arc<[Tool]> {
        fields::keep_list(own, "tools", self.fields);
        if !self.others.is_empty() {
            own.insert("other_tools".to_owned(), Value::Object(self.others));
        }
        self.tools
    }
}

/// Reads the list of tools.
pub(super) fn read(api: Api, list: Vec<Value>) -> Result<Tools, Problem> {
    let (mut tools, mut unknown, mut others) = (Vec::new(), Vec::new(), Map::new());
    for (index, value) in list.into_iter().enumerate() {
        let kind = value.get("type").and_then(Value::as_str);
        let function = match api {
            Api::Chat => value.get("function").is_some_and(Value::is_object),
            Api::Responses => kind == Some("function"),
            Api::Anthropic => {
                kind.is_none_or(|kind| kind == "custom") && value.get("input_schema").is_some()
            }
        };
        if !function {
            others.insert(index.to_string(), value);
            continue;
        }
        let place = format!("tools[{index}]");
        let mut outer = Fields::of(place.clone(), value)?;
        let mut rest = Map::new();
        let (mut inner, schema) = match api {
            Api::Chat => {
                outer.take("type");
                let function = outer.take("function").unwrap_or_default();
                rest = outer.rest();
                (Fields::of(format!("{place}.function"), function)?, "parameters")
            }
            Api::Responses => {
                outer.take("type");
                (outer, "parameters")
            }
            Api::Anthropic => (outer, "input_schema"),
        };
        let name = inner.needed_text("name")?;
        let description = inner.text("description")?;
        let parameters = inner.take(schema);
        let mut inner = inner.rest();
        if api == Api::Chat {
            if !inner.is_empty() {
                rest.insert("function".to_owned(), Value::Object(inner));
            }
        } else {
            // It is written where nothing is said.
            if api == Api::Responses && inner.get("strict") == Some(&json!(false)) {
                inner.shift_remove("strict");
            }
            rest = inner;
        }
        tools.push(Tool {
            name,
            description: description.unwrap_or_default(),
            parameters: parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}})),
        });
        unknown.push(rest);
    }
    Ok(Tools { tools: tools.into(), fields: unknown, others })
}

/// Writes the list of tools; `None` where there are none.
pub(super) fn write(
    api: Api,
    tools: &[Tool],
    own: Option<&Map<String, Value>>,
) -> Option<Vec<Value>> {
    let mut list = Vec::with_capacity(tools.len());
    for (index, tool) in tools.iter().enumerate() {
        let unknown = fields::nth(own, "tools", index);
        let mut function = Map::new();
        let mut outer = Map::new();
        function.insert("name".to_owned(), json!(tool.name));
        if !tool.description.is_empty() {
            function.insert("description".to_owned(), json!(tool.description));
        }
        let schema = if api == Api::Anthropic { "input_schema" } else { "parameters" };
        function.insert(schema.to_owned(), tool.parameters.clone());
        match api {
            Api::Chat => {
                let inner = unknown.and_then(|fields| fields.get("function"));
                if let Some(inner) = inner.and_then(Value::as_object) {
                    fields::add(&mut function, inner);
                }
                outer.insert("type".to_owned(), json!("function"));
                outer.insert("function".to_owned(), Value::Object(function));
            }
            Api::Responses => {
                outer.insert("type".to_owned(), json!("function"));
                outer.extend(function);
                // Without it the API makes every schema strict, and changes what the model is told.
                if !unknown.is_some_and(|fields| fields.contains_key("strict")) {
                    outer.insert("strict".to_owned(), json!(false));
                }
            }
            Api::Anthropic => outer = function,
        }
        if let Some(unknown) = unknown {
            fields::add(&mut outer, unknown);
        }
        list.push(Value::Object(outer));
    }
    if let Some(others) = own.and_then(|own| own.get("other_tools")).and_then(Value::as_object) {
        for (place, tool) in others {
            let place = place.parse::<usize>().unwrap_or(usize::MAX).min(list.len());
            list.insert(place, tool.clone());
        }
    }
    (!list.is_empty()).then_some(list)
}

/// A choice in the form of chat completions.
pub(super) fn read_choice(api: Api, value: Value) -> Value {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    match api {
        Api::Chat => value,
        Api::Responses => match (text("type"), text("name")) {
            (Some("function"), Some(name)) => {
                json!({"type": "function", "function": {"name": name}})
            }
            _ => value,
        },
        Api::Anthropic => match (text("type"), text("name")) {
            (Some("tool"), Some(name)) => json!({"type": "function", "function": {"name": name}}),
            (Some("any"), _) => json!("required"),
            (Some(word @ ("auto" | "none")), _) => json!(word),
            _ => value,
        },
    }
}

/// A choice in the form of the API. What has no form there is sent as it is.
pub(super) fn write_choice(api: Api, choice: &Value) -> Value {
    let name = choice.pointer("/function/name").and_then(Value::as_str);
    match (api, name) {
        (Api::Responses, Some(name)) => json!({"type": "function", "name": name}),
        (Api::Anthropic, Some(name)) => json!({"type": "tool", "name": name}),
        (Api::Anthropic, None) => match choice.as_str() {
            Some("required") => json!({"type": "any"}),
            Some(word) => json!({"type": word}),
            None => choice.clone(),
        },
        _ => choice.clone(),
    }
}
