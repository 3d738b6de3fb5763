//! A tokenizer from its files, and conversations as token ids with masks.

use std::path::{Path, PathBuf};

use fs_err as fs;
use palestra_model::{Message, Tool};
use serde_json::{Map, Value as Json};
use tokenizers::Tokenizer;

use crate::error::{ExportError, Result};
use crate::template::{ChatTemplate, TemplateError, to_json, tool_json};

/// A conversation in tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokenised {
    /// The ids.
    pub ids: Vec<u32>,
    /// For each id: 1 where the model speaks.
    pub mask: Vec<u8>,
    /// For each turn of the model: its first token, and the one behind its last.
    pub turns: Vec<(usize, usize)>,
}

/// A tokenizer with its chat template.
#[derive(Debug)]
pub struct ChatTokenizer {
    tokenizer: Tokenizer,
    template: ChatTemplate,
}

impl ChatTokenizer {
    /// Reads `tokenizer.json` and `tokenizer_config.json` (or `chat_template.jinja`) of a model's
    /// directory. Another template may be given in their place.
    ///
    /// # Errors
    /// A file is missing or broken, or there is no chat template.
    pub fn open(dir: &Path, template: Option<&Path>) -> Result<Self> {
        let bad = |path: PathBuf, why: String| ExportError::Tokenizer { path, why };
        let path = dir.join("tokenizer.json");
        let bytes = fs::read(&path)?;
        let tokenizer =
            Tokenizer::from_bytes(&bytes).map_err(|error| bad(path, error.to_string()))?;
        let path = dir.join("tokenizer_config.json");
        let config: Json = if path.is_file() {
            serde_json::from_slice(&fs::read(&path)?).map_err(|e| bad(path, e.to_string()))?
        } else {
            Json::Null
        };
        let source = match template {
            Some(path) => Some(fs::read_to_string(path)?),
            None => {
                let beside = dir.join("chat_template.jinja");
                match beside.is_file() {
                    true => Some(fs::read_to_string(beside)?),
                    false => of_config(&config),
                }
            }
        };
        let Some(source) = source else {
            let why = "it has no chat_template: name one, or take the tokenizer of a model that was \
                       made for conversations";
            return Err(bad(dir.to_owned(), why.to_owned()));
        };
        let specials = specials(&config);
        let mut ends: Vec<String> =
            specials.values().filter_map(Json::as_str).map(str::to_owned).collect();
        let added = tokenizer.get_added_tokens_decoder();
        ends.extend(
            added.values().filter(|token| token.special).map(|token| token.content.clone()),
        );
        ends.retain(|end| !end.is_empty());
        // The longest first, so that none hides another.
        ends.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        ends.dedup();
        let template = ChatTemplate::new(&source, specials, ends)
            .map_err(|error| bad(dir.to_owned(), error.to_string()))?;
        Ok(Self { tokenizer, template })
    }

    /// The template.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// Tokens of plain text, without any that a tokenizer would add.
    pub fn count(&self, text: &str) -> usize {
        self.tokenizer.encode_fast(text, false).map_or(0, |encoding| encoding.len())
    }

    /// A conversation in tokens. The mask is the one of `transformers`: a turn's tokens are those from
    /// the one that holds its first character to the one that holds its last.
    ///
    /// # Errors
    /// The template refuses it, or does not tell where the model speaks.
    pub fn encode(&self, messages: &[Message], tools: &[Tool]) -> Result<Tokenised, TemplateError> {
        let messages: Vec<Json> = messages.iter().map(to_json).collect();
        let tools: Vec<Json> = tools.iter().map(tool_json).collect();
        self.encode_json(&messages, &tools)
    }

    /// As [`Self::encode`], of messages and tools as templates read them.
    pub fn encode_json(
        &self,
        messages: &[Json],
        tools: &[Json],
    ) -> Result<Tokenised, TemplateError> {
        let rendered = self.template.render_turns(messages, tools)?;
        let encoding = self
            .tokenizer
            .encode(rendered.text.as_str(), false)
            .map_err(|error| TemplateError::Refused(error.to_string()))?;
        let ids = encoding.get_ids().to_vec();
        let offsets = encoding.get_offsets();
        let mut mask = vec![0; ids.len()];
        let mut turns = Vec::with_capacity(rendered.turns.len());
        let mut from = 0;
        for (turn, span) in rendered.turns.iter().enumerate() {
            let holds = |at: usize, from: usize| {
                let found =
                    offsets[from..].iter().position(|(start, end)| *start <= at && at < *end);
                found.map(|found| from + found)
            };
            if span.is_empty() {
                turns.push((from, from));
                continue;
            }
            let last = rendered.text[..span.end].char_indices().next_back().map_or(0, |(at, _)| at);
            let (Some(first), Some(last)) = (holds(span.start, from), holds(last, from)) else {
                return Err(TemplateError::NoSpan(turn));
            };
            mask[first..=last].fill(1);
            turns.push((first, last + 1));
            from = last;
        }
        Ok(Tokenised { ids, mask, turns })
    }
}

/// The template of a configuration; of several, the one that knows tools, or the default one.
fn of_config(config: &Json) -> Option<String> {
    match config.get("chat_template")? {
        Json::String(source) => Some(source.clone()),
        Json::Array(all) => {
            let named = |name: &str| {
                let found =
                    all.iter().find(|one| one.get("name").and_then(Json::as_str) == Some(name));
                found.and_then(|one| one.get("template")?.as_str()).map(str::to_owned)
            };
            named("default").or_else(|| named("tool_use"))
        }
        _ => None,
    }
}

/// Special tokens by name: text, or an object with its text.
fn specials(config: &Json) -> Map<String, Json> {
    let names = [
        "bos_token",
        "eos_token",
        "unk_token",
        "sep_token",
        "pad_token",
        "cls_token",
        "mask_token",
    ];
    let mut all = Map::new();
    for name in names {
        let text = match config.get(name) {
            Some(Json::String(text)) => text.as_str(),
            Some(Json::Object(token)) => {
                token.get("content").and_then(Json::as_str).unwrap_or_default()
            }
            _ => continue,
        };
        all.insert(name.to_owned(), text.into());
    }
    all
}
