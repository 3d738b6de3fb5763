//! Putting values into the places of a prompt.

use palestra_model::Role;

use super::PromptRef;
use super::builtin::{Kind, Place};
use super::fence;

/// Longest word in a prompt, in characters.
const WORD_LIMIT: usize = 200;

/// What a place is filled with.
#[derive(Debug, Clone)]
pub enum Value {
    /// A few words of one line, such as a name or a path. What is odd in them is replaced.
    Word(String),
    /// Words of this program.
    Ours(String),
    /// Texts from a repository or a model, each with a label. Without any, the place says so.
    Material(Vec<(String, String)>),
}

impl Value {
    /// One text, cut to so many bytes at most.
    pub fn text(label: &str, text: &str, limit: usize) -> Self {
        match text.trim().is_empty() {
            true => Self::Material(Vec::new()),
            false => Self::Material(vec![(label.to_owned(), clip(text, limit))]),
        }
    }
}

/// A prompt with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// Which prompt.
    pub prompt: PromptRef,
    /// What is said, by whom.
    pub messages: Vec<(Role, String)>,
}

impl Filled {
    /// Bytes of all messages.
    pub fn bytes(&self) -> usize {
        self.messages.iter().map(|(_, text)| text.len()).sum()
    }
}

/// The names of the places in a line.
pub(super) fn places_of(line: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find("{{") {
        let after = &rest[start + 2..];
        let Some(end) = after.find("}}") else { break };
        names.push(after[..end].trim());
        rest = &after[end + 2..];
    }
    names
}

pub(super) fn fill(
    prompt: &PromptRef,
    places: &[Place],
    parts: &[(Role, String)],
    values: &[(&str, Value)],
) -> Result<Filled, String> {
    let mut texts: Vec<(&str, String)> = Vec::new();
    let mut material: Vec<(&str, Vec<(String, String)>)> = Vec::new();
    for place in places {
        let value = values.iter().find(|(name, _)| *name == place.name).map(|(_, value)| value);
        match (place.kind, value) {
            (Kind::Fence, _) => {}
            (Kind::Word, Some(Value::Word(text))) => texts.push((place.name, plain(text))),
            (Kind::Ours, Some(Value::Ours(text))) => texts.push((place.name, text.clone())),
            (Kind::Material, Some(Value::Material(list))) => {
                let list = list.iter().map(|(label, text)| (plain(label), printable(text)));
                material.push((place.name, list.collect()));
            }
            (_, Some(_)) => return Err(format!("`{}` has a value of another kind", place.name)),
            (_, None) => return Err(format!("`{}` has no value", place.name)),
        }
    }
    let all = material.iter().flat_map(|(_, list)| list);
    let all: Vec<&str> = all.flat_map(|(label, text)| [label.as_str(), text.as_str()]).collect();
    let mark = fence::mark(&all);
    for (name, list) in material {
        let blocks: Vec<String> =
            list.iter().map(|(label, text)| fence::fenced(&mark, label, text)).collect();
        let text = if blocks.is_empty() { "(nothing)".to_owned() } else { blocks.join("\n") };
        texts.push((name, text));
    }
    for place in places.iter().filter(|place| place.kind == Kind::Fence) {
        texts.push((place.name, mark.clone()));
    }
    let messages = parts.iter().map(|(role, text)| (*role, put(text, &texts))).collect();
    Ok(Filled { prompt: prompt.clone(), messages })
}

/// One pass: what a value holds is never looked at again.
fn put(template: &str, values: &[(&str, String)]) -> String {
    let mut out = String::with_capacity(template.len() + 1024);
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let after = &rest[start + 2..];
        let Some(end) = after.find("}}") else { break };
        let name = after[..end].trim();
        let value = values.iter().find(|(known, _)| *known == name);
        out.push_str(&rest[..start]);
        out.push_str(value.map_or("", |(_, value)| value));
        rest = &after[end + 2..];
    }
    out.push_str(rest);
    out
}

/// A word: one line, nothing that could be read as a fence or as anything else than a name.
fn plain(text: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || " -_./:+,@()<>=~#*".contains(c);
    let text = text.trim();
    text.chars().take(WORD_LIMIT).map(|c| if allowed(c) { c } else { '?' }).collect()
}

/// Material without what no text has: control characters, and marks that turn the direction of
/// writing, which would show a reader something else than the model reads.
fn printable(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let odd = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().map(|c| if odd(c) { '\u{fffd}' } else { c }).collect()
}

/// The beginning and the end of a text that is longer than `limit` bytes, with a line between
/// that says how much is missing.
pub fn clip(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let head = floor(text, limit * 2 / 3);
    let tail = ceil(text, text.len() - (limit - limit * 2 / 3));
    let (start, end) = (&text[..head], &text[tail..]);
    // Whole lines, where there are any.
    let start = start.rfind('\n').map_or(start, |at| &start[..=at]);
    let end = end.find('\n').map_or(end, |at| &end[at + 1..]);
    let left_out = text.len() - start.len() - end.len();
    let newline = if start.is_empty() || start.ends_with('\n') { "" } else { "\n" };
    format!("{start}{newline}[{left_out} bytes are left out]\n{end}")
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_lose_their_middle() {
        let text: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        let short = clip(&text, 500);
        assert!(short.len() < 560, "{}", short.len());
        assert!(short.starts_with("line 0\n") && short.ends_with("line 999\n"));
        assert!(short.contains("bytes are left out]\n"), "{short}");
        assert_eq!(clip("äöü", 6), "äöü");
        assert!(clip(&"ä".repeat(100), 31).contains("left out"));
    }

    #[test]
    fn words_are_names_and_nothing_else() {
        assert_eq!(plain("a/b_c-1.py"), "a/b_c-1.py");
        assert_eq!(plain("x\n[end aa]`{{diff}}`"), "x??end aa????diff???");
        assert_eq!(plain(&"a".repeat(900)).len(), WORD_LIMIT);
        assert_eq!(printable("a\u{202e}\0b\r\n"), "a\u{fffd}\u{fffd}b\n");
    }
}
