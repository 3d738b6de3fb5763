//! Many sessions at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use palestra_model::scripted::{Say, Scripted};
use palestra_model::{Api, Request};
use serde_json::json;

use crate::common::{graph, place, until};

const SESSIONS: usize = 200;
const TURNS: usize = 3;

#[test]
fn two_hundred_sessions_keep_apart() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let script = move |request: &Request| {
        // Some calls fail, and nobody notices.
        if count.fetch_add(1, Ordering::Relaxed) % 17 == 3 {
            return Scripted::Status {
                status: 503,
                body: String::new(),
                retry_after: Some("0".to_owned()),
            };
        }
        let session = request.session.clone().unwrap_or_default();
        let text = format!("{session} turn {}", request.messages.len());
        Scripted::Drip(Say::text(text), Duration::from_millis(20))
    };
    let place = place(Api::Chat, script);
    let client = crate::common::client();
    std::thread::scope(|scope| {
        for number in 0..SESSIONS {
            let (place, client) = (&place, client.clone());
            scope.spawn(move || {
                let session = format!("s{number}");
                let stream = number % 2 == 0;
                let mut messages = vec![json!({"role": "user", "content": session})];
                for turn in 0..TURNS {
                    let url = place.url(&session, "/v1/chat/completions");
                    let body = json!({"model": "m", "messages": messages, "stream": stream});
                    let reply = client.post(url).body(body.to_string()).send();
                    let text = reply.expect("an answer").text().expect("text");
                    let expected = format!("{session} turn {}", 2 * turn + 1);
                    let said = if stream {
                        let mut assembler = Api::Chat.assembler();
                        assembler.push(text.as_bytes());
                        assembler.finish().expect("a reply").message.content_text()
                    } else {
                        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                        let said = value["choices"][0]["message"]["content"].as_str();
                        said.unwrap_or_else(|| panic!("{text}")).to_owned()
                    };
                    assert_eq!(said, expected);
                    messages.push(json!({"role": "assistant", "content": said}));
                    messages.push(json!({"role": "user", "content": "on"}));
                }
            });
        }
    });
    assert!(asked.load(Ordering::Relaxed) > SESSIONS * TURNS);
    for number in 0..SESSIONS {
        let session = place.session(&format!("s{number}"));
        until("all calls are over", || session.status().under_way == 0);
        let graph = graph(&session);
        assert_eq!(graph.calls().len(), TURNS);
        let samples = graph.branches();
        assert_eq!(samples.len(), 1);
        let name = format!("s{number}");
        assert_eq!(samples[0].messages[0].content_text(), name);
        let said = samples[0].messages.iter().zip(&samples[0].sampled).filter(|(_, said)| **said);
        assert!(
            said.map(|(message, _)| message).all(|said| said.content_text().starts_with(&name))
        );
    }
}
