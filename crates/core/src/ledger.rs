//! Append-only JSON lines: one per decision. What makes a stage resumable.

use std::io::{self, Write};
use std::path::Path;

use fs_err as fs;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads every line of a ledger. A line that cannot be read (the last one, after a crash or
/// a full disk) is reported in the second value and otherwise ignored. A missing file is an
/// empty ledger.
pub fn read<T: DeserializeOwned>(path: &Path) -> io::Result<(Vec<T>, Vec<String>)> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((Vec::new(), Vec::new()));
        }
        Err(error) => return Err(error),
    };
    let mut values = Vec::new();
    let mut problems = Vec::new();
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(value) => values.push(value),
            Err(error) => problems.push(format!("{}:{}: {error}", path.display(), number + 1)),
        }
    }
    Ok((values, problems))
}

/// An open ledger.
#[derive(Debug)]
pub struct Writer {
    file: fs::File,
}

impl Writer {
    /// Opens `path` for appending. If the last line was cut off, a newline is put after it, so
    /// that the next line is not lost with it.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let cut = fs::read(path).is_ok_and(|bytes| bytes.last().is_some_and(|b| *b != b'\n'));
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
        if cut {
            file.write_all(b"\n")?;
        }
        Ok(Self { file })
    }

    /// Appends one line and hands it to the kernel in a single write.
    pub fn append<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(value).map_err(io::Error::other)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_line_costs_only_itself() {
        let dir = std::env::temp_dir().join(format!("palestra-ledger-{}", std::process::id()));
        let path = dir.join("l.jsonl");
        let mut writer = Writer::open(&path).unwrap();
        writer.append(&1u32).unwrap();
        drop(writer);
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"cut").unwrap();
        Writer::open(&path).unwrap().append(&2u32).unwrap();
        let (values, problems) = read::<u32>(&path).unwrap();
        assert_eq!(values, [1, 2]);
        assert_eq!(problems.len(), 1);
        fs::remove_dir_all(dir).unwrap();
    }
}
