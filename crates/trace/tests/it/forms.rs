//! Messages that come back otherwise than they were said.

use std::sync::Arc;

use palestra_model::{Message, Part};
use palestra_trace::{Graph, Why};
use serde_json::{Map, Value, json};

use crate::common::{answer, calls, request};

/// Records `said`, sends it back as `back`, and tells whether it was known.
fn known(said: &Message, back: &Message) -> bool {
    let mut graph = Graph::new();
    graph.record(&request(&[Message::user("u")]), &answer(said.clone(), None), 1.0);
    let next = [Message::user("u"), back.clone(), Message::tool("c1", "t")];
    let recorded = graph.record(&request(&next), &answer(Message::assistant("b"), None), 2.0);
    let samples = graph.branches();
    if recorded.branched.is_none() {
        assert_eq!(samples.len(), 1);
        assert_eq!(*samples[0].messages[1], *said, "what the model said is kept");
        assert_eq!(recorded.relaxed.len(), usize::from(said != back));
    } else {
        assert_eq!(recorded.branched.map(|branch| branch.why), Some(Why::History));
    }
    recorded.branched.is_none()
}

#[test]
fn what_client_libraries_do_is_recognised() {
    let said = calls("  thinking \n", r#"{"b": 1.0,   "a": "x  y"}"#);
    assert!(known(&said, &said));
    assert!(known(&said, &calls("thinking", r#"{"a":"x  y","b":1}"#)));
    let mut reasoned = said.clone();
    reasoned.reasoning = Some("because".to_owned());
    reasoned.extra = Map::from_iter([("chat".to_owned(), json!({"signature": "s"}))]);
    assert!(known(&reasoned, &said));
    let mut parts = said.clone();
    parts.content =
        vec![Part::Text("  think".to_owned()), Part::Other(json!({"type": "text", "text": "ing"}))];
    assert!(known(&said, &parts));
    let empty = Message { content: Vec::new(), ..said.clone() };
    assert!(known(&empty, &Message { content: vec![Part::Text(String::new())], ..said.clone() }));
    assert!(known(&calls("", ""), &calls("", "{}")));
}

#[test]
fn what_changes_the_sense_is_another_message() {
    let said = calls("text", r#"{"a": "x  y"}"#);
    assert!(!known(&said, &calls("text", r#"{"a": "x y"}"#)));
    assert!(!known(&said, &calls("te xt", r#"{"a": "x  y"}"#)));
    let mut named = said.clone();
    named.tool_calls[0].id = "c2".to_owned();
    assert!(!known(&said, &named));
    assert!(!known(&said, &Message { tool_calls: Vec::new(), ..said.clone() }));
    assert!(!known(
        &said,
        &Message { tool_calls: [&said.tool_calls[..]; 2].concat(), ..said.clone() }
    ));
    // Arguments that are no JSON are compared as they are.
    assert!(!known(&calls("", "{broken"), &calls("", "{ broken")));
}

#[test]
fn marks_for_caches_may_wander() {
    let mark = json!({"type": "ephemeral"});
    let mut graph = Graph::new();
    let marked = Message {
        extra: Map::from_iter([(
            "anthropic".to_owned(),
            json!({"content": [{"cache_control": mark}]}),
        )]),
        ..Message::user("u")
    };
    graph.record(&request(&[marked]), &answer(Message::assistant("a"), None), 1.0);
    let next = [Message::user("u"), Message::assistant("a"), Message::user("v")];
    let two = graph.record(&request(&next), &answer(Message::assistant("b"), None), 2.0);
    assert_eq!(two.branched, None);
    let mut part = next.to_vec();
    part[2].content =
        vec![Part::Other(json!({"type": "text", "text": "v", "cache_control": mark}))];
    part.extend([Message::assistant("b"), Message::user("w")]);
    let three = graph.record(&request(&part), &answer(Message::assistant("c"), None), 3.0);
    assert_eq!(three.branched, None);
    // The user's own words are not trimmed.
    part[4] = Message::user("w ");
    let four = graph.record(&request(&part), &answer(Message::assistant("c"), None), 4.0);
    assert_eq!(four.branched.expect("a branch").why, Why::History);
}

#[test]
fn a_message_of_the_same_allocation_needs_no_hash_and_stays_right() {
    let mut graph = Graph::new();
    let mut sent = request(&[Message::user("u")]);
    graph.record(&sent, &answer(calls("a", "{ }"), None), 1.0);
    sent.messages.push(Arc::new(calls("a", "{}")));
    sent.messages.push(Arc::new(Message::user("v")));
    let two = graph.record(&sent, &answer(Message::assistant("b"), None), 2.0);
    assert_eq!((two.branched, two.relaxed.len()), (None, 1));
    let prompt = graph.calls()[1].prompt;
    let again = graph.record(&sent, &answer(Message::assistant("b"), None), 3.0);
    assert_eq!(again.branched.expect("a branch").why, Why::Resampled);
    assert_eq!((graph.calls()[2].prompt, again.relaxed.len()), (prompt, 0));
    // The twin that is equal in every byte is preferred to the one that is only alike.
    let mut twin = request(&[Message::user("u")]);
    graph.record(&twin, &answer(calls("a", "{}"), None), 4.0);
    graph.record(&twin, &answer(calls("a", "{  }"), None), 5.0);
    twin.messages.push(Arc::new(calls("a", "{}")));
    let last = graph.record(&twin, &answer(Message::assistant("z"), None), 6.0);
    let path = graph.path(last.head);
    assert_eq!(path[1].message.tool_calls[0].arguments, "{}");
    assert_eq!(Value::from(path[1].call.0), 3);
}
