//! Best-first search over forks of an attempt: the critic says which one goes on.
//!
//! As in tree search for agents by Koh et al. (arXiv 2407.01476), with a critic in the place of a
//! model that is asked for a value, and with forked sandboxes in the place of a replay of all
//! actions.

use std::path::Path;

use palestra_core::atif::{AgentInfo, SCHEMA_VERSION, Trajectory};
use palestra_core::{disk, job};
use palestra_model::Usage;
use palestra_verify::critic::{Critic, Ending, Features, of_patch, of_trajectory};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::Rollout;
use super::attempt::{Run, take_patch};
use super::failure::{Failure, FailureKind};
use super::ground::Ground;
use super::plan::Search;
use super::record::word;
use super::trajectory::Sums;

/// Where forks are kept while a search goes on, below the attempt's directory.
const FORKS: &str = ".search";
/// The tree, below the attempt's directory.
const TREE: &str = "search.json";
/// Live attempts that are kept at a time; each has a sandbox. The worst ones are given up.
const FRONTIER: usize = 16;

/// What a search took, all of its forks together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Searched {
    /// Forks that were looked at, the first attempt included.
    pub nodes: u32,
    /// Calls of the model.
    pub calls: u32,
    /// Tokens.
    pub usage: Usage,
    /// Dollars, where prices are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// The fork that was chosen.
    pub chosen: u32,
    /// The critic's probability that it is right.
    pub score: f64,
}

/// A fork, as it is written down.
#[derive(Debug, Clone, Default, Serialize)]
struct Node {
    number: u32,
    /// The fork that it went on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<u32>,
    /// Forks between it and the first attempt.
    depth: u32,
    /// Calls of the model from the beginning to its end.
    calls: u32,
    /// The critic's last word.
    score: f64,
    /// How it ended: by itself, by a failure, or because others were better.
    end: String,
}

/// A fork that is alive.
struct Fork<'t> {
    node: Node,
    run: Run<'t>,
}

impl Fork<'_> {
    /// Whether this one goes on before the other: by score, and among equals the older one.
    fn before(&self, other: &Self) -> bool {
        let order = self.node.score.total_cmp(&other.node.score);
        order.then(other.node.number.cmp(&self.node.number)).is_gt()
    }
}

/// Takes the best out of a list.
fn best<'t>(of: &mut Vec<Fork<'t>>) -> Option<Fork<'t>> {
    let mut best = 0;
    for place in 1..of.len() {
        if of[place].before(&of[best]) {
            best = place;
        }
    }
    (!of.is_empty()).then(|| of.swap_remove(best))
}

/// A search under way.
struct Searching<'s, 't> {
    rollout: &'s Rollout<'s>,
    search: &'s Search,
    enough: Option<f64>,
    critic: &'s Critic,
    ground: &'s Ground,
    dir: std::path::PathBuf,
    live: Vec<Fork<'t>>,
    /// The best one that has ended. A sandbox is kept for no other.
    finished: Option<Fork<'t>>,
    /// Forks that are no more.
    gone: Vec<Node>,
    made: u32,
    total: Sums,
}

impl Rollout<'_> {
    /// Goes on from a fresh attempt to the best one that the budget finds. What comes back has ended,
    /// or failed.
    pub(super) fn search<'t>(
        &self,
        run: Run<'t>,
        search: &Search,
        ground: &Ground,
    ) -> (Run<'t>, Result<(), Failure>) {
        let mut searching = Searching {
            rollout: self,
            search,
            enough: self.job.plan.enough,
            critic: &self.request.critic,
            ground,
            dir: run.dir.clone(),
            live: Vec::new(),
            finished: None,
            gone: Vec::new(),
            made: 1,
            total: Sums::default(),
        };
        let first = Fork { node: Node::default(), run };
        match searching.go(first) {
            Ok(chosen) => searching.end(chosen, Ok(())),
            Err(lost) => searching.end(lost.0, Err(lost.1)),
        }
    }
}

type Lost<'t> = Box<(Fork<'t>, Failure)>;

impl<'t> Searching<'_, 't> {
    fn go(&mut self, first: Fork<'t>) -> Result<Fork<'t>, Lost<'t>> {
        let mut next = Some(first);
        while let Some(fork) = next.take() {
            let forks = self.widen(fork)?;
            let mut lost = Vec::new();
            for stepped in self.step(forks) {
                match stepped {
                    Ok(fork) if fork.run.exit.is_some() => self.finish(fork),
                    Ok(fork) => self.live.push(fork),
                    Err(one) => lost.push(one),
                }
            }
            lost.into_iter().try_for_each(|one| self.lose(one))?;
            while self.live.len() > FRONTIER {
                let mut worst = 0;
                for place in 1..self.live.len() {
                    if self.live[worst].before(&self.live[place]) {
                        worst = place;
                    }
                }
                let worst = self.live.swap_remove(worst);
                self.give_up(worst, "given up");
            }
            let good = |fork: &Fork<'_>| self.enough.is_some_and(|p| fork.node.score >= p);
            let enough = self.finished.as_ref().is_some_and(good);
            let over = enough || self.spent() && self.finished.is_some();
            next = if over { None } else { best(&mut self.live) };
        }
        match self.finished.take() {
            Some(fork) => Ok(fork),
            None => unreachable!("the loop ends when one is finished, or with an error"),
        }
    }

    fn spent(&self) -> bool {
        self.total.calls >= self.search.budget
    }

    /// The forks that go on from one: itself, and others beside it.
    fn widen(&mut self, mut fork: Fork<'t>) -> Result<Vec<Fork<'t>>, Lost<'t>> {
        if fork.node.depth >= self.search.depth || self.spent() {
            return Ok(vec![fork]);
        }
        let dirs: Vec<_> = (1..self.search.width)
            .map(|_| {
                let number = self.made;
                self.made += 1;
                (number, self.dir.join(FORKS).join(number.to_string()))
            })
            .collect();
        let forked = self.rollout.fork_aside(&mut fork.run, dirs.iter().map(|(_, dir)| dir));
        let runs = match forked {
            Ok(runs) => runs,
            Err(failure) => return Err(Box::new((fork, failure))),
        };
        let parent = Some(fork.node.number);
        let depth = fork.node.depth + 1;
        let beside = |(run, (number, _)): (Run<'t>, &(u32, _))| {
            let node = Node { number: *number, parent, depth, ..fork.node.clone() };
            Fork { node, run }
        };
        let mut forks: Vec<Fork<'t>> = runs.into_iter().zip(&dirs).map(beside).collect();
        fork.node.depth = depth;
        forks.insert(0, fork);
        Ok(forks)
    }

    /// Each goes on for a while, at the same time, and is scored.
    fn step(&mut self, forks: Vec<Fork<'t>>) -> Vec<Result<Fork<'t>, Lost<'t>>> {
        let (rollout, critic, ground) = (self.rollout, self.critic, self.ground);
        let every = self.search.every;
        let before: Vec<Sums> = forks.iter().map(|fork| fork.run.sums.clone()).collect();
        let on = |mut fork: Fork<'t>| {
            let until = fork.run.sums.calls + every;
            let stepped = rollout.steps(&mut fork.run, Some(until));
            let scored = stepped.and_then(|()| fork.run.score(critic, ground));
            fork.node.calls = fork.run.sums.calls;
            match scored {
                Ok(score) => {
                    fork.node.score = score;
                    Ok(fork)
                }
                Err(failure) => Err(Box::new((fork, failure))),
            }
        };
        let stepped: Vec<_> = std::thread::scope(|scope| {
            let handles: Vec<_> = forks.into_iter().map(|fork| scope.spawn(|| on(fork))).collect();
            let join = |handle: std::thread::ScopedJoinHandle<'_, _>| match handle.join() {
                Ok(stepped) => stepped,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            handles.into_iter().map(join).collect()
        });
        for (stepped, before) in stepped.iter().zip(before) {
            let fork = match stepped {
                Ok(fork) => fork,
                Err(lost) => &lost.0,
            };
            self.total.add_since(&fork.run.sums, &before);
        }
        stepped
    }

    /// One fork failed. That is the end of the search if all others would fail like it, or if there are
    /// no others.
    fn lose(&mut self, lost: Lost<'t>) -> Result<(), Lost<'t>> {
        let last = self.live.is_empty() && self.finished.is_none();
        if last || lost.1.kind.stops_the_job() {
            return Err(lost);
        }
        let (fork, failure) = *lost;
        self.give_up(fork, &word(&failure.kind));
        Ok(())
    }

    /// One has ended; the better of it and the best so far stays.
    fn finish(&mut self, fork: Fork<'t>) {
        let worse = match self.finished.take() {
            Some(best) if !fork.before(&best) => {
                self.finished = Some(best);
                Some(fork)
            }
            before => {
                self.finished = Some(fork);
                before
            }
        };
        if let Some(worse) = worse {
            let end = worse.run.exit.as_ref().map(word).unwrap_or_default();
            self.give_up(worse, &end);
        }
    }

    fn give_up(&mut self, mut fork: Fork<'t>, why: &str) {
        if let Some(live) = fork.run.live.take() {
            let _ = live.finish().destroy();
        }
        why.clone_into(&mut fork.node.end);
        self.gone.push(fork.node);
    }

    fn give_up_all(&mut self) {
        for fork in std::mem::take(&mut self.live) {
            self.give_up(fork, "not reached");
        }
        if let Some(fork) = self.finished.take() {
            let end = fork.run.exit.as_ref().map(word).unwrap_or_default();
            self.give_up(fork, &end);
        }
    }

    /// The chosen one takes the place of the attempt, and the tree is written down.
    fn end(
        &mut self,
        chosen: Fork<'t>,
        ended: Result<(), Failure>,
    ) -> (Run<'t>, Result<(), Failure>) {
        self.give_up_all();
        let Fork { mut node, mut run } = chosen;
        node.end = match &ended {
            Ok(()) => run.exit.as_ref().map(word).unwrap_or_default(),
            Err(failure) => word(&failure.kind),
        };
        run.searched = Some(Searched {
            nodes: self.made,
            calls: self.total.calls,
            usage: self.total.usage,
            cost: self.total.cost,
            chosen: node.number,
            score: node.score,
        });
        let mut tree = std::mem::take(&mut self.gone);
        tree.push(node);
        tree.sort_by_key(|node| node.number);
        let written = run
            .move_to(&self.dir)
            .and_then(|()| disk::write_json(&self.dir.join(TREE), &tree))
            .and_then(|()| match self.dir.join(FORKS) {
                forks if forks.exists() => fs_err::remove_dir_all(forks),
                _ => Ok(()),
            })
            .map_err(|error| Failure::new(FailureKind::Machine, error.to_string()));
        (run, ended.and(written))
    }
}

impl Run<'_> {
    /// The critic's probability that this comes out right, by what is known of it now.
    fn score(&self, critic: &Critic, ground: &Ground) -> Result<f64, Failure> {
        let mut features = Features::default();
        if let Some(spool) = &self.spool {
            let agent = AgentInfo {
                name: String::new(),
                version: String::new(),
                model_name: None,
                tool_definitions: Vec::new(),
                extra: Map::new(),
            };
            let trajectory = Trajectory {
                schema_version: SCHEMA_VERSION.to_owned(),
                session_id: None,
                trajectory_id: None,
                agent,
                steps: spool.steps()?,
                notes: None,
                final_metrics: None,
                extra: Map::new(),
            };
            let ending = self.exit.as_ref().and_then(|exit| Ending::of(&word(exit).into()));
            features.extend(of_trajectory(&trajectory, ending));
        }
        if let Some(live) = &self.live {
            features.extend(of_patch(&take_patch(live.sandbox(), ground)?.bytes));
        }
        // What cannot be scored goes last.
        Ok(critic.predict(&features).get().unwrap_or(0.0))
    }

    /// What was written of it goes to the directory of the attempt.
    fn move_to(&mut self, dir: &Path) -> std::io::Result<()> {
        if self.dir == dir {
            return Ok(());
        }
        let trace = self.dir.join(job::TRACE);
        if trace.exists() {
            fs_err::rename(trace, dir.join(job::TRACE))?;
        }
        if let Some(spool) = &mut self.spool {
            spool.move_to(dir)?;
        }
        dir.clone_into(&mut self.dir);
        Ok(())
    }
}
