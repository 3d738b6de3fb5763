//! Keeping the beginning and the end of a stream that may be endless.

use std::collections::VecDeque;

/// A stream of which at most so many bytes are kept: half from its start, half from its end.
#[derive(Debug)]
pub(crate) struct Capture {
    head: Vec<u8>,
    head_limit: usize,
    tail: VecDeque<u8>,
    tail_limit: usize,
    total: u64,
}

impl Capture {
    pub(crate) fn new(limit: usize) -> Self {
        let head_limit = limit / 2;
        Self {
            head: Vec::new(),
            head_limit,
            tail: VecDeque::new(),
            tail_limit: limit - head_limit,
            total: 0,
        }
    }

    /// How many bytes came in all.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(self.head_limit - self.head.len()));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(self.tail_limit)..];
        let over = (self.tail.len() + rest.len()).saturating_sub(self.tail_limit);
        self.tail.drain(..over);
        self.tail.extend(rest);
    }

    /// The kept bytes, with a line where some were dropped. Leaves this empty.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.head);
        let dropped = self.total - (all.len() + self.tail.len()) as u64;
        if dropped > 0 {
            all.extend_from_slice(format!("\n[... {dropped} bytes dropped ...]\n").as_bytes());
        }
        let (front, back) = self.tail.as_slices();
        all.extend_from_slice(front);
        all.extend_from_slice(back);
        self.tail = VecDeque::new();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(limit: usize, pieces: &[&str]) -> (String, u64) {
        let mut capture = Capture::new(limit);
        for piece in pieces {
            capture.push(piece.as_bytes());
        }
        let total = capture.total();
        (String::from_utf8(capture.take()).unwrap(), total)
    }

    #[test]
    fn what_fits_is_kept_whole() {
        assert_eq!(of(6, &["ab", "cd", "ef"]), ("abcdef".to_owned(), 6));
        assert_eq!(of(5, &["abcde"]), ("abcde".to_owned(), 5));
        assert_eq!(of(0, &[]), (String::new(), 0));
    }

    #[test]
    fn the_middle_is_dropped_and_counted() {
        let expected = ("ab\n[... 3 bytes dropped ...]\nfg".to_owned(), 7);
        assert_eq!(of(4, &["abcdefg"]), expected);
        assert_eq!(of(4, &["a", "b", "c", "d", "e", "f", "g"]), expected);
        assert_eq!(of(0, &["abc"]).0, "\n[... 3 bytes dropped ...]\n");
        assert_eq!(of(1, &["abc"]).0, "\n[... 2 bytes dropped ...]\nc");
    }
}
