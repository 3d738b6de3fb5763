//! Where a call went in the graph.

use serde::{Deserialize, Serialize};

use crate::index::{CallId, NodeId};

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The call.
    pub call: CallId,
    /// What the model said.
    pub head: NodeId,
    /// The nodes that are new, in the order of the path; the last one is `head`.
    pub new_nodes: Vec<NodeId>,
    /// Why the call did not simply go on from the end of a path.
    pub branched: Option<Branch>,
    /// Nodes whose messages came back otherwise than the model had said them.
    pub relaxed: Vec<NodeId>,
}

/// The beginning of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// The last node that the branch shares with others; `None` for a root of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<NodeId>,
    /// Why.
    pub why: Why,
}

/// Why a branch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The history was edited or summarised, or another conversation began: a sub-agent.
    History,
    /// The very same conversation was sent before.
    Resampled,
    /// The same conversation with other tools.
    Tools,
    /// The ids of the prompt are not those of the earlier prompt and completion.
    Tokens {
        /// So many ids are known to agree.
        at: usize,
        /// Among so many first ids there is one that differs, or one that is not there.
        of: usize,
    },
    /// An earlier call of this conversation came without ids.
    Missing,
}

/// Counts of a graph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Calls.
    pub calls: u64,
    /// Nodes.
    pub nodes: u64,
    /// Branches by [`Why::History`].
    pub branches_history: u64,
    /// Branches by [`Why::Resampled`].
    pub branches_resampled: u64,
    /// Branches by [`Why::Tools`].
    pub branches_tools: u64,
    /// Branches by [`Why::Tokens`]: prompts that were tokenised otherwise than before.
    pub branches_tokens: u64,
    /// Branches by [`Why::Missing`].
    pub branches_missing: u64,
    /// Messages that came back otherwise than the model had said them.
    pub relaxed: u64,
    /// Calls without token ids.
    pub missing_tokens: u64,
    /// Calls with token ids whose log-probabilities are not one for each of them; they were left out.
    pub wrong_logprobs: u64,
}

impl Counters {
    pub(crate) fn count(&mut self, recorded: &Recorded) {
        self.calls += 1;
        self.nodes += recorded.new_nodes.len() as u64;
        self.relaxed += recorded.relaxed.len() as u64;
        match recorded.branched.map(|branch| branch.why) {
            None => {}
            Some(Why::History) => self.branches_history += 1,
            Some(Why::Resampled) => self.branches_resampled += 1,
            Some(Why::Tools) => self.branches_tools += 1,
            Some(Why::Tokens { .. }) => self.branches_tokens += 1,
            Some(Why::Missing) => self.branches_missing += 1,
        }
    }
}
