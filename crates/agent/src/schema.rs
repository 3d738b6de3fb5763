//! Whether the arguments of a call are what its tool takes.

use palestra_model::Tool;
use serde_json::{Map, Value};

/// The arguments as the tool wants them, or what is wrong with them.
///
/// The schema is an object with plain properties. Where `text` is set, every argument is the text
/// that stood in the reply, and is read as the type that the schema names. Strings stay as they are,
/// byte for byte; only white space around one of a fixed set of words is forgiven.
pub(crate) fn check(
    tool: &Tool,
    arguments: &Map<String, Value>,
    text: bool,
) -> Result<Map<String, Value>, String> {
    let empty = Map::new();
    let properties = tool.parameters.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let mut checked = Map::new();
    for (name, value) in arguments {
        let Some(property) = properties.get(name) else {
            let known: Vec<_> = properties.keys().map(|key| format!("`{key}`")).collect();
            return Err(format!(
                "the tool `{}` has no parameter `{name}`; it takes {}",
                tool.name,
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            ));
        };
        // Some servers make models name every parameter, and say null for those that are not meant.
        if value.is_null() {
            continue;
        }
        let value = match value {
            Value::String(value) if text => read(property, value),
            other => Some(other.clone()),
        };
        let wanted = kind(property);
        let fits = value.filter(|value| of_kind(property, value));
        let Some(value) = fits else {
            return Err(format!("the parameter `{name}` of `{}` must be {wanted}", tool.name));
        };
        checked.insert(name.clone(), value);
    }
    let required = tool.parameters.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !checked.contains_key(name) {
            return Err(format!("the tool `{}` needs the parameter `{name}`", tool.name));
        }
    }
    Ok(checked)
}

fn choices(property: &Value) -> Option<&Vec<Value>> {
    property.get("enum").and_then(Value::as_array)
}

/// What a property must be, for people.
fn kind(property: &Value) -> String {
    if let Some(choices) = choices(property) {
        let words: Vec<_> = choices.iter().map(Value::to_string).collect();
        return format!("one of {}", words.join(", "));
    }
    match property.get("type").and_then(Value::as_str) {
        Some("integer") => "a whole number".to_owned(),
        Some("number") => "a number".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("array") => "a list of whole numbers, such as [1, 20]".to_owned(),
        Some("object") => "an object".to_owned(),
        _ => "a string".to_owned(),
    }
}

fn of_kind(property: &Value, value: &Value) -> bool {
    if let Some(choices) = choices(property) {
        return choices.contains(value);
    }
    match property.get("type").and_then(Value::as_str) {
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.as_array().is_some_and(|items| match property.get("items") {
            Some(item) => items.iter().all(|value| of_kind(item, value)),
            None => true,
        }),
        Some("object") => value.is_object(),
        _ => value.is_string(),
    }
}

/// Reads text as what the property wants.
fn read(property: &Value, text: &str) -> Option<Value> {
    if let Some(choices) = choices(property) {
        return choices.iter().find(|choice| choice.as_str() == Some(text.trim())).cloned();
    }
    let word = text.trim();
    match property.get("type").and_then(Value::as_str) {
        Some("integer") => word.parse::<i64>().ok().map(Value::from),
        Some("boolean") => match word {
            "true" | "True" => Some(Value::Bool(true)),
            "false" | "False" => Some(Value::Bool(false)),
            _ => None,
        },
        Some("array") => serde_json::from_str(word).ok().or_else(|| numbers(word)),
        Some("number" | "object") => serde_json::from_str(word).ok(),
        _ => Some(Value::String(text.to_owned())),
    }
}

/// Numbers between brackets of any kind, with commas or without: `(1 20)`.
fn numbers(word: &str) -> Option<Value> {
    let inner = word.trim_matches(['[', ']', '(', ')']);
    inner
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|part| !part.is_empty())
        .map(|part| part.parse::<i64>().ok().map(Value::from))
        .collect::<Option<Vec<_>>>()
        .map(Value::Array)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool() -> Tool {
        Tool {
            name: "edit".to_owned(),
            description: String::new(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "command": {"type": "string", "enum": ["view", "insert"]},
                    "text": {"type": "string"},
                    "line": {"type": "integer"},
                    "range": {"type": "array", "items": {"type": "integer"}},
                    "all": {"type": "boolean"},
                },
                "required": ["command"],
            }),
        }
    }

    fn native(arguments: Value) -> Result<Value, String> {
        let Value::Object(arguments) = arguments else { panic!() };
        check(&tool(), &arguments, false).map(Value::Object)
    }

    #[test]
    fn wrong_arguments_are_named() {
        let ok = json!({"command": "view", "text": "  a ", "line": 3, "range": [1, -1]});
        assert_eq!(native(ok.clone()), Ok(ok));
        assert_eq!(
            native(json!({"command": "view", "line": null})),
            Ok(json!({"command": "view"}))
        );
        for (arguments, why) in [
            (json!({}), "the tool `edit` needs the parameter `command`"),
            (json!({"command": null}), "the tool `edit` needs the parameter `command`"),
            (
                json!({"command": "open"}),
                "the parameter `command` of `edit` must be one of \"view\", \"insert\"",
            ),
            (
                json!({"command": "view", "line": "3"}),
                "the parameter `line` of `edit` must be a whole number",
            ),
            (
                json!({"command": "view", "line": 3.5}),
                "the parameter `line` of `edit` must be a whole number",
            ),
            (
                json!({"command": "view", "range": [1, "2"]}),
                "the parameter `range` of `edit` must be a list of whole numbers, such as [1, 20]",
            ),
            (
                json!({"command": "view", "path": "x"}),
                "the tool `edit` has no parameter `path`; it takes `command`, `text`, `line`, `range`, `all`",
            ),
        ] {
            assert_eq!(native(arguments), Err(why.to_owned()));
        }
    }

    #[test]
    fn text_is_read_as_the_schema_says() {
        let arguments = json!({
            "command": " view\n", "text": " a\n", "line": " 12 ", "range": "(3 -1)", "all": "True",
        });
        let checked = check(&tool(), arguments.as_object().unwrap(), true).unwrap();
        let expected = json!({
            "command": "view", "text": " a\n", "line": 12, "range": [3, -1], "all": true,
        });
        assert_eq!(Value::Object(checked), expected);
    }
}
