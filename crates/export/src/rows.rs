//! Rows: the columns of each form for each trainer, and what stands in them.

use std::borrow::Cow;

use palestra_model::{Message, Role};
use serde_json::json;

use crate::card::{Reason, outcome_word};
use crate::episode::{Episode, Outcome, TokenChain};
use crate::messages::{Style, content, role, tools};
use crate::request::{ExportRequest, Form, Target};
use crate::sharegpt;
use crate::table::{Cell, Columns, Kind};
use crate::tokens::{ChatTokenizer, Tokenised};
use crate::verifier::{AsksVerifier, answer};

/// What a row is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Material<'a> {
    /// One attempt.
    One(&'a Episode),
    /// A success and a failure at one task.
    Pair(&'a Episode, &'a Episode),
    /// An attempt that tells of its task, the attempts at it, and how many of these solved it.
    Task(&'a Episode, u64, u64),
}

impl<'a> Material<'a> {
    /// The attempts in it.
    pub(crate) fn episodes(self) -> Vec<&'a Episode> {
        match self {
            Self::One(one) | Self::Task(one, ..) => vec![one],
            Self::Pair(good, bad) => vec![good, bad],
        }
    }
}

/// A row, with the tokens that it has and that it teaches.
#[derive(Debug, PartialEq)]
pub(crate) struct Row<'a> {
    pub(crate) cells: Vec<Cell<'a>>,
    pub(crate) tokens: Option<(u64, u64)>,
}

type Made<T> = Result<T, (Reason, String)>;

/// Makes rows.
pub(crate) struct Maker<'r> {
    pub(crate) request: &'r ExportRequest,
    pub(crate) tokenizer: Option<ChatTokenizer>,
    pub(crate) verifier: &'r dyn AsksVerifier,
}

impl Maker<'_> {
    fn style(&self) -> Style {
        let axolotl = self.request.target == Target::Axolotl;
        Style { arguments_as_text: axolotl, loss: axolotl || !self.request.loss.is_plain() }
    }

    /// The columns.
    pub(crate) fn columns(&self) -> Columns {
        let text = |name| (name, Kind::Text);
        let messages = || self.style().kind().list();
        let ints = || Kind::Int64.list();
        let floats = || Kind::Float32.list();
        let about = [
            text("instance_id"),
            text("attempt"),
            text("repository"),
            text("agent"),
            text("model"),
            text("outcome"),
            ("steps", Kind::Int64),
        ];
        let plain = || Kind::Struct(vec![text("role"), text("content")]).list();
        let turn = || Kind::Struct(vec![text("from"), text("value")]);
        let swift =
            || Kind::Struct(vec![text("role"), text("content"), ("loss", Kind::Bool)]).list();
        let tools = match self.request.target {
            Target::LlamaFactory | Target::MsSwift => ("tools", Kind::Text),
            _ => ("tools", Kind::Json),
        };
        let mut columns: Columns = match (self.request.target, self.request.form) {
            (Target::Verl, Form::Rl) => {
                return vec![
                    text("data_source"),
                    ("prompt", plain()),
                    text("ability"),
                    ("reward_model", Kind::Struct(vec![text("style"), text("ground_truth")])),
                    ("extra_info", extra_info()),
                ];
            }
            (Target::SkyRl, Form::Rl) => {
                return vec![
                    text("data_source"),
                    ("prompt", plain()),
                    text("env_class"),
                    ("reward_spec", Kind::Struct(vec![text("method"), text("ground_truth")])),
                    ("extra_info", extra_info()),
                ];
            }
            (_, Form::Rl) => {
                return vec![
                    ("prompt", plain()),
                    tools,
                    text("reward_function"),
                    text("instance_id"),
                    ("extra_info", extra_info()),
                ];
            }
            (Target::Verl, Form::Tokens) => vec![
                ("prompts", ints()),
                ("responses", ints()),
                ("response_mask", ints()),
                ("rollout_log_probs", floats()),
                ("reward_score", Kind::Float64),
                ("num_turns", Kind::Int64),
            ],
            (Target::SkyRl, Form::Tokens) => vec![
                ("prompt_token_ids", ints()),
                ("response_ids", ints()),
                ("loss_masks", ints()),
                ("rollout_logprobs", floats()),
                ("rewards", Kind::Float64),
                text("stop_reasons"),
                text("trajectory_ids"),
                ("is_last_step", Kind::Bool),
            ],
            (_, Form::Tokens) => vec![
                ("prompt_ids", ints()),
                ("completion_ids", ints()),
                ("logprobs", floats()),
                ("env_mask", ints()),
                ("reward", Kind::Float64),
            ],
            (_, Form::Tokenised) => vec![
                ("input_ids", ints()),
                ("labels", ints()),
                ("assistant_masks", ints()),
                ("loss_weights", floats()),
            ],
            (Target::LlamaFactory, form) => {
                let mut columns = vec![("conversations", turn().list()), tools];
                match form {
                    Form::Preference => columns.extend([("chosen", turn()), ("rejected", turn())]),
                    Form::Kto => columns.push(("kto_tag", Kind::Bool)),
                    _ => {}
                }
                columns
            }
            (Target::MsSwift, form) => {
                let mut columns = vec![("messages", swift()), tools];
                match form {
                    Form::Preference => columns.push(("rejected_messages", swift())),
                    Form::Kto => columns.push(("label", Kind::Bool)),
                    _ => {}
                }
                columns
            }
            (_, Form::Preference) => vec![
                ("prompt", messages()),
                ("chosen", messages()),
                ("rejected", messages()),
                tools,
            ],
            (_, Form::Kto) => vec![
                ("prompt", messages()),
                ("completion", messages()),
                ("label", Kind::Bool),
                tools,
            ],
            (_, Form::Agent | Form::TestingAgent | Form::Verifier) => {
                vec![("messages", messages()), tools]
            }
        };
        columns.extend(about);
        columns
    }

    /// The rows of some material: one, but for token ids, where each branch is one.
    pub(crate) fn rows<'a>(&self, material: Material<'a>) -> Made<Vec<Row<'a>>> {
        match (self.request.form, material) {
            (Form::Tokens, Material::One(episode)) => self.tokens(episode),
            (Form::Tokenised, Material::One(episode)) => Ok(vec![self.tokenised(episode)?]),
            (Form::Verifier, Material::One(episode)) => Ok(vec![self.verdict(episode)?]),
            (Form::Kto, Material::One(episode)) => Ok(vec![self.kto(episode)?]),
            (Form::Rl, Material::Task(episode, all, solved)) => {
                Ok(vec![self.task(episode, all, solved)])
            }
            (Form::Preference, Material::Pair(good, bad)) => Ok(vec![self.pair(good, bad)?]),
            (_, Material::One(episode) | Material::Task(episode, ..)) => {
                Ok(vec![self.conversation(episode)?])
            }
            (_, Material::Pair(..)) => Err((Reason::NoPair, "a pair is no row".to_owned())),
        }
    }

    fn conversation<'a>(&self, episode: &'a Episode) -> Made<Row<'a>> {
        let weights = self.request.loss.of(&episode.messages);
        if !weights.iter().any(|weight| *weight > 0.0) {
            return Err((Reason::NothingToLearn, "every turn is masked".to_owned()));
        }
        let tokens = self.measure(&episode.messages, &episode.tools, &weights)?;
        let mut cells =
            vec![self.talk(&episode.messages, &weights, false)?, self.tools(&episode.tools)];
        cells.extend(about(episode));
        Ok(Row { cells, tokens })
    }

    /// A conversation in the trainer's words. An `open` one ends with the user's side.
    fn talk<'a>(&self, messages: &'a [Message], weights: &[f64], open: bool) -> Made<Cell<'a>> {
        match self.request.target {
            Target::LlamaFactory => {
                let turns = sharegpt::turns(messages)?;
                sharegpt::check(&turns, open)?;
                Ok(Cell::List(turns.into_iter().map(turn).collect()))
            }
            Target::MsSwift => swift(messages, weights),
            _ => Ok(self.style().list(messages, weights)),
        }
    }

    fn tools<'a>(&self, all: &[palestra_model::Tool]) -> Cell<'a> {
        match (self.request.target, tools(all)) {
            // Its reader wants text in every row.
            (Target::LlamaFactory, found) => Cell::text(found.unwrap_or_default()),
            (_, found) => Cell::maybe(found),
        }
    }

    /// How long a row is, where there is a tokenizer.
    fn measure(
        &self,
        messages: &[Message],
        tools: &[palestra_model::Tool],
        weights: &[f64],
    ) -> Made<Option<(u64, u64)>> {
        let Some(tokenizer) = &self.tokenizer else { return Ok(None) };
        let tokenised = tokenizer
            .encode(messages, tools)
            .map_err(|error| (Reason::Template, error.to_string()))?;
        self.fits(tokenised.ids.len())?;
        let learned =
            self.weigh(messages, weights, &tokenised).iter().filter(|w| **w > 0.0).count();
        Ok(Some((tokenised.ids.len() as u64, learned as u64)))
    }

    fn fits(&self, tokens: usize) -> Made<()> {
        match self.request.context.filter(|context| tokens > *context) {
            Some(context) => {
                Err((Reason::OverContext, format!("{tokens} tokens of at most {context}")))
            }
            None => Ok(()),
        }
    }

    /// The weight of every token.
    fn weigh(&self, messages: &[Message], weights: &[f64], tokenised: &Tokenised) -> Vec<f64> {
        let mut all = vec![0.0; tokenised.ids.len()];
        let turns = messages.iter().zip(weights).filter(|(m, _)| m.role == Role::Assistant);
        for ((_, weight), (from, to)) in turns.zip(&tokenised.turns) {
            all[*from..*to].fill(self.request.loss.of_token(*weight, to - from));
        }
        all
    }

    fn tokenised<'a>(&self, episode: &'a Episode) -> Made<Row<'a>> {
        let Some(tokenizer) = &self.tokenizer else {
            return Err((Reason::Template, "no tokenizer".to_owned()));
        };
        let tokenised = tokenizer
            .encode(&episode.messages, &episode.tools)
            .map_err(|error| (Reason::Template, error.to_string()))?;
        self.fits(tokenised.ids.len())?;
        let weights = self.request.loss.of(&episode.messages);
        let weights = self.weigh(&episode.messages, &weights, &tokenised);
        let learned = weights.iter().filter(|weight| **weight > 0.0).count();
        if learned == 0 {
            return Err((Reason::NothingToLearn, "every token is masked".to_owned()));
        }
        let ids = tokenised.ids.iter().map(|id| i64::from(*id));
        let label = |(id, weight): (i64, &f64)| if *weight > 0.0 { id } else { -100 };
        let mut cells = vec![
            Cell::Ints(ids.clone().collect()),
            Cell::Ints(ids.zip(&weights).map(label).collect()),
            Cell::Ints(tokenised.mask.iter().map(|one| i64::from(*one)).collect()),
            Cell::Floats(weights),
        ];
        cells.extend(about(episode));
        let tokens = Some((tokenised.ids.len() as u64, learned as u64));
        Ok(Row { cells, tokens })
    }

    fn tokens<'a>(&self, episode: &'a Episode) -> Made<Vec<Row<'a>>> {
        let whole: Vec<_> = episode.chains.iter().filter(|chain| chain.mask.contains(&1)).collect();
        if whole.is_empty() {
            return Err((Reason::NoTokens, "no whole chain of token ids".to_owned()));
        }
        let mut rows = Vec::new();
        let mut longest = 0;
        for chain in whole {
            if self.fits(chain.ids.len()).is_err() {
                longest = longest.max(chain.ids.len());
                continue;
            }
            rows.push(self.chain(episode, chain));
        }
        if rows.is_empty() {
            self.fits(longest)?;
        }
        Ok(rows)
    }

    fn chain<'a>(&self, episode: &'a Episode, chain: &TokenChain) -> Row<'a> {
        let split = chain.mask.iter().position(|one| *one == 1).unwrap_or(chain.ids.len());
        let ids = |ids: &[u32]| Cell::Ints(ids.iter().map(|id| i64::from(*id)).collect());
        let (prompt, response) = (ids(&chain.ids[..split]), ids(&chain.ids[split..]));
        let mask = Cell::Ints(chain.mask[split..].iter().map(|one| i64::from(*one)).collect());
        let logprobs = chain.logprobs.as_ref().map(|all| Cell::Floats(all[split..].to_vec()));
        let logprobs = logprobs.unwrap_or(Cell::Null);
        let reward = episode.reward.map_or(Cell::Null, Cell::Float);
        let turns = episode.turns() as i64;
        let mut cells = match self.request.target {
            Target::Verl => {
                vec![prompt, response, mask, logprobs, reward, Cell::Int(turns)]
            }
            Target::SkyRl => vec![
                prompt,
                response,
                mask,
                logprobs,
                reward,
                Cell::text(stop_reason(episode)),
                Cell::text(episode.id.as_str()),
                Cell::Bool(chain.last),
            ],
            _ => vec![prompt, response, logprobs, mask, reward],
        };
        cells.extend(about(episode));
        let learned = chain.mask.iter().filter(|one| **one == 1).count() as u64;
        Row { cells, tokens: Some((chain.ids.len() as u64, learned)) }
    }

    fn verdict<'a>(&self, episode: &'a Episode) -> Made<Row<'a>> {
        let Some(answer) = answer(&episode.outcome) else {
            return Err((Reason::Ungraded, "nobody judged it".to_owned()));
        };
        let mut messages = self.verifier.question(episode);
        messages.push(Message::assistant(answer));
        let weights = self.request.loss.of(&messages);
        let tokens = self.measure(&messages, &[], &weights)?;
        let talk = owned(self.talk(&messages, &weights, false)?);
        let mut cells = vec![talk, self.tools(&[])];
        cells.extend(about(episode));
        Ok(Row { cells, tokens })
    }

    fn kto<'a>(&self, episode: &'a Episode) -> Made<Row<'a>> {
        let label = match episode.outcome {
            Outcome::Resolved => true,
            Outcome::Unresolved => false,
            _ => return Err((Reason::Ungraded, "nobody judged it".to_owned())),
        };
        let weights = vec![1.0; episode.messages.len()];
        let tokens = self.measure(&episode.messages, &episode.tools, &weights)?;
        let mut cells = match self.request.target {
            Target::LlamaFactory | Target::MsSwift => vec![
                self.talk(&episode.messages, &weights, false)?,
                self.tools(&episode.tools),
                Cell::Bool(label),
            ],
            _ => {
                let (prompt, rest) = episode.messages.split_at(asked(&episode.messages));
                vec![
                    self.talk(prompt, &[], true)?,
                    self.talk(rest, &weights, false)?,
                    Cell::Bool(label),
                    self.tools(&episode.tools),
                ]
            }
        };
        cells.extend(about(episode));
        Ok(Row { cells, tokens })
    }

    fn pair<'a>(&self, good: &'a Episode, bad: &'a Episode) -> Made<Row<'a>> {
        let first = asked(&good.messages);
        let same = good.messages.get(..first) == bad.messages.get(..asked(&bad.messages));
        if !same || good.tools != bad.tools {
            return Err((Reason::NoPair, format!("{} was asked otherwise", bad.id)));
        }
        let weights = vec![1.0; good.messages.len().max(bad.messages.len())];
        let long = self.measure(&good.messages, &good.tools, &weights)?;
        let other = self.measure(&bad.messages, &bad.tools, &weights)?;
        let tokens = long.zip(other).map(|(a, b)| (a.0 + b.0, a.1 + b.1));
        let mut cells = match self.request.target {
            Target::LlamaFactory => {
                // One turn is compared there: the first one in which they part.
                let pairs = good.messages.iter().zip(&bad.messages);
                let common = pairs.take_while(|(a, b)| a == b).count();
                let models = |messages: &'a [Message]| {
                    messages.get(common).filter(|m| m.role == Role::Assistant)
                };
                let (Some(chosen), Some(rejected)) =
                    (models(&good.messages), models(&bad.messages))
                else {
                    let what =
                        format!("{} and {} do not part in the model's turn", good.id, bad.id);
                    return Err((Reason::NoPair, what));
                };
                let one = |message: &Message| {
                    let mut all = sharegpt::turns(std::slice::from_ref(message))?;
                    all.pop().map(turn).ok_or((Reason::Alternation, String::new()))
                };
                vec![
                    self.talk(&good.messages[..common], &[], true)?,
                    self.tools(&good.tools),
                    one(chosen)?,
                    one(rejected)?,
                ]
            }
            Target::MsSwift => vec![
                self.talk(&good.messages, &weights, false)?,
                self.tools(&good.tools),
                self.talk(&bad.messages, &weights, false)?,
            ],
            _ => {
                let (prompt, chosen) = good.messages.split_at(first);
                vec![
                    self.talk(prompt, &[], true)?,
                    self.talk(chosen, &weights, false)?,
                    self.talk(&bad.messages[first..], &weights, false)?,
                    self.tools(&good.tools),
                ]
            }
        };
        cells.extend(about(good));
        Ok(Row { cells, tokens })
    }

    fn task<'a>(&self, episode: &'a Episode, all: u64, solved: u64) -> Row<'a> {
        let first = asked(&episode.messages);
        let mut prompt: Vec<Cell<'a>> = episode.messages[..first]
            .iter()
            .map(|message| Cell::Struct(vec![Cell::text(role(message.role)), content(message)]))
            .collect();
        if prompt.is_empty() {
            prompt.push(Cell::Struct(vec![Cell::text("user"), Cell::text(episode.problem())]));
        }
        let prompt = Cell::List(prompt);
        let reward = || Cell::text(self.request.reward.clone());
        let task = || Cell::text(episode.task.as_str());
        let extra = Cell::Struct(vec![
            task(),
            Cell::maybe(episode.repository.as_deref()),
            Cell::text("train"),
            Cell::Int(i64::try_from(all).unwrap_or(i64::MAX)),
            Cell::Int(i64::try_from(solved).unwrap_or(i64::MAX)),
            reward(),
            Cell::text(episode.problem()),
        ]);
        let source = Cell::text(self.request.name.clone());
        let cells = match self.request.target {
            Target::Verl => {
                let model = Cell::Struct(vec![Cell::text("rule"), task()]);
                vec![source, prompt, Cell::text("software-engineering"), model, extra]
            }
            Target::SkyRl => {
                let spec = Cell::Struct(vec![Cell::text("rule"), task()]);
                vec![source, prompt, reward(), spec, extra]
            }
            _ => vec![prompt, self.tools(&episode.tools), reward(), task(), extra],
        };
        Row { cells, tokens: None }
    }
}

fn extra_info() -> Kind {
    Kind::Struct(vec![
        ("instance_id", Kind::Text),
        ("repository", Kind::Text),
        ("split", Kind::Text),
        ("attempts", Kind::Int64),
        ("solved", Kind::Int64),
        ("reward_function", Kind::Text),
        ("problem_statement", Kind::Text),
    ])
}

fn about(episode: &Episode) -> [Cell<'_>; 7] {
    [
        Cell::text(episode.task.as_str()),
        Cell::text(episode.id.as_str()),
        Cell::maybe(episode.repository.as_deref()),
        Cell::text(episode.agent.as_str()),
        Cell::maybe(episode.model.as_deref()),
        Cell::text(outcome_word(&episode.outcome)),
        Cell::Int(i64::from(episode.steps)),
    ]
}

/// How many messages stand before the model's first turn.
fn asked(messages: &[Message]) -> usize {
    let first = messages.iter().position(|message| message.role == Role::Assistant);
    first.unwrap_or(messages.len())
}

fn turn<'a>((tag, text): sharegpt::Turn) -> Cell<'a> {
    Cell::Struct(vec![Cell::text(tag), Cell::text(text)])
}

fn stop_reason(episode: &Episode) -> &'static str {
    // The words of the engines: what ran against a bound is cut off.
    match episode.finished {
        true => "stop",
        false => "length",
    }
}

/// ms-swift's roles: each call and each result is a message of its own.
fn swift<'a>(messages: &'a [Message], weights: &[f64]) -> Made<Cell<'a>> {
    let mut all = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let learn = weights.get(at).is_some_and(|weight| *weight > 0.0);
        let mut put = |role: &'static str, text: Cell<'a>, loss: Cell<'a>| {
            all.push(Cell::Struct(vec![Cell::text(role), text, loss]));
        };
        match message.role {
            Role::Assistant => {
                let mut text = message.content_text();
                if let Some(reasoning) = &message.reasoning {
                    let reasoning = reasoning.trim_matches('\n');
                    text = format!("<think>\n{reasoning}\n</think>\n\n{text}");
                }
                if !text.is_empty() || message.tool_calls.is_empty() {
                    put("assistant", Cell::text(text), Cell::Bool(learn));
                }
                let broken = || (Reason::Arguments, "arguments are no JSON object".to_owned());
                for call in crate::messages::calls(message).ok_or_else(broken)? {
                    put("tool_call", Cell::text(call.to_string()), Cell::Bool(learn));
                }
            }
            Role::Tool => put("tool_response", content(message), Cell::Null),
            other => put(role(other), content(message), Cell::Null),
        }
    }
    Ok(Cell::List(all))
}

/// A cell that borrows nothing.
fn owned<'a>(cell: Cell<'_>) -> Cell<'a> {
    match cell {
        Cell::Null => Cell::Null,
        Cell::Bool(value) => Cell::Bool(value),
        Cell::Int(value) => Cell::Int(value),
        Cell::Float(value) => Cell::Float(value),
        Cell::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
        Cell::List(cells) => Cell::List(cells.into_iter().map(owned).collect()),
        Cell::Struct(cells) => Cell::Struct(cells.into_iter().map(owned).collect()),
        Cell::Ints(all) => Cell::Ints(all),
        Cell::Floats(all) => Cell::Floats(all),
    }
}

/// Axolotl's part of a configuration.
pub(crate) fn axolotl(file: &str, extension: &str, tokenised: bool) -> String {
    let mut entry =
        json!({"path": file, "ds_type": if extension == "parquet" { extension } else { "json" }});
    if !tokenised {
        let more = json!({
            "type": "chat_template",
            "field_messages": "messages",
            "field_tools": "tools",
            "message_property_mappings": {"role": "role", "content": "content"},
            "message_field_training": "train",
            "roles_to_train": ["assistant"],
            "train_on_eos": "turn",
        });
        if let (Some(entry), serde_json::Value::Object(more)) = (entry.as_object_mut(), more) {
            entry.extend(more);
        }
    }
    // JSON is YAML.
    serde_json::to_string_pretty(&json!({"datasets": [entry]})).unwrap_or_default() + "\n"
}
