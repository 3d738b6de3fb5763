//! Blobs, read through one long-lived git process.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use palestra_core::CommitId;

use crate::command;
use crate::error::GitError;
use crate::refs::is_object_name;

/// Blobs above this size are refused unless [`BlobReader::with_limit`] says otherwise: 256 MiB.
pub const MAX_BLOB_BYTES: u64 = 256 << 20;

/// How many requests are sent ahead of their answers. What they take (under 8 KiB) must fit
/// into a pipe, or both sides would wait for each other.
const AHEAD: usize = 64;

/// Reads objects by name. One process per reader; dropping the reader ends it.
#[derive(Debug)]
pub struct BlobReader {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    limit: u64,
}

impl BlobReader {
    pub(crate) fn start(git_dir: &Path) -> Result<Self, GitError> {
        let mut git = command::on(git_dir);
        git.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stderr(Stdio::null());
        let mut child = command::spawn(&mut git)?;
        let requests = child.stdin.take();
        let answers = child.stdout.take().map(|out| BufReader::with_capacity(64 << 10, out));
        let answers = answers.ok_or_else(|| io::Error::other("git cat-file has no output"))?;
        Ok(Self { child, requests, answers, limit: MAX_BLOB_BYTES })
    }

    /// The same reader, refusing objects above `bytes`.
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// The content of the object named `oid`. An error of kind `NotFound` if there is none,
    /// `FileTooLarge` if it is above the limit.
    pub fn read(&mut self, oid: &str) -> io::Result<Vec<u8>> {
        self.read_object(oid, "blob")
    }

    /// [`BlobReader::read`] for many objects, several requests ahead of the answers. An object
    /// that is missing or above the limit is an error in its own place.
    pub fn read_many<S: AsRef<str>>(&mut self, oids: &[S]) -> io::Result<Vec<io::Result<Vec<u8>>>> {
        self.read_objects(oids, "blob")
    }

    /// [`BlobReader::read`] for an object of another kind.
    pub(crate) fn read_object(&mut self, oid: &str, kind: &str) -> io::Result<Vec<u8>> {
        self.ask(&[checked(oid)?])?;
        self.answer(oid, kind)?
    }

    /// [`BlobReader::read_many`] for objects of another kind.
    pub(crate) fn read_objects<S: AsRef<str>>(
        &mut self,
        oids: &[S],
        kind: &str,
    ) -> io::Result<Vec<io::Result<Vec<u8>>>> {
        let mut contents = Vec::with_capacity(oids.len());
        for group in oids.chunks(AHEAD) {
            let names: io::Result<Vec<&str>> = group.iter().map(|o| checked(o.as_ref())).collect();
            self.ask(&names?)?;
            for oid in group {
                contents.push(self.answer(oid.as_ref(), kind)?);
            }
        }
        Ok(contents)
    }

    /// The content of `path` in the commit's tree; `None` where there is no such file.
    pub fn read_path(&mut self, commit: &CommitId, path: &[u8]) -> io::Result<Option<Vec<u8>>> {
        if path.contains(&b'\n') {
            // The protocol is made of lines. Such paths are read by their object's name.
            return Ok(None);
        }
        let request = [commit.as_str().as_bytes(), b":", path, b"\n"].concat();
        self.send(&request)?;
        match self.answer(&String::from_utf8_lossy(path), "blob")? {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn ask(&mut self, oids: &[&str]) -> io::Result<()> {
        let mut request = String::with_capacity(oids.len() * 65);
        for oid in oids {
            request.push_str(oid);
            request.push('\n');
        }
        self.send(request.as_bytes())
    }

    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        let pipe = self.requests.as_mut();
        let pipe = pipe.ok_or_else(|| io::Error::other("git cat-file has no input"))?;
        pipe.write_all(request)
    }

    /// Reads one answer. The outer error ends the reader; the inner one concerns one object.
    fn answer(&mut self, what: &str, wanted: &str) -> io::Result<io::Result<Vec<u8>>> {
        let mut header = Vec::new();
        self.answers.read_until(b'\n', &mut header)?;
        if header.pop() != Some(b'\n') {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("git cat-file ended before it gave {what}"),
            ));
        }
        let header = String::from_utf8_lossy(&header);
        let mut words = header.split(' ');
        let sizes = match (words.next(), words.next(), words.next(), words.next()) {
            (Some(oid), Some(kind), Some(size), None) if is_object_name(oid) => {
                size.parse::<u64>().ok().map(|size| (kind, size))
            }
            _ => None,
        };
        let Some((kind, size)) = sizes else {
            let text = format!("no object {what} in the repository");
            return Ok(Err(io::Error::new(io::ErrorKind::NotFound, text)));
        };
        if size > self.limit {
            self.skip(size + 1)?;
            let text = format!("{what} has {size} bytes; the limit is {}", self.limit);
            return Ok(Err(io::Error::new(io::ErrorKind::FileTooLarge, text)));
        }
        let mut content = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        self.answers.read_exact(&mut content)?;
        self.skip(1)?;
        if kind != wanted {
            let text = format!("{what} is a {kind}, not a {wanted}");
            return Ok(Err(io::Error::new(io::ErrorKind::NotFound, text)));
        }
        Ok(Ok(content))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let copied = io::copy(&mut self.answers.by_ref().take(bytes), &mut io::sink())?;
        if copied == bytes {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "git cat-file ended inside an object"))
    }
}

impl Drop for BlobReader {
    fn drop(&mut self) {
        // End of input is git's signal to end; the kill is for one that is stuck in a write.
        drop(self.requests.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn checked(oid: &str) -> io::Result<&str> {
    if is_object_name(oid) {
        return Ok(oid);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{oid:?} is not an object name")))
}
