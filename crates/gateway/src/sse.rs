//! Events as bytes.

use palestra_model::Api;
use serde_json::Value;

/// Cuts a stream between its events and leaves their bytes as they are.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    bytes: Vec<u8>,
    /// Here the next event begins.
    start: usize,
    /// So far was looked for its end.
    seen: usize,
}

impl Splitter {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole event with its empty line.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let bytes = &self.bytes;
        while let Some(found) = memchr::memchr2(b'\n', b'\r', &bytes[self.seen..]) {
            self.seen += found;
            let next = end_of_line(bytes, self.seen)?;
            // A line ends here; the event does if another one ends right after it.
            match bytes.get(next) {
                Some(b'\n' | b'\r') => {
                    let end = end_of_line(bytes, next)?;
                    let event = bytes[self.start..end].to_vec();
                    (self.start, self.seen) = (end, end);
                    return Some(event);
                }
                Some(_) => self.seen = next,
                None => return None,
            }
        }
        self.seen = bytes.len();
        None
    }

    /// What is left at the end of the stream.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let rest = self.bytes.split_off(self.start);
        *self = Self::default();
        rest
    }
}

/// Where the line ending that begins here is over. `None` if that cannot be known yet.
fn end_of_line(bytes: &[u8], place: usize) -> Option<usize> {
    match (bytes[place], bytes.get(place + 1)) {
        (b'\r', Some(b'\n')) => Some(place + 2),
        (b'\r', None) => None,
        _ => Some(place + 1),
    }
}

/// Whether this is an event of chat completions that has nothing but the usage.
pub(crate) fn is_usage_only(event: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(event) else { return false };
    if !text.contains("\"usage\"") {
        return false;
    }
    let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let data: String = lines.collect();
    let Ok(Value::Object(fields)) = serde_json::from_str(&data) else { return false };
    let none = fields.get("choices").and_then(Value::as_array).is_some_and(Vec::is_empty);
    none && fields.get("usage").is_some_and(Value::is_object)
}

/// An event that says that the stream is broken off.
pub(crate) fn broken_off(api: Api, status: u16, text: &str) -> String {
    let mut body = api.error_to_json(status, text);
    match api {
        Api::Chat => format!("data: {body}\n\n"),
        Api::Anthropic => format!("event: error\ndata: {body}\n\n"),
        Api::Responses => {
            if let Value::Object(fields) = &mut body {
                fields.insert("type".to_owned(), "error".into());
                fields.insert("code".to_owned(), "server_error".into());
                fields.insert("message".to_owned(), text.into());
                fields.insert("param".to_owned(), Value::Null);
                fields.insert("sequence_number".to_owned(), 0.into());
            }
            format!("event: error\ndata: {body}\n\n")
        }
    }
}

/// A comment. Clients skip it.
pub(crate) const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> (Vec<String>, String) {
        let mut splitter = Splitter::default();
        let mut events = Vec::new();
        for piece in pieces {
            splitter.push(piece);
            while let Some(event) = splitter.next() {
                events.push(String::from_utf8(event).expect("text"));
            }
        }
        (events, String::from_utf8(splitter.rest()).expect("text"))
    }

    #[test]
    fn events_are_cut_at_their_ends_however_they_arrive() {
        for (text, count) in [
            ("data: a\n\ndata: b\ndata: c\n\n: x\n\n", 3),
            ("data: a\r\n\r\nevent: e\r\ndata: c\r\n\r\n", 2),
            ("data: a\n\ndata: rest", 1),
            ("\n\n", 1),
        ] {
            let bytes = text.as_bytes();
            let whole = split(&[bytes]);
            assert_eq!(whole.0.len(), count, "{text:?}");
            assert_eq!(whole.0.concat() + &whole.1, text);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            let (events, rest) = split(&single);
            assert_eq!(events.concat() + &rest, text);
            assert_eq!(events.len(), count, "{text:?}");
        }
    }

    #[test]
    fn only_the_usage_alone_is_left_out() {
        assert!(is_usage_only(b"data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 1}}\n\n"));
        assert!(!is_usage_only(b"data: {\"choices\": [{}], \"usage\": {}}\n\n"));
        assert!(!is_usage_only(b"data: {\"choices\": [], \"usage\": null}\n\n"));
        assert!(!is_usage_only(b"data: [DONE]\n\n"));
    }
}
