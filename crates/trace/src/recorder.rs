//! Writing a graph while it grows.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use fs_err::{self as fs, OpenOptions};
use palestra_model::{Answer, Message, ModelError, Request};

use crate::branch::{Counters, Recorded};
use crate::error::{Result, TraceError};
use crate::file;
use crate::graph::{Call, Node};
use crate::hash::{self, Hash};
use crate::index::Index;
use crate::line::{FORM, Failed, LineRef, NodeLine};

/// Writes a graph to a file, call by call. In memory it keeps hashes, some 250 bytes for each node,
/// and no descriptor.
///
/// Each call is appended by one write. A call that was cut off is as if it had not been made.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    index: Index,
    /// Messages and sets of tools that are in the file.
    written: HashSet<Hash>,
}

impl Recorder {
    /// Begins a file, or goes on with one. What was cut off at its end is removed.
    ///
    /// # Errors
    /// The file cannot be read or written, or is something else.
    pub fn open(path: &Path) -> Result<Self> {
        if !fs::exists(path)? || fs::metadata(path)?.len() == 0 {
            let recorder =
                Self { path: path.to_owned(), index: Index::default(), written: HashSet::new() };
            let mut line = Vec::new();
            recorder.put(&mut line, &LineRef::Trace(FORM))?;
            fs::write(path, line)?;
            return Ok(recorder);
        }
        let read = file::read(path)?;
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(read.whole)?;
        Ok(Self { path: path.to_owned(), index: read.graph.index, written: read.written })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Counts of calls and branches.
    pub fn counters(&self) -> Counters {
        self.index.counters
    }

    /// Enters a call and appends it to the file. `time` is in seconds since 1970.
    ///
    /// # Errors
    /// The file cannot be written. The call is then in memory only, and nodes that follow from it
    /// would have no parent in the file: stop recording.
    pub fn record(&mut self, request: &Request, answer: &Answer, time: f64) -> Result<Recorded> {
        let placed = self.index.place(request, answer);
        let mut lines = Vec::with_capacity(answer.received.len() + 4096);
        if self.written.insert(placed.tools) {
            let line = LineRef::Tools { hash: placed.tools, tools: &request.tools };
            self.put(&mut lines, &line)?;
        }
        let call = Call::new(&placed, request, answer, time);
        for node in placed.nodes {
            if self.written.insert(node.hash) {
                let line = LineRef::Message { hash: node.hash, message: &node.message };
                self.put(&mut lines, &line)?;
            }
            self.put(&mut lines, &LineRef::Node(&node.into()))?;
        }
        self.put(&mut lines, &LineRef::Call(&call))?;
        self.append(&lines)?;
        Ok(placed.recorded)
    }

    /// Appends a call that has no reply. It does not change the graph.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn failed(&mut self, request: &Request, error: &ModelError, time: f64) -> Result<()> {
        let messages = request.messages.iter().map(|message| -> &Message { message });
        let failed = Failed {
            time,
            model: request.model.clone(),
            prompt: hash::of_messages(messages),
            error: error.to_string(),
        };
        let mut line = Vec::new();
        self.put(&mut line, &LineRef::Failed(&failed))?;
        self.append(&line)
    }

    /// A recorder that goes on from here in a file of its own, which begins as a copy of this one.
    ///
    /// # Errors
    /// The file cannot be copied.
    pub fn fork(&self, path: &Path) -> Result<Self> {
        fs::copy(&self.path, path)?;
        Ok(Self { path: path.to_owned(), index: self.index.clone(), written: self.written.clone() })
    }

    fn put(&self, lines: &mut Vec<u8>, line: &LineRef<'_>) -> Result<()> {
        serde_json::to_writer(&mut *lines, line).map_err(|error| TraceError::Unwritable {
            path: self.path.display().to_string(),
            what: error.to_string(),
        })?;
        lines.push(b'\n');
        Ok(())
    }

    fn append(&self, lines: &[u8]) -> Result<()> {
        // Opened each time: a thousand recorders would hold a thousand descriptors.
        OpenOptions::new().append(true).open(&self.path)?.write_all(lines)?;
        Ok(())
    }
}

impl From<Node> for NodeLine {
    fn from(node: Node) -> Self {
        Self {
            id: node.id,
            parent: node.parent,
            message: node.hash,
            sampled: node.sampled,
            tokens: node.tokens,
            group: node.group,
            chain: node.chain,
            call: node.call,
        }
    }
}
