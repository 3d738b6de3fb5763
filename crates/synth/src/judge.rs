//! Whether a commit is a task at all, whether its statement suffices, and whether its tests ask
//! for more than it says.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::ask::{AskError, Asker, Proposal};
use crate::prompt::{Filled, PromptError, PromptSet, Value, clip, name};
use crate::reject::{Reason, Rejection};
use crate::reply::json_object;
use crate::tests::message;

macro_rules! codes {
    ($($code:ident, $name:literal, $meaning:literal;)+) => {
        /// What is the matter with a task, by the codes of SWE-rebench V2.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Code {
            $(#[doc = concat!($name, ": ", $meaning)] $code,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$code),+];

            /// `A`, `B1` and so on.
            pub fn code(self) -> &'static str {
                match self { $(Self::$code => stringify!($code),)+ }
            }

            /// The name of the category.
            pub fn category(self) -> &'static str {
                match self { $(Self::$code => $name,)+ }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$code => $meaning,)+ }
            }
        }
    };
}

codes! {
    A, "SOLVABLE", "The statement is clear, and the tests ask for what it says.";
    B1, "TEST_SUITE_COUPLING", "A right solution may fail because of tests of other things.";
    B2, "IMPLICIT_NAMING", "The tests expect names, signatures, messages or values that only the reference change has.";
    B3, "EXTERNAL_DEPENDENCY", "What is essential stands behind a link and is not quoted.";
    B4, "AMBIGUOUS_SPEC", "What is expected, how it shows, or when it is done is not said.";
    B5, "PATCH_ARTIFACTS", "The reference change has unrelated parts that the tests may need.";
    B6, "IMPLICIT_KNOWLEDGE", "It takes knowledge that neither the statement nor the project has.";
    B7, "INLINE_TEST", "The reference change itself has tests in it.";
    B8, "VISUAL_REQUIREMENT", "It takes pictures or a look at something that text does not give.";
    B9, "NON_ENGLISH_TEXT", "The statement has text in another language that has to be understood.";
    B10, "TEXT_FILE_TESTS", "The tests change only files of text, and what they check is hard to see.";
    B11, "MULTI_ISSUE_PR", "Several independent matters are solved at once, and which the tests need is unclear.";
}

impl Code {
    /// Reads `B2`, `b2`, `B2: IMPLICIT_NAMING` or the name of the category.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_uppercase();
        let word = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
        Self::ALL.iter().copied().find(|code| code.code() == word || code.category() == word)
    }
}

/// How long it takes somebody who knows the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difficulty {
    /// A quarter of an hour.
    Easy,
    /// An hour.
    Medium,
    /// Longer.
    Hard,
}

/// What a judge says. It is stored with a task; nothing here rejects one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Whether the change alters behaviour that tests can show.
    pub is_task: bool,
    /// `A`, or what is the matter, in the order of the codes.
    pub codes: Vec<Code>,
    /// From 0 to 1.
    pub confidence: f64,
    /// Whether the statement suffices to pass the tests.
    pub sufficient: bool,
    /// Whether the tests ask for more than it says.
    pub tests_exceed_statement: bool,
    /// Why, bounded.
    pub reasons: String,
    /// How hard it is, where the judge says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<Difficulty>,
}

/// What is judged.
#[derive(Debug, Clone, Copy, Default)]
pub struct JudgeInput<'a> {
    /// The repository.
    pub repository: &'a str,
    /// First line of the message.
    pub subject: &'a str,
    /// The rest of it.
    pub body: &'a str,
    /// The statement; empty where there is none yet.
    pub statement: &'a str,
    /// The fix without its tests.
    pub diff: &'a str,
    /// The hidden tests: path and source; none where there are none yet.
    pub tests: &'a [(String, String)],
}

/// Bytes of each piece of material.
const LIMIT: usize = 30_000;
/// Bytes of the reasons that are kept.
const REASONS: usize = 4_000;

/// What a judge is asked.
///
/// # Errors
/// A prompt that was filled wrongly.
pub fn prompt_of(prompts: &PromptSet, input: &JudgeInput<'_>) -> Result<Filled, PromptError> {
    let codes: Vec<String> = Code::ALL
        .iter()
        .map(|code| format!("   - `{}`: {}", code.code(), code.meaning()))
        .collect();
    let share = LIMIT / input.tests.len().max(1);
    let tests = input.tests.iter().map(|(path, text)| (path.clone(), clip(text, share)));
    let values = [
        ("repository", Value::Word(input.repository.to_owned())),
        ("codes", Value::Ours(codes.join("\n"))),
        ("message", message(input.subject, input.body)),
        ("statement", Value::text("statement", input.statement, LIMIT)),
        ("diff", Value::text("diff", input.diff, LIMIT)),
        ("tests", Value::Material(tests.collect())),
    ];
    prompts.fill(name::JUDGE, &values)
}

/// Asks for a judgement.
///
/// # Errors
/// Those of the machine. An answer that is no judgement is a rejection (`bad_json`).
pub fn judge(
    asker: &Asker,
    prompts: &PromptSet,
    input: &JudgeInput<'_>,
) -> Result<Proposal<Judgement>, AskError> {
    asker.propose(&prompt_of(prompts, input)?, read)
}

/// Reads an answer: the last object in it that says whether this is a task. Words for truth,
/// percentages, and codes in a map are understood; what is missing is taken for the worse.
fn read(text: &str) -> Result<Judgement, Rejection> {
    let object = json_object(text, |value| truth(value.get("is_task")).is_some());
    let Some(object) = object else {
        let detail = "there is no object of JSON with `is_task`";
        return Err(Rejection::new(Reason::BadJson, detail));
    };
    let mut codes = Vec::new();
    for field in ["codes", "code", "detected_issues"] {
        match object.get(field) {
            Some(Json::String(text)) => {
                codes.extend(text.split(['|', ',', ' ']).filter_map(Code::parse))
            }
            Some(Json::Array(list)) => {
                codes.extend(list.iter().filter_map(|code| Code::parse(code.as_str()?)));
            }
            Some(Json::Object(map)) => {
                let held = map.iter().filter(|(_, held)| truth(Some(held)) == Some(true));
                codes.extend(held.filter_map(|(code, _)| Code::parse(code)));
            }
            _ => {}
        }
    }
    codes.sort();
    codes.dedup();
    if codes.len() > 1 {
        codes.retain(|code| *code != Code::A);
    }
    if codes.is_empty() {
        return Err(Rejection::new(Reason::BadJson, "`codes` has no code"));
    }
    let confidence = number(object.get("confidence")).unwrap_or(0.0);
    let difficulty = object.get("difficulty").and_then(Json::as_str).unwrap_or_default();
    let reasons = match object.get("reasons").or(object.get("reasoning")) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Array(list)) => {
            list.iter().filter_map(Json::as_str).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    };
    Ok(Judgement {
        is_task: truth(object.get("is_task")) == Some(true),
        codes,
        confidence,
        sufficient: truth(object.get("sufficient")) == Some(true),
        tests_exceed_statement: truth(object.get("tests_exceed_statement")) != Some(false),
        reasons: clip(&reasons, REASONS),
        difficulty: match difficulty.trim().to_ascii_lowercase().as_str() {
            "easy" => Some(Difficulty::Easy),
            "medium" => Some(Difficulty::Medium),
            "hard" => Some(Difficulty::Hard),
            _ => None,
        },
    })
}

fn truth(value: Option<&Json>) -> Option<bool> {
    match value? {
        Json::Bool(truth) => Some(*truth),
        Json::String(word) => match word.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" => Some(true),
            "false" | "no" | "n" => Some(false),
            _ => None,
        },
        Json::Number(number) => number.as_f64().map(|number| number != 0.0),
        _ => None,
    }
}

/// A share: `0.8`, `"80%"`, `80`.
fn number(value: Option<&Json>) -> Option<f64> {
    let (number, percent) = match value? {
        Json::Number(number) => (number.as_f64()?, false),
        Json::String(text) => {
            let text = text.trim();
            (text.trim_end_matches('%').trim().parse().ok()?, text.ends_with('%'))
        }
        _ => return None,
    };
    let share = if percent || number > 1.0 { number / 100.0 } else { number };
    (0.0..=1.0).contains(&share).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judgements_in_many_forms() {
        let plain = r#"{"reasons": "r", "is_task": true, "sufficient": true, "tests_exceed_statement": false, "codes": ["A"], "confidence": 0.9, "difficulty": "easy"}"#;
        let want = Judgement {
            is_task: true,
            codes: vec![Code::A],
            confidence: 0.9,
            sufficient: true,
            tests_exceed_statement: false,
            reasons: "r".into(),
            difficulty: Some(Difficulty::Easy),
        };
        assert_eq!(read(plain).unwrap(), want);
        assert_eq!(read(&format!("I think {{so}}:\n```json\n{plain}\n```\nDone.")).unwrap(), want);
        let loose = r#"{"is_task": "Yes", "code": "B2: IMPLICIT_NAMING", "detected_issues": {"B2": true, "B4": "yes", "B5": false}, "confidence": "85%"}"#;
        let loose = read(loose).unwrap();
        assert_eq!(
            (loose.codes.as_slice(), loose.confidence),
            ([Code::B2, Code::B4].as_slice(), 0.85)
        );
        assert!(!loose.sufficient && loose.tests_exceed_statement);
        let both =
            read(r#"{"is_task": false, "codes": ["A", "B11", "Z9"], "confidence": 7000}"#).unwrap();
        assert_eq!((both.codes.as_slice(), both.confidence), ([Code::B11].as_slice(), 0.0));
        for wrong in [
            "",
            "yes",
            "{}",
            r#"{"is_task": "maybe", "codes": ["A"]}"#,
            r#"{"is_task": true, "codes": []}"#,
            r#"{"is_task": true, "codes": ["#,
        ] {
            assert_eq!(read(wrong).unwrap_err().reason, Reason::BadJson, "{wrong}");
        }
    }

    #[test]
    fn codes_are_those_of_the_field() {
        assert_eq!(Code::ALL.len(), 12);
        assert_eq!(Code::parse("b10"), Some(Code::B10));
        assert_eq!(Code::parse("MULTI_ISSUE_PR"), Some(Code::B11));
        assert_eq!(serde_json::to_string(&Code::B1).unwrap(), "\"B1\"");
        assert_eq!(Code::parse("B12"), None);
    }
}
