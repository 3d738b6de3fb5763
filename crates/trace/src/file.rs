//! Reading a graph from its file.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use fs_err::File;
use palestra_model::Message;

use crate::branch::Recorded;
use crate::error::{Result, TraceError};
use crate::graph::{Call, Graph, Node};
use crate::hash::{self, Hash};
use crate::index::NodeId;
use crate::line::{FORM, Failed, Line, NodeLine};

/// What was read.
#[derive(Debug)]
pub struct Read {
    /// The graph.
    pub graph: Graph,
    /// Calls that have no reply.
    pub failed: Vec<Failed>,
    /// What could not be read, by line. A file that was cut off has one problem, its last line.
    pub problems: Vec<String>,
    /// The length of the file up to the last whole call, in bytes.
    pub(crate) whole: u64,
    /// The messages and sets of tools in that part.
    pub(crate) written: HashSet<Hash>,
}

/// Reads a trace. A line that is broken costs only its call, and what goes on from it.
///
/// # Errors
/// The file cannot be read, or its first line is not that of a trace.
pub fn read(path: &Path) -> Result<Read> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut bytes = Vec::new();
    let mut reading = Reading::default();
    let (mut number, mut place) = (0, 0);
    loop {
        bytes.clear();
        let length = reader.read_until(b'\n', &mut bytes)?;
        if length == 0 {
            break;
        }
        number += 1;
        place += length as u64;
        let ended = bytes.last() == Some(&b'\n');
        let line = serde_json::from_slice::<Line>(&bytes);
        let form = |what: String| TraceError::Form { path: path.display().to_string(), what };
        match line {
            Ok(Line::Trace(FORM)) if number == 1 && ended => reading.whole(place),
            Ok(Line::Trace(other)) if number == 1 => return Err(form(format!("form {other}"))),
            _ if number == 1 => {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
                return Err(form(format!("it begins with {start:?}")));
            }
            Ok(_) if !ended => reading.problems.push(format!("line {number}: cut off")),
            Ok(line) => match reading.take(line) {
                Ok(true) => reading.whole(place),
                Ok(false) => {}
                Err(what) => reading.problems.push(format!("line {number}: {what}")),
            },
            Err(error) => reading.problems.push(format!("line {number}: {error}")),
        }
    }
    if number == 0 {
        return Err(TraceError::Form {
            path: path.display().to_string(),
            what: "it is empty".to_owned(),
        });
    }
    Ok(Read {
        graph: reading.graph,
        failed: reading.failed,
        problems: reading.problems,
        whole: reading.length,
        written: reading.kept,
    })
}

#[derive(Default)]
struct Reading {
    graph: Graph,
    failed: Vec<Failed>,
    problems: Vec<String>,
    messages: HashMap<Hash, Arc<Message>>,
    /// Messages and tools of which it is not yet certain that they stay in the file.
    fresh: Vec<Hash>,
    kept: HashSet<Hash>,
    nodes: Vec<NodeLine>,
    length: u64,
}

impl Reading {
    fn whole(&mut self, length: u64) {
        self.length = length;
        self.kept.extend(self.fresh.drain(..));
    }

    /// Takes a line. Says whether the file may end after it.
    fn take(&mut self, line: Line) -> Result<bool, String> {
        match line {
            Line::Trace(_) => Err("a second beginning".to_owned()),
            Line::Tools { hash, tools } => {
                self.graph.tools.insert(hash, tools.into());
                self.fresh.push(hash);
                Ok(false)
            }
            Line::Message { hash, message } => {
                if hash::exact(&message) != hash {
                    return Err(format!("message {hash} is another one"));
                }
                self.messages.insert(hash, Arc::from(message));
                self.fresh.push(hash);
                Ok(false)
            }
            Line::Node(node) => {
                self.nodes.push(node);
                Ok(false)
            }
            Line::Call(call) => {
                self.call(*call)?;
                Ok(true)
            }
            Line::Failed(failed) => {
                self.failed.push(failed);
                Ok(self.nodes.is_empty())
            }
        }
    }

    fn call(&mut self, call: Call) -> Result<(), String> {
        let lines = std::mem::take(&mut self.nodes);
        let mut nodes: Vec<Node> = Vec::new();
        let mut last = self.graph.nodes.last().map(|node| node.id);
        for line in lines.into_iter().filter(|line| line.call == call.id) {
            let lost = |what: &str| format!("call {} is lost: {what}", call.id.0);
            let here = |id: NodeId| {
                nodes.iter().any(|node| node.id == id) || self.graph.node(id).is_some()
            };
            if last.is_some_and(|last| line.id <= last) {
                return Err(lost("its nodes are not in order"));
            }
            if line.parent.is_some_and(|parent| !here(parent)) {
                return Err(lost("it goes on from a call that was lost"));
            }
            let message = self.messages.get(&line.message).ok_or_else(|| lost("no message"))?;
            last = Some(line.id);
            nodes.push(Node {
                id: line.id,
                parent: line.parent,
                hash: line.message,
                message: message.clone(),
                sampled: line.sampled,
                tokens: line.tokens,
                group: line.group,
                chain: line.chain,
                call: line.call,
            });
        }
        if last != Some(call.head) {
            return Err(format!("call {} is lost: its last node is missing", call.id.0));
        }
        let recorded = Recorded {
            call: call.id,
            head: call.head,
            new_nodes: nodes.iter().map(|node| node.id).collect(),
            branched: call.branched,
            relaxed: call.relaxed.clone(),
        };
        let index = &mut self.graph.index;
        index.counters.count(&recorded);
        index.counters.wrong_logprobs += u64::from(call.wrong_logprobs);
        let bare = nodes.last().is_some_and(|node| node.tokens.is_none());
        index.counters.missing_tokens += u64::from(bare);
        index.made(call.id);
        nodes.iter().for_each(|node| index.enter(node, call.tools));
        self.graph.nodes.append(&mut nodes);
        self.graph.calls.push(call);
        Ok(())
    }
}
