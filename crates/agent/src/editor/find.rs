//! Where a text stands in a file, and what may have been meant where it does not.

use memchr::memmem;

/// Places that are told at most.
const MOST: usize = 50;

/// Why a text was perhaps not found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hint {
    /// It is there with the line ends of the file: CRLF, or without them.
    LineEnds {
        /// The file has CRLF.
        crlf: bool,
        /// Where it begins, from 1.
        line: usize,
    },
    /// It is there but for white space at the beginnings and ends of lines.
    Space {
        /// Where it begins, from 1.
        line: usize,
    },
}

/// The line in which a byte is, from 0.
pub(crate) fn line_of(content: &[u8], at: usize) -> usize {
    memchr::memchr_iter(b'\n', &content[..at.min(content.len())]).count()
}

/// Where `text` begins; places may overlap.
pub(super) fn places(content: &[u8], text: &[u8]) -> Vec<usize> {
    let finder = memmem::Finder::new(text);
    let mut places = Vec::new();
    let mut from = 0;
    while let Some(found) = content.get(from..).and_then(|rest| finder.find(rest)) {
        places.push(from + found);
        if places.len() == MOST {
            break;
        }
        from += found + 1;
    }
    places
}

/// What may have been meant by a text that is not there.
pub(super) fn hint(content: &[u8], text: &str) -> Option<Hint> {
    let crlf = memmem::find(content, b"\r\n").is_some();
    let other = if crlf {
        text.replace("\r\n", "\n").replace('\n', "\r\n")
    } else {
        text.replace("\r\n", "\n")
    };
    if other != text
        && let Some(at) = memmem::find(content, other.as_bytes())
    {
        return Some(Hint::LineEnds { crlf, line: line_of(content, at) + 1 });
    }
    let wanted: Vec<&[u8]> =
        text.as_bytes().split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect();
    let first = wanted.iter().position(|line| !line.is_empty())?;
    let last = wanted.iter().rposition(|line| !line.is_empty())?;
    let wanted = &wanted[first..=last];
    let lines: Vec<&[u8]> = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect();
    let at = lines.windows(wanted.len()).position(|window| window == wanted)?;
    Some(Hint::Space { line: at + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_overlap() {
        assert_eq!(places(b"aaa", b"aa"), [0, 1]);
        assert_eq!(places(b"abc", b"x"), [] as [usize; 0]);
        assert_eq!(line_of(b"a\nb\nc", 4), 2);
    }

    #[test]
    fn what_may_have_been_meant() {
        let crlf = hint(b"x\r\na\r\nb\r\n", "a\nb\n");
        assert_eq!(crlf, Some(Hint::LineEnds { crlf: true, line: 2 }));
        let lf = hint(b"x\na\nb\n", "a\r\nb");
        assert_eq!(lf, Some(Hint::LineEnds { crlf: false, line: 2 }));
        assert_eq!(hint(b"x\n    a\n\tb\n", "  a\n  b"), Some(Hint::Space { line: 2 }));
        assert_eq!(hint(b"x\n", "y"), None);
        assert_eq!(hint(b"x\n", " \n"), None);
    }
}
