//! What stands in an answer: blocks of code, marked text, JSON.

use serde_json::Value;

use crate::reject::{Reason, Rejection};

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    /// The word after the fence, in lower case.
    pub(crate) language: String,
    /// The rest of the line.
    pub(crate) info: &'a str,
    /// The line of prose above it.
    pub(crate) above: &'a str,
    pub(crate) code: String,
}

/// All fenced blocks, by the rules of CommonMark. One that is not closed goes to the end.
pub(crate) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut open: Option<(char, usize, usize)> = None;
    let mut above = "";
    for line in text.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let fence = trimmed.chars().next().filter(|c| matches!(c, '`' | '~'));
        let length = fence.map_or(0, |f| trimmed.chars().take_while(|c| *c == f).count());
        let rest = trimmed.get(length..).unwrap_or_default().trim();
        match (open, blocks.last_mut()) {
            (Some((mark, least, _)), _)
                if fence == Some(mark) && length >= least && rest.is_empty() =>
            {
                open = None;
                above = "";
            }
            (Some((_, _, indent)), Some(block)) => {
                // The fence may be indented, and its lines with it.
                let own = line.len() - line.trim_start_matches(' ').len();
                block.code.push_str(&line[own.min(indent)..]);
                block.code.push('\n');
            }
            (None, _) if length >= 3 && !(fence == Some('`') && rest.contains('`')) => {
                open = fence.map(|fence| (fence, length, indent));
                let (language, info) = rest.split_once([' ', '\t', ':']).unwrap_or((rest, ""));
                let language = language.trim_matches(['{', '}', '.']).to_ascii_lowercase();
                blocks.push(Block { language, info: info.trim(), above, code: String::new() });
            }
            _ if !trimmed.is_empty() => above = line,
            _ => {}
        }
    }
    blocks
}

/// Whether the word after a fence means Python, or nothing.
pub(crate) fn is_python(language: &str) -> Option<bool> {
    match language {
        "" => None,
        "python" | "python3" | "py" | "py3" | "pycon" => Some(true),
        "text" | "txt" | "plain" | "plaintext" | "code" => None,
        // The path alone may stand there.
        other if other.ends_with(".py") => Some(true),
        _ => Some(false),
    }
}

/// The one block that is meant among those for which `fits` holds; code without any fence counts.
pub(crate) fn one_block(text: &str, fits: impl Fn(&str) -> bool) -> Result<Block<'_>, Rejection> {
    let all = blocks(text);
    if all.is_empty() {
        let code = format!("{}\n", text.trim());
        if fits(&code) {
            let none = String::new();
            return Ok(Block { language: none, info: "", above: "", code });
        }
        return Err(Rejection::new(Reason::NoCode, "the answer has no block of code"));
    }
    let python: Vec<&Block<'_>> =
        all.iter().filter(|block| is_python(&block.language) != Some(false)).collect();
    if python.is_empty() {
        let language = all[0].language.clone();
        return Err(Rejection::new(Reason::WrongLanguage, language));
    }
    let mut fitting: Vec<&Block<'_>> =
        python.iter().copied().filter(|block| fits(&block.code)).collect();
    fitting.dedup_by(|one, two| one.code == two.code);
    match fitting.as_slice() {
        [one] => Ok((*one).clone()),
        [] => match python.as_slice() {
            // What is wrong with it is said by who looks into it.
            [one] => Ok((*one).clone()),
            _ => Err(Rejection::new(Reason::NoCode, "no block has what was asked for")),
        },
        several => {
            let detail = format!("{} blocks could each be meant", several.len());
            Err(Rejection::new(Reason::SeveralBlocks, detail))
        }
    }
}

/// What stands between `<tag>` and `</tag>`, the last pair of them; without the end, all of the
/// rest; without both, `None`.
pub(crate) fn tagged<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let end = text.rfind(&close).unwrap_or(text.len());
    let start = text[..end].rfind(&open)? + open.len();
    Some(text[start..end].trim())
}

/// The last object of JSON in a text for which `fits` holds.
pub(crate) fn json_object(text: &str, fits: impl Fn(&Value) -> bool) -> Option<Value> {
    let mut found = None;
    let mut at = 0;
    while let Some(start) = text[at..].find('{').map(|start| at + start) {
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                at = start + values.byte_offset().max(1);
                if fits(&value) {
                    found = Some(value);
                }
            }
            _ => at = start + 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_as_commonmark_has_them() {
        let text =
            "Here:\n````python tests/test_a.py\nx = '''\n```\n'''\n````\nand\n```js\n1\n```\n";
        let found = blocks(text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].language.as_str(), found[0].info), ("python", "tests/test_a.py"));
        assert_eq!(found[0].code, "x = '''\n```\n'''\n");
        assert_eq!(found[0].above, "Here:");
        assert_eq!(found[1].language, "js");
        assert_eq!(blocks("  ```python\n  if x:\n    y\n")[0].code, "if x:\n  y\n");
        assert_eq!(blocks("~~~\na\n```\n~~~")[0].code, "a\n```\n");
        assert!(blocks("use ``` to quote``` it").is_empty());
        assert_eq!(blocks("```python:a/b.py\nx\n```")[0].info, "a/b.py");
    }

    #[test]
    fn one_block_is_meant_or_none() {
        let fits = |code: &str| code.contains("def test");
        let test = "```python\ndef test_a(): pass\n```\n";
        let other = "```python\nimport x\n```\n";
        let reason = |text: &str| one_block(text, fits).unwrap_err().reason;
        assert_eq!(
            one_block(&format!("{other}{test}"), fits).unwrap().code,
            "def test_a(): pass\n"
        );
        assert!(one_block(other, fits).is_ok());
        assert!(one_block("def test_a(): pass", fits).is_ok());
        assert_eq!(one_block(&format!("{test}again\n{test}"), fits).unwrap().code.len(), 19);
        assert_eq!(reason("I cannot."), Reason::NoCode);
        assert_eq!(reason(&format!("{other}{}", other.replace('x', "y"))), Reason::NoCode);
        assert_eq!(reason(&format!("{test}{}", test.replace("_a", "_b"))), Reason::SeveralBlocks);
        assert_eq!(reason("```javascript\ntest('x')\n```"), Reason::WrongLanguage);
    }

    #[test]
    fn json_and_tags_in_prose() {
        let is_one = |v: &Value| v.get("a").is_some();
        assert_eq!(json_object("so {x} {\"a\": 1} and {\"b\": 2}", is_one).unwrap()["a"], 1);
        assert_eq!(json_object("```json\n{\"a\": {\"a\": 2}}\n```", is_one).unwrap()["a"]["a"], 2);
        assert!(json_object("{\"a\": ", is_one).is_none());
        assert!(json_object(&"{".repeat(5000), is_one).is_none());
        assert_eq!(tagged("<r>a</r> <r>\nb\n</r> c", "r"), Some("b"));
        assert_eq!(tagged("x <r>b", "r"), Some("b"));
        assert_eq!(tagged("b", "r"), None);
    }
}
