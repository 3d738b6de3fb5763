//! Reads the actions out of a reply.

use palestra_model::Message;
use serde_json::{Map, Value};

use crate::format::{block, xml};
use crate::scaffold::{Format, NoAction};

/// A call as the model wrote it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    /// Its id; made up by the caller for calls out of the text.
    pub(crate) id: Option<String>,
    /// The tool.
    pub(crate) tool: String,
    /// Its arguments, or why they cannot be read.
    pub(crate) arguments: Result<Map<String, Value>, String>,
    /// Whether every argument is text that is yet to be read by the tool's schema.
    pub(crate) text: bool,
}

/// All actions of a reply, in order.
pub(crate) fn actions(
    message: &Message,
    format: Format,
    cut: bool,
) -> Result<Vec<Asked>, NoAction> {
    let found = match format {
        Format::Native => native(message, cut),
        Format::Xml => written(&message.content_text(), cut)?,
        Format::Block(languages) => blocks(&message.content_text(), languages)?,
    };
    match (found.is_empty(), cut) {
        (true, true) => Err(NoAction::Cut),
        (true, false) => Err(NoAction::None),
        _ => Ok(found),
    }
}

fn native(message: &Message, cut: bool) -> Vec<Asked> {
    let parsed = |arguments: &str| -> Result<Map<String, Value>, String> {
        // A call without parameters is written in both ways.
        if arguments.trim().is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_str(arguments) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) => Err("the arguments are not a JSON object".to_owned()),
            Err(error) if cut => Err(format!(
                "the reply was cut off at its token limit, so the arguments are not whole ({error}); send less in one call"
            )),
            Err(error) => Err(format!("the arguments are not valid JSON: {error}")),
        }
    };
    let asked = |call: &palestra_model::ToolCall| Asked {
        id: Some(call.id.clone()),
        tool: call.name.clone(),
        arguments: parsed(&call.arguments),
        text: false,
    };
    message.tool_calls.iter().map(asked).collect()
}

fn written(text: &str, cut: bool) -> Result<Vec<Asked>, NoAction> {
    let calls = xml::parse(text);
    if cut && calls.last().is_some_and(|call| !call.closed) {
        return Err(NoAction::Cut);
    }
    Ok(calls.into_iter().map(|call| asked(&call)).collect())
}

fn asked(call: &xml::Written<'_>) -> Asked {
    let mut arguments = Map::new();
    let mut wrong = None;
    if !call.whole {
        wrong = Some("a tag of the call is not closed".to_owned());
    }
    for (name, value) in &call.parameters {
        let before = arguments.insert((*name).to_owned(), Value::String((*value).to_owned()));
        if before.is_some() {
            wrong = Some(format!("the parameter `{name}` stands there twice"));
        }
    }
    let arguments = wrong.map_or(Ok(arguments), Err);
    Asked { id: None, tool: call.name.to_owned(), arguments, text: true }
}

fn blocks(text: &str, languages: &[&str]) -> Result<Vec<Asked>, NoAction> {
    let blocks = block::parse(text, languages);
    if blocks.len() > 1 {
        return Err(NoAction::Several(blocks.len()));
    }
    let asked = |command: &&str| Asked {
        id: None,
        tool: "bash".to_owned(),
        arguments: Ok([("command".to_owned(), Value::String((*command).to_owned()))]
            .into_iter()
            .collect()),
        text: true,
    };
    Ok(blocks.iter().map(asked).collect())
}
