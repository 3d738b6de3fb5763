//! The tests of a task directory, for those who grade in a container without this program.
//!
//! The container has the repository at `/testbed` and the environment at `/opt/env`. `test.sh`
//! runs `grade.py`, which lays the hidden files over the repository and runs the very runner
//! that the sandbox runs, by the same command and with the same variables.

use std::fmt::Write;

use crate::paths::{INSTALL_EXTENSIONS, INSTALL_NAMES};
use crate::runner;

/// A file to be written below the `tests` folder of a task directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipped {
    /// Path relative to `tests`.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub bytes: Vec<u8>,
}

/// `test.sh`, `grade.py` and `runner/*`: all of `tests` but the record of the task and the hidden
/// files, which `grade.py` reads. `seconds` bounds the first session of the runner.
pub fn shipped(seconds: u64) -> Vec<Shipped> {
    let file = |path: &str, mode, text: String| Shipped {
        path: path.to_owned(),
        mode,
        bytes: text.into_bytes(),
    };
    let script = include_str!("harbor/test.sh").replace("@SECONDS@", &seconds.to_string());
    let mut files = vec![file("test.sh", 0o755, script), file("grade.py", 0o644, grade_py())];
    for (name, text) in runner::FILES {
        files.push(file(&format!("runner/{name}"), 0o644, text.to_owned()));
    }
    files
}

fn grade_py() -> String {
    let mut variables = String::from("{\n");
    for (name, value) in runner::fixed_variables() {
        // Rust and Python agree on how these plain strings are quoted.
        let _ = writeln!(variables, "        {name:?}: {value:?},");
    }
    variables.push_str("    }");
    include_str!("harbor/grade.py")
        .replace("@INSTALL_NAMES@", &tuple(&INSTALL_NAMES))
        .replace("@INSTALL_EXTENSIONS@", &tuple(&INSTALL_EXTENSIONS))
        .replace("@VARIABLES@", &variables)
}

fn tuple(items: &[&str]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
    format!("({},)", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in() {
        for file in shipped(60) {
            let text = String::from_utf8(file.bytes).unwrap();
            let open = text.split('@').skip(1).step_by(2).any(|word| {
                !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
            });
            assert!(!open, "{}", file.path);
        }
    }
}
