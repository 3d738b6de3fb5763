//! Whether a text quotes a fix.

use std::collections::HashSet;

use palestra_diff::{Line, Side};

/// So many characters in a row, spaces and the content of strings apart, are no coincidence.
const WINDOW: usize = 32;
/// A whole line counts from so many characters on, spaces apart.
const LINE: usize = 20;

/// What a fix adds.
pub(super) struct Added {
    /// Lines that nobody would write who has not seen them, and the same without spaces.
    lines: Vec<(String, String)>,
    /// Runs of such lines without spaces.
    runs: Vec<String>,
    /// What stood there before, without spaces.
    known: String,
}

impl Added {
    /// The added lines of code of a patch: no comments, no docstrings, no imports, no signatures,
    /// and nothing that the patch itself shows to have been there before.
    pub(super) fn of(diff: &str) -> Self {
        let (patch, _) = palestra_diff::parse(diff.as_bytes());
        let (mut lines, mut runs, mut known) = (Vec::new(), Vec::new(), String::new());
        for file in &patch.files {
            let code = palestra_syntax::is_source_code_path(file.path());
            for hunk in file.hunks() {
                let inside = inside_strings(&hunk.lines);
                let mut run = String::new();
                for (line, inside) in hunk.lines.iter().zip(inside) {
                    let text = String::from_utf8_lossy(line.text);
                    if line.side != Side::Added {
                        known.push_str(&squeeze(&text));
                        known.push('\n');
                    }
                    if line.side == Side::Deleted {
                        continue;
                    }
                    if line.side == Side::Added && code && !inside && is_telling(&text) {
                        let plain = squeeze(&text);
                        run.push_str(&without_strings(&plain));
                        lines.push((text.trim().to_owned(), plain));
                    } else if !run.is_empty() {
                        runs.push(std::mem::take(&mut run));
                    }
                }
                runs.push(run);
            }
        }
        lines.retain(|(_, plain)| plain.len() >= LINE && !known.contains(plain.as_str()));
        Self { lines, runs, known }
    }

    /// A line of the fix that the text quotes, or a part of it that is long enough.
    pub(super) fn quoted_in(&self, text: &str) -> Option<String> {
        let plain = squeeze(text);
        if let Some((line, _)) = self.lines.iter().find(|(_, line)| plain.contains(line.as_str())) {
            return Some(line.clone());
        }
        let windows: HashSet<&[u8]> =
            self.runs.iter().flat_map(|run| run.as_bytes().windows(WINDOW)).collect();
        let known = self.known.replace('\n', "");
        let found = plain.as_bytes().windows(WINDOW).find(|window| {
            let text = String::from_utf8_lossy(window);
            windows.contains(window) && !known.contains(&*text)
        });
        found.map(|window| String::from_utf8_lossy(window).into_owned())
    }
}

/// Which lines of a hunk stand in strings of several lines after the change. A hunk may begin
/// within one; the reading counts by which less prose is code and less code is prose.
fn inside_strings(lines: &[Line<'_>]) -> Vec<bool> {
    let read = |mut open: bool| -> (usize, Vec<bool>) {
        let mut odd = 0;
        let inside = lines.iter().map(|line| {
            let text = String::from_utf8_lossy(line.text);
            if line.side == Side::Deleted {
                return open;
            }
            let quotes = text.matches("\"\"\"").count() + text.matches("'''").count();
            let inside = open || quotes > 0;
            open ^= quotes % 2 == 1;
            odd += usize::from(
                quotes == 0 && (inside && is_code(&text) || !inside && is_prose(&text)),
            );
            inside
        });
        let inside = inside.collect();
        (odd, inside)
    };
    let (without, within) = (read(false), read(true));
    if within.0 < without.0 { within.1 } else { without.1 }
}

/// Whether a line reads like a statement.
fn is_code(line: &str) -> bool {
    let line = line.trim();
    let words =
        ["return ", "raise ", "if ", "elif ", "else:", "for ", "while ", "try:", "def ", "class "];
    line.contains(" = ")
        || words.iter().any(|word| line.starts_with(word)) && line.ends_with([':', ')', ']'])
}

/// Whether a line reads like a sentence.
fn is_prose(line: &str) -> bool {
    let line = line.trim();
    let plain = line.chars().filter(|c| c.is_alphabetic() || " ,.'`".contains(*c)).count();
    let words = line.split_whitespace().count();
    words >= 4
        && plain * 10 >= line.chars().count() * 9
        && !line.starts_with(['#', '"', '\''])
        && !is_code(line)
}

/// With a sign that no text has in the place of each string: messages are what is asked for, and
/// not how.
fn without_strings(line: &str) -> String {
    let (mut out, mut quote, mut escaped) = (String::new(), None, false);
    for c in line.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => {
                quote = Some(c);
                out.push('\u{1}');
            }
            None => out.push(c),
        }
    }
    out
}

/// Without spaces: a quotation may be laid out anew.
fn squeeze(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Whether a line is code that says how, and not only what: signatures are public, imports and
/// comments say little.
fn is_telling(line: &str) -> bool {
    let line = line.trim();
    let starts = ["def ", "async def ", "class ", "@", "#", "import ", "from ", "\"", "'"];
    !line.is_empty() && !starts.iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "diff --git a/a.py b/a.py
--- a/a.py
+++ b/a.py
@@ -1,3 +1,9 @@
 def split(text, sep=None):
-    return text.split(sep, maxsplit=10)
+    \"\"\"Cuts a text where the separator stands.
+    A separator of None means spaces, and rows stay whole.
+    \"\"\"
+    # Quotes keep a separator.
+    parts = [part.strip() for part in text.split(sep)]
+    return parts if parts else
+        [text]
     rows = text.splitlines()
diff --git a/CHANGES.rst b/CHANGES.rst
--- a/CHANGES.rst
+++ b/CHANGES.rst
@@ -1,1 +1,2 @@
 x
+Rows with an empty separator are no longer cut into pieces.
";

    #[test]
    fn lines_of_the_fix_are_found_however_they_are_laid_out() {
        let added = Added::of(DIFF);
        let check_in = |added: &Added, text: &str, leaks: bool| {
            assert_eq!(added.quoted_in(text).is_some(), leaks, "{text}");
        };
        let check = |text: &str, leaks: bool| check_in(&added, text, leaks);
        check("use `parts = [part.strip() for part in text.split(sep)]`", true);
        check("parts = [\n  part.strip()\n  for part in text.split( sep )\n]", true);
        check("[part.strip() for part in text.split(sep)] return parts if parts else [text]", true);
        check("`split(text, sep=None)` should strip each part", false);
        check("A separator of None means spaces, and rows stay whole.", false);
        check("Rows with an empty separator are no longer cut into pieces.", false);
        check("It does return text.split(sep, maxsplit=10) now", false);
        check("return parts if", false);
        let message = "raise ValueError('the row has more fields than there are columns')";
        let added =
            Added::of(&DIFF.replace("parts = [part.strip() for part in text.split(sep)]", message));
        check_in(&added, "It should say `the row has more fields than there are columns`.", false);
        check_in(&added, message, true);
    }

    #[test]
    fn a_hunk_may_begin_within_a_docstring() {
        let diff = "diff --git a/a.py b/a.py
--- a/a.py
+++ b/a.py
@@ -10,4 +10,11 @@
     The rest of a docstring.
     \"\"\"
     return old(value)
+
+
+def ne(val):
+    \"\"\"
+    A validator that raises ValueError if it is called with that value.
+    \"\"\"
+    return _NumberValidator(val, operator.ne)
 
";
        let added = Added::of(diff);
        assert_eq!(
            added.quoted_in("A validator that raises ValueError if it is called with that value."),
            None
        );
        assert!(added.quoted_in("return _NumberValidator(val, operator.ne)").is_some());
    }
}
