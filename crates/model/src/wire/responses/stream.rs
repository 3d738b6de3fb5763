//! Streams into answers.

use serde_json::{Map, Value, json};

use super::reply::read_reply;
use crate::message::Reply;
use crate::wire::{Problem, Progress};

/// What a stream has said so far. Its last event repeats everything; the items are only needed of
/// servers that leave them out there.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    items: Map<String, Value>,
    response: Option<Map<String, Value>>,
}

impl Stream {
    pub(crate) fn progress(&self) -> Progress {
        if self.response.is_some() { Progress::Done } else { Progress::Open }
    }

    pub(crate) fn push(&mut self, event: Value) {
        let Value::Object(mut event) = event else { return };
        let kind = event.shift_remove("type");
        match kind.as_ref().and_then(Value::as_str) {
            Some("response.output_item.done") => {
                let index = event.get("output_index").and_then(Value::as_u64).unwrap_or(0);
                if let Some(item) = event.shift_remove("item") {
                    // Padded, so that the order of names is the order of items.
                    self.items.insert(format!("{index:020}"), item);
                }
            }
            Some("response.completed" | "response.incomplete") => {
                if let Some(Value::Object(response)) = event.shift_remove("response") {
                    self.response = Some(response);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn finish(self) -> Result<Reply, Problem> {
        let mut response = self.response.unwrap_or_default();
        let told = response.get("output").and_then(Value::as_array);
        if told.is_none_or(Vec::is_empty) {
            let mut items = self.items;
            items.sort_keys();
            let items: Vec<Value> = items.into_iter().map(|(_, item)| item).collect();
            response.insert("output".to_owned(), json!(items));
        }
        read_reply(Value::Object(response))
    }
}
