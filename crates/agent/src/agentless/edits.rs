//! Changes as blocks of text to search for and to put in its place.

use std::collections::BTreeMap;

use palestra_core::Hash;

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The file.
    pub(super) path: String,
    /// The lines that are there, each with its newline.
    pub(super) old: String,
    /// The lines to put there.
    pub(super) new: String,
}

/// The blocks of a reply. One that is not closed is left out.
pub(super) fn parse(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut path = None;
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let bare = line.trim_end();
        if let Some(name) = bare.strip_prefix("### ") {
            path = Some(name.trim().trim_matches('`').to_owned());
        }
        let Some(width) = marker(bare, '<', " SEARCH") else { continue };
        let (mut old, mut new, mut divided, mut closed) =
            (String::new(), String::new(), false, false);
        for line in lines.by_ref() {
            let bare = line.trim_end();
            if !divided && marker(bare, '=', "") == Some(width) {
                divided = true;
            } else if divided && marker(bare, '>', " REPLACE") == Some(width) {
                closed = true;
                break;
            } else if divided {
                new.push_str(line);
            } else {
                old.push_str(line);
            }
        }
        if let (true, Some(path)) = (closed, &path) {
            blocks.push(Block { path: path.clone(), old, new });
        }
    }
    blocks
}

/// How long a marker is, if the line is one.
fn marker(line: &str, sign: char, word: &str) -> Option<usize> {
    let signs = line.strip_suffix(word)?;
    (signs.len() >= 7 && signs.chars().all(|c| c == sign)).then_some(signs.len())
}

/// Files after a change, by path.
pub(super) type Changed = BTreeMap<String, Vec<u8>>;

/// Applies blocks to files, strictly. Nothing is changed unless everything fits.
pub(super) fn apply(
    blocks: &[Block],
    mut read: impl FnMut(&str) -> Option<Vec<u8>>,
) -> Result<Changed, String> {
    let mut changed = Changed::new();
    for block in blocks {
        let path = &block.path;
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(format!("{path} is not a path within the repository"));
        }
        let now = changed.get(path).cloned().or_else(|| read(path));
        let content = match (now, block.old.trim().is_empty()) {
            (None, true) => block.new.clone().into_bytes(),
            (None, false) => return Err(format!("there is no {path}")),
            (Some(_), true) => {
                return Err(format!("{path} is there, and nothing to search for is given"));
            }
            (Some(now), false) => replaced(&now, block).map_err(|why| format!("{path}: {why}"))?,
        };
        changed.insert(path.clone(), content);
    }
    Ok(changed)
}

fn replaced(content: &[u8], block: &Block) -> Result<Vec<u8>, &'static str> {
    let crlf = |text: &str| text.replace('\n', "\r\n");
    let bare = |text: &str| text.strip_suffix('\n').unwrap_or(text).to_owned();
    let ways = [
        (block.old.clone(), block.new.clone()),
        (crlf(&block.old), crlf(&block.new)),
        // The last line of a file may have no end.
        (bare(&block.old), bare(&block.new)),
    ];
    for (old, new) in ways {
        let mut places = memchr::memmem::find_iter(content, old.as_bytes());
        let Some(at) = places.next() else { continue };
        if places.next().is_some() {
            return Err("the lines to search for are there more than once");
        }
        return Ok([&content[..at], new.as_bytes(), &content[at + old.len()..]].concat());
    }
    Err("the lines to search for are not there")
}

/// The same for changes that differ in blank lines, comments of their own and white space at the ends
/// of lines only.
pub(super) fn vote(changed: &Changed) -> Hash {
    let mut parts = Vec::new();
    for (path, content) in changed {
        parts.push(path.clone().into_bytes());
        let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
        let kept = lines.filter(|line| {
            let line = line.trim_ascii_start();
            !line.is_empty() && !line.starts_with(b"#")
        });
        parts.push(kept.collect::<Vec<_>>().join(&b'\n'));
    }
    Hash::of_parts(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: &str = "I think.\n\n```\n### a.py\n<<<<<<< SEARCH\n    x = 1\n=======\n    x = 2\n>>>>>>> REPLACE\n\n### `docs/b.rst`\n<<<<<<<< SEARCH\nTitle\n=======\n========\nOther\n=======\n>>>>>>>> REPLACE\n### c.py\n<<<<<<< SEARCH\n=======\nnew\n>>>>>>> REPLACE\n<<<<<<< SEARCH\nnot closed\n";

    #[test]
    fn blocks_are_read_and_applied() {
        let blocks = parse(REPLY);
        assert_eq!(blocks.len(), 3);
        assert_eq!(blocks[1].old, "Title\n=======\n");
        let read = |path: &str| match path {
            "a.py" => Some(b"def f():\r\n    x = 1\r\n".to_vec()),
            "docs/b.rst" => Some(b"Title\n=======".to_vec()),
            _ => None,
        };
        let changed = apply(&blocks, read).unwrap();
        assert_eq!(changed["a.py"], b"def f():\r\n    x = 2\r\n");
        assert_eq!(changed["docs/b.rst"], b"Other\n=======");
        assert_eq!(changed["c.py"], b"new\n");
        assert!(apply(&blocks, |_| None).is_err());
        assert!(apply(&blocks[..1], |_| Some(b"    x = 1\n    x = 1\n".to_vec())).is_err());
        let out = [Block { path: "../x".into(), old: String::new(), new: "x".into() }];
        assert!(apply(&out, |_| None).is_err());
    }

    #[test]
    fn votes_forgive_what_does_not_matter() {
        let of = |text: &str| vote(&[("a.py".to_owned(), text.as_bytes().to_vec())].into());
        assert_eq!(of("x = 1  \n\n# why\ny\n"), of("x = 1\ny"));
        assert_ne!(of("x = 1\n"), of("x = 2\n"));
        assert_ne!(of("  x\n"), of("x\n"));
    }
}
