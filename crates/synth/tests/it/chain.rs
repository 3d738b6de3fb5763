//! A whole chain, as an engine would drive it, and twice the same.

use std::sync::Arc;

use palestra_model::scripted::{Say, Scripted};
use palestra_model::{Api, Cassette, Client, ClientConfig, Request};
use palestra_synth::bug::{self, BugKind, BugRequest};
use palestra_synth::judge::{self, Code, JudgeInput};
use palestra_synth::ledger::{StageEntry, Yields, stage};
use palestra_synth::statement::{self, StatementInput};
use palestra_synth::tests::{self, Trouble, minimise};
use palestra_synth::{Asker, AskerConfig, PromptSet, Reason};

use crate::{GOOD_TESTS, asked, asker, fenced, request, saying, serve};

const JUDGEMENT: &str = "```json\n{\"reasons\": \"clear\", \"is_task\": true, \"sufficient\": true, \"tests_exceed_statement\": false, \"codes\": [\"A\"], \"confidence\": 0.9}\n```";

/// A model that knows all prompts: its first tests sleep, its repaired ones are good.
fn server() -> palestra_model::scripted::ScriptedServer {
    serve(|request: &Request| {
        let said = asked(request);
        let text = if said.contains("What was found:") {
            fenced(GOOD_TESTS)
        } else if said.contains("Write one new test file") {
            fenced(
                &GOOD_TESTS
                    .replace("    assert rows(' a", "    time.sleep(9)\n    assert rows(' a")
                    .replace("from table", "import time\nfrom table"),
            )
        } else if said.contains("`is_task`") {
            JUDGEMENT.to_owned()
        } else if said.contains("Put one mistake") {
            "It forgets to strip.\n```python\ndef rows(text):\n    return text.splitlines()\n```"
                .to_owned()
        } else {
            "<report>\n# Rows are cut\n\n`rows('a b')` gives two rows, but it should give one for each line of the text, and the spaces at the ends of a line should go. An empty text should give no row at all.\n</report>".to_owned()
        };
        Scripted::Say(Say::text(text))
    })
}

/// Everything but the running of tests; what came out, as text.
fn chain(asker: &Asker) -> String {
    let prompts = PromptSet::builtin();
    let request = request();
    let mut ledger = Vec::new();
    let commit = Some("1234");
    let judged = JudgeInput {
        repository: &request.repository,
        subject: &request.subject,
        diff: &request.diff,
        ..JudgeInput::default()
    };
    let judged = judge::judge(asker, &prompts, &judged).unwrap();
    ledger.push(StageEntry::of(stage::JUDGE, commit, None, &judged));
    assert_eq!(judged.result.as_ref().unwrap().codes, [Code::A]);
    let first = tests::propose(asker, &prompts, &request).unwrap();
    ledger.push(StageEntry::of(stage::TESTS, commit, None, &first));
    let why = first.result.unwrap_err();
    assert_eq!((why.reason, why.line), (Reason::Sleeps, Some(10)));
    let second =
        tests::repair(asker, &prompts, &request, "the file", Trouble::Rejected(&why)).unwrap();
    ledger.push(StageEntry::of(stage::TESTS_REPAIR, commit, None, &second));
    let proposed = second.result.unwrap();
    let keep = [format!("{}::test_spaces_stay", proposed.path)].into();
    let content = minimise(&proposed.content, &keep);
    assert!(!content.contains("test_ends_are_stripped"));
    let input = StatementInput {
        repository: request.repository.clone(),
        diff: request.diff.clone(),
        changed: vec!["rows".into()],
        ..StatementInput::default()
    };
    let statement = statement::write(asker, &prompts, &input, 1).unwrap();
    assert_eq!(statement.objections, []);
    let bug = BugRequest {
        repository: request.repository.clone(),
        path: "table/rows.py".into(),
        source: format!("import os\n\n\n{}", request.code[0].after.clone().unwrap()),
        name: "rows".into(),
        kind: BugKind::Subtle,
    };
    let bug = bug::propose(asker, &prompts, &bug).unwrap().unwrap();
    ledger.push(StageEntry::of(stage::BUG_MODEL, commit, None, &bug));
    let yields = Yields::of(&ledger);
    assert_eq!(yields.stages[1].rejected, [("sleeps".to_owned(), 1)]);
    let bug = bug.result.unwrap();
    let hashes: Vec<_> = ledger.iter().map(|entry| entry.ask.clone().unwrap()).collect();
    format!("{content}{}{}{}{}", statement.text, bug.source, bug.notes, hashes.join(" "))
}

#[test]
fn the_chain_gives_the_same_bytes() {
    let server = server();
    let one = chain(&asker(&server));
    assert!(one.contains("return text.splitlines()") && one.contains("It forgets to strip."));
    assert_eq!(chain(&asker(&server)), one);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cassette.jsonl");
    let client = Client::new(ClientConfig::new(Api::Chat, server.url())).unwrap();
    let record = Cassette::record(&path, Arc::new(client)).unwrap();
    assert_eq!(chain(&Asker::new(AskerConfig::new(Arc::new(record), "a-model"))), one);
    drop(server);
    let replay = Arc::new(Cassette::replay(&path).unwrap());
    let cache = Some(dir.path().join("cache"));
    let config = AskerConfig { cache, ..AskerConfig::new(replay.clone(), "a-model") };
    assert_eq!(chain(&Asker::new(config.clone())), one);
    assert_eq!(replay.unplayed(), 0);
    // The cassette has nothing left, and the cache has all.
    assert_eq!(chain(&Asker::new(config)), one);
}

#[test]
fn a_judge_that_talks_nonsense() {
    let prompts = PromptSet::builtin();
    let input = JudgeInput { diff: "x", ..JudgeInput::default() };
    for answer in [
        "{\"is_task\": ",
        "It is a fine task!",
        "{}",
        &"[{".repeat(50_000),
        "{\"is_task\": true, \"codes\": [\"Z\"]}",
    ] {
        let server = saying(answer);
        let found = judge::judge(&asker(&server), &prompts, &input).unwrap();
        assert_eq!(found.result.unwrap_err().reason, Reason::BadJson);
    }
}

#[test]
fn sizes_of_prompts() {
    let prompts = PromptSet::builtin();
    let mut request = request();
    let small = tests::prompt_of(&prompts, &request).unwrap().bytes();
    request.diff = "x\n".repeat(1 << 20);
    request.body = request.diff.clone();
    request.style.example = Some(request.diff.clone());
    request.code = vec![request.code[0].clone(); 500];
    let large = tests::prompt_of(&prompts, &request).unwrap().bytes();
    assert!(small < 6_000 && large < 130_000, "{small} {large}");
}
