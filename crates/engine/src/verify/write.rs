//! Who writes tests that show an issue: files that are given, or a model that sees what agents see.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use palestra_core::{Hash, disk};
use palestra_model::{CallOptions, Message, Model, Request, Sampling};
use palestra_sandbox::FileOp;
use palestra_verify::execution::{SourceFile, test_program, test_prompt};

use super::ground::Ground;
use crate::derive::optional;
use crate::error::EngineError;

/// What a writer of tests is shown: never the fix, never a hidden test.
pub struct Ask<'a> {
    /// The task: its statement and its base tree.
    pub ground: &'a Ground,
    /// Every Python file of the base tree.
    pub sources: &'a [SourceFile<'a>],
    /// Test files near to what attempts changed, the nearest first.
    pub near: &'a [String],
}

/// Generated tests that are run together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestSample {
    /// Its name, which is that of its tests too.
    pub name: String,
    /// Files that are written for it, by path in the repository.
    pub files: Vec<(String, Vec<u8>)>,
    /// What is run.
    pub paths: Vec<String>,
    /// The tests that are asked; all of them where that is not said.
    pub tests: Option<BTreeSet<String>>,
}

/// Who writes tests.
pub trait TestWriter: Sync {
    /// Writes samples of tests for a task. None is an answer too.
    ///
    /// # Errors
    /// Only if the machine or the model's server fails.
    fn write(&self, ask: &Ask<'_>) -> Result<Vec<TestSample>, EngineError>;
}

impl TestSample {
    /// A file of tests.
    pub fn file(name: String, path: String, content: Vec<u8>) -> Self {
        Self { name, paths: vec![path.clone()], files: vec![(path, content)], tests: None }
    }

    pub(super) fn ops(&self) -> impl Iterator<Item = FileOp> + '_ {
        self.files.iter().map(|(path, bytes)| FileOp::Write {
            path: PathBuf::from("/testbed").join(path),
            mode: 0o644,
            bytes: bytes.clone(),
        })
    }
}

/// Tests from a directory: every `TASK/*.py` in it is a sample for that task.
#[derive(Debug, Clone)]
pub struct GivenTests {
    /// The directory.
    pub dir: PathBuf,
}

impl TestWriter for GivenTests {
    fn write(&self, ask: &Ask<'_>) -> Result<Vec<TestSample>, EngineError> {
        let dir = self.dir.join(&ask.ground.id);
        if !dir.is_dir() {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        for entry in fs_err::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "py") {
                files.push(path);
            }
        }
        files.sort();
        let sample = |path: PathBuf| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let content = fs_err::read(&path)?;
            Ok(TestSample::file(name.clone(), place(ask, &name), content))
        };
        files.into_iter().map(sample).collect()
    }
}

/// Where a generated file is put: beside the nearest tests, under a name that is not there.
fn place(ask: &Ask<'_>, name: &str) -> String {
    let beside = ask.near.first().and_then(|path| path.rsplit_once('/')).map(|(dir, _)| dir);
    let stem: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let file = format!("test_generated_{stem}.py");
    match beside {
        Some(dir) => format!("{dir}/{file}"),
        None => file,
    }
}

/// A testing agent in its simplest form: a model that is asked once for each sample.
pub struct ModelWriter {
    /// Who is asked.
    pub model: Arc<dyn Model>,
    /// The model's name as its server knows it.
    pub name: String,
    /// Samples.
    pub samples: u32,
    /// Temperature. At 0 all samples are one.
    pub temperature: f64,
    /// Bytes of sources and tests that are shown, at most.
    pub bytes: usize,
    /// Where answers are kept for the next time.
    pub cache: Option<PathBuf>,
}

impl ModelWriter {
    /// The answer to a request, asked for once.
    fn answer(&self, request: &Request) -> Result<String, EngineError> {
        let asked: Vec<String> = request.messages.iter().map(|m| m.content_text()).collect();
        let sampling = serde_json::to_vec(&request.sampling).unwrap_or_default();
        let key = Hash::of_parts([self.name.as_bytes(), &sampling, asked.join("\0").as_bytes()]);
        let file = self.cache.as_ref().map(|dir| dir.join(format!("{key}.txt")));
        if let Some(file) = &file
            && let Some(bytes) = optional(file)?
        {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        let answer = self.model.call(request, &CallOptions::default()).map_err(|error| {
            EngineError::Input(format!("no tests can be had from {}: {error}", self.name))
        })?;
        let text = answer.reply.message.content_text();
        if let Some(file) = &file {
            disk::write_atomic(file, text.as_bytes())?;
        }
        Ok(text)
    }
}

impl TestWriter for ModelWriter {
    fn write(&self, ask: &Ask<'_>) -> Result<Vec<TestSample>, EngineError> {
        let near = ask.near.first().map(String::as_str);
        let prompt = test_prompt(&ask.ground.statement, ask.sources, near, self.bytes);
        let mut samples = Vec::new();
        for sample in 1..=self.samples {
            let messages = vec![
                Arc::new(Message::system(&*prompt.system)),
                Arc::new(Message::user(&*prompt.user)),
            ];
            let sampling = Sampling {
                temperature: Some(self.temperature),
                // Samples must differ, also where answers are recorded.
                seed: Some(u64::from(sample)),
                max_tokens: Some(4096),
                ..Sampling::default()
            };
            let request = Request { sampling, ..Request::new(&*self.name, messages) };
            let answer = self.answer(&request)?;
            // An answer without a program is a sample without tests.
            if let Some(program) = test_program(&answer) {
                let name = format!("sample_{sample}");
                samples.push(TestSample::file(name.clone(), place(ask, &name), program.into()));
            }
        }
        Ok(samples)
    }
}
