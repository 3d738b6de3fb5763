//! An interpreter of the host as a layer, where conda would have put one.
//!
//! A virtual environment will not do: scripts of data sets rely on the environment's `python`
//! being an interpreter of its own, for example by linking to it from elsewhere.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use palestra_core::Hash;
use palestra_sandbox::{Bind, Exec, LayerBuilder};

use crate::error::BuildError;
use crate::interpreters::Interpreter;
use crate::resolve;
use crate::rows::builder::RowBuilder;
use crate::rows::failure::{self, Failed, RowCause, RowStep};
use crate::rows::packages;
use crate::rows::place;
use crate::rows::standin::PREFIX;

/// Raised when the same interpreter gives another layer.
const FORM: &str = "1";

/// How the output of an interpreter begins that does not run where it was copied to.
const STUCK: &str = "the copied interpreter does not run: ";

/// What runs Python in a row's sandboxes.
#[derive(Debug, Clone)]
pub(crate) struct Runtime {
    /// Names the interpreter and how it is had.
    pub(crate) name: String,
    /// The interpreter itself, lowest first; nothing where a virtual environment has to do.
    pub(crate) layers: Vec<PathBuf>,
    /// What of the host must be visible.
    pub(crate) binds: Vec<Bind>,
    /// The executable inside, for uv.
    pub(crate) executable: PathBuf,
}

/// The interpreter as layers; one that belongs to the system, or that does not run elsewhere than
/// where it was installed, is used where it is.
pub(crate) fn runtime(builder: &RowBuilder, interpreter: &Interpreter) -> Result<Runtime, Failed> {
    let key = Hash::of_parts([
        FORM.to_owned(),
        interpreter.executable.display().to_string(),
        interpreter.full(),
    ]);
    let in_place = || Runtime {
        name: format!("venv-{}", key.short()),
        layers: Vec::new(),
        binds: resolve::interpreter_binds(interpreter),
        executable: interpreter.executable.clone(),
    };
    let Some(prefix) = &interpreter.prefix else { return Ok(in_place()) };
    let machine = |error: &dyn std::fmt::Display| Failed::machine(RowStep::Packages, error);
    let minor = interpreter.minor().to_string();
    let name = format!("rows-python-{}", key.short());
    let source = builder
        .options
        .store
        .build_layer(&name, |layer| copy(layer, interpreter, prefix, &minor))
        .map_err(|e: BuildError| machine(&e))?;
    let moved = Runtime {
        name: name.clone(),
        layers: vec![source.clone()],
        binds: Vec::new(),
        executable: PathBuf::from(format!("{PREFIX}/bin/python{minor}")),
    };
    // The byte code of the standard library, and the proof that it runs where it stands now.
    let compiled = format!("rows-pyc-{}", key.short());
    let made = packages::layer(builder, &compiled, |_| {
        let sandbox = place::working(&builder.options, &moved, &[], &[])?;
        let question = "import sys, ssl, zlib, ctypes; assert sys.prefix == sys.base_prefix \
                        == sys.argv[1], sys.prefix";
        let executable = moved.executable.display().to_string();
        let ask = Exec::new([executable.as_str(), "-c", question, PREFIX]);
        let answer =
            sandbox.exec(&ask.timeout(Duration::from_secs(60))).map_err(|e| machine(&e))?;
        if !answer.outcome.success() {
            let log = format!("{STUCK}{}", answer.stderr.text());
            let cause = RowCause::Machine(failure::last_lines(&log));
            return Err(Failed { step: RowStep::Packages, cause, log });
        }
        packages::compile(&sandbox)?;
        Ok(sandbox)
    });
    match made {
        Ok(made) => Ok(Runtime { layers: vec![source, made.layer], ..moved }),
        // It is one that runs only where it was installed.
        Err(failed) if failed.log.starts_with(STUCK) => Ok(in_place()),
        Err(failed) => Err(failed),
    }
}

/// Copies what running needs: the executable, its library, the standard library without its own
/// tests, and the headers.
fn copy(
    layer: &mut LayerBuilder<'_>,
    interpreter: &Interpreter,
    prefix: &Path,
    minor: &str,
) -> Result<(), BuildError> {
    let to = Path::new(PREFIX.trim_start_matches('/'));
    let name = format!("python{minor}");
    let mut copier = Copier { layer, old: format!("{}/lib", prefix.display()) };
    copier.file(&interpreter.executable, &to.join("bin").join(&name), true)?;
    for link in ["python", "python3"] {
        copier.layer.symlink(to.join("bin").join(link), &name)?;
    }
    for entry in fs::read_dir(prefix.join("lib"))? {
        let entry = entry?;
        let library = entry.file_name().to_string_lossy().into_owned();
        if library.starts_with("libpython") && library.contains(".so") {
            copier.one(&entry.path(), &to.join("lib").join(&library), 0)?;
        }
    }
    copier.one(&prefix.join("lib").join(&name), &to.join("lib").join(&name), 0)?;
    copier.layer.dir(to.join("lib").join(&name).join("site-packages"))?;
    let headers = prefix.join("include");
    if headers.is_dir() {
        copier.one(&headers, &to.join("include"), 0)?;
    }
    Ok(())
}

struct Copier<'a, 'b> {
    layer: &'a mut LayerBuilder<'b>,
    /// Where the executable looks for its library.
    old: String,
}

/// Directories of the standard library that nothing but its own tests needs, and those that are
/// made anew.
const SKIPPED: &[&str] =
    &["site-packages", "__pycache__", "idle_test", "tests", "EXTERNALLY-MANAGED"];

impl Copier<'_, '_> {
    fn one(&mut self, from: &Path, to: &Path, depth: usize) -> Result<(), BuildError> {
        let meta = fs::symlink_metadata(from)?;
        let name = from.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if depth > 0 && (SKIPPED.contains(&name.as_str()) || depth > 16) {
            return Ok(());
        }
        if meta.is_symlink() {
            let target = fs::read_link(from)?;
            if target.is_relative() {
                self.layer.symlink(to, target)?;
            }
            return Ok(());
        }
        if !meta.is_dir() {
            return match name.ends_with(".a") || name.ends_with(".o") || name.ends_with(".pyc") {
                true => Ok(()),
                false => {
                    let executable =
                        std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o100 != 0;
                    self.file(from, to, executable)
                }
            };
        }
        self.layer.dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let child = entry.file_name();
            // Of the tests of the standard library, others use what supports them.
            let test = depth == 1 && name == "test";
            if !test || ["__init__.py", "support"].iter().any(|kept| child == *kept) {
                self.one(&entry.path(), &to.join(&child), depth + 1)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, to: &Path, executable: bool) -> Result<(), BuildError> {
        let mut bytes = fs::read(from)?;
        if bytes.starts_with(b"\x7fELF") {
            relocate(&mut bytes, self.old.as_bytes());
        }
        let key = format!("row-{}", Hash::of(&bytes).short());
        self.layer.file(to, executable, &key, || Ok::<_, io::Error>(bytes))?;
        Ok(())
    }
}

/// Lets a program find its library beside itself: the path in it is replaced by a shorter one
/// that is relative, so that nothing else in the file moves.
fn relocate(bytes: &mut [u8], old: &[u8]) {
    const NEW: &[u8] = b"$ORIGIN/../lib";
    if old.len() < NEW.len() {
        return;
    }
    let ends = |bytes: &[u8], at: usize| bytes.get(at + old.len()) == Some(&0);
    let starts = |bytes: &[u8], at: usize| at > 0 && bytes[at - 1] == 0;
    let found: Vec<usize> = bytes
        .windows(old.len())
        .enumerate()
        .filter(|(_, window)| *window == old)
        .map(|(at, _)| at)
        .filter(|at| starts(bytes, *at) && ends(bytes, *at))
        .collect();
    for at in found {
        bytes[at..at + old.len()].fill(0);
        bytes[at..at + NEW.len()].copy_from_slice(NEW);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_programs_become_relative() {
        let mut bytes = b"\x7fELF\0/opt/python/3.9/lib\0/opt/python/3.9/lib64\0x".to_vec();
        let length = bytes.len();
        relocate(&mut bytes, b"/opt/python/3.9/lib");
        assert_eq!(bytes.len(), length);
        assert!(bytes.starts_with(b"\x7fELF\0$ORIGIN/../lib\0\0\0\0\0\0/opt/python/3.9/lib64"));
    }
}
