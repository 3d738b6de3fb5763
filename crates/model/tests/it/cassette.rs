//! Recording and playing.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer, TokenIds};
use palestra_model::{
    Answer, Api, CallOptions, Cassette, Effort, Finish, Message, Model, ModelError, Part, Reply,
    Request, Usage,
};
use serde_json::json;

use crate::{client, patient, question, serve, ways};

fn asking(text: &str) -> Request {
    let mut request = question();
    request.messages.push(Arc::new(Message::user(text)));
    request
}

#[test]
fn the_same_bytes_in_any_order() {
    let turn = Arc::new(AtomicUsize::new(0));
    let counted = turn.clone();
    let script = move |request: &Request| {
        let said = request.messages.last().unwrap().content_text();
        let turn = counted.fetch_add(1, Ordering::SeqCst);
        let say = Say::text(format!("{said} {turn}\r\n")).thinking("hm");
        Scripted::Say(say.and_call("bash", "{\"a\":  1.50}"))
    };
    let options = ScriptedOptions { tokens: TokenIds::Exact, ..ScriptedOptions::default() };
    let server = ScriptedServer::start(script, options).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (api, stream) in ways() {
        let path = dir.path().join(format!("{api}-{stream}"));
        let inner = Arc::new(client(api, &server, stream));
        let cassette = Cassette::record(&path, inner).unwrap();
        let mut recorded = Vec::new();
        for number in 0..12 {
            let mut request = asking(&format!("q{}", number % 4));
            request.sampling.token_ids = true;
            request.sampling.logprobs = true;
            let answer = cassette.call(&request, &patient(60.0)).unwrap();
            recorded.push((request, answer));
        }
        let cassette = Cassette::replay(&path).unwrap();
        assert_eq!(cassette.unplayed(), 12);
        let same = |played: &Answer, answer: &Answer| {
            assert_eq!(played.reply, answer.reply);
            assert_eq!(played.sent, answer.sent);
            assert_eq!(played.received, answer.received);
            assert_eq!(played.effort.seconds, answer.effort.seconds);
        };
        // Other sessions, all at once, each question on a thread of its own.
        std::thread::scope(|scope| {
            for question in 0..4 {
                let (cassette, recorded) = (&cassette, &recorded);
                scope.spawn(move || {
                    for place in [question, question + 4, question + 8] {
                        let mut request = recorded[place].0.clone();
                        request.session = Some("another".to_owned());
                        same(&cassette.call(&request, &patient(60.0)).unwrap(), &recorded[place].1);
                    }
                });
            }
        });
        assert_eq!(cassette.unplayed(), 0);
        let error = cassette.call(&recorded[0].0, &patient(60.0)).unwrap_err();
        assert!(error.to_string().contains("3 times"), "{error}");
    }
}

#[test]
fn the_nearest_difference_is_named() {
    let server = serve(|_: &Request| Scripted::Say(Say::text("x")));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cassette");
    let inner = Arc::new(client(Api::Anthropic, &server, false));
    Cassette::record(&path, inner).unwrap().call(&asking("one"), &patient(60.0)).unwrap();
    let cassette = Cassette::replay(&path).unwrap();
    let says = |request: &Request, words: &[&str]| {
        let error = cassette.call(request, &patient(60.0)).unwrap_err();
        assert!(matches!(error, ModelError::NotRecorded(_)));
        let text = error.to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    };
    says(&asking("two"), &["message 2", "call 1", "\"two\""]);
    let mut longer = asking("one");
    longer.messages.push(Arc::new(Message::assistant("y")));
    says(&longer, &["4 messages", "has 3"]);
    let other = Request { model: "other".to_owned(), ..asking("one") };
    says(&other, &["the model, the tools or the sampling"]);
    // The fields of parameters in another order are the same tool.
    let mut same = asking("one");
    let mut tool = same.tools[0].clone();
    tool.parameters = json!({
        "required": ["command"],
        "properties": {"command": {"type": "string"}},
        "type": "object",
    });
    same.tools = Arc::from([tool]);
    assert!(cassette.call(&same, &patient(60.0)).is_ok());
}

#[test]
fn a_line_that_was_cut_costs_only_itself() {
    let server = serve(|_: &Request| Scripted::Say(Say::text("x")));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cassette");
    let record = |text: &str| {
        let inner = Arc::new(client(Api::Chat, &server, true));
        Cassette::record(&path, inner).unwrap().call(&asking(text), &patient(60.0)).unwrap();
    };
    record("one");
    record("two");
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 40).unwrap();
    let plays = |text: &str| Cassette::replay(&path).unwrap().call(&asking(text), &patient(1.0));
    assert!(plays("one").is_ok());
    assert!(plays("two").is_err());
    record("three");
    record("one");
    assert!(plays("three").is_ok());
    assert_eq!(Cassette::replay(&path).unwrap().unplayed(), 3);
    // What is no recording at all is not passed over.
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"key\": 3}\n{}\n").unwrap();
    let Err(error) = Cassette::replay(&path) else { panic!("it was read") };
    assert!(error.to_string().contains(":5:"), "{error}");
}

#[test]
fn errors_that_stay_are_played() {
    let server = serve(|_: &Request| Scripted::Status {
        status: 400,
        body: r#"{"error":{"message":"prompt is too long: 5 tokens > 4 maximum"}}"#.to_owned(),
        retry_after: None,
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cassette");
    let inner = Arc::new(client(Api::Chat, &server, true));
    let told = Cassette::record(&path, inner).unwrap().call(&question(), &patient(60.0));
    let played = Cassette::replay(&path).unwrap().call(&question(), &patient(60.0));
    assert_eq!(played.unwrap_err(), told.unwrap_err());
}

/// A model without a protocol, whose bytes are no text.
struct Odd;

impl Model for Odd {
    fn call(&self, _: &Request, _: &CallOptions) -> palestra_model::Result<Answer> {
        let reply = Reply {
            id: "1".to_owned(),
            model: "odd".to_owned(),
            message: Message {
                content: vec![Part::Text("\u{0}".to_owned()), Part::Other(json!({"x": 1}))],
                ..Message::assistant("")
            },
            finish: Finish::Other("odd".to_owned()),
            usage: Usage::default(),
            tokens: None,
            logprobs: None,
        };
        let (sent, received) = (Arc::from(*b"\xff\x00sent"), Arc::from(*b"\x00\xfe"));
        Ok(Answer { reply, effort: Effort::default(), sent, received })
    }

    fn server(&self) -> String {
        "odd".to_owned()
    }
}

#[test]
fn bytes_of_any_kind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cassette");
    let told = Cassette::record(&path, Arc::new(Odd)).unwrap().call(&question(), &patient(1.0));
    let told = told.unwrap();
    let played = Cassette::replay(&path).unwrap().call(&question(), &patient(1.0)).unwrap();
    assert_eq!(
        (played.reply, played.sent, played.received),
        (told.reply, told.sent, told.received)
    );
}
