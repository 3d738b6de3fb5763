//! What goes through, and how.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use palestra_gateway::{Gateway, GatewayOptions, SessionOptions, Upstream};
use palestra_model::scripted::{Say, Scripted};
use palestra_model::{Api, Request, Sampling};
use serde_json::{Value, json};

use crate::common::{KEY, body, client, graph, place, place_with, post, quick, until};

/// A server of one connection at a time that gives back one body and tells what it was sent.
fn raw_server(answer: &'static str, kind: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            if sender.send(read_request(&mut stream)).is_err() {
                return;
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                answer.len()
            );
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, receiver)
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.trim().parse().expect("a number"));
            if rest.len() >= length {
                return String::from_utf8(bytes).expect("text");
            }
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

const ODD_REQUEST: &str = "{ \"model\":\"m\",  \"messages\":[{\"role\":\"user\",\"content\":\"\\u0041 \
    \\u0000\"}], \"temperature\": 1.00, \"x\": 123456789012345678901234567890 }";
const ODD_ANSWER: &str = "{ \"id\":\"i\", \"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\
    \"content\":\"\\u0041\\u0000\",\"odd\":1e2},\"finish_reason\":\"stop\"}], \"z\": 1.50 }\n";

#[test]
fn bodies_of_one_api_are_passed_on_to_the_byte() {
    let (url, sent) = raw_server(ODD_ANSWER, "application/json");
    let upstream = Upstream::http(format!("{url}/base/v1/"), Api::Chat, Some(KEY.to_owned()));
    let gateway = Gateway::start(quick(vec![upstream])).expect("a gateway");
    let reply = client()
        .post(format!("{}/sessions/s1/v1/chat/completions?a=b", gateway.url()))
        .header("authorization", "Bearer the-key-of-the-client")
        .header("x-api-key", "the-key-of-the-client")
        .body(ODD_REQUEST)
        .send()
        .expect("an answer");
    assert_eq!(reply.text().expect("text"), ODD_ANSWER);
    let sent = sent.recv().expect("a request");
    let (head, body) = sent.split_once("\r\n\r\n").expect("a body");
    assert_eq!(body, ODD_REQUEST);
    assert!(head.starts_with("POST /base/v1/chat/completions?a=b HTTP/1.1"), "{head}");
    let head = head.to_lowercase();
    assert!(head.contains(&format!("authorization: bearer {KEY}")), "{head}");
    assert!(head.contains("x-session-id: s1"), "{head}");
    assert!(!head.contains("the-key-of-the-client"), "{head}");
    let graph = graph(&gateway.session("s1").expect("a session"));
    assert_eq!(graph.nodes()[1].message.content_text(), "A\0");
    assert_eq!(graph.calls()[0].received.bytes().as_deref(), Some(ODD_ANSWER.as_bytes()));
}

const ODD_STREAM: &str = ": hello\n\ndata: {\"choices\":[{\"index\":0, \"delta\":{\"content\":\"a\\u0000\"}}],\
    \"odd\": 1.0}\r\n\r\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

#[test]
fn events_of_one_api_are_passed_on_to_the_byte_but_for_what_was_not_asked() {
    for asked in [false, true] {
        let (url, sent) = raw_server(ODD_STREAM, "text/event-stream");
        let upstream = Upstream::http(url, Api::Chat, None);
        let gateway = Gateway::start(quick(vec![upstream])).expect("a gateway");
        let url = format!("{}/v1/chat/completions", gateway.url());
        let mut ask = body(Api::Chat, true);
        if asked {
            ask["stream_options"] = json!({"include_usage": true});
        }
        let reply = client().post(url).header("x-session-id", "s2").body(ask.to_string()).send();
        let text = reply.expect("an answer").text().expect("text");
        let usage =
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n";
        let expected = if asked { ODD_STREAM.to_owned() } else { ODD_STREAM.replace(usage, "") };
        assert_eq!(text, expected);
        assert!(sent.recv().expect("a request").contains("\"include_usage\":true"));
        let session = gateway.session("s2").expect("a session");
        assert_eq!(session.status().usage.prompt, 5);
        assert_eq!(
            graph(&session).calls()[0].received.bytes().as_deref(),
            Some(ODD_STREAM.as_bytes())
        );
    }
}

#[test]
fn events_come_as_they_are_said() {
    let drip =
        |_: &Request| Scripted::Drip(Say::text("a b ".repeat(60)), Duration::from_millis(150));
    for api in Api::ALL {
        let place = place(api, drip);
        let begun = Instant::now();
        let reply = client().post(place.url("x", api.path())).body(body(api, true).to_string());
        let mut reply = reply.send().expect("an answer");
        let mut piece = [0; 16];
        reply.read_exact(&mut piece).expect("a first piece");
        let first = begun.elapsed();
        let mut rest = Vec::new();
        reply.read_to_end(&mut rest).expect("the rest");
        assert!(begun.elapsed() > first * 2, "{api}: {first:?} of {:?}", begun.elapsed());
    }
}

#[test]
fn a_client_that_waits_for_a_stream_is_kept() {
    for (api, upstream) in [(Api::Chat, Api::Chat), (Api::Anthropic, Api::Chat)] {
        let count = AtomicUsize::new(0);
        let slow = move |_: &Request| match count.fetch_add(1, Ordering::Relaxed) {
            0 => Scripted::Status {
                status: 429,
                body: String::new(),
                retry_after: Some("1".to_owned()),
            },
            _ => Say::text("fine").into(),
        };
        let place = place(upstream, slow);
        let reply = place.ask("x", api, true);
        assert!(reply.text.starts_with(": keep-alive\n\n"), "{}", reply.text);
        assert!(reply.text.contains("fine"));
    }
}

#[test]
fn two_megabytes_and_nothing_at_all() {
    let text = format!("{}\u{0}\r\n</tool>é", "0123456789abcdef".repeat(1 << 17));
    for upstream in Api::ALL {
        let said = text.clone();
        let place = place(upstream, move |request: &Request| match request.session.as_deref() {
            Some("empty") => Say::default().into(),
            _ => Say::text(said.clone()).into(),
        });
        let other = if upstream == Api::Chat { Api::Anthropic } else { Api::Chat };
        for api in [upstream, other] {
            for stream in [false, true] {
                let session = format!("{api}-{stream}");
                assert_eq!(place.ask(&session, api, stream).status, 200);
                let graph = graph(&place.session(&session));
                assert!(graph.nodes()[1].message.content_text() == text, "{upstream} {session}");
            }
            let reply = place.ask("empty", api, false);
            assert_eq!(reply.status, 200, "{}", reply.text);
            let graph = graph(&place.session("empty"));
            assert_eq!(graph.nodes().last().expect("a node").message.content_text(), "");
        }
    }
}

#[test]
fn a_session_says_how_its_model_is_asked() {
    for upstream in Api::ALL {
        for api in Api::ALL {
            let asked: Arc<Mutex<Option<Request>>> = Arc::default();
            let seen = asked.clone();
            let place = place_with(
                upstream,
                move |request: &Request| {
                    *seen.lock().expect("a lock") = Some(request.clone());
                    Say::text("fine").into()
                },
                |options| GatewayOptions { cache_salt: true, ..options },
            );
            let options = SessionOptions {
                model: Some("ours".to_owned()),
                sampling: Sampling {
                    temperature: Some(0.25),
                    max_tokens: Some(77),
                    ..Sampling::default()
                },
                ..SessionOptions::default()
            };
            let session = place.gateway.create("x", options, None).expect("a session");
            let mut ask = body(api, false);
            ask["temperature"] = json!(1.0);
            ask["top_p"] = json!(0.5);
            assert_eq!(post(&place.url("x", api.path()), &ask).status, 200);
            let asked = asked.lock().expect("a lock").clone().expect("a request");
            assert_eq!(asked.model, "ours");
            assert_eq!(asked.sampling.temperature, Some(0.25));
            assert_eq!(asked.sampling.top_p, Some(0.5));
            assert_eq!(asked.sampling.max_tokens, Some(77), "{api} before {upstream}");
            assert!(format!("{:?}", asked.sampling.extra).contains("cache_salt"));
            assert_eq!(asked.session.as_deref(), Some("x"));
            let call = graph(&session).calls()[0].clone();
            assert_eq!((&*call.model, call.sampling.temperature), ("ours", Some(0.25)));
            assert_eq!(call.sampling.max_tokens, Some(77));
        }
    }
}

#[test]
fn a_client_that_hangs_up_ends_the_call() {
    for (api, stream, converted) in [
        (Api::Chat, false, false),
        (Api::Chat, true, false),
        (Api::Anthropic, true, true),
        (Api::Responses, false, true),
    ] {
        let upstream = match converted {
            true => Api::Chat,
            false => api,
        };
        let drip = |_: &Request| {
            Scripted::Drip(Say::text("a b ".repeat(2000)), Duration::from_millis(200))
        };
        let place = place(upstream, drip);
        let address = place.gateway.address();
        let mut socket = TcpStream::connect(address).expect("a connection");
        let body = body(api, stream).to_string();
        let head = format!(
            "POST /sessions/x{} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n{body}",
            api.path(),
            body.len()
        );
        socket.write_all(head.as_bytes()).expect("sent");
        until("the upstream is asked", || place.server.requests() == 1);
        if stream {
            let mut piece = [0; 64];
            socket.read_exact(&mut piece).expect("a beginning");
        }
        assert_eq!(place.session("x").status().under_way, 1);
        drop(socket);
        until("the call is given up", || place.session("x").status().failed == 1);
        assert_eq!(place.session("x").status().under_way, 0);
        // It is counted before it is written down.
        let session = place.session("x");
        let written =
            || std::fs::read_to_string(session.trace()).is_ok_and(|t| t.contains("interrupted"));
        until("the record says why", written);
    }
}

#[test]
fn anything_that_can_be_asked_is_an_upstream() {
    use palestra_model::{Client, ClientConfig};
    let count = AtomicUsize::new(0);
    let server = crate::common::server(
        move |_: &Request| match count.fetch_add(1, Ordering::Relaxed) {
            0 => Scripted::Status { status: 500, body: String::new(), retry_after: None },
            _ => Say::text("fine").and_call("bash", "{\"a\":  1}").into(),
        },
        palestra_model::scripted::TokenIds::None,
    );
    let mut config = ClientConfig::new(Api::Chat, server.url());
    config.key = Some(KEY.into());
    let model = Arc::new(Client::new(config).expect("a client"));
    let gateway = Gateway::start(quick(vec![Upstream::model(model)])).expect("a gateway");
    for api in Api::ALL {
        for stream in [false, true] {
            let url = format!("{}/sessions/x{}", gateway.url(), api.path());
            let reply = post(&url, &body(api, stream));
            assert_eq!(reply.status, 200, "{}", reply.text);
            assert!(reply.text.contains("fine") && reply.text.contains("bash"));
            let _: Value = if stream { Value::Null } else { reply.json() };
        }
    }
    let status = gateway.session("x").expect("a session").status();
    assert_eq!((status.answered, status.tries), (6, 7));
}
