//! The Python interpreters of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use palestra_core::disk;
use serde::{Deserialize, Serialize};

use crate::python::Minor;

/// Where to look. Nothing is taken from the process's own environment.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Directories with an interpreter below `bin`, or with such directories in them.
    pub dirs: Vec<PathBuf>,
    /// The entries of `PATH`. Directories of shims are skipped.
    pub path: Vec<PathBuf>,
    /// The home directory: pyenv, uv and conda keep interpreters below it.
    pub home: Option<PathBuf>,
    /// A file that remembers what was found in each executable.
    pub cache: Option<PathBuf>,
}

/// An interpreter that was run once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Interpreter {
    /// Full version.
    pub version: (u8, u8, u8),
    /// The executable, links resolved.
    pub executable: PathBuf,
    /// What must be bound read-only into a sandbox, at the same path; nothing when the
    /// interpreter lies below `/usr`, which every sandbox has.
    pub prefix: Option<PathBuf>,
}

impl Interpreter {
    /// The minor version.
    pub fn minor(&self) -> Minor {
        Minor(self.version.0, self.version.1)
    }

    /// `3.6.15`.
    pub fn full(&self) -> String {
        format!("{}.{}.{}", self.version.0, self.version.1, self.version.2)
    }
}

/// What one executable said, as long as it is the same file.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Remembered {
    modified: (i64, i64),
    size: u64,
    found: Option<Interpreter>,
}

/// Finds CPython 3 interpreters, the preferred one of each minor version first: outside of
/// `/usr` before inside, since distributions patch theirs; then the newest.
pub fn discover(search: &Search) -> Vec<Interpreter> {
    let mut memory: BTreeMap<PathBuf, Remembered> = search
        .cache
        .as_ref()
        .and_then(|path| serde_json::from_slice(&fs::read(path).ok()?).ok())
        .unwrap_or_default();
    let before = memory.len();
    let mut asked = 0;
    let mut found = BTreeSet::new();
    for candidate in candidates(search) {
        let Ok(metadata) = fs::metadata(&candidate) else { continue };
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let fresh = |r: &&Remembered| r.modified == modified && r.size == metadata.len();
        let interpreter = match memory.get(&candidate).filter(fresh) {
            Some(remembered) => remembered.found.clone(),
            None => {
                asked += 1;
                let found = ask(&candidate);
                let entry = Remembered { modified, size: metadata.len(), found: found.clone() };
                memory.insert(candidate.clone(), entry);
                found
            }
        };
        found.extend(interpreter);
    }
    if (asked > 0 || memory.len() != before)
        && let Some(path) = &search.cache
    {
        // A cache that cannot be written costs time, nothing else.
        let _ = disk::write_json(path, &memory);
    }
    let mut all: Vec<Interpreter> = found.into_iter().collect();
    all.sort_by_key(|i| (i.minor(), i.prefix.is_none(), std::cmp::Reverse(i.version)));
    all
}

/// Executables worth asking, links resolved.
fn candidates(search: &Search) -> BTreeSet<PathBuf> {
    let mut prefixes: Vec<PathBuf> = Vec::new();
    for dir in &search.dirs {
        prefixes.push(dir.clone());
        prefixes.extend(children(dir));
    }
    if let Some(home) = &search.home {
        prefixes.extend(children(&home.join(".pyenv/versions")));
        prefixes.extend(children(&home.join(".local/share/uv/python")));
        for conda in ["miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba"] {
            prefixes.push(home.join(conda));
            prefixes.extend(children(&home.join(conda).join("envs")));
        }
    }
    prefixes.push(PathBuf::from("/opt/conda"));
    let mut bins: Vec<PathBuf> = prefixes.iter().map(|p| p.join("bin")).collect();
    bins.extend([PathBuf::from("/usr/bin"), PathBuf::from("/usr/local/bin")]);
    let shims = |p: &&PathBuf| !p.components().any(|c| c.as_os_str() == "shims");
    bins.extend(search.path.iter().filter(shims).cloned());
    let mut out = BTreeSet::new();
    for bin in bins {
        for file in children(&bin) {
            let name = file.file_name().map(|n| n.to_string_lossy().into_owned());
            if name.is_some_and(|n| is_python(&n))
                && let Ok(real) = fs::canonicalize(&file)
            {
                out.insert(real);
            }
        }
    }
    out
}

/// `python`, `python3` and `python3.12`, but not `python3-config`.
fn is_python(name: &str) -> bool {
    name.strip_prefix("python").is_some_and(|rest| {
        rest.is_empty()
            || rest == "3"
            || rest
                .strip_prefix("3.")
                .is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|e| e.path()).collect()
}

/// Runs the executable, without the site's own code and in isolated mode.
fn ask(executable: &Path) -> Option<Interpreter> {
    let question = "import sys; b = getattr(sys, 'base_prefix', sys.prefix); \
                    print('%s %d %d %d %d\\n%s' % (sys.implementation.name, \
                    sys.version_info[0], sys.version_info[1], sys.version_info[2], \
                    b == sys.prefix, b))";
    let output = Command::new(executable)
        .args(["-I", "-S", "-c", question])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (head, prefix) = text.trim_end().split_once('\n')?;
    let words: Vec<&str> = head.split(' ').collect();
    let [name, major, minor, patch, own] = words.as_slice() else { return None };
    if *name != "cpython" || *major != "3" || *own != "1" {
        return None;
    }
    let version = (major.parse().ok()?, minor.parse().ok()?, patch.parse().ok()?);
    let prefix = PathBuf::from(prefix);
    let inside_usr = prefix.starts_with("/usr") && executable.starts_with("/usr");
    let prefix = (!inside_usr).then_some(prefix);
    Some(Interpreter { version, executable: executable.to_owned(), prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interpreters() {
        for name in ["python", "python3", "python3.12"] {
            assert!(is_python(name), "{name}");
        }
        for name in ["python3-config", "python2.7", "pythonw", "python3.", "python3.12-dbg"] {
            assert!(!is_python(name), "{name}");
        }
    }

    #[test]
    fn found_ones_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("p/bin");
        fs::create_dir_all(&bin).unwrap();
        let script = bin.join("python3");
        let text = format!("#!/bin/sh\nprintf 'cpython 3 7 1 1\\n{}/p\\n'\n", dir.path().display());
        fs::write(&script, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&script, mode).unwrap();
        let cache = dir.path().join("cache.json");
        let search = Search {
            dirs: vec![dir.path().to_owned()],
            cache: Some(cache.clone()),
            ..Search::default()
        };
        let ours = |all: Vec<Interpreter>| all.into_iter().find(|i| i.version == (3, 7, 1));
        let found = ours(discover(&search)).unwrap();
        assert_eq!(found.prefix, Some(dir.path().join("p")));
        assert_eq!((found.full(), found.minor()), ("3.7.1".to_owned(), Minor(3, 7)));
        let remembered = fs::read_to_string(&cache).unwrap();
        fs::write(
            &cache,
            remembered.replace(
                "\"version\": [\n        3,\n        7,\n        1",
                "\"version\": [\n        3,\n        7,\n        2",
            ),
        )
        .unwrap();
        assert!(discover(&search).iter().any(|i| i.version == (3, 7, 2)), "{remembered}");
    }
}
