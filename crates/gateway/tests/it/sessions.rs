//! Sessions: who may do what, how much, and for how long.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use palestra_gateway::{
    Admin, Budget, Gateway, GatewayError, GatewayOptions, SessionOptions, Upstream,
};
use palestra_model::scripted::{Say, Scripted, TokenIds};
use palestra_model::{Api, Request, Usage};
use serde_json::json;

use crate::common::{
    KEY, Place, body, client, finish, get, graph, place, place_with, post, quick, server, until,
};

fn fine(_: &Request) -> Scripted {
    Say {
        usage: Some(Usage { prompt: 10, completion: 5, ..Usage::default() }),
        ..Say::text("fine")
    }
    .into()
}

#[test]
fn sessions_are_managed_over_http() {
    let key = "the-administrator";
    let place = place_with(Api::Chat, fine, |options| GatewayOptions {
        admin: Admin::Key(key.into()),
        implicit: None,
        ..options
    });
    let url = |path: &str| format!("{}{path}", place.gateway.url());
    assert_eq!(get(&url("/healthz")).status, 200);
    assert_eq!(place.ask("a", Api::Chat, false).status, 404);
    let wanted = json!({"id": "a", "options": {"model": "m2", "budget": {"calls": 2}}});
    assert_eq!(post(&url("/sessions"), &wanted).status, 403);
    let create = |body: &serde_json::Value| {
        let request = client().post(url("/sessions")).bearer_auth(key).body(body.to_string());
        finish(request.send().expect("an answer"))
    };
    assert_eq!(create(&wanted).status, 201);
    assert_eq!(create(&wanted).status, 409);
    assert_eq!(create(&json!({"id": "../b"})).status, 400);
    assert_eq!(create(&json!({"id": "b", "options": {"modle": 1}})).status, 400);
    assert_eq!(create(&json!({"id": "b", "options": {"upstream": "none"}})).status, 400);
    assert_eq!(place.ask("a", Api::Chat, false).status, 200);
    let look = |path: &str| finish(client().get(url(path)).bearer_auth(key).send().expect("x"));
    let status = look("/sessions/a").json();
    assert_eq!(status["answered"], 1);
    assert_eq!(status["usage"]["prompt"], 10);
    assert_eq!(status["counters"]["calls"], 1);
    assert_eq!(get(&url("/sessions/a")).status, 403);
    assert_eq!(get(&url("/sessions/a/trace")).status, 403);
    let trace = look("/sessions/a/trace");
    let file = std::fs::read_to_string(place.session("a").trace()).expect("a record");
    assert_eq!((trace.status, trace.text), (200, file));
    assert_eq!(look("/sessions/a/v1/models").json()["data"][0]["id"], "m2");
    let gone = client().delete(url("/sessions/a")).bearer_auth(key).send().expect("an answer");
    assert_eq!(gone.status().as_u16(), 200);
    assert_eq!(look("/sessions/a").status, 404);
    assert_eq!(place.ask("a", Api::Chat, false).status, 404);
}

#[test]
fn agents_cannot_manage_sessions() {
    let place = place(Api::Chat, fine);
    let url = |path: &str| format!("{}{path}", place.gateway.url());
    place.ask("a", Api::Chat, false);
    assert_eq!(post(&url("/sessions"), &json!({"id": "b"})).status, 403);
    assert_eq!(get(&url("/sessions/a")).status, 403);
    assert_eq!(get(&url("/sessions/a/trace")).status, 403);
    let gone = client().delete(url("/sessions/a")).send().expect("an answer");
    assert_eq!(gone.status().as_u16(), 403);
}

#[test]
fn a_session_may_have_its_own_key() {
    let place = place(Api::Chat, fine);
    let options =
        SessionOptions { secret: Some("open sesame".into()), ..SessionOptions::default() };
    assert!(!format!("{options:?}").contains("sesame"));
    place.gateway.create("a", options, None).expect("a session");
    for api in Api::ALL {
        let ask = |name: &str, value: &str| {
            let request = client().post(place.url("a", api.path())).header(name, value);
            finish(request.body(body(api, false).to_string()).send().expect("an answer")).status
        };
        assert_eq!(ask("x-nothing", ""), 401);
        assert_eq!(ask("authorization", "Bearer open"), 401);
        assert_eq!(ask("authorization", "Bearer open sesame"), 200);
        assert_eq!(ask("x-api-key", "open sesame"), 200);
    }
}

#[test]
fn budgets_hold() {
    let price = |_: &str, usage: &Usage| Some(usage.prompt as f64 / 100.0);
    let place = place_with(Api::Chat, fine, |options| GatewayOptions {
        price: Some(Arc::new(price)),
        ..options
    });
    for (name, budget, calls) in [
        ("calls", Budget { calls: Some(2), ..Budget::default() }, 2),
        ("tokens", Budget { tokens: Some(31), ..Budget::default() }, 3),
        ("cost", Budget { cost: Some(0.35), ..Budget::default() }, 4),
    ] {
        let options = SessionOptions { budget, ..SessionOptions::default() };
        let session = place.gateway.create(name, options, None).expect("a session");
        for _ in 0..calls {
            assert_eq!(place.ask(name, Api::Chat, false).status, 200);
        }
        for api in Api::ALL {
            let reply = place.ask(name, api, true);
            assert_eq!(reply.status, 402, "{name}: {}", reply.text);
            assert!(reply.text.contains("the budget is spent"));
        }
        let status = session.status();
        assert_eq!((status.answered, status.failed, status.under_way), (calls, 0, 0));
        assert!((status.cost - 0.1 * calls as f64).abs() < 1e-9);
    }
}

#[test]
fn a_session_is_stopped() {
    let place = place(Api::Chat, |request: &Request| match request.session.as_deref() {
        Some("hang") => Scripted::Hang,
        _ => Scripted::Drip(Say::text("a b ".repeat(1000)), Duration::from_millis(200)),
    });
    for (session, stream) in [("hang", false), ("drip", true)] {
        let url = place.url(session, Api::Chat.path());
        let asked = std::thread::spawn(move || post(&url, &body(Api::Chat, stream)));
        until("the upstream is asked", || {
            place.gateway.session(session).is_some_and(|it| it.status().under_way == 1)
        });
        std::thread::sleep(Duration::from_millis(300));
        place.session(session).stop("the attempt is over");
        let reply = asked.join().expect("an answer");
        assert!(reply.text.contains("the attempt is over"), "{}", reply.text);
        if !stream {
            assert_eq!(reply.status, 410);
        }
        assert_eq!(place.ask(session, Api::Anthropic, false).status, 410);
        until("the call has failed", || place.session(session).status().failed == 1);
        assert_eq!(place.session(session).status().stopped.as_deref(), Some("the attempt is over"));
    }
}

#[test]
fn calls_are_told_before_their_end_is_seen() {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let (all, own) = (told.clone(), told.clone());
    let place = place_with(Api::Chat, fine, |options| GatewayOptions {
        on_call: Some(Arc::new(move |call| {
            let text = call.answer.reply.message.content_text();
            all.lock().expect("a lock").push(format!("{} {text}", call.session));
        })),
        ..options
    });
    let hook = Arc::new(move |call: &palestra_gateway::Recording<'_>| {
        std::thread::sleep(Duration::from_millis(200));
        own.lock().expect("a lock").push(format!("{:?}", call.recorded.call));
    });
    place.gateway.create("a", SessionOptions::default(), Some(hook)).expect("a session");
    for (number, stream) in [false, true].into_iter().enumerate() {
        assert_eq!(place.ask("a", Api::Chat, stream).status, 200);
        let told = told.lock().expect("a lock");
        assert_eq!(told.len(), 2 * (number + 1));
        assert_eq!(told[2 * number..], ["a fine".to_owned(), format!("CallId({number})")]);
    }
}

#[test]
fn records_are_where_they_should_be_and_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(fine, TokenIds::None);
    for round in 1..=2 {
        let upstream = Upstream::http(server.url(), Api::Chat, Some(KEY.to_owned()));
        let options =
            GatewayOptions { directory: Some(dir.path().to_owned()), ..quick(vec![upstream]) };
        let place = Gateway::start(options).expect("a gateway");
        let session = place.create("a", SessionOptions::default(), None).expect("a session");
        let again = place.create("a", SessionOptions::default(), None);
        assert!(matches!(again, Err(GatewayError::Exists(_))));
        let own = SessionOptions {
            directory: Some(dir.path().join("own/place")),
            ..SessionOptions::default()
        };
        let other = place.create("b", own, None).expect("a session");
        for id in ["a", "b"] {
            let url = format!("{}/sessions/{id}/v1/chat/completions", place.url());
            assert_eq!(post(&url, &body(Api::Chat, false)).status, 200);
        }
        assert_eq!(session.trace(), dir.path().join("a/trace.jsonl"));
        assert_eq!(graph(&session).calls().len(), round);
        assert_eq!(other.trace(), dir.path().join("own/place/trace.jsonl"));
        assert_eq!(session.status().counters.calls, round as u64);
        place.remove("a");
        assert!(session.trace().exists());
    }
    let place = place(Api::Chat, fine);
    place.ask("a", Api::Chat, false);
    let trace = place.session("a").trace().to_owned();
    assert!(trace.exists());
    place.gateway.remove("a").expect("a session");
    assert!(!trace.exists());
    place.ask("b", Api::Chat, false);
    let trace = place.session("b").trace().to_owned();
    drop(place);
    assert!(!trace.exists());
}

#[test]
fn sessions_stay_with_one_of_several_upstreams() {
    let servers: Vec<_> = (0..3).map(|_| server(fine, TokenIds::None)).collect();
    let upstreams =
        servers.iter().map(|server| Upstream::http(server.url(), Api::Chat, Some(KEY.to_owned())));
    let mut options = quick(upstreams.collect());
    let dead = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = dead.local_addr().expect("an address");
    drop(dead);
    options.upstreams.push(Upstream::http(format!("http://{address}"), Api::Chat, None));
    let gateway = Gateway::start(options).expect("a gateway");
    let ask = |id: &str| {
        let url = format!("{}/sessions/{id}/v1/chat/completions", gateway.url());
        assert_eq!(post(&url, &body(Api::Chat, false)).status, 200);
    };
    let mut chosen = Vec::new();
    for number in 0..12 {
        let before: Vec<u64> = servers.iter().map(|server| server.requests()).collect();
        for _ in 0..2 {
            ask(&format!("s{number}"));
        }
        let moved = servers.iter().zip(before).map(|(server, before)| server.requests() - before);
        let moved: Vec<u64> = moved.collect();
        assert!(moved.contains(&2), "{moved:?}");
        chosen.push(moved);
    }
    chosen.sort();
    chosen.dedup();
    assert!(chosen.len() > 1, "all sessions went to one server");
    let named = SessionOptions { upstream: Some(servers[1].url()), ..SessionOptions::default() };
    gateway.create("named", named, None).expect("a session");
    let before = servers[1].requests();
    ask("named");
    assert_eq!(servers[1].requests(), before + 1);
}

#[test]
fn wrong_options_are_told() {
    let wrong = |upstreams| Gateway::start(GatewayOptions::new(upstreams)).expect_err("wrong");
    assert!(wrong(vec![]).to_string().contains("needs an upstream"));
    for url in ["ftp://x", "x", "http://u:p@x"] {
        let error = wrong(vec![Upstream::http(url, Api::Chat, None)]);
        assert!(error.to_string().contains("URL"), "{error}");
    }
    let key = Some("a\nb-0123456789".to_owned());
    let error = wrong(vec![Upstream::http("http://x", Api::Chat, key)]).to_string();
    assert!(!error.contains("0123456789"), "{error}");
    let taken = Place {
        server: server(fine, TokenIds::None),
        gateway: Gateway::start(quick(vec![Upstream::http("http://x", Api::Chat, None)]))
            .expect("x"),
    };
    let mut options = GatewayOptions::new(vec![Upstream::http("http://x", Api::Chat, None)]);
    options.bind = taken.gateway.address();
    assert!(matches!(Gateway::start(options), Err(GatewayError::Bind { .. })));
}
