//! What is asked for: which trainer, which form, which attempts.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{ExportError, Result};
use crate::loss::Loss;
use crate::select::Selection;
use crate::table::FileForm;
use crate::verifier::VerifierForm;

/// Who is to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// TRL: `messages` and `tools`; preference pairs; prompts; token ids.
    Trl,
    /// Axolotl: the same with arguments as text and a `train` field in every message.
    Axolotl,
    /// ms-swift: roles `tool_call` and `tool_response`.
    MsSwift,
    /// LLaMA-Factory: ShareGPT with `dataset_info.json`.
    LlamaFactory,
    /// The Hub's layout with a dataset card, and the columns of TRL.
    Hub,
    /// verl.
    Verl,
    /// SkyRL.
    #[serde(rename = "skyrl")]
    SkyRl,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// An agent's conversation.
    #[default]
    Agent,
    /// The conversation of an agent that writes tests: attempts whose patch adds to a test file.
    TestingAgent,
    /// A verifier's question and the right answer.
    Verifier,
    /// A success and a failure at one task.
    Preference,
    /// A conversation, and whether it is a good one.
    Kto,
    /// A task with a reference to its reward.
    Rl,
    /// Token ids as the server had them, with mask and log-probabilities.
    Tokens,
    /// Token ids by a chat template and a tokenizer, with labels and weights.
    Tokenised,
}

/// A training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// Its name.
    pub name: String,
    /// Who is to read it.
    pub target: Target,
    /// What a row is.
    #[serde(default)]
    pub form: Form,
    /// Parquet or JSON Lines; the target's own form where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileForm>,
    /// Which attempts.
    #[serde(default)]
    pub selection: Selection,
    /// What is learned of a conversation.
    #[serde(default)]
    pub loss: Loss,
    /// How a verifier is asked.
    #[serde(default)]
    pub verifier: VerifierForm,
    /// Directory of a tokenizer with its chat template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// A chat template in the place of the tokenizer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<PathBuf>,
    /// At most so many tokens a row; longer ones are left out. Needs a tokenizer, but for
    /// [`Form::Tokens`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// Verdicts for attempts that come without: a report of SWE-bench's harness (`resolved_ids`,
    /// `unresolved_ids`, `error_ids`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdicts: Option<PathBuf>,
    /// What names the reward in rows for reinforcement learning.
    #[serde(default = "reward")]
    pub reward: String,
    /// The licence that stands in the card of a Hub dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}

fn reward() -> String {
    "palestra".to_owned()
}

impl ExportRequest {
    /// Agents' conversations for a trainer, with the defaults of everything else.
    pub fn new(name: impl Into<String>, target: Target) -> Self {
        Self {
            name: name.into(),
            target,
            form: Form::default(),
            file: None,
            selection: Selection::default(),
            loss: Loss::default(),
            verifier: VerifierForm::default(),
            tokenizer: None,
            chat_template: None,
            context: None,
            verdicts: None,
            reward: reward(),
            license: None,
        }
    }

    /// The form of the files.
    pub fn file(&self) -> FileForm {
        self.file.unwrap_or(match self.target {
            Target::LlamaFactory | Target::MsSwift => FileForm::Jsonl,
            _ => FileForm::Parquet,
        })
    }

    /// Fails on what does not go together.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: &str| Err(ExportError::Request(what.to_owned()));
        let conversation = matches!(self.form, Form::Agent | Form::TestingAgent | Form::Verifier);
        let fits = match self.target {
            Target::Trl | Target::Hub => true,
            Target::Axolotl => conversation || self.form == Form::Tokenised,
            Target::MsSwift | Target::LlamaFactory => {
                conversation || matches!(self.form, Form::Preference | Form::Kto)
            }
            Target::Verl | Target::SkyRl => {
                conversation || matches!(self.form, Form::Rl | Form::Tokens)
            }
        };
        if !fits {
            return Err(ExportError::Request(format!(
                "{} does not read rows of the form {}",
                crate::card::word(&self.target),
                crate::card::word(&self.form)
            )));
        }
        if self.target == Target::Hub && self.file() != FileForm::Parquet {
            return refuse("the Hub's layout is Parquet");
        }
        if self.form == Form::Tokenised && self.tokenizer.is_none() {
            return refuse("tokenised rows need a tokenizer: name its directory");
        }
        if self.context.is_some() && self.tokenizer.is_none() && self.form != Form::Tokens {
            return refuse("a context in tokens needs a tokenizer: name its directory");
        }
        if self.chat_template.is_some() && self.tokenizer.is_none() {
            return refuse("a chat template needs a tokenizer: name its directory");
        }
        let plain = !self.name.is_empty()
            && self.name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !plain {
            return refuse("the name has letters, digits, '.', '_' and '-'");
        }
        self.loss.check()
    }
}
