//! What decides a run, as one hash.

use std::time::Duration;

use palestra_build::rows::RowEnvironment;
use palestra_core::Hash;
use palestra_dataset::Instance;
use palestra_dialect::Ladder;

/// Raised when the same parts would give another run.
const FORM: &str = "palestra-run-2";

/// Everything that decides what a log says.
pub(crate) struct Parts<'a> {
    pub(crate) environment: &'a RowEnvironment,
    /// What makes the bug in the environment's tree.
    pub(crate) bug: Option<&'a str>,
    pub(crate) patch: Option<&'a [u8]>,
    pub(crate) script: &'a str,
    pub(crate) command: &'a [&'static str],
    /// Whether its markers hold a secret word.
    pub(crate) secret: bool,
    pub(crate) ladder: &'a Ladder,
    pub(crate) timeout: Option<Duration>,
    pub(crate) memory: u64,
}

impl Parts<'_> {
    pub(crate) fn key(&self) -> Hash {
        let mut parts: Vec<Vec<u8>> = vec![FORM.into()];
        parts.extend(layers(self.environment).into_iter().map(String::into_bytes));
        let environment = self.environment;
        parts.push(format!("{:?}{:?}", environment.binds, environment.env).into());
        parts.push(environment.workdir.clone().into());
        parts.push(match self.patch {
            None => b"none".to_vec(),
            Some(patch) => Hash::of(patch).to_string().into(),
        });
        parts.push(self.script.into());
        parts.push(format!("{:?}{:?}", self.command, self.ladder).into());
        parts.push(format!("{:?} {} {}", self.timeout, self.memory, self.secret).into());
        parts.extend(self.bug.map(|bug| format!("bug {}", Hash::of(bug.as_bytes())).into()));
        Hash::of_parts(parts)
    }
}

/// The names of an environment's layers, lowest first.
pub(crate) fn layers(environment: &RowEnvironment) -> Vec<String> {
    let name = |path: &std::path::PathBuf| {
        path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    };
    environment.layers.iter().map(name).collect()
}

/// What of a row decides a verdict, besides its runs.
pub(crate) fn row(instance: &Instance) -> Hash {
    let mut parts = vec![
        instance.instance_id.to_string(),
        instance.repo.clone(),
        format!("{:?}", (&instance.version, &instance.log_parser, instance.eval_type)),
        format!("{:?}", instance.expected),
    ];
    for list in [&instance.fail_to_pass, &instance.pass_to_pass] {
        parts.push(list.len().to_string());
        parts.extend(list.iter().cloned());
    }
    Hash::of_parts(parts)
}
