//! What models are asked: files with places for values.
//!
//! A prompt is a file: a head between two lines `+++` in TOML (`name`, `version`, `about`), and
//! its parts, each after a line `=== system ===`, `=== user ===` or `=== assistant ===`. A place
//! is `{{name}}`. Which places a prompt has is fixed by the code that fills them, so a file that
//! replaces one is checked when it is read, and not when it is needed.

mod builtin;
mod fence;
mod fill;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use palestra_model::Role;
use serde::{Deserialize, Serialize};

pub use builtin::name;
pub use fill::{Filled, Value, clip};

use builtin::{BUILTIN, Builtin, Kind, Place};

/// Why prompts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A file is not what it should be.
    #[error("the prompt {file} cannot be used: {what}")]
    Wrong {
        /// The file, or the name of a built-in prompt.
        file: String,
        /// What is wrong and how it should be.
        what: String,
    },
    /// Reading failed.
    #[error("prompts cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The code gave no value for a place, or one of the wrong kind.
    #[error("the prompt {prompt} was filled wrongly: {what}")]
    Filling {
        /// The prompt.
        prompt: String,
        /// What is missing.
        what: String,
    },
}

/// Which prompt, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PromptRef {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// The first 16 digits of BLAKE3 of its file.
    pub hash: String,
}

/// A line of the list of prompts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromptInfo {
    /// Which.
    #[serde(flatten)]
    pub prompt: PromptRef,
    /// What it is for, in a line.
    pub about: String,
    /// The first line that the model is told.
    pub first_line: String,
    /// The file that replaces the built-in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// A prompt that was read and checked.
#[derive(Debug, Clone)]
struct Prompt {
    reference: PromptRef,
    about: String,
    parts: Vec<(Role, String)>,
    places: &'static [Place],
    file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    name: String,
    version: u32,
    about: String,
}

/// All prompts of this crate.
#[derive(Debug, Clone)]
pub struct PromptSet {
    prompts: BTreeMap<String, Prompt>,
}

impl PromptSet {
    /// Those that the program brings along.
    pub fn builtin() -> Self {
        let read = |known: &Builtin| {
            let prompt = Prompt::parse(known.text, known, None);
            // A test reads every one of them.
            let prompt = prompt.unwrap_or_else(|error| unreachable!("built in: {error}"));
            (known.name.to_owned(), prompt)
        };
        Self { prompts: BUILTIN.iter().map(read).collect() }
    }

    /// The same with those replaced for which the directory has a file `NAME.md`. Other files
    /// than `*.md` are passed over.
    ///
    /// # Errors
    /// A file of an unknown name, one that lacks a place or has one that nobody fills.
    pub fn with_directory(mut self, directory: &Path) -> Result<Self, PromptError> {
        let mut paths = Vec::new();
        for entry in fs_err::read_dir(directory)? {
            paths.push(entry?.path());
        }
        paths.sort();
        for path in paths {
            if path.extension().is_none_or(|extension| extension != "md") {
                continue;
            }
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let stem = stem.unwrap_or_default();
            let Some(known) = BUILTIN.iter().find(|known| known.name == stem) else {
                let names: Vec<&str> = BUILTIN.iter().map(|known| known.name).collect();
                let what = format!("no prompt has this name; there are {}", names.join(", "));
                return Err(PromptError::Wrong { file: path.display().to_string(), what });
            };
            let text = fs_err::read_to_string(&path)?;
            self.prompts.insert(stem, Prompt::parse(&text, known, Some(path))?);
        }
        Ok(self)
    }

    /// All of them, by name.
    pub fn list(&self) -> Vec<PromptInfo> {
        let info = |prompt: &Prompt| {
            let text = prompt.parts.first().map_or("", |(_, text)| text);
            PromptInfo {
                prompt: prompt.reference.clone(),
                about: prompt.about.clone(),
                first_line: text.lines().next().unwrap_or_default().to_owned(),
                file: prompt.file.clone(),
            }
        };
        self.prompts.values().map(info).collect()
    }

    /// The text of a prompt with its places, as `palestra prompts NAME` would show it.
    pub fn text(&self, name: &str) -> Option<String> {
        let prompt = self.prompts.get(name)?;
        let part = |(role, text): &(Role, String)| format!("=== {} ===\n{text}\n", word(*role));
        Some(prompt.parts.iter().map(part).collect::<Vec<_>>().join("\n"))
    }

    /// Fills a prompt.
    ///
    /// # Errors
    /// A value is missing, or of the wrong kind: a mistake of the caller.
    pub fn fill(&self, name: &str, values: &[(&str, Value)]) -> Result<Filled, PromptError> {
        let filling = |what: String| PromptError::Filling { prompt: name.to_owned(), what };
        let prompt =
            self.prompts.get(name).ok_or_else(|| filling("there is no such prompt".to_owned()))?;
        fill::fill(&prompt.reference, prompt.places, &prompt.parts, values).map_err(filling)
    }
}

impl Prompt {
    fn parse(text: &str, known: &Builtin, file: Option<PathBuf>) -> Result<Self, PromptError> {
        let shown = file.as_ref().map_or(known.name.to_owned(), |file| file.display().to_string());
        let wrong = |what: String| PromptError::Wrong { file: shown.clone(), what };
        let text = text.replace("\r\n", "\n");
        let (head, body) =
            text.strip_prefix("+++\n")
                .and_then(|rest| rest.split_once("\n+++\n"))
                .ok_or_else(|| wrong("it begins with a head between two lines `+++`".to_owned()))?;
        let head: Head = toml::from_str(head).map_err(|error| wrong(format!("head: {error}")))?;
        if head.name != known.name {
            return Err(wrong(format!("its head calls it `{}`", head.name)));
        }
        let parts = parts(body).map_err(wrong)?;
        check(&parts, known.places).map_err(wrong)?;
        let hash = blake3::hash(text.as_bytes()).to_hex()[..16].to_owned();
        let reference = PromptRef { name: head.name, version: head.version, hash };
        Ok(Self { reference, about: head.about, parts, places: known.places, file })
    }
}

fn word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Assistant => "assistant",
        Role::User | Role::Tool => "user",
    }
}

fn parts(body: &str) -> Result<Vec<(Role, String)>, String> {
    let mut parts: Vec<(Role, String)> = Vec::new();
    for line in body.lines() {
        let role = match line.trim_end() {
            "=== system ===" => Some(Role::System),
            "=== user ===" => Some(Role::User),
            "=== assistant ===" => Some(Role::Assistant),
            _ => None,
        };
        match (role, parts.last_mut()) {
            (Some(role), _) => parts.push((role, String::new())),
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) if line.trim().is_empty() => {}
            (None, None) => return Err(format!("{line:?} stands before the first part")),
        }
    }
    for (_, text) in &mut parts {
        *text = text.trim().to_owned();
    }
    match parts.last() {
        Some((Role::User, _)) => Ok(parts),
        _ => Err("its last part is `=== user ===`".to_owned()),
    }
}

/// Every place is known, every required one is there, and material stands on lines of its own.
fn check(parts: &[(Role, String)], places: &[Place]) -> Result<(), String> {
    let mut seen = Vec::new();
    for (role, text) in parts {
        for line in text.lines() {
            for name in fill::places_of(line) {
                let Some(place) = places.iter().find(|place| place.name == name) else {
                    let names: Vec<&str> = places.iter().map(|place| place.name).collect();
                    let names = names.join(", ");
                    return Err(format!("nobody fills `{{{{{name}}}}}`; its places are {names}"));
                };
                if place.kind == Kind::Material && line.trim() != format!("{{{{{name}}}}}") {
                    return Err(format!("`{{{{{name}}}}}` is material and stands alone on a line"));
                }
                if place.kind == Kind::Material && *role != Role::User {
                    return Err(format!("`{{{{{name}}}}}` is material and belongs to a user part"));
                }
                seen.push(name.to_owned());
            }
        }
    }
    let missing =
        places.iter().find(|place| place.required && !seen.iter().any(|name| *name == place.name));
    match missing {
        Some(place) => Err(format!("it has no place `{{{{{}}}}}`", place.name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_prompts_are_sound() {
        let set = PromptSet::builtin();
        assert_eq!(set.list().len(), BUILTIN.len());
        for info in set.list() {
            assert!(!info.first_line.is_empty() && !info.about.is_empty(), "{info:?}");
            assert_eq!(info.prompt.hash.len(), 16);
        }
    }

    #[test]
    fn wrong_files_are_named() {
        let head = "+++\nname = \"judge\"\nversion = 2\nabout = \"x\"\n+++\n";
        let whole = PromptSet::builtin().text(name::JUDGE).unwrap();
        let cases = [
            (String::from("no head"), "head between"),
            (format!("+++\nname = \"tests\"\nversion = 1\nabout = \"\"\n+++\n{whole}"), "calls it"),
            (format!("{head}hello\n{whole}"), "before the first part"),
            (format!("{head}=== system ===\nx"), "last part"),
            (format!("{head}{}", whole.replace("{{diff}}", "")), "no place `{{diff}}`"),
            (format!("{head}{whole}\nmore {{{{other}}}}"), "nobody fills `{{other}}`"),
            (format!("{head}{}", whole.replace("{{diff}}", "x {{diff}}")), "alone on a line"),
            (format!("{head}{}", whole.replace("{{fence}}", "")), "no place `{{fence}}`"),
        ];
        for (text, want) in cases {
            let dir = tempfile::tempdir().unwrap();
            fs_err::write(dir.path().join("judge.md"), text).unwrap();
            let error = PromptSet::builtin().with_directory(dir.path()).unwrap_err().to_string();
            assert!(error.contains(want) && error.contains("judge.md"), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("jugde.md"), "").unwrap();
        let error = PromptSet::builtin().with_directory(dir.path()).unwrap_err().to_string();
        assert!(error.contains("jugde.md") && error.contains("judge, "), "{error}");
    }

    #[test]
    fn a_directory_replaces_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let whole = PromptSet::builtin().text(name::JUDGE).unwrap();
        let text = format!("+++\nname = \"judge\"\nversion = 7\nabout = \"mine\"\n+++\n{whole}");
        fs_err::write(dir.path().join("judge.md"), text).unwrap();
        fs_err::write(dir.path().join("notes.txt"), "").unwrap();
        let before = PromptSet::builtin().list();
        let after = PromptSet::builtin().with_directory(dir.path()).unwrap().list();
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before.prompt != after.prompt, after.prompt.name == "judge");
        }
        let judge = after.iter().find(|info| info.prompt.name == "judge").unwrap();
        assert_eq!((judge.prompt.version, judge.about.as_str()), (7, "mine"));
        assert!(judge.file.is_some());
    }
}
