//! Paths through the graph, as one trains on them.

use std::collections::HashSet;
use std::sync::Arc;

use palestra_model::{Message, Tool};

use crate::chain::Chain;
use crate::graph::{Graph, Node};
use crate::index::NodeId;

/// A conversation from its first message to the end of a branch.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The nodes. The last one has no child.
    pub nodes: Vec<NodeId>,
    /// Their messages.
    pub messages: Vec<Arc<Message>>,
    /// For each message: whether the model said it on this path.
    pub sampled: Vec<bool>,
    /// The tools on offer.
    pub tools: Arc<[Tool]>,
    /// The ids of the last prompt and of its completion; empty where the chain is not complete.
    pub token_ids: Vec<u32>,
    /// For each id: 1 if it was sampled by the server in a call of this path.
    pub mask: Vec<u8>,
    /// For each id its log-probability, 0 where it was not sampled; `None` where the server did not
    /// give them for every sampled one.
    pub logprobs: Option<Vec<f64>>,
    /// What is missing, if anything is.
    pub incomplete: Option<Incomplete>,
}

/// Why a path has no chain of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// A call of the path came without ids.
    #[error("no token ids are known for node {}", .0.0)]
    Missing(NodeId),
    /// The ids are not those that were recorded: the file was changed or damaged.
    #[error("the token ids up to node {} are not those that were recorded", .0.0)]
    Damaged(NodeId),
}

impl Sample {
    /// Whether [`Self::token_ids`] are exactly what the server was given and gave last.
    pub fn complete(&self) -> bool {
        self.incomplete.is_none()
    }
}

impl Graph {
    /// Every path from a root to a leaf, in the order of the leaves. Paths share their beginnings, so
    /// who sums over samples counts a node of several once, by its id.
    pub fn branches(&self) -> Vec<Sample> {
        let parents: HashSet<NodeId> = self.nodes.iter().filter_map(|node| node.parent).collect();
        let leaves = self.nodes.iter().filter(|node| !parents.contains(&node.id));
        leaves.map(|leaf| self.sample(leaf.id)).collect()
    }

    /// The path to a node. Ids of a group are there only if its last node is.
    pub fn sample(&self, end: NodeId) -> Sample {
        let path = self.path(end);
        let tools = path.last().and_then(|node| self.call(node.call));
        let tools = tools.and_then(|call| self.tools(call.tools)).cloned();
        let mut sample = Sample {
            nodes: path.iter().map(|node| node.id).collect(),
            messages: path.iter().map(|node| node.message.clone()).collect(),
            sampled: path.iter().map(|node| node.sampled).collect(),
            tools: tools.unwrap_or_else(|| Arc::from([])),
            token_ids: Vec::new(),
            mask: Vec::new(),
            logprobs: Some(Vec::new()),
            incomplete: None,
        };
        if let Err(why) = sample.join(&path) {
            sample.token_ids.clear();
            sample.mask.clear();
            sample.logprobs = None;
            sample.incomplete = Some(why);
        }
        sample
    }
}

impl Sample {
    fn join(&mut self, path: &[&Node]) -> Result<(), Incomplete> {
        let mut logprobs = Some(Vec::new());
        let mut end = None;
        for node in path {
            match (&node.tokens, node.group) {
                (Some(delta), _) => {
                    self.token_ids.extend(&delta.ids);
                    self.mask.extend(std::iter::repeat_n(delta.mask, delta.ids.len()));
                    if delta.mask == 0 {
                        let zeros = std::iter::repeat_n(0.0, delta.ids.len());
                        logprobs.iter_mut().for_each(|all| all.extend(zeros.clone()));
                    } else if delta.logprobs.len() == delta.ids.len() {
                        logprobs.iter_mut().for_each(|all| all.extend(&delta.logprobs));
                    } else {
                        logprobs = None;
                    }
                    end = None;
                }
                // Its ids must come, later on this path.
                (None, Some(group)) if self.nodes.contains(&group) => end = Some(node.id),
                (None, _) => return Err(Incomplete::Missing(node.id)),
            }
        }
        if let Some(open) = end {
            return Err(Incomplete::Missing(open));
        }
        let Some(last) = path.last() else { return Ok(()) };
        if last.chain != Some(Chain::of(&self.token_ids)) {
            return Err(Incomplete::Damaged(last.id));
        }
        self.logprobs = logprobs;
        Ok(())
    }
}
