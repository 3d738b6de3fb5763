//! The client against a server that does everything wrong.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use palestra_model::scripted::{Say, Scripted, ScriptedServer};
use palestra_model::{
    Api, CallOptions, Client, ClientConfig, Finish, Message, Model, ModelError, Request,
};

use crate::{client, config, patient, question, saying, serve, ways};

/// A server that plays a list, and its last entry for ever.
fn playing(list: Vec<Scripted>) -> ScriptedServer {
    let next = AtomicUsize::new(0);
    serve(move |_: &Request| {
        let place = next.fetch_add(1, Ordering::Relaxed).min(list.len() - 1);
        list[place].clone()
    })
}

fn status(status: u16, body: &str) -> Scripted {
    Scripted::Status { status, body: body.to_owned(), retry_after: None }
}

fn fine() -> Scripted {
    Scripted::Say(Say::text("fine"))
}

#[test]
fn an_answer_with_everything() {
    let say = Say::text("  I look.\r\n").thinking("hm").and_call("bash", "{\"command\":  \"ls\"}");
    let server = saying(say.and_call("bash", "not json"));
    for (api, stream) in ways() {
        let answer = client(api, &server, stream).call(&question(), &patient(60.0)).unwrap();
        let message = &answer.reply.message;
        assert_eq!(message.content_text(), "  I look.\r\n", "{api} {stream}");
        assert_eq!(message.reasoning.as_deref(), Some("hm"));
        assert_eq!(message.tool_calls[0].arguments, "{\"command\":  \"ls\"}");
        assert_eq!(message.tool_calls[1].arguments, "not json");
        assert_ne!(message.tool_calls[0].id, message.tool_calls[1].id);
        assert_eq!(answer.reply.finish, Finish::ToolCalls);
        assert!(answer.reply.usage.prompt > 0 && answer.reply.usage.completion > 0);
        assert_eq!(answer.effort.tries, 1);
        assert!(answer.effort.seconds > 0.0);
        // What is recorded is what was sent, and reads as it did.
        let (asked, streaming) = api.request_from_slice(&answer.sent).unwrap();
        assert_eq!((asked.messages.len(), streaming.stream), (2, stream));
        assert!(!answer.received.is_empty());
    }
}

#[test]
fn sessions_go_along() {
    let server =
        serve(|request: &Request| Say::text(request.session.clone().unwrap_or_default()).into());
    let answer = client(Api::Chat, &server, false).call(&question(), &patient(60.0)).unwrap();
    assert_eq!(answer.reply.message.content_text(), "s-1");
}

#[test]
fn what_may_pass_is_tried_again() {
    let trouble = || {
        vec![
            status(429, ""),
            status(500, "oops"),
            status(529, ""),
            status(503, "<html>busy</html>"),
            Scripted::Garbage(b"<html>200 OK</html>".to_vec()),
            Scripted::Garbage(b"{\"choices\": [], \"output\": null}".to_vec()),
            Scripted::Garbage(b"\xff\xfe\x00".to_vec()),
            Scripted::Garbage(Vec::new()),
            Scripted::Half(Say::text("x".repeat(5000)), 0.0),
            Scripted::Half(Say::text("x".repeat(5000)), 0.5),
            Scripted::Half(Say::call("bash", "{\"command\": \"ls\"}"), 0.3),
            fine(),
        ]
    };
    for (api, stream) in ways() {
        let server = playing(trouble());
        let answer = client(api, &server, stream).call(&question(), &patient(60.0)).unwrap();
        assert_eq!(answer.reply.message.content_text(), "fine", "{api} {stream}");
        assert_eq!(answer.effort.tries, 12, "{api} {stream}");
        assert!(answer.effort.waited > 0.0);
        assert_eq!(server.requests(), 12);
    }
}

#[test]
fn what_stays_wrong_is_not() {
    let too_long = r#"{"error":{"message":"This model's maximum context length is 10 tokens","code":"context_length_exceeded"}}"#;
    let no_money =
        r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#;
    type Check = fn(&ModelError) -> bool;
    let cases: [(u16, &str, Check); 6] = [
        (400, too_long, |e| matches!(e, ModelError::ContextTooLong { .. })),
        (429, no_money, |e| matches!(e, ModelError::Budget(_))),
        (401, "", |e| matches!(e, ModelError::Unauthorised { .. })),
        (403, "", |e| matches!(e, ModelError::Unauthorised { .. })),
        (404, "", |e| matches!(e, ModelError::Rejected { status: 404, .. })),
        (307, "", |e| matches!(e, ModelError::Rejected { status: 307, .. })),
    ];
    for (code, body, check) in cases {
        for (api, stream) in ways() {
            let server = playing(vec![status(code, body), fine()]);
            let error = client(api, &server, stream).call(&question(), &patient(60.0)).unwrap_err();
            assert!(check(&error), "{code}: {error}");
            assert_eq!(server.requests(), 1);
        }
    }
}

#[test]
fn patience_ends() {
    let server = playing(vec![status(500, "")]);
    let began = Instant::now();
    let error = client(Api::Chat, &server, false).call(&question(), &patient(1.0)).unwrap_err();
    assert!(matches!(error, ModelError::Server { status: 500, .. }), "{error}");
    assert!(server.requests() > 1);
    assert!(began.elapsed() < Duration::from_secs(10));
    // A wait that is longer than the patience is not begun.
    let server = playing(vec![Scripted::Status {
        status: 429,
        body: String::new(),
        retry_after: Some("3000".to_owned()),
    }]);
    let began = Instant::now();
    let error = client(Api::Chat, &server, false).call(&question(), &patient(60.0)).unwrap_err();
    let after = Some(Duration::from_secs(3000));
    assert!(matches!(error, ModelError::RateLimited { retry_after, .. } if retry_after == after));
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[test]
fn the_server_says_when() {
    let server = playing(vec![
        Scripted::Status { status: 429, body: String::new(), retry_after: Some("0.3".to_owned()) },
        fine(),
    ]);
    let answer = client(Api::Chat, &server, false).call(&question(), &patient(60.0)).unwrap();
    assert!(answer.effort.waited >= 0.3, "{:?}", answer.effort);
}

#[test]
fn silence_has_an_end() {
    for silent in
        [Scripted::Hang, Scripted::Endless, Scripted::Stall(Say::text("x".repeat(999)), 0.5)]
    {
        for (api, stream) in ways() {
            let server = playing(vec![silent.clone(), fine()]);
            let options = CallOptions { timeout: Duration::from_millis(300), ..patient(60.0) };
            let answer = client(api, &server, stream).call(&question(), &options).unwrap();
            assert!(answer.effort.tries >= 2, "{silent:?} {api} {stream}");
            assert!(answer.effort.waited >= 0.3);
        }
    }
}

#[test]
fn slow_is_not_silent() {
    for (api, stream) in ways() {
        let server = playing(vec![Scripted::Drip(Say::text("slow"), Duration::from_millis(5))]);
        let answer = client(api, &server, stream).call(&question(), &patient(60.0)).unwrap();
        assert_eq!(answer.reply.message.content_text(), "slow");
        assert_eq!(answer.effort.tries, 1);
    }
}

#[test]
fn a_stream_need_not_close() {
    for api in Api::ALL {
        let server = playing(vec![Scripted::Open(Say::text("open"))]);
        let answer = client(api, &server, true).call(&question(), &patient(60.0)).unwrap();
        assert_eq!(answer.reply.message.content_text(), "open");
        assert_eq!(answer.effort.tries, 1);
    }
}

#[test]
fn who_stops_does_not_wait() {
    let server = playing(vec![Scripted::Hang]);
    let slow = playing(vec![Scripted::Status {
        status: 503,
        body: String::new(),
        retry_after: Some("30".to_owned()),
    }]);
    for server in [&server, &slow] {
        let client = Arc::new(client(Api::Chat, server, true));
        let options = patient(600.0);
        let threads: Vec<_> = (0..20)
            .map(|_| {
                let (client, options) = (client.clone(), options.clone());
                std::thread::spawn(move || client.call(&question(), &options).unwrap_err())
            })
            .collect();
        std::thread::sleep(Duration::from_millis(200));
        let began = Instant::now();
        options.stop.store(true, Ordering::Relaxed);
        for thread in threads {
            assert_eq!(thread.join().unwrap(), ModelError::Cancelled);
        }
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(client.gauge().in_flight, 0);
    }
}

#[test]
fn two_megabytes_and_too_many() {
    let long = "0123456789abcdef".repeat(2 << 16);
    let server = saying(Say::text(long.clone()).and_call("bash", &long));
    for (api, stream) in ways() {
        let answer = client(api, &server, stream).call(&question(), &patient(60.0)).unwrap();
        assert_eq!(answer.reply.message.content_text(), long, "{api} {stream}");
        assert_eq!(answer.reply.message.tool_calls[0].arguments, long);
        let server = playing(vec![Scripted::Say(Say::text(long.clone())), status(400, "short")]);
        let config = ClientConfig { max_response: 1 << 20, ..config(api, &server.url(), stream) };
        let error = Client::new(config).unwrap().call(&question(), &patient(60.0)).unwrap_err();
        assert!(matches!(error, ModelError::Rejected { .. }), "{error}");
        assert_eq!(server.requests(), 2);
    }
}

#[test]
fn nobody_is_there() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = config(Api::Chat, &format!("http://127.0.0.1:{port}"), false);
    let error = Client::new(config).unwrap().call(&question(), &patient(0.1)).unwrap_err();
    assert!(matches!(error, ModelError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_server_that_ignores_the_wish_for_a_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 65536];
        let _ = stream.read(&mut buffer).unwrap();
        let body = r#"{"choices":[{"message":{"role":"assistant","content":"whole"}}]}"#;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    });
    let client = Client::new(config(Api::Chat, &url, true)).unwrap();
    let answer = client.call(&question(), &patient(60.0)).unwrap();
    assert_eq!(answer.reply.message.content_text(), "whole");
    assert_eq!(answer.reply.finish, Finish::Stop);
    thread.join().unwrap();
}

#[test]
fn prompts_are_marked_for_the_cache() {
    let server = serve(|request: &Request| {
        let body = Api::Anthropic.request_to_json(request, false).to_string();
        Say::text(body.matches("ephemeral").count().to_string()).into()
    });
    for (api, marks) in [(Api::Anthropic, "4"), (Api::Chat, "4")] {
        let config = ClientConfig { cache_prompts: true, ..config(api, &server.url(), false) };
        let mut request = question();
        request.messages.push(Arc::new(Message::assistant("yes?")));
        request.messages.push(Arc::new(Message::user("and?")));
        let answer = Client::new(config).unwrap().call(&request, &patient(60.0)).unwrap();
        if api == Api::Anthropic {
            assert_eq!(answer.reply.message.content_text(), marks);
        } else {
            assert_eq!(String::from_utf8_lossy(&answer.sent).matches("ephemeral").count(), 4);
        }
    }
}

#[test]
fn many_at_once() {
    let server = serve(|request: &Request| {
        Say::text(request.messages.last().unwrap().content_text()).into()
    });
    let client = client(Api::Chat, &server, true);
    std::thread::scope(|scope| {
        for number in 0..200 {
            let client = &client;
            scope.spawn(move || {
                for turn in 0..5 {
                    let text = format!("{number}/{turn}");
                    let request = Request::new("m", vec![Arc::new(Message::user(text.clone()))]);
                    let answer = client.call(&request, &patient(60.0)).unwrap();
                    assert_eq!(answer.reply.message.content_text(), text);
                }
            });
        }
    });
    assert_eq!(server.requests(), 1000);
    assert_eq!(client.gauge().succeeded, 1000);
}
