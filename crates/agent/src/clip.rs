//! Observations of a bounded size.

use std::borrow::Cow;

/// Bytes as text that a model can be shown, with a note on what could not be shown as it was.
pub(crate) fn shown(bytes: &[u8]) -> (Cow<'_, str>, Option<String>) {
    let text = String::from_utf8_lossy(bytes);
    let nuls = memchr::memchr_iter(0, bytes).count();
    let wrong = match &text {
        Cow::Borrowed(_) => 0,
        Cow::Owned(_) => bytes.utf8_chunks().map(|chunk| chunk.invalid().len()).sum(),
    };
    if nuls == 0 && wrong == 0 {
        return (text, None);
    }
    let mut notes = Vec::new();
    if wrong > 0 {
        notes.push(format!("{wrong} bytes are not UTF-8 and shown as \u{fffd}"));
    }
    let text = if nuls > 0 {
        notes.push(format!("{nuls} NUL bytes are shown as \u{2400}"));
        Cow::Owned(text.replace('\0', "\u{2400}"))
    } else {
        text
    };
    (text, Some(format!("[{}]", notes.join("; "))))
}

/// The text, or its beginning and its end with a line between that tells how much is left out.
pub(crate) fn clip(text: Cow<'_, str>, limit: usize) -> String {
    let total = text.len() as u64;
    clip_of(text, limit, total)
}

/// As [`clip`], where the text itself is what was kept of `total` bytes: its middle is missing
/// already, and is always within what is left out here.
pub(crate) fn clip_of(text: Cow<'_, str>, limit: usize, total: u64) -> String {
    if text.len() <= limit {
        return text.into_owned();
    }
    let mut head = limit / 2;
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    let mut tail = text.len() - (limit - limit / 2);
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    let (first, last) = (&text[..head], &text[tail..]);
    let bytes = total.max(text.len() as u64) - (first.len() + last.len()) as u64;
    let lines = text[head..tail].bytes().filter(|byte| *byte == b'\n').count();
    let lines = match lines {
        _ if total > text.len() as u64 => format!("more than {lines} lines"),
        1 => "1 line".to_owned(),
        _ => format!("{lines} lines"),
    };
    format!("{first}\n[... {bytes} bytes ({lines}) left out ...]\n{last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_stay_and_the_rest_is_counted() {
        assert_eq!(clip("abc".into(), 3), "abc");
        assert_eq!(clip("ab\nc\nd".into(), 2), "a\n[... 4 bytes (2 lines) left out ...]\nd");
        assert_eq!(clip("äöü".into(), 3), "\n[... 4 bytes (0 lines) left out ...]\nü");
        assert_eq!(
            clip_of("aXb".into(), 2, 100),
            "a\n[... 98 bytes (more than 0 lines) left out ...]\nb"
        );
        assert_eq!(clip("abc".into(), 0), "\n[... 3 bytes (0 lines) left out ...]\n");
    }

    #[test]
    fn what_is_no_text_is_counted() {
        assert_eq!(shown(b"plain"), ("plain".into(), None));
        let (text, note) = shown(b"a\0b\xff\xfec");
        assert_eq!(text, "a\u{2400}b\u{fffd}\u{fffd}c");
        assert_eq!(
            note.unwrap(),
            "[2 bytes are not UTF-8 and shown as \u{fffd}; 1 NUL bytes are shown as \u{2400}]"
        );
    }
}
