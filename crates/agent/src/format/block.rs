//! Commands in fenced blocks of a reply, as mini-swe-agent reads them.

/// No reply has more blocks, of whatever language.
const BLOCKS: usize = 200;

/// A block may go on for so many lines after an inner one that may have ended it.
const FURTHER: usize = 5000;

/// The blocks of `text` whose fence names one of `languages`, without the fences and without the
/// newline before the closing one.
///
/// A fence of more than three backticks ends at one that is as long. A block within a block (a
/// command that writes Markdown) does not end it, as long as the inner one is closed.
pub fn parse<'a>(text: &'a str, languages: &[&str]) -> Vec<&'a str> {
    let mut blocks = Vec::new();
    let mut lines = Lines { text, at: 0 };
    // Fences that are as long as this one are not closed in what is left of the text.
    let mut open = usize::MAX;
    let mut count = 0;
    while let Some((_, line)) = lines.next() {
        let Some((ticks, language)) = fence(line) else { continue };
        if ticks >= open {
            continue;
        }
        let start = lines.at;
        let Some((end, after)) = close(text, start, ticks) else {
            open = ticks;
            continue;
        };
        count += 1;
        if count > BLOCKS {
            break;
        }
        if languages.contains(&language) {
            blocks.push(text[start..end].strip_suffix('\n').unwrap_or(&text[start..end]));
        }
        lines.at = after;
    }
    blocks
}

/// Where the block that begins at `start` ends, and where its closing fence does.
fn close(text: &str, start: usize, ticks: usize) -> Option<(usize, usize)> {
    let mut inner = 0usize;
    let mut first = None;
    let mut further = 0;
    let mut lines = Lines { text, at: start };
    while let Some((begin, line)) = lines.next() {
        further += usize::from(first.is_some());
        if further > FURTHER {
            break;
        }
        let Some((count, language)) = fence(line) else { continue };
        if count < ticks {
            continue;
        }
        if !language.is_empty() {
            inner += 1;
        } else if inner == 0 {
            return Some((begin, lines.at));
        } else {
            inner -= 1;
            first = first.or(Some((begin, lines.at)));
        }
    }
    first
}

/// How many backticks a line begins with, and the word after them.
fn fence(line: &str) -> Option<(usize, &str)> {
    let rest = line.trim_start_matches('`');
    let ticks = line.len() - rest.len();
    let language = rest.trim();
    (ticks >= 3 && !language.contains(['`', ' '])).then_some((ticks, language))
}

struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<(usize, &'a str)> {
        let begin = self.at;
        let rest = self.text.get(begin..).filter(|rest| !rest.is_empty())?;
        let length = rest.find('\n').map_or(rest.len(), |end| end + 1);
        self.at = begin + length;
        Some((begin, rest[..length].trim_end_matches(['\n', '\r'])))
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn blocks_are_found() {
        let bash = ["bash"];
        assert_eq!(parse("THOUGHT: x\n\n```bash\nls -la\n```\n", &bash), ["ls -la"]);
        assert_eq!(
            parse("```bash\nls\n```\n```python\nx\n```\n```bash\npwd\n```", &bash),
            ["ls", "pwd"]
        );
        assert_eq!(parse("```bash\n  a\n\n```", &bash), ["  a\n"]);
        assert_eq!(parse("```bash\n```", &bash), [""]);
        assert_eq!(parse("```bash\nnot closed", &bash), [] as [&str; 0]);
        assert_eq!(parse("no block", &bash), [] as [&str; 0]);
    }

    #[test]
    fn long_texts_take_no_longer_than_they_must() {
        for piece in ["```bash\n", "```bash\n```x\n```\n", "```\n", "`"] {
            parse(&piece.repeat((2 << 20) / piece.len()), &["bash"]);
        }
        assert_eq!(parse("````bash\nopen\n```bash\nls\n```", &["bash"]), ["ls"]);
    }

    #[test]
    fn a_command_may_write_markdown() {
        let inner = "cat > R.md <<'E'\n```python\nx\n```\nE";
        assert_eq!(parse(&format!("```bash\n{inner}\n```\n"), &["bash"]), [inner]);
        let inner = "cat > R.md <<'E'\n```\nx\n```\nE";
        assert_eq!(parse(&format!("````bash\n{inner}\n````\n"), &["bash"]), [inner]);
    }
}
