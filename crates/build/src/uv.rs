//! uv, the program that resolves and installs packages.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use sha2::{Digest, Sha256};

use crate::error::BuildError;
use crate::index::Index;
use crate::interpreters::Interpreter;

/// The version that is fetched where none is installed.
pub const PINNED: &str = "0.13.8";

/// Its wheels, by architecture.
const WHEELS: &[(&str, &str)] = &[
    ("x86_64", "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984"),
    ("aarch64", "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d"),
];

/// Older ones than this lack options that are used here.
const OLDEST: (u32, u32) = (0, 5);

/// A uv that was run once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uv {
    /// The executable.
    pub path: PathBuf,
    /// Its version, such as `0.13.8`.
    pub version: String,
}

/// Where to find uv, or an index to fetch it from.
#[derive(Debug, Clone)]
pub struct Locate<'a> {
    /// The entries of `PATH`.
    pub path: &'a [PathBuf],
    /// A directory of the store for the fetched one.
    pub tools: &'a Path,
    /// The interpreters at hand: one of them fetches it, with its pip.
    pub interpreters: &'a [Interpreter],
    /// The package index.
    pub index: &'a Index,
}

/// The uv on the path; failing that, the pinned one from the store; failing that, the pinned one
/// from the package index, checked against its known hash.
pub fn locate(search: &Locate<'_>) -> Result<Uv, BuildError> {
    for directory in search.path {
        if let Some(uv) = ask(&directory.join("uv")) {
            return Ok(uv);
        }
    }
    let home = search.tools.join(format!("uv-{PINNED}"));
    let executable = home.join("uv");
    if let Some(uv) = ask(&executable) {
        return Ok(uv);
    }
    let wheel = fetch(search)?;
    unpack(&wheel, &executable)?;
    ask(&executable).ok_or_else(|| {
        BuildError::Uv(format!(
            "the uv that was fetched to {} does not run; install uv and put it on the PATH",
            executable.display()
        ))
    })
}

/// Runs `uv --version`; `None` where there is no uv or a too old one.
fn ask(path: &Path) -> Option<Uv> {
    if !path.is_file() {
        return None;
    }
    let output = Command::new(path).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(1)?.to_owned();
    let mut numbers = version.split('.').map(|n| n.parse::<u32>().ok());
    let have = (numbers.next()??, numbers.next()??);
    (have >= OLDEST).then(|| Uv { path: path.to_owned(), version })
}

/// Downloads the wheel with the pip of the newest interpreter that has one.
fn fetch(search: &Locate<'_>) -> Result<Vec<u8>, BuildError> {
    let arch = std::env::consts::ARCH;
    let sha = WHEELS.iter().find(|(a, _)| *a == arch).map(|(_, sha)| *sha).ok_or_else(|| {
        BuildError::Uv(format!("no uv is known for {arch}; install uv and put it on the PATH"))
    })?;
    let scratch = tempfile::tempdir_in(make(search.tools)?)?;
    let list = scratch.path().join("uv.txt");
    fs::write(&list, format!("uv=={PINNED} --hash=sha256:{sha}\n"))?;
    let mut said = String::from("no Python interpreter with pip was found");
    for interpreter in search.interpreters.iter().rev().take(4) {
        let mut pip = Command::new(&interpreter.executable);
        pip.args(["-m", "pip", "--disable-pip-version-check", "download", "--quiet"]);
        pip.args(["--only-binary", ":all:", "--no-deps", "--require-hashes", "--dest"]);
        pip.arg(scratch.path()).arg("-r").arg(&list);
        pip.envs(search.index.for_pip()).stdin(Stdio::null()).current_dir(scratch.path());
        let output = match pip.output() {
            Ok(output) => output,
            Err(error) => {
                said = format!("{}: {error}", interpreter.executable.display());
                continue;
            }
        };
        let wheel = fs::read_dir(scratch.path())?
            .flatten()
            .find(|e| e.path().extension().is_some_and(|x| x == "whl"));
        if let Some(wheel) = wheel.filter(|_| output.status.success()) {
            let bytes = fs::read(wheel.path())?;
            let digest: String =
                Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
            if digest == sha {
                return Ok(bytes);
            }
            said = format!("the wheel has the hash {digest}, not {sha}");
            continue;
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if !text.contains("No module named pip") {
            said = text.trim().lines().last().unwrap_or_default().to_owned();
        }
    }
    Err(BuildError::Uv(format!(
        "uv is not on the PATH, and uv {PINNED} could not be fetched from the package index: \
         {said}; install uv, or make the index reachable (PIP_INDEX_URL, HTTPS_PROXY)"
    )))
}

fn make(directory: &Path) -> Result<&Path, BuildError> {
    fs::create_dir_all(directory)?;
    Ok(directory)
}

/// Takes the one executable out of a wheel and renames it into place.
fn unpack(wheel: &[u8], executable: &Path) -> Result<(), BuildError> {
    let bad =
        |why: String| BuildError::Uv(format!("the wheel of uv {PINNED} does not read: {why}"));
    let mut archive =
        zip::ZipArchive::new(std::io::Cursor::new(wheel)).map_err(|e| bad(e.to_string()))?;
    let name = format!("uv-{PINNED}.data/scripts/uv");
    let mut entry = archive.by_name(&name).map_err(|e| bad(e.to_string()))?;
    let mut bytes = Vec::new();
    // The size is bounded: the wheel's hash is known.
    entry.read_to_end(&mut bytes)?;
    let parent = make(executable.parent().unwrap_or(Path::new("/")))?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.write_all(&bytes)?;
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    file.persist(executable).map_err(|e| e.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_index_it_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::default();
        let search = Locate {
            path: &[],
            tools: &dir.path().join("tools"),
            interpreters: &[],
            index: &index,
        };
        let error = locate(&search).unwrap_err().to_string();
        assert!(
            error.contains("uv is not on the PATH") && error.contains("PIP_INDEX_URL"),
            "{error}"
        );
    }

    #[test]
    fn the_executable_comes_out_of_a_wheel() {
        let dir = tempfile::tempdir().unwrap();
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(format!("uv-{PINNED}.data/scripts/uv"), options).unwrap();
        zip.write_all(b"#!/bin/sh\necho uv 9.1.0\n").unwrap();
        let wheel = zip.finish().unwrap().into_inner();
        let executable = dir.path().join("deep/uv");
        unpack(&wheel, &executable).unwrap();
        assert_eq!(ask(&executable).unwrap().version, "9.1.0");
        let path = [dir.path().join("deep")];
        let index = Index::default();
        let search = Locate { path: &path, tools: dir.path(), interpreters: &[], index: &index };
        assert_eq!(locate(&search).unwrap().path, executable);
    }
}
