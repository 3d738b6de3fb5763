//! Recipes that worked, remembered per repository.

use std::path::PathBuf;
use std::sync::Mutex;

use palestra_core::{CommitId, ledger};
use serde::{Deserialize, Serialize};

use crate::error::BuildError;
use crate::recipe::{Action, Recipe, Repair};

/// A recipe of another fingerprint is only a hint, and only if it is at most so old or young.
const NEIGHBOUR_DAYS: i64 = 180;
/// One of the same fingerprint comes first if it is at most so old or young.
const SAME_DAYS: i64 = 300;

/// A commit whose tests ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Remembered {
    fingerprint: String,
    commit: CommitId,
    /// Days since 1970.
    day: i64,
    repairs: Vec<Repair>,
}

/// The memory of one repository: an append-only file. A line that does not read is skipped.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
    known: Mutex<Option<Vec<Remembered>>>,
}

impl Memory {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, known: Mutex::new(None) }
    }

    /// The repairs of the nearest commit with the same fingerprint; failing that, of the nearest
    /// commit with another one.
    pub(crate) fn repairs(&self, fingerprint: &str, day: i64) -> Result<Vec<Repair>, BuildError> {
        let mut known = self.known.lock().unwrap_or_else(|e| e.into_inner());
        let all = match known.as_mut() {
            Some(all) => all,
            None => known.insert(ledger::read::<Remembered>(&self.path)?.0),
        };
        let distance = |r: &&Remembered| {
            // The order must not depend on when a line was written.
            ((r.day - day).abs(), r.day, r.commit.clone())
        };
        let nearest = |same: bool, days: i64| {
            all.iter()
                .filter(|r| (r.fingerprint == fingerprint) == same && (r.day - day).abs() <= days)
                .min_by_key(distance)
        };
        // Packages change even where a manifest does not: beyond a year or two, a neighbour with
        // another manifest may know better.
        let found = match nearest(true, SAME_DAYS) {
            Some(same) => same.repairs.clone(),
            None => match (nearest(false, NEIGHBOUR_DAYS), nearest(true, i64::MAX)) {
                (Some(near), _) => hints(&near.repairs),
                (None, Some(same)) => same.repairs.clone(),
                (None, None) => Vec::new(),
            },
        };
        Ok(found)
    }

    /// Remembers what worked, unless the same is known of a commit of the same day.
    pub(crate) fn remember(
        &self,
        commit: &CommitId,
        day: i64,
        recipe: &Recipe,
    ) -> Result<(), BuildError> {
        let mut known = self.known.lock().unwrap_or_else(|e| e.into_inner());
        let all = match known.as_mut() {
            Some(all) => all,
            None => known.insert(ledger::read::<Remembered>(&self.path)?.0),
        };
        if all.iter().any(|r| {
            r.day == day && r.fingerprint == recipe.fingerprint && r.repairs == recipe.repairs
        }) {
            return Ok(());
        }
        let line = Remembered {
            fingerprint: recipe.fingerprint.clone(),
            commit: commit.clone(),
            day,
            repairs: recipe.repairs.clone(),
        };
        ledger::Writer::open(&self.path)?.append(&line)?;
        all.push(line);
        Ok(())
    }
}

/// What of these repairs helps a commit with another manifest: what is about single packages.
/// Another interpreter, another time or another way of installing would be handed on from commit
/// to commit for ever, long after the reason for it is gone.
fn hints(repairs: &[Repair]) -> Vec<Repair> {
    let local = |action: &&Action| {
        !matches!(
            action,
            Action::Python(_)
                | Action::Later(_)
                | Action::Install(_)
                | Action::UnpinAll
                | Action::DropOptional
        )
    };
    let keep = |repair: &Repair| Repair {
        rule: repair.rule.clone(),
        actions: repair.actions.iter().filter(local).cloned().collect(),
    };
    repairs.iter().map(keep).filter(|r| !r.actions.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err as fs;
    use std::io::Write;

    fn recipe(fingerprint: &str, rule: &str) -> Recipe {
        let text = format!(
            r#"{{"python": "3.8", "exclude_newer": "2020-01-01T00:00:00Z", "requirements": [],
                "optional": [], "build": [], "constraints": [], "fingerprint": "{fingerprint}"}}"#
        );
        let recipe: Recipe = serde_json::from_str(&text).unwrap();
        let actions = vec![Action::Require("mock".to_owned()), Action::Later(30)];
        recipe.with(Repair { rule: rule.to_owned(), actions })
    }

    #[test]
    fn the_nearest_is_found_and_a_cut_line_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/r.jsonl");
        let commit = |c: &str| CommitId::new(c.repeat(40)).unwrap();
        let memory = Memory::new(path.clone());
        memory.remember(&commit("a"), 100, &recipe("x", "one")).unwrap();
        memory.remember(&commit("b"), 100, &recipe("x", "one")).unwrap();
        memory.remember(&commit("c"), 300, &recipe("y", "two")).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"fingerprint\": \"x\", \"comm").unwrap();
        drop(file);
        let memory = Memory::new(path.clone());
        let rule = |fingerprint: &str, day: i64| {
            let repairs = memory.repairs(fingerprint, day).unwrap();
            repairs.first().map(|r| r.rule.clone()).unwrap_or_default()
        };
        assert_eq!(rule("x", 290), "one", "same fingerprint before nearer day");
        assert_eq!(rule("z", 290), "two");
        let hints = memory.repairs("z", 290).unwrap();
        assert_eq!(hints[0].actions, [Action::Require("mock".to_owned())], "not the later date");
        assert_eq!(rule("z", 5000), "");
        memory.remember(&commit("d"), 5000, &recipe("z", "three")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4, "same day, same lines");
        let again = Memory::new(path);
        assert_eq!(again.repairs("z", 5000).unwrap()[0].rule, "three");
    }

    #[test]
    fn repairs_apply_to_another_base() {
        let recipe = recipe("x", "one");
        assert_eq!(recipe.requirements, ["mock"]);
        assert_eq!(recipe.exclude_newer, "2020-01-31T00:00:00Z");
        let back: Recipe = serde_json::from_str(&serde_json::to_string(&recipe).unwrap()).unwrap();
        assert_eq!(back, recipe);
    }
}
