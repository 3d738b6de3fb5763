//! Bugs by a language model: entities implemented anew, or changed a little for the worse.

use std::collections::BTreeMap;

use palestra_core::{EntityKind, Hash};
use palestra_synth::bug::{self, BugKind};
use palestra_synth::ledger::stage;
use palestra_synth::{StageEntry, bug::BugRequest as Ask};

use super::author::asked;
use super::bugs::{BugRequest, Injected};
use super::suite::Suite;
use crate::error::EngineError;
use crate::work::Workshop;

/// No entity with fewer lines is worth asking about.
const LINES: usize = 5;

/// Asks for bugs in entities that the seed chooses, both kinds by turns.
pub(crate) fn ask(
    shop: &Workshop<'_>,
    suite: &Suite,
    request: &BugRequest,
) -> Result<Vec<Injected>, EngineError> {
    let seed = request.inject.seed.to_le_bytes();
    let mut entities = Vec::new();
    for (path, content) in &suite.sources {
        for entity in palestra_syntax::entities(path, content).0 {
            let entity = entity.entity;
            let code = matches!(entity.kind, EntityKind::Function | EntityKind::Method);
            if code && entity.end_line + 1 - entity.start_line >= LINES {
                let rank = Hash::of_parts([&seed[..], path.as_bytes(), entity.name.as_bytes()]);
                entities.push((rank.to_string(), entity));
            }
        }
    }
    entities.sort();
    let mut made = Vec::new();
    for (index, (_, entity)) in entities.into_iter().take(request.by_model).enumerate() {
        shop.check_stop()?;
        let Some(content) = suite.sources.get(&entity.path) else { continue };
        let Ok(source) = String::from_utf8(content.clone()) else { continue };
        let ask = Ask {
            repository: shop.repo.name().to_owned(),
            path: entity.path.clone(),
            source,
            name: entity.name.clone(),
            kind: if index % 2 == 0 { BugKind::Subtle } else { BugKind::Rewrite },
        };
        let proposal = bug::propose(&shop.author.asker, &shop.author.prompts, &ask);
        let Some(proposal) = proposal.map_err(asked)? else { continue };
        let commit = suite.commit.as_str();
        shop.author.note(&StageEntry::of(stage::BUG_MODEL, Some(commit), None, &proposal))?;
        let Ok(bug) = proposal.result else { continue };
        let kind = match bug.kind {
            BugKind::Rewrite => "lm_rewrite",
            BugKind::Subtle => "lm_modify",
        };
        let hash = Hash::of_parts([bug.path.as_bytes(), bug.source.as_bytes()]);
        made.push(Injected {
            id: format!("{kind}__{}", &hash.short()[..8]),
            by: vec![format!("{}@{}", proposal.prompt.name, proposal.prompt.version)],
            model: shop.author.model.clone(),
            place: format!("{}:{} {}", entity.path, entity.start_line, entity.name),
            broken: BTreeMap::from([(bug.path, bug.source.into_bytes())]),
        });
    }
    Ok(made)
}
