//! P(YES) from real replies over HTTP, for every way in which a tokenizer may cut the answer.

use palestra_model::scripted::{Scripted, ScriptedOptions, ScriptedServer};
use palestra_model::{Api, CallOptions, Client, ClientConfig, Request, client::Backoff};
use palestra_verify::free::{Answers, Judge, Judgement, Prompt, Source, Unscorable, logprob_of};
use serde_json::{Value, json};
use std::time::Duration;

fn prompt() -> Prompt {
    Prompt { system: "Judge.".into(), user: "Is it right?".into(), condensed: 0, too_long: false }
}

fn client(server: &ScriptedServer) -> Client {
    let backoff = Backoff { first: Duration::from_millis(1), longest: Duration::from_millis(2) };
    let config = ClientConfig { backoff, ..ClientConfig::new(Api::Chat, server.url()) };
    Client::new(config).unwrap()
}

fn quick() -> CallOptions {
    CallOptions {
        timeout: Duration::from_secs(20),
        patience: Duration::from_millis(100),
        ..CallOptions::default()
    }
}

/// Asks a server that answers with this body.
fn ask(body: String, judge: &Judge) -> Judgement {
    let script = move |_: &Request| Scripted::Garbage(body.clone().into_bytes());
    let server = ScriptedServer::start(script, ScriptedOptions::default()).unwrap();
    judge.ask(&client(&server), &prompt(), &quick())
}

/// The body of a reply that says this, in these tokens with these alternatives.
fn reply(text: &str, finish: &str, tokens: Option<Vec<Value>>) -> String {
    let logprobs = tokens.map_or(Value::Null, |tokens| json!({"content": tokens}));
    json!({
        "id": "x", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{
            "index": 0, "finish_reason": finish, "logprobs": logprobs,
            "message": {"role": "assistant", "content": text},
        }],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    })
    .to_string()
}

fn token(text: &str, p: f64) -> Value {
    json!({"token": text, "logprob": p.ln(), "bytes": text.as_bytes(), "top_logprobs": []})
}

/// A token with alternatives, itself not among them.
fn chosen(text: &str, p: f64, others: &[(&str, f64)]) -> Value {
    let mut value = token(text, p);
    value["top_logprobs"] = others.iter().map(|(text, p)| token(text, *p)).collect();
    value
}

fn p_yes(text: &str, tokens: Vec<Value>) -> f64 {
    let judgement = ask(reply(text, "stop", Some(tokens)), &Judge::new("m"));
    assert_eq!(judgement.unscorable, [], "{text:?}");
    let found = judgement.found[0];
    assert_eq!(judgement.score.get(), Some(found.p_yes));
    assert_eq!(found.source, Source::Alternatives);
    found.p_yes
}

fn near(got: f64, want: f64) {
    assert!((got - want).abs() < 1e-9, "{got} {want}");
}

#[test]
fn every_tokenizer_gives_the_same() {
    // Qwen: the answer is its own token, at index 4, where R2E-Gym looks for it.
    let head = || ["<", "jud", "gement", ">"].map(|t| token(t, 1.0)).to_vec();
    let tail = || ["</", "jud", "gement", ">"].map(|t| token(t, 1.0)).to_vec();
    let text = "<judgement>YES</judgement>";
    let with = |middle: Vec<Value>| [head(), middle, tail()].concat();
    near(p_yes(text, with(vec![chosen("YES", 0.6, &[("NO", 0.2), ("Maybe", 0.1)])])), 0.75);
    // Split in two: `Y` and `ES`, beside `N`, and tokens that begin otherwise.
    let split = vec![chosen("Y", 0.6, &[("N", 0.1), ("NO", 0.1), ("X", 0.2)]), token("ES", 1.0)];
    near(p_yes(text, with(split)), 0.75);
    // Byte by byte.
    let bytes = vec![chosen("Y", 0.3, &[("N", 0.1)]), token("E", 1.0), token("S", 1.0)];
    near(p_yes(text, with(bytes)), 0.75);
    // With the end of the tag in the same token, at another index.
    let glued = vec![token("<judgement", 1.0), chosen(">YES", 0.6, &[(">NO", 0.2), ("NO", 0.2)])];
    near(p_yes(text, [glued, tail()].concat()), 0.75);
    // With a space before, and alternatives without one.
    let text = "<judgement> YES</judgement>";
    let spaced =
        vec![chosen(" YES", 0.5, &[("YES", 0.1), (" NO", 0.15), ("NO", 0.05), (" ", 0.2)])];
    near(p_yes(text, with(spaced)), 0.75);
    // The space is a token of its own.
    let apart = vec![token(" ", 0.9), chosen("YES", 0.6, &[("NO", 0.2)])];
    near(p_yes(text, with(apart)), 0.75);
    // All in one token, as of a server that gives words.
    let whole =
        vec![chosen("<judgement>NO</judgement>", 0.6, &[("<judgement>YES</judgement>", 0.2)])];
    near(p_yes("<judgement>NO</judgement>", whole), 0.25);
}

#[test]
fn answers_without_the_tag_and_with_words_around() {
    near(p_yes("YES", vec![chosen("YES", 0.6, &[("NO", 0.2)])]), 0.75);
    near(p_yes(" NO", vec![chosen(" NO", 0.6, &[(" YES", 0.2)])]), 0.25);
    near(p_yes("Yes.", vec![chosen("Yes", 0.6, &[("No", 0.2)]), token(".", 1.0)]), 0.75);
    // NOTHING is not NO, YESTERDAY is not YES; the last word that stands alone is the answer.
    let text = "NOTHING speaks against it, NO: YES";
    let tokens = vec![
        token("NOTHING speaks against it, ", 1.0),
        token("NO", 1.0),
        token(":", 1.0),
        chosen(" YES", 0.6, &[(" NO", 0.2), (" YESTERDAY", 0.1), (" NOT", 0.1)]),
    ];
    near(p_yes(text, tokens), 0.75);
    // An example in the model's own words is not the answer; the last tag is.
    let text = "I could say <judgement>NO</judgement>, but <judgement>YES</judgement>";
    let tokens = vec![
        token("I could say <judgement>", 1.0),
        chosen("NO", 0.9, &[("YES", 0.1)]),
        token("</judgement>, but <judgement>", 1.0),
        chosen("YES", 0.6, &[("NO", 0.2)]),
        token("</judgement>", 1.0),
    ];
    near(p_yes(text, tokens), 0.75);
    // Tokens that the text does not have: a thought before it, a mark behind it.
    let tokens = vec![
        token("<think>NO, or YES?</think>", 1.0),
        token("<judgement>", 1.0),
        chosen("YES", 0.6, &[("NO", 0.2)]),
        token("</judgement><|im_end|>", 1.0),
    ];
    near(p_yes("<judgement>YES</judgement>", tokens), 0.75);
}

#[test]
fn tokens_without_bytes_and_letters_of_several_bytes() {
    let mut tokens = vec![token("é<judgement>", 1.0), chosen("YES", 0.6, &[("NO", 0.2)])];
    for token in &mut tokens {
        token["bytes"] = Value::Null;
        if let Some(all) = token["top_logprobs"].as_array_mut() {
            all.iter_mut().for_each(|t| t["bytes"] = Value::Null);
        }
    }
    near(p_yes("é<judgement>YES", tokens), 0.75);
    // A letter cut in two: its parts are no text of their own, but they have bytes.
    let half = |bytes: [u8; 1]| json!({"token": "\u{fffd}", "logprob": 0.0, "bytes": bytes});
    let tokens = vec![
        half([0xc3]),
        half([0xa9]),
        token("<judgement>", 1.0),
        chosen("NO", 0.6, &[("YES", 0.2)]),
    ];
    near(p_yes("é<judgement>NO", tokens), 0.25);
}

#[test]
fn without_alternatives_the_answer_alone_counts() {
    let tokens = vec![token("<judgement>", 1.0), token("NO", 0.8)];
    let judgement = ask(reply("<judgement>NO", "stop", Some(tokens)), &Judge::new("m"));
    assert_eq!(judgement.found[0].source, Source::Sampled);
    near(judgement.found[0].p_yes, 0.2);
}

#[test]
fn what_is_missing_or_no_number_is_said_and_not_guessed() {
    let judge = Judge::new("m");
    let no_logprobs = |said_yes| vec![Unscorable::NoLogprobs { said_yes }];
    let scored = |body: String| {
        let judgement = ask(body, &judge);
        assert!(judgement.score.is_none() && judgement.found.is_empty(), "{judgement:?}");
        judgement.unscorable
    };
    let text = "<judgement>YES</judgement>";
    assert_eq!(scored(reply(text, "stop", None)), no_logprobs(true));
    assert_eq!(scored(reply(text, "stop", Some(vec![]))), no_logprobs(true));
    // Log-probabilities that are no numbers: null, and positive infinity as some servers write it.
    for wrong in [Value::Null, json!("NaN"), json!(1e308), json!(5.0)] {
        let mut answer = chosen("NO", 0.5, &[("YES", 0.5)]);
        answer["logprob"] = wrong.clone();
        answer["top_logprobs"][0]["logprob"] = wrong.clone();
        let tokens = vec![token("<judgement>", 1.0), answer];
        assert_eq!(
            scored(reply("<judgement>NO", "stop", Some(tokens))),
            no_logprobs(false),
            "{wrong}"
        );
    }
    // A body that has NaN in it is no JSON, so there is no reply.
    let nan =
        reply(text, "stop", Some(vec![token(text, 0.5)])).replace("-0.6931471805599453", "NaN");
    assert!(nan.contains("NaN"));
    assert!(matches!(scored(nan).as_slice(), [Unscorable::Call(_)]));
    // One alternative that is no number does not spoil the rest.
    let mut answer = chosen("YES", 0.6, &[("NO", 0.2), ("no", 0.5)]);
    answer["top_logprobs"][1]["logprob"] = Value::Null;
    near(p_yes("<judgement>YES", vec![token("<judgement>", 1.0), answer]), 0.75);
}

#[test]
fn refusals_and_answers_that_are_none() {
    let judge = Judge::new("m");
    let tokens = || Some(vec![chosen("YES", 0.6, &[("NO", 0.2)])]);
    let refused = ask(reply("YES", "content_filter", tokens()), &judge);
    assert_eq!(refused.unscorable, [Unscorable::Refused]);
    for text in ["I cannot judge this.", "", "<judgement>MAYBE</judgement>", "<judgement>"] {
        let judgement = ask(reply(text, "stop", tokens()), &judge);
        assert!(matches!(judgement.unscorable.as_slice(), [Unscorable::NoAnswer(_)]), "{text:?}");
        assert!(judgement.score.is_none());
    }
    let too_long = Prompt { too_long: true, ..prompt() };
    let server = ScriptedServer::start(|_: &Request| Scripted::Hang, ScriptedOptions::default());
    let judgement = judge.ask(&client(&server.unwrap()), &too_long, &quick());
    assert_eq!(judgement.unscorable, [Unscorable::TooLong]);
    let script =
        |_: &Request| Scripted::Status { status: 400, body: String::new(), retry_after: None };
    let server = ScriptedServer::start(script, ScriptedOptions::default()).unwrap();
    let judgement = judge.ask(&client(&server), &prompt(), &quick());
    assert!(matches!(judgement.unscorable.as_slice(), [Unscorable::Call(_)]));
}

#[test]
fn samples_are_averaged_over_those_that_can_be_scored() {
    let script = |request: &Request| {
        let body = match request.sampling.seed {
            Some(0) => reply("YES", "stop", Some(vec![chosen("YES", 0.9, &[("NO", 0.1)])])),
            Some(1) => reply("NO", "stop", Some(vec![chosen("NO", 0.7, &[("YES", 0.3)])])),
            _ => reply("who knows", "stop", None),
        };
        Scripted::Garbage(body.into_bytes())
    };
    let server = ScriptedServer::start(script, ScriptedOptions::default()).unwrap();
    let judge = Judge { samples: 3, temperature: 0.7, ..Judge::new("m") };
    let judgement = judge.ask(&client(&server), &prompt(), &quick());
    near(judgement.score.get().unwrap(), 0.6);
    assert_eq!((judgement.found.len(), judgement.unscorable.len()), (2, 1));
    assert_eq!(judgement.usage.prompt, 30);
}

#[test]
fn both_answers_are_scored_where_no_log_probabilities_come() {
    // The prompt's log-probabilities as vLLM gives them, with the answer cut differently.
    let body = |tokens: &[(&str, f64)]| {
        let token = |(place, (text, p)): (usize, &(&str, f64))| {
            let mut fields = serde_json::Map::new();
            let inner = json!({"logprob": p.ln(), "rank": 1, "decoded_token": text});
            fields.insert(place.to_string(), inner);
            Value::Object(fields)
        };
        let mut list = vec![Value::Null];
        list.extend(tokens.iter().enumerate().map(token));
        let mut body: Value = serde_json::from_str(&reply("x", "length", None)).unwrap();
        body["prompt_logprobs"] = list.into();
        body.to_string()
    };
    let yes = body(&[("<judgement>", 0.5), ("Y", 0.6), ("ES", 1.0)]);
    let no = body(&[("<judgement>", 0.5), ("NO", 0.2)]);
    let plain = reply("<judgement>YES</judgement>", "stop", None);
    let script = move |request: &Request| {
        let last = request.messages.last().map(|m| m.content_text()).unwrap_or_default();
        let extra = serde_json::to_string(&request.sampling.extra).unwrap();
        let asks = |what: &str| extra.contains(what);
        let body = match last.as_str() {
            "<judgement>YES" if asks("\"continue_final_message\":true") => &yes,
            "<judgement>NO" if asks("\"prompt_logprobs\":0") => &no,
            _ => &plain,
        };
        Scripted::Garbage(body.clone().into_bytes())
    };
    let server = ScriptedServer::start(script, ScriptedOptions::default()).unwrap();
    let judge = Judge { continuations: true, ..Judge::new("m") };
    let judgement = judge.ask(&client(&server), &prompt(), &quick());
    near(judgement.score.get().unwrap(), 0.75);
    assert_eq!(judgement.found[0].source, Source::Continuations);
    // A server that does not know the extension: no score.
    let judgement = ask(reply("<judgement>YES", "stop", None), &judge);
    assert_eq!(judgement.unscorable, [Unscorable::NoLogprobs { said_yes: true }]);
    assert_eq!(logprob_of(b"{}", "YES"), None);
    assert_eq!(logprob_of(b"not json", "YES"), None);
    assert_eq!(Answers::default().tag, "<judgement>");
}
