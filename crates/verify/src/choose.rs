//! The choice of one attempt at a task.

use std::collections::BTreeMap;

use palestra_core::Hash;
use palestra_stats::Field;
use serde::{Deserialize, Serialize};

use crate::candidate::{Candidate, check_one_task};
use crate::cascade::{Cascade, columns};
use crate::error::Result;

/// What was chosen, and why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The attempt; none where there was no valid one.
    pub chosen: Option<String>,
    /// All that the last stage kept, by name. Where there are several, the seed decided.
    pub tied: Vec<String>,
    /// What each stage kept.
    pub stages: Vec<Kept>,
    /// Attempts that were left out because they are invalid, with the reason.
    pub invalid: BTreeMap<String, String>,
    /// For each score of the cascade: how many attempts have none.
    pub unscorable: BTreeMap<String, usize>,
    /// The choice in words.
    pub why: String,
}

/// What a stage kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The scores that it went by.
    pub by: Vec<String>,
    /// Attempts before it.
    pub of: usize,
    /// Attempts after it, by name.
    pub kept: Vec<String>,
}

/// Chooses among attempts at one task. Their order does not matter: what is equal to the end is
/// decided by the seed and the names.
///
/// # Errors
/// If the attempts are at several tasks, or two have one name.
pub fn choose(candidates: &[Candidate], cascade: &Cascade, seed: u64) -> Result<Choice> {
    check_one_task(candidates)?;
    let mut choice = Choice::default();
    let mut valid: Vec<&Candidate> = Vec::new();
    for candidate in candidates {
        match &candidate.invalid {
            Some(why) => drop(choice.invalid.insert(candidate.id.clone(), why.clone())),
            None => valid.push(candidate),
        }
    }
    valid.sort_by(|a, b| a.id.cmp(&b.id));
    let (compiled, names) = cascade.compile();
    let columns = columns(&names, valid.iter().copied());
    for (name, column) in names.iter().zip(&columns) {
        let without = column.iter().filter(|score| score.is_none()).count();
        choice.unscorable.insert((*name).to_owned(), without);
    }
    let field = Field::new(&columns, vec![0.0; valid.len()])?;
    let order = order(&valid, seed);
    let stages = compiled.apply(&field, &order)?;
    let name = |indices: &[usize]| indices.iter().map(|i| valid[*i].id.clone()).collect();
    let mut of = valid.len();
    for (stage, kept) in cascade.stages.iter().zip(&stages) {
        choice.stages.push(Kept { by: stage.by.clone(), of, kept: name(kept) });
        of = kept.len();
    }
    let everybody: Vec<usize> = (0..valid.len()).collect();
    let last = stages.last().unwrap_or(&everybody);
    choice.tied = name(last);
    choice.chosen = last.iter().min_by_key(|i| order[**i]).map(|i| valid[*i].id.clone());
    choice.why = words(&choice, candidates.len());
    Ok(choice)
}

/// Places of the attempts in an order that only seed and names decide.
fn order(valid: &[&Candidate], seed: u64) -> Vec<usize> {
    let key = |c: &Candidate| {
        Hash::of_parts([&seed.to_le_bytes()[..], c.task.as_bytes(), c.id.as_bytes()])
    };
    let mut sorted: Vec<(Hash, usize)> = (0..valid.len()).map(|i| (key(valid[i]), i)).collect();
    sorted.sort();
    let mut places = vec![0; valid.len()];
    for (place, (_, i)) in sorted.into_iter().enumerate() {
        places[i] = place;
    }
    places
}

fn words(choice: &Choice, all: usize) -> String {
    let Some(chosen) = &choice.chosen else {
        return match all {
            0 => "there is no attempt".to_owned(),
            _ => format!("none of {all} attempts is valid"),
        };
    };
    let mut words = format!("{chosen} of {all}");
    if !choice.invalid.is_empty() {
        words.push_str(&format!(", {} invalid", choice.invalid.len()));
    }
    for stage in &choice.stages {
        words.push_str(&format!("; {}: {} of {}", stage.by.join(", "), stage.kept.len(), stage.of));
    }
    if choice.tied.len() > 1 {
        words.push_str(&format!("; by seed among {}", choice.tied.len()));
    }
    words
}
