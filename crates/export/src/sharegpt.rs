//! ShareGPT as LLaMA-Factory reads it.
//!
//! Its loader takes turns of the user's side (`human`, `observation`) and of the model's side (`gpt`,
//! `function_call`) in alternation, and skips what does not alternate with a warning only. So it is
//! checked here, and counted. Results of several calls of one turn become one observation, joined as
//! its own reader of OpenAI's form joins them. Text before a call stands before `<tool_call>`, which
//! its templates know since version 0.9.5; a call without text is bare JSON.

use palestra_model::{Message, Role};
use serde_json::{Value, json};

use crate::card::Reason;
use crate::messages::calls;

/// Between results of one turn.
const BETWEEN: &str = "\n</tool_response>\n<tool_response>\n";

/// A turn: its tag and its text.
pub(crate) type Turn = (&'static str, String);

/// A conversation in turns.
pub(crate) fn turns(messages: &[Message]) -> Result<Vec<Turn>, (Reason, String)> {
    let mut turns: Vec<Turn> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let text = message.content_text();
        let turn = match message.role {
            Role::System if at == 0 => ("system", text),
            Role::System => {
                return Err((Reason::Alternation, format!("message {at} is a system's")));
            }
            Role::User => ("human", text),
            Role::Tool => match turns.last_mut() {
                Some(("observation", before)) => {
                    before.push_str(BETWEEN);
                    before.push_str(&text);
                    continue;
                }
                _ => ("observation", text),
            },
            Role::Assistant => said(message, text)?,
        };
        turns.push(turn);
    }
    Ok(turns)
}

fn said(message: &Message, text: String) -> Result<Turn, (Reason, String)> {
    let mut before = String::new();
    if let Some(reasoning) = &message.reasoning {
        before = format!("<think>\n{}\n</think>\n\n", reasoning.trim_matches('\n'));
    }
    before.push_str(&text);
    if message.tool_calls.is_empty() {
        return Ok(("gpt", before));
    }
    let broken = || (Reason::Arguments, "arguments of a call are no JSON object".to_owned());
    let calls = calls(message).ok_or_else(broken)?;
    let json = Value::Array(calls).to_string();
    if before.is_empty() && !json.contains("<tool_call>") {
        return Ok(("function_call", json));
    }
    if before.contains("<tool_call>") || json.contains("</tool_call>") {
        let what = "a turn holds the marks of a call".to_owned();
        return Err((Reason::Arguments, what));
    }
    Ok(("function_call", format!("{before}<tool_call>{json}</tool_call>")))
}

/// Whether sides alternate from the first turn after the system's. `open` conversations end with the
/// user's side, others with the model's.
pub(crate) fn check(turns: &[Turn], open: bool) -> Result<(), (Reason, String)> {
    let rest = match turns {
        [("system", _), rest @ ..] => rest,
        all => all,
    };
    for (at, (tag, _)) in rest.iter().enumerate() {
        let users = matches!(*tag, "human" | "observation");
        if users != (at % 2 == 0) {
            return Err((Reason::Alternation, format!("turn {at} is of {tag}")));
        }
    }
    if rest.is_empty() || (rest.len() % 2 == 1) != open {
        return Err((Reason::Alternation, format!("{} turns", rest.len())));
    }
    Ok(())
}

/// `dataset_info.json`.
pub(crate) fn info(name: &str, file: &str, form: crate::request::Form) -> Value {
    let mut columns = serde_json::Map::new();
    columns.insert("messages".to_owned(), "conversations".into());
    columns.insert("tools".to_owned(), "tools".into());
    let mut entry = serde_json::Map::new();
    entry.insert("file_name".to_owned(), file.into());
    entry.insert("formatting".to_owned(), "sharegpt".into());
    match form {
        crate::request::Form::Preference => {
            entry.insert("ranking".to_owned(), true.into());
            columns.insert("chosen".to_owned(), "chosen".into());
            columns.insert("rejected".to_owned(), "rejected".into());
        }
        crate::request::Form::Kto => {
            columns.insert("kto_tag".to_owned(), "kto_tag".into());
        }
        _ => {}
    }
    entry.insert("columns".to_owned(), columns.into());
    entry.insert(
        "tags".to_owned(),
        json!({
            "role_tag": "from",
            "content_tag": "value",
            "user_tag": "human",
            "assistant_tag": "gpt",
            "observation_tag": "observation",
            "function_tag": "function_call",
            "system_tag": "system",
        }),
    );
    json!({ name: entry })
}

#[cfg(test)]
mod tests {
    use palestra_model::ToolCall;

    use super::*;

    fn call(text: &str, arguments: &str) -> Message {
        let call = ToolCall { id: "1".into(), name: "bash".into(), arguments: arguments.into() };
        Message { tool_calls: vec![call], ..Message::assistant(text) }
    }

    #[test]
    fn turns_are_joined_and_checked() {
        let talk = [
            Message::system("s"),
            Message::user("u"),
            call("", "{\"a\": 1}"),
            Message::tool("1", "x"),
            Message::tool("2", "y"),
            call("hm", "{}"),
            Message::tool("3", "z"),
            Message::assistant("done"),
        ];
        let all = turns(&talk).expect("turns");
        let tags: Vec<_> = all.iter().map(|(tag, _)| *tag).collect();
        let want = ["system", "human", "function_call", "observation", "function_call"];
        assert_eq!(tags[..5], want);
        assert_eq!(all[3].1, "x\n</tool_response>\n<tool_response>\ny");
        assert_eq!(all[4].1, "hm<tool_call>[{\"name\":\"bash\",\"arguments\":{}}]</tool_call>");
        assert_eq!(check(&all, false), Ok(()));
        assert!(check(&all, true).is_err());
        assert!(check(&all[..6], true).is_ok());
        let twice = turns(&[Message::user("a"), Message::user("b"), Message::assistant("c")]);
        assert_eq!(check(&twice.expect("turns"), false).map_err(|e| e.0), Err(Reason::Alternation));
        assert_eq!(turns(&[call("", "{")]).map_err(|e| e.0), Err(Reason::Arguments));
        assert!(check(&[], false).is_err());
    }
}
