//! Asking: caches, cassettes, money, errors.

use std::sync::Arc;
use std::time::Duration;

use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer};
use palestra_model::{
    Api, CallOptions, Cassette, Client, ClientConfig, Finish, Prices, Request, client::Backoff,
};
use palestra_synth::tests::{self, ProposedTests};
use palestra_synth::{AskError, Asker, AskerConfig, PromptSet, Proposal, Reason};

use crate::{GOOD_TESTS, asker, config, fenced, request, saying, serve};

fn propose(asker: &Asker) -> Result<Proposal<ProposedTests>, AskError> {
    tests::propose(asker, &PromptSet::builtin(), &request())
}

#[test]
fn nothing_is_asked_twice() {
    let server = saying(&fenced(GOOD_TESTS));
    let dir = tempfile::tempdir().unwrap();
    let prices = Prices::parse("[\"*\"]\nprompt = 1.0\ncompletion = 2.0").unwrap();
    let prices = Arc::new(prices);
    let config = || AskerConfig {
        cache: Some(dir.path().to_owned()),
        prices: prices.clone(),
        ..config(&server)
    };
    let first = Asker::new(config());
    let one = propose(&first).unwrap();
    assert_eq!(one.result.as_ref().unwrap().content, GOOD_TESTS);
    assert_eq!(one.result.as_ref().unwrap().notes, "These tests look at both.");
    assert!(!one.spent.cached && one.spent.tokens_in > 500 && one.spent.tokens_out > 20);
    let want = (one.spent.tokens_in as f64 + 2.0 * one.spent.tokens_out as f64) / 1e6;
    assert!((one.spent.money.unwrap() - want).abs() < 1e-12);
    assert_eq!(server.requests(), 1);
    // The same run, another one, and one without any model.
    let nobody = AskerConfig { model: None, ..config() };
    for asker in [first, Asker::new(config()), Asker::new(nobody)] {
        let two = propose(&asker).unwrap();
        assert_eq!((&two.result, &two.ask, &two.prompt), (&one.result, &one.ask, &one.prompt));
        assert!(two.spent.cached && two.spent.money == one.spent.money);
        assert!(asker.paid().tokens_in <= one.spent.tokens_in);
    }
    assert_eq!(server.requests(), 1);
    // What is asked otherwise is asked.
    let mut other = config();
    other.sampling.temperature = Some(0.5);
    assert!(!propose(&Asker::new(other)).unwrap().spent.cached);
    let other = AskerConfig { model_name: "another".into(), ..config() };
    assert!(!propose(&Asker::new(other)).unwrap().spent.cached);
    assert_eq!(server.requests(), 3);
    // A file that was damaged costs only itself.
    for entry in fs_err::read_dir(dir.path().join(&one.ask[..2])).unwrap() {
        fs_err::write(entry.unwrap().path(), "{\"prompt\": ").unwrap();
    }
    assert!(!propose(&Asker::new(config())).unwrap().spent.cached);
    assert!(propose(&Asker::new(config())).unwrap().spent.cached);
}

#[test]
fn threads_ask_once() {
    let server = saying(&fenced(GOOD_TESTS));
    let dir = tempfile::tempdir().unwrap();
    let asker = Asker::new(AskerConfig { cache: Some(dir.path().to_owned()), ..config(&server) });
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(propose(&asker).unwrap().result.is_ok()));
        }
    });
    assert_eq!(server.requests(), 1);
}

#[test]
fn cassettes_give_the_same() {
    let server = saying(&fenced(GOOD_TESTS));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tests.jsonl");
    let client = Arc::new(Client::new(ClientConfig::new(Api::Chat, server.url())).unwrap());
    let record = Cassette::record(&path, client).unwrap();
    let one = propose(&Asker::new(AskerConfig::new(Arc::new(record), "a-model"))).unwrap();
    drop(server);
    for _ in 0..2 {
        let replay = Arc::new(Cassette::replay(&path).unwrap());
        let again = propose(&Asker::new(AskerConfig::new(replay.clone(), "a-model"))).unwrap();
        assert_eq!(again, one);
        assert_eq!(replay.unplayed(), 0);
        let more = propose(&Asker::new(AskerConfig::new(replay, "a-model"))).unwrap_err();
        assert!(matches!(more, AskError::Model(_)), "{more}");
    }
}

#[test]
fn errors_are_those_of_the_machine() {
    let error = propose(&Asker::none()).unwrap_err();
    assert!(matches!(&error, AskError::NoModel { prompt } if prompt == "tests"), "{error}");
    let server = serve(|_: &Request| Scripted::Status {
        status: 500,
        body: String::new(),
        retry_after: None,
    });
    let backoff = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(2) };
    let client = ClientConfig { backoff, ..ClientConfig::new(Api::Chat, server.url()) };
    let options = CallOptions { patience: Duration::from_millis(50), ..CallOptions::default() };
    let model = Arc::new(Client::new(client).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let broken = Asker::new(AskerConfig {
        options,
        cache: Some(dir.path().to_owned()),
        ..AskerConfig::new(model, "a-model")
    });
    assert!(matches!(propose(&broken).unwrap_err(), AskError::Model(_)));
    assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn answers_that_end_in_the_wrong_way() {
    let ending = |finish: Finish, text: &str| {
        let say = Say { finish: Some(finish), ..Say::text(text) };
        let server = serve(move |_: &Request| Scripted::Say(say.clone()));
        propose(&asker(&server)).unwrap().result.unwrap_err().reason
    };
    assert_eq!(ending(Finish::Length, &fenced(GOOD_TESTS)), Reason::CutOff);
    assert_eq!(ending(Finish::Refused, "no"), Reason::Refused);
    assert_eq!(ending(Finish::Stop, "  \n"), Reason::EmptyReply);
    let body = "{\"error\": {\"message\": \"maximum context length is 8 tokens\", \"type\": \"invalid_request_error\", \"code\": \"context_length_exceeded\"}}";
    let server = ScriptedServer::start(
        move |_: &Request| Scripted::Status { status: 400, body: body.into(), retry_after: None },
        ScriptedOptions::default(),
    )
    .unwrap();
    let long = propose(&asker(&server)).unwrap().result.unwrap_err();
    assert_eq!(long.reason, Reason::PromptTooLong);
    assert!(!long.can_be_repaired());
}
