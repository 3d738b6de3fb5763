//! Answers on disk, by the hash of what was asked.

use std::path::{Path, PathBuf};

use palestra_model::{Finish, Sampling};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Spent, role_word};
use crate::prompt::{Filled, PromptRef};

/// Changes when the meaning of the hash does.
const FORM: u32 = 1;

/// An answer as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) prompt: PromptRef,
    pub(super) model: String,
    /// The model as it names itself.
    pub(super) answered_by: String,
    pub(super) finish: Finish,
    pub(super) spent: Spent,
    pub(super) text: String,
}

pub(super) fn hash(filled: &Filled, model: &str, sampling: &Sampling) -> String {
    let messages: Vec<Value> =
        filled.messages.iter().map(|(role, text)| json!([role_word(*role), text])).collect();
    let sampling = serde_json::to_value(sampling).map(sorted).unwrap_or_default();
    let prompt = [&filled.prompt.name, &filled.prompt.hash];
    let whole = json!([FORM, prompt, model, sampling, messages]);
    blake3::hash(whole.to_string().as_bytes()).to_hex()[..32].to_owned()
}

/// Fields in the order of their names, so that one way of sampling has one hash.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut map: serde_json::Map<String, Value> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            map.sort_keys();
            Value::Object(map)
        }
        Value::Array(list) => list.into_iter().map(sorted).collect(),
        value => value,
    }
}

fn path(dir: &Path, ask: &str) -> PathBuf {
    dir.join(ask.get(..2).unwrap_or_default()).join(format!("{ask}.json"))
}

/// `None` where there is no answer, or one that cannot be read: then it is asked for again.
pub(super) fn read(dir: &Path, ask: &str) -> Option<Kept> {
    serde_json::from_slice(&fs_err::read(path(dir, ask)).ok()?).ok()
}

pub(super) fn write(dir: &Path, ask: &str, kept: &Kept) -> std::io::Result<()> {
    palestra_core::disk::write_json(&path(dir, ask), kept)
}
