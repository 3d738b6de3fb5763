//! Upstreams that misbehave.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use palestra_gateway::{Gateway, GatewayOptions, Upstream};
use palestra_model::scripted::{Say, Scripted, TokenIds};
use palestra_model::{Api, Request};
use serde_json::json;

use crate::common::{KEY, Place, Reply, body, get, graph, place, place_with, post, quick, server};

/// Fails so many times, then says something.
fn after(failures: usize, failure: Scripted) -> impl Fn(&Request) -> Scripted + Send + Sync {
    let count = AtomicUsize::new(0);
    move |_: &Request| match count.fetch_add(1, Ordering::Relaxed) {
        number if number < failures => failure.clone(),
        _ => Say::text("fine").into(),
    }
}

fn status(status: u16, retry_after: Option<&str>) -> Scripted {
    Scripted::Status { status, body: String::new(), retry_after: retry_after.map(str::to_owned) }
}

fn short(patience: u64, timeout: u64) -> impl FnOnce(GatewayOptions) -> GatewayOptions {
    move |options| GatewayOptions {
        patience: Duration::from_millis(patience),
        timeout: Duration::from_millis(timeout),
        ..options
    }
}

/// The error of an answer, in the form of the API.
fn error_text(api: Api, reply: &Reply) -> String {
    let value = reply.json();
    if api == Api::Anthropic {
        assert_eq!(value["type"], "error", "{value}");
    }
    assert!(value["error"]["type"].is_string(), "{value}");
    value["error"]["message"].as_str().expect("a message").to_owned()
}

#[test]
fn what_passes_is_not_seen_by_the_client() {
    for api in Api::ALL {
        for failure in [
            status(429, Some("0")),
            status(500, None),
            status(529, None),
            Scripted::Garbage(b"\xff<html>{".to_vec()),
            Scripted::Half(Say::text("a longer text that is cut somewhere"), 0.0),
            Scripted::Status {
                status: 200,
                body: json!({"error": {"message": "overloaded", "code": 503}}).to_string(),
                retry_after: None,
            },
        ] {
            for stream in [false, true] {
                let place = place(api, after(2, failure.clone()));
                // Another API of the client's: what is asked is whole in any case.
                for (session, of) in [("same", api), ("other", other(api))] {
                    let reply = place.ask(session, of, stream);
                    assert_eq!(reply.status, 200, "{api} {failure:?}: {}", reply.text);
                    assert!(reply.text.contains("fine"), "{api} {failure:?}: {}", reply.text);
                }
                let status = place.session("same").status();
                assert_eq!((status.tries, status.answered, status.failed), (3, 1, 0));
                assert!(status.waited > 0.0);
            }
        }
    }
}

fn other(api: Api) -> Api {
    if api == Api::Anthropic { Api::Chat } else { Api::Anthropic }
}

#[test]
fn half_an_answer_is_made_again_where_nothing_was_passed_on() {
    for api in Api::ALL {
        let half = Scripted::Half(Say::text("a longer text that is cut somewhere"), 0.8);
        let place = place(api, after(1, half));
        // Whole answers, and streams that are converted, are passed on at their end.
        assert!(place.ask("whole", api, false).text.contains("fine"));
        let place = self::place(
            api,
            after(1, Scripted::Half(Say::text("a longer text that is cut somewhere"), 0.8)),
        );
        let reply = place.ask("converted", other(api), true);
        assert!(reply.text.contains("fine") && !reply.text.contains("longer"), "{}", reply.text);
    }
}

/// A server that breaks its first answer off after some of it.
fn half_server(whole: String) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let mut asked = [0; 1 << 16];
            let _ = stream.read(&mut asked);
            let length = whole.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {length}\r\n\
                 connection: close\r\n\r\n",
            );
            let sent = if number == 0 { length * 6 / 10 } else { length };
            let _ = stream.write_all(format!("{head}{}", &whole[..sent]).as_bytes());
        }
    });
    url
}

#[test]
fn half_a_stream_is_broken_off_with_an_error() {
    for api in Api::ALL {
        let whole = place(api, |_: &Request| Say::text("word ".repeat(2000)).into());
        let whole = whole.ask("x", api, true).text;
        let url = half_server(whole);
        let server = server(|_: &Request| Say::text("unused").into(), TokenIds::None);
        let gateway = Gateway::start(quick(vec![Upstream::http(url, api, None)]));
        let place = Place { gateway: gateway.expect("a gateway"), server };
        let reply = place.ask("x", api, true);
        assert_eq!(reply.status, 200);
        let last = reply.text.rsplit("data: ").next().expect("an event");
        assert!(last.contains("\"error\""), "{api}: {last}");
        assert!(!reply.text.contains("[DONE]") && !reply.text.contains("message_stop"));
        let status = place.session("x").status();
        assert_eq!((status.answered, status.failed), (0, 1));
        // The record has the failure, and the next call is well.
        let file = std::fs::read_to_string(place.session("x").trace()).expect("a record");
        assert!(file.contains("\"failed\""), "{file}");
        let whole = place.ask("x", api, true).text;
        assert!(whole.contains("[DONE]") || whole.contains("stop") || whole.contains("completed"));
        assert_eq!(graph(&place.session("x")).calls().len(), 1);
    }
}

#[test]
fn a_server_that_hangs_is_left_at_last() {
    for api in Api::ALL {
        for (hang, session) in [
            (Scripted::Hang, "hang"),
            (Scripted::Stall(Say::text("x"), 0.0), "stall"),
            (Scripted::Endless, "endless"),
        ] {
            if session == "endless" && api != Api::Chat {
                continue;
            }
            let bound =
                |options| GatewayOptions { response_bytes: 1 << 20, ..short(700, 300)(options) };
            let place = place_with(api, move |_: &Request| hang.clone(), bound);
            let begun = Instant::now();
            let reply = place.ask(session, api, false);
            assert!(
                matches!(reply.status, 502 | 504),
                "{session} {}: {}",
                reply.status,
                reply.text
            );
            assert!(!error_text(api, &reply).is_empty());
            assert_eq!(reply.headers["x-should-retry"], "false");
            assert!(begun.elapsed() < Duration::from_secs(15));
        }
    }
}

#[test]
fn a_stream_that_never_says_its_end_is_whole_if_the_completion_is() {
    for api in Api::ALL {
        let place =
            place_with(api, |_: &Request| Scripted::Open(Say::text("fine")), short(5000, 400));
        let reply = place.ask("x", api, true);
        assert!(
            reply.text.contains("fine") && !reply.text.contains("\"error\":{"),
            "{}",
            reply.text
        );
        assert_eq!(place.session("x").status().answered, 1);
    }
}

#[test]
fn patience_ends() {
    for api in Api::ALL {
        let slow = |_: &Request| status(429, Some("3600"));
        let place = place_with(api, slow, short(1000, 1000));
        let reply = place.ask("x", api, false);
        assert_eq!(reply.status, 429);
        assert_eq!(reply.headers["retry-after"], "3600");
        assert!(error_text(api, &reply).contains("limits the rate"));
        assert_eq!(place.server.requests(), 1, "the wait is longer than the patience");
        let place = place_with(api, |_: &Request| status(503, None), short(1500, 1000));
        let reply = place.ask("x", api, true);
        // The stream has begun by then, or it has not.
        assert!(reply.status == 503 || reply.text.contains("\"error\""), "{}", reply.text);
        assert!(place.server.requests() > 1);
        assert_eq!(place.session("x").status().failed, 1);
    }
}

#[test]
fn refusals_are_told_in_the_words_of_the_client() {
    let long = json!({"error": {"message": "maximum context length is 8 tokens", "code": "x"}});
    for upstream in Api::ALL {
        for api in Api::ALL {
            for (sent, seen) in [(400, 400), (404, 404), (422, 422)] {
                let place = place(upstream, move |_: &Request| status(sent, None));
                let reply = place.ask("x", api, false);
                assert_eq!(reply.status, seen, "{}", reply.text);
                error_text(api, &reply);
                assert_eq!(place.server.requests(), 1);
            }
            let text = long.to_string();
            let refuse = move |_: &Request| Scripted::Status {
                status: 400,
                body: text.clone(),
                retry_after: None,
            };
            let place = place(upstream, refuse);
            let reply = place.ask("x", api, true);
            assert_eq!(reply.status, 400);
            assert!(reply.text.contains("maximum context length"), "{}", reply.text);
        }
    }
}

#[test]
fn a_wrong_key_is_told_and_not_shown() {
    for api in Api::ALL {
        let server = server(|_: &Request| Say::text("fine").into(), TokenIds::None);
        let wrong = "sk-wrong-0123456789-secret";
        let upstream = Upstream::http(server.url(), api, Some(wrong.to_owned()));
        assert!(!format!("{upstream:?}").contains(wrong));
        let options = quick(vec![upstream]);
        assert!(!format!("{options:?}").contains(wrong));
        let place = Place { gateway: Gateway::start(options).expect("a gateway"), server };
        let reply = place.ask("x", api, false);
        assert_eq!(reply.status, 401);
        assert!(error_text(api, &reply).contains("refuses the key"));
        assert!(!reply.text.contains(wrong));
        assert!(!format!("{:?}", place.gateway).contains(wrong));
    }
}

#[test]
fn a_server_that_tells_the_key_is_not_passed_on() {
    for api in Api::ALL {
        let said = format!("your key is {KEY}!");
        let echo = format!(r#"{{"error": {{"message": "{said}", "type": "x"}}}}"#);
        let refuse = move |_: &Request| Scripted::Status {
            status: 400,
            body: echo.clone(),
            retry_after: None,
        };
        let reply = place(api, refuse).ask("x", api, false);
        assert_eq!(reply.status, 400);
        assert!(reply.text.contains("your key is [key]"), "{}", reply.text);
        for stream in [false, true] {
            let text = said.clone();
            let tell = move |_: &Request| Scripted::Say(Say::text(text.clone()));
            let place = place_with(api, tell, short(4000, 1000));
            let reply = place.ask("x", api, stream);
            assert!(reply.text.contains("error"), "{}", reply.text);
            graph(&place.session("x"));
        }
    }
}

#[test]
fn nobody_at_home() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let upstream = Upstream::http(format!("http://{address}/v1"), Api::Chat, None);
    let options = GatewayOptions { patience: Duration::from_secs(1), ..quick(vec![upstream]) };
    let gateway = Gateway::start(options).expect("a gateway");
    let url = format!("{}/sessions/x/v1/chat/completions", gateway.url());
    let reply = post(&url, &body(Api::Chat, false));
    assert_eq!(reply.status, 502, "{}", reply.text);
    assert!(reply.text.contains("cannot be reached"), "{}", reply.text);
    assert_eq!(get(&format!("{}/sessions/x/v1/models", gateway.url())).status, 502);
}

#[test]
fn bad_requests_are_refused_here() {
    let place = place(Api::Chat, |_: &Request| Say::text("fine").into());
    let bound = |options| GatewayOptions { request_bytes: 1000, ..options };
    let small = place_with(Api::Chat, |_: &Request| Say::text("fine").into(), bound);
    for api in Api::ALL {
        let url = place.url("x", api.path());
        let send = |text: &str| {
            let sent = crate::common::client().post(&url).body(text.to_owned()).send();
            crate::common::finish(sent.expect("an answer"))
        };
        for text in
            ["", "{", "[]", "{\"model\": 1}", "{\"model\": \"m\", \"messages\": 1, \"input\": 1}"]
        {
            let reply = send(text);
            assert_eq!(reply.status, 400, "{text}: {}", reply.text);
            error_text(api, &reply);
        }
        let mut long = body(api, false);
        long["extra"] = json!("x".repeat(2000));
        let reply = post(&small.url("x", api.path()), &long);
        assert_eq!(reply.status, 413);
        error_text(api, &reply);
        assert_eq!(get(&url).status, 405);
    }
    assert_eq!(place.server.requests(), 0);
    let reply = post(&place.url("x", "/v1/embeddings"), &json!({}));
    assert_eq!(reply.status, 404);
    let count = post(&place.url("x", "/v1/messages/count_tokens"), &body(Api::Anthropic, false));
    assert_eq!(count.status, 404);
    for bad in ["a%2Fb", ".hidden", "%00", &"x".repeat(200)] {
        let reply = place.ask(bad, Api::Chat, false);
        assert_eq!(reply.status, 400, "{bad}: {}", reply.text);
    }
}
