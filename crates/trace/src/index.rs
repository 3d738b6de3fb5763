//! Where a conversation goes in the graph, told from hashes alone.

use std::cmp::Reverse;
use std::sync::{Arc, Weak};

use palestra_model::{Answer, Message, Request, Tool};
use serde::{Deserialize, Serialize};

use crate::branch::{Branch, Counters, Recorded, Why};
use crate::chain::{Chain, Delta, Prefixes};
use crate::graph::Node;
use crate::hash::{self, Hash};

/// A node; they are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

/// A call; they are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u32);

/// What is kept of a node.
#[derive(Debug, Clone)]
struct Slot {
    parent: Option<NodeId>,
    children: Vec<NodeId>,
    exact: Hash,
    relaxed: Hash,
    sampled: bool,
    /// It adds no ids and belongs to no group that does.
    bare: bool,
    /// The ids up to here, if it is known which they are.
    chain: Option<Chain>,
    /// The message that was last seen here: the same allocation is the same message. The allocation
    /// cannot be used again while this is held, nor changed in place.
    seen: Weak<Message>,
    /// The hash of that message, which may have come back otherwise than it stands here.
    seen_hash: Hash,
    /// The last such hash that was reported.
    reported: Hash,
}

/// The nodes of a graph without what is said in them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    slots: Vec<Slot>,
    roots: Vec<(Hash, NodeId)>,
    tools: Option<(Weak<[Tool]>, Hash)>,
    calls: u32,
    pub(crate) counters: Counters,
}

/// A call in its place.
pub(crate) struct Placed {
    pub(crate) recorded: Recorded,
    /// The new nodes.
    pub(crate) nodes: Vec<Node>,
    /// The hash of the tools.
    pub(crate) tools: Hash,
    /// The hash of the conversation that was sent.
    pub(crate) prompt: Hash,
    /// Whether log-probabilities were left out.
    pub(crate) wrong_logprobs: bool,
}

impl Index {
    /// Finds the place of a call and enters it.
    pub(crate) fn place(&mut self, request: &Request, answer: &Answer) -> Placed {
        let call = CallId(self.calls);
        self.calls += 1;
        let tools = self.tools(&request.tools);
        let walk = self.walk(tools, &request.messages);
        let ids = answer.reply.tokens.as_ref();
        // A prompt without ids, or without a message to hold them, is not a prompt with ids.
        let ids = ids.filter(|ids| !ids.prompt.is_empty() && !request.messages.is_empty());
        let mut prefixes = ids.map(|ids| Prefixes::new(&ids.prompt));
        let (after, why) = match &mut prefixes {
            Some(prefixes) => self.attach_tokens(&walk, request.messages.len(), prefixes),
            None => self.attach(&walk, request.messages.len()),
        };
        let why = why.or_else(|| self.new_root(after, tools, &walk));
        let (depth, after) = after.map_or((0, None), |(depth, node)| (depth, Some(node)));
        let relaxed = self.came_back(after, depth, &walk);

        let first = self.slots.len();
        let fresh = request.messages.len() - depth;
        let id = |place: usize| NodeId(u32::try_from(first + place).unwrap_or(u32::MAX));
        let parent = |place: usize| if place == 0 { after } else { Some(id(place - 1)) };
        let mut nodes: Vec<Node> = (depth..request.messages.len())
            .map(|level| Node {
                id: id(level - depth),
                parent: parent(level - depth),
                hash: walk.hashes[level],
                message: request.messages[level].clone(),
                sampled: false,
                tokens: None,
                group: ids.filter(|_| level - depth + 1 < fresh).map(|_| id(fresh - 1)),
                chain: None,
                call,
            })
            .collect();
        let said = Arc::new(answer.reply.message.clone());
        let mut head = Node {
            id: id(fresh),
            parent: parent(fresh),
            hash: hash::exact(&said),
            message: said,
            sampled: true,
            tokens: None,
            group: None,
            chain: None,
            call,
        };
        let mut wrong_logprobs = false;
        if let (Some(ids), Some(prefixes)) = (ids, &mut prefixes) {
            let known = after.and_then(|node| self.slot(node).chain).map_or(0, |it| it.length);
            if let Some(last) = nodes.last_mut() {
                let ids = ids.prompt[known..].to_vec();
                last.tokens = Some(Delta { ids, mask: 0, logprobs: Vec::new() });
                last.chain = Some(prefixes.whole());
            }
            let given = ids.logprobs.len();
            wrong_logprobs = given != 0 && given != ids.completion.len();
            let logprobs = if wrong_logprobs { Vec::new() } else { ids.logprobs.clone() };
            head.tokens = Some(Delta { ids: ids.completion.clone(), mask: 1, logprobs });
            head.chain = Some(prefixes.with(&ids.completion));
        }
        nodes.push(head);
        nodes.iter().for_each(|node| self.enter(node, tools));

        let recorded = Recorded {
            call,
            head: id(fresh),
            new_nodes: (0..=fresh).map(id).collect(),
            branched: why.map(|why| Branch { after, why }),
            relaxed,
        };
        self.counters.count(&recorded);
        self.counters.missing_tokens += u64::from(ids.is_none());
        self.counters.wrong_logprobs += u64::from(wrong_logprobs);
        Placed { recorded, nodes, tools, prompt: hash::join(walk.hashes), wrong_logprobs }
    }

    /// Enters a node. Its id must be the next one, or a later one if nodes were lost.
    pub(crate) fn enter(&mut self, node: &Node, tools: Hash) {
        while self.slots.len() < node.id.0 as usize {
            self.slots.push(Slot {
                parent: None,
                children: Vec::new(),
                exact: Hash([0; 16]),
                relaxed: Hash([0; 16]),
                sampled: false,
                bare: true,
                chain: None,
                seen: Weak::new(),
                seen_hash: Hash([0; 16]),
                reported: Hash([0; 16]),
            });
        }
        match node.parent {
            Some(parent) => self.slots[parent.0 as usize].children.push(node.id),
            None => self.roots.push((tools, node.id)),
        }
        self.slots.push(Slot {
            parent: node.parent,
            children: Vec::new(),
            exact: node.hash,
            relaxed: hash::relaxed(&node.message),
            sampled: node.sampled,
            bare: node.tokens.is_none() && node.group.is_none(),
            chain: node.chain,
            seen: Arc::downgrade(&node.message),
            seen_hash: node.hash,
            reported: node.hash,
        });
    }

    /// Says that a call of this name was made before.
    pub(crate) fn made(&mut self, call: CallId) {
        self.calls = self.calls.max(call.0 + 1);
    }

    fn slot(&self, node: NodeId) -> &Slot {
        &self.slots[node.0 as usize]
    }

    fn tools(&mut self, tools: &Arc<[Tool]>) -> Hash {
        if let Some((seen, hash)) = &self.tools
            && let Some(seen) = seen.upgrade()
            && Arc::ptr_eq(&seen, tools)
        {
            return *hash;
        }
        let hash = hash::of_tools(tools);
        self.tools = Some((Arc::downgrade(tools), hash));
        hash
    }
}

/// A known beginning of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Match {
    /// Its last node.
    node: NodeId,
    /// How many of its messages were sent otherwise than they stand there.
    relaxed: usize,
}

/// How far the messages of a request are known.
struct Walk {
    /// Where the first message leads to, where the first two lead to, and so on.
    levels: Vec<Vec<Match>>,
    /// The hashes of all messages.
    hashes: Vec<Hash>,
}

impl Walk {
    /// The best of several: what was sent as it stands there, and then the latest.
    fn rank(depth: usize, found: Match) -> (usize, Reverse<usize>, NodeId) {
        (depth, Reverse(found.relaxed), found.node)
    }
}

impl Index {
    fn walk(&mut self, tools: Hash, messages: &[Arc<Message>]) -> Walk {
        let mut walk = Walk { levels: Vec::new(), hashes: Vec::with_capacity(messages.len()) };
        let roots = self.roots.iter().filter(|(of, _)| *of == tools);
        let mut next: Vec<Match> =
            roots.map(|(_, root)| Match { node: *root, relaxed: 0 }).collect();
        for message in messages {
            let level = self.level(next, message, &mut walk.hashes);
            next = Vec::new();
            for found in &level {
                let relaxed = found.relaxed;
                let children = &self.slot(found.node).children;
                next.extend(children.iter().map(|child| Match { node: *child, relaxed }));
            }
            if !level.is_empty() {
                walk.levels.push(level);
            }
        }
        walk
    }

    /// Which of these nodes are this message.
    fn level(
        &mut self,
        mut nodes: Vec<Match>,
        message: &Arc<Message>,
        hashes: &mut Vec<Hash>,
    ) -> Vec<Match> {
        let same = |slot: &Slot| std::ptr::eq(Weak::as_ptr(&slot.seen), Arc::as_ptr(message));
        let before = nodes.iter().map(|found| self.slot(found.node)).find(|slot| same(slot));
        let exact = before.map_or_else(|| hash::exact(message), |slot| slot.seen_hash);
        hashes.push(exact);
        let mut relaxed = None;
        nodes.retain_mut(|found| {
            let slot = &mut self.slots[found.node.0 as usize];
            if slot.exact != exact {
                let known = same(slot)
                    || slot.relaxed == *relaxed.get_or_insert_with(|| hash::relaxed(message));
                if !known {
                    return false;
                }
                found.relaxed += 1;
            }
            slot.seen = Arc::downgrade(message);
            slot.seen_hash = exact;
            true
        });
        nodes
    }

    /// Where a call without ids goes on: at the end of the longest known path.
    fn attach(&self, walk: &Walk, sent: usize) -> (Option<(usize, NodeId)>, Option<Why>) {
        let depth = walk.levels.len();
        let level = walk.levels.last().into_iter().flatten();
        match level.max_by_key(|found| Walk::rank(depth, **found)) {
            Some(best) => (Some((depth, best.node)), self.off_the_end(best.node, depth == sent)),
            None => (None, None),
        }
    }

    fn off_the_end(&self, node: NodeId, whole: bool) -> Option<Why> {
        match (self.slot(node).children.is_empty(), whole) {
            (true, _) => None,
            (false, true) => Some(Why::Resampled),
            (false, false) => Some(Why::History),
        }
    }

    /// Where a call with ids goes on: behind the last message up to which they agree.
    fn attach_tokens(
        &self,
        walk: &Walk,
        sent: usize,
        prefixes: &mut Prefixes<'_>,
    ) -> (Option<(usize, NodeId)>, Option<Why>) {
        let mut known: Vec<(usize, Match, Chain)> = Vec::new();
        for (level, nodes) in walk.levels.iter().enumerate() {
            let chained = |found: &Match| Some((level + 1, *found, self.slot(found.node).chain?));
            known.extend(nodes.iter().filter_map(chained));
        }
        known.sort_by_key(|(_, _, chain)| chain.length);
        let length = prefixes.length();
        // With no new message there is nothing that could hold further ids.
        let (fits, differs): (Vec<_>, Vec<_>) = known.into_iter().partition(|(depth, _, chain)| {
            (*depth < sent || chain.length == length) && prefixes.begins_with(*chain)
        });
        let best = fits.into_iter().max_by_key(|(depth, found, _)| Walk::rank(*depth, *found));
        let (depth, agreed) = best.map_or((0, 0), |(depth, _, chain)| (depth, chain.length));
        let best = best.map(|(depth, found, _)| (depth, found.node));
        if depth == walk.levels.len() {
            return (best, best.and_then(|(_, node)| self.off_the_end(node, depth == sent)));
        }
        // A completion that this prompt should contain. That of a prompt may differ: its last ids
        // invite an answer, and another history may go on with something else.
        let broken =
            differs.iter().find(|(at, found, _)| *at > depth && self.slot(found.node).sampled);
        let hole = |found: &Match| self.slot(found.node).sampled && self.slot(found.node).bare;
        let why = match broken {
            Some((_, _, chain)) => Why::Tokens { at: agreed, of: chain.length },
            None if walk.levels[depth..].iter().flatten().any(hole) => Why::Missing,
            None => Why::History,
        };
        (best, Some(why))
    }

    /// Why a call that shares nothing with the graph is not its first.
    fn new_root(&self, after: Option<(usize, NodeId)>, tools: Hash, walk: &Walk) -> Option<Why> {
        if after.is_some() || self.roots.is_empty() {
            return None;
        }
        let first = walk.hashes.first();
        let mut others = self.roots.iter().filter(|(of, _)| *of != tools);
        let known = others.any(|(_, root)| Some(&self.slot(*root).exact) == first);
        Some(if known { Why::Tools } else { Why::History })
    }

    /// The nodes of a path whose messages were sent otherwise than they stand there, and otherwise
    /// than they were sent before.
    fn came_back(&mut self, end: Option<NodeId>, depth: usize, walk: &Walk) -> Vec<NodeId> {
        let mut found = Vec::new();
        let mut node = end;
        for sent in walk.hashes[..depth].iter().rev() {
            let Some(id) = node else { break };
            let slot = &mut self.slots[id.0 as usize];
            if slot.exact != *sent && slot.reported != *sent {
                slot.reported = *sent;
                found.push(id);
            }
            node = slot.parent;
        }
        found.reverse();
        found
    }
}
