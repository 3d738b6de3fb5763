//! Which attempts make up a training set.
//!
//! Every attempt is judged by its [`Summary`], which is small: attempts themselves are read, looked at
//! and let go. The choice depends on the attempts and the seed alone, not on the order of reading.

use std::collections::{BTreeMap, HashMap, HashSet};

use palestra_core::Hash;
use palestra_model::Role;
use serde::{Deserialize, Serialize};

use crate::card::{Card, Reason, outcome_word};
use crate::contamination::Decontamination;
use crate::episode::{Episode, Outcome};
use crate::source::Place;

/// Which verdicts are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdicts {
    /// Successes only: rejection sampling.
    #[default]
    Resolved,
    /// Failures only.
    Unresolved,
    /// Both.
    Both,
    /// Both, and what nobody judged.
    Any,
}

/// How often a task is solved, as a share of its valid attempts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Band {
    /// More than this share.
    pub above: f64,
    /// Less than this share.
    pub below: f64,
}

impl Band {
    /// Neither always nor never.
    pub const OPEN: Self = Self { above: 0.0, below: 1.0 };
}

/// What is to be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// Verdicts.
    pub verdicts: Verdicts,
    /// Only attempts whose agent said that it is done.
    pub finished: bool,
    /// Attempts that reached for the verdict too.
    pub tampering: bool,
    /// At most so many characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub characters: Option<u64>,
    /// At most so many calls of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// At most so many of a task and verdict, those with the fewest calls first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_task: Option<u32>,
    /// How hard a task may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<Band>,
    /// Leave out attempts at one task that say the same.
    pub deduplicate: bool,
    /// At most so many of a repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_repository: Option<u32>,
    /// As many failures as successes.
    pub balance_classes: bool,
    /// What must not be trained on.
    pub decontamination: Decontamination,
    /// Whether thoughts stay.
    pub thoughts: bool,
    /// Decides between equals, and the order of the rows.
    pub seed: u64,
    /// At most so many in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            verdicts: Verdicts::Resolved,
            finished: false,
            tampering: false,
            characters: None,
            steps: None,
            per_task: None,
            difficulty: None,
            deduplicate: true,
            per_repository: None,
            balance_classes: false,
            decontamination: Decontamination::default(),
            thoughts: true,
            seed: 42,
            limit: None,
        }
    }
}

/// What is made of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Its conversation.
    Turns,
    /// No more than its task.
    Task,
}

/// What is remembered of an attempt.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) place: Place,
    pub(crate) id: String,
    pub(crate) task: String,
    pub(crate) repository: String,
    pub(crate) agent: String,
    pub(crate) outcome: Outcome,
    pub(crate) steps: u32,
    pub(crate) turns: u64,
    pub(crate) characters: u64,
    /// What the model said, hashed.
    pub(crate) said: [u8; 16],
    /// All that was read, hashed.
    pub(crate) content: [u8; 16],
    /// Why it is out, if it is.
    pub(crate) out: Option<(Reason, String)>,
}

impl Selection {
    /// Looks at one attempt.
    pub(crate) fn look(&self, place: Place, episode: &Episode, need: Need) -> Summary {
        let repository = episode.repository.clone().unwrap_or_default();
        let mut said = blake3::Hasher::new();
        let mut all = blake3::Hasher::new();
        for message in &episode.messages {
            if let Ok(bytes) = serde_json::to_vec(message) {
                all.update(&bytes);
            }
            if message.role == Role::Assistant {
                said.update(message.content_text().as_bytes());
                said.update(&[0]);
                for call in &message.tool_calls {
                    said.update(call.name.as_bytes());
                    said.update(call.arguments.as_bytes());
                    said.update(&[1]);
                }
            }
        }
        all.update(episode.patch.as_deref().unwrap_or_default().as_bytes());
        all.update(outcome_word(&episode.outcome).as_bytes());
        let short = |hasher: &blake3::Hasher| {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
            bytes
        };
        Summary {
            place,
            id: episode.id.clone(),
            task: episode.task.clone(),
            repository,
            agent: match &episode.model {
                Some(model) => format!("{} {model}", episode.agent),
                None => episode.agent.clone(),
            },
            outcome: episode.outcome.clone(),
            steps: episode.steps,
            turns: episode.turns() as u64,
            characters: episode.characters(),
            said: short(&said),
            content: short(&all),
            out: self.against(episode, need),
        }
    }

    /// What speaks against an attempt by itself.
    fn against(&self, episode: &Episode, need: Need) -> Option<(Reason, String)> {
        let out = |reason, what: &str| Some((reason, what.to_owned()));
        if let Outcome::Invalid(why) = &episode.outcome {
            return out(Reason::Invalid, why);
        }
        if !episode.trainable {
            return out(Reason::NotForTraining, episode.exit.as_deref().unwrap_or_default());
        }
        if !self.tampering && !episode.tampering.is_empty() {
            return out(Reason::Tampering, &episode.tampering.join(", "));
        }
        let repository = episode.repository.as_deref();
        let created = episode.created_at.as_deref();
        if let Some(why) = self.decontamination.bars(&episode.task, repository, created) {
            return out(Reason::Contaminated, &why);
        }
        let said = episode.turns() > 0 || need == Need::Task && episode.statement.is_some();
        if !said {
            return out(Reason::NoTurns, "no model said anything");
        }
        let wanted = match (&episode.outcome, self.verdicts) {
            (Outcome::Ungraded, Verdicts::Any) => true,
            (Outcome::Ungraded, _) => return out(Reason::Ungraded, "nobody judged it"),
            (Outcome::Resolved, verdicts) => verdicts != Verdicts::Unresolved,
            (_, verdicts) => verdicts != Verdicts::Resolved,
        };
        if !wanted {
            return out(Reason::OtherVerdict, outcome_word(&episode.outcome));
        }
        if self.finished && !episode.finished {
            return out(Reason::NotFinished, episode.exit.as_deref().unwrap_or("no exit"));
        }
        if self.steps.is_some_and(|most| episode.steps > most) {
            return out(Reason::TooLong, &format!("{} calls", episode.steps));
        }
        let characters = episode.characters();
        if self.characters.is_some_and(|most| characters > most) {
            return out(Reason::TooLong, &format!("{characters} characters"));
        }
        None
    }

    /// Chooses among all, counts what is left out, and gives the rest in the order of the rows.
    pub(crate) fn choose(&self, mut all: Vec<Summary>, card: &mut Card) -> Vec<Summary> {
        let key = |summary: &Summary| self.key(&summary.id);
        all.sort_by(|a, b| (&a.id, &a.content, &a.place).cmp(&(&b.id, &b.content, &b.place)));
        let mut seen = HashSet::new();
        all.retain(|summary| {
            let fresh = seen.insert((summary.id.clone(), summary.content));
            if !fresh {
                card.drop(Reason::GivenTwice, &summary.id);
            }
            fresh
        });
        let counts = self.difficulty.map(|_| solved(&all)).unwrap_or_default();
        let mut left = Vec::new();
        for summary in all {
            match &summary.out {
                Some((reason, what)) => card.drop(*reason, format!("{}: {what}", summary.id)),
                None => left.push(summary),
            }
        }
        if let Some(band) = self.difficulty {
            left.retain(|summary| {
                let (solved, all) = counts.get(&summary.task).copied().unwrap_or_default();
                let share = solved as f64 / all.max(1) as f64;
                let inside = share > band.above && share < band.below;
                if !inside {
                    card.drop(Reason::Difficulty, format!("{}: {share:.2}", summary.id));
                }
                inside
            });
        }
        // Fewest calls first, then by lot.
        left.sort_by_cached_key(|summary| (summary.steps, key(summary), summary.id.clone()));
        if self.deduplicate {
            let mut seen = HashSet::new();
            left.retain(|summary| {
                let fresh = seen.insert((summary.task.clone(), summary.said));
                if !fresh {
                    card.drop(Reason::Duplicate, &summary.id);
                }
                fresh
            });
        }
        if let Some(most) = self.per_task {
            cap(&mut left, most, card, Reason::PerTask, |summary| {
                (summary.task.clone(), outcome_word(&summary.outcome))
            });
        }
        // From here on the lot decides alone.
        left.sort_by_cached_key(|summary| (key(summary), summary.id.clone()));
        if let Some(most) = self.per_repository {
            cap(&mut left, most, card, Reason::PerRepository, |s| s.repository.clone());
        }
        if self.balance_classes {
            let good = left.iter().filter(|s| s.outcome == Outcome::Resolved).count();
            let bad = left.iter().filter(|s| s.outcome == Outcome::Unresolved).count();
            let most = u32::try_from(good.min(bad)).unwrap_or(u32::MAX);
            cap(&mut left, most, card, Reason::ClassBalance, |s| outcome_word(&s.outcome));
        }
        if let Some(most) = self.limit {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            for summary in left.iter().skip(most) {
                card.drop(Reason::Limit, &summary.id);
            }
            left.truncate(most);
        }
        left
    }

    /// The lot of a name.
    pub(crate) fn key(&self, id: &str) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(id.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        key
    }
}

/// How many valid attempts of a model solved a task, and how many there are.
pub(crate) fn solved(all: &[Summary]) -> BTreeMap<String, (u64, u64)> {
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for summary in all {
        let count = counts.entry(summary.task.clone()).or_default();
        // What solves a task without a model says nothing about how hard it is.
        let graded = match summary.outcome {
            Outcome::Resolved => Some(1),
            Outcome::Unresolved => Some(0),
            _ => None,
        };
        if let Some(solved) = graded.filter(|_| summary.turns > 0) {
            count.0 += solved;
            count.1 += 1;
        }
    }
    counts
}

/// Keeps the first ones of each group.
fn cap<K: std::hash::Hash + Eq>(
    left: &mut Vec<Summary>,
    most: u32,
    card: &mut Card,
    reason: Reason,
    group: impl Fn(&Summary) -> K,
) {
    let mut counts: HashMap<K, u32> = HashMap::new();
    left.retain(|summary| {
        let count = counts.entry(group(summary)).or_default();
        *count += 1;
        if *count > most {
            card.drop(reason, &summary.id);
        }
        *count <= most
    });
}

/// The name of what is exported: the same for the same request and the same attempts.
pub(crate) fn plan(request: &serde_json::Value, chosen: &[Summary]) -> String {
    let request = request.to_string();
    let parts = chosen.iter().flat_map(|s| [s.id.as_bytes().to_vec(), s.content.to_vec()]);
    Hash::of_parts(std::iter::once(request.into_bytes()).chain(parts)).as_str().to_owned()
}
