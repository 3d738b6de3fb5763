//! What decided a verdict, by hashes.

use std::collections::BTreeMap;

use palestra_core::{Environment, Hash, TestFile};
use palestra_sandbox::{Base, Writable};

use super::GradeInput;
use crate::grading::Evidence;

/// Raised when the same files may be judged in another way: of the grader, and of what reads its
/// runner's record.
const VERSION: &str = "grade 1, record 1";

/// What will decide a verdict. Equal keys mean that the answer is known.
pub fn evidence(input: &GradeInput<'_>) -> Evidence {
    let layers = input.spec.layers.iter().map(|path| {
        path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned())
    });
    Evidence {
        layers: layers.collect(),
        environment: environment(input.environment),
        patch: Hash::of(input.patch),
        gold: Hash::of(input.gold),
        tests: tests(input.test_files),
        lists: lists([input.test_paths, input.fail_to_pass, input.pass_to_pass]),
        grader: grader(),
        limits: limits(input),
        options: input.options,
    }
}

/// How an environment is installed and run.
pub(crate) fn environment(environment: &Environment) -> Hash {
    Hash::of(&serde_json::to_vec(environment).unwrap_or_default())
}

/// Hidden files: paths, modes and contents.
pub(crate) fn tests(files: &[(TestFile, Option<Vec<u8>>)]) -> Hash {
    Hash::of_parts(files.iter().flat_map(|(file, content)| {
        let hash = content.as_ref().map_or(String::new(), |bytes| Hash::of(bytes).to_string());
        [file.path.clone(), format!("{:o}", file.mode), hash]
    }))
}

/// What is run, and the tests that must pass.
pub(crate) fn lists(lists: [&[String]; 3]) -> Hash {
    Hash::of_parts(lists.iter().map(|list| Hash::of_parts(list.iter()).to_string()))
}

fn limits(input: &GradeInput<'_>) -> BTreeMap<String, String> {
    let limits = &input.spec.limits;
    let base = match &input.spec.base {
        Base::Host => "host".to_owned(),
        Base::Empty => "empty".to_owned(),
        Base::Image(name) => name.clone(),
    };
    let writable = match input.spec.writable {
        Writable::Tmpfs { bytes } => bytes.to_string(),
        Writable::Disk => "disk".to_owned(),
    };
    let cpus = limits.cpus.map_or("all".to_owned(), |cpus| cpus.to_string());
    let named = [
        ("seconds", input.limits.seconds.to_string()),
        ("memory", limits.memory.to_string()),
        ("processes", limits.processes.to_string()),
        ("open_files", limits.open_files.to_string()),
        ("disk", limits.disk.to_string()),
        ("writable", writable),
        ("cpus", cpus),
        ("base", base),
    ];
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What the grader is made of.
pub(crate) fn grader() -> Hash {
    let mut parts = vec![VERSION.to_owned(), crate::policy::hash().to_string()];
    parts.extend(crate::runner::FILES.iter().map(|(name, text)| format!("{name}\n{text}")));
    Hash::of_parts(parts)
}
