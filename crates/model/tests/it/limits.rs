//! Bounds on how many calls go on at once, and how fast they begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer};
use palestra_model::{Api, Client, ClientConfig, LimitConfig, Limits, Model, ModelError, Request};

use crate::{config, patient, question, saying, serve};

fn limited(limits: LimitConfig, url: &str) -> Client {
    let limits = Arc::new(Limits::new(limits));
    Client::new(ClientConfig { limits, ..config(Api::Chat, url, false) }).unwrap()
}

#[test]
fn no_more_than_allowed_at_once() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (seen, peak) = (now.clone(), most.clone());
    let script = move |_: &Request| {
        peak.fetch_max(seen.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        seen.fetch_sub(1, Ordering::SeqCst);
        Scripted::Say(Say::text("x"))
    };
    let options = ScriptedOptions { threads: 8, ..ScriptedOptions::default() };
    let server = ScriptedServer::start(script, options).unwrap();
    let config = LimitConfig { concurrent: Some(3), ..LimitConfig::default() };
    let client = limited(config, &server.url());
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| client.call(&question(), &patient(60.0)).unwrap());
        }
    });
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    let gauge = client.gauge();
    assert_eq!((gauge.in_flight, gauge.waiting, gauge.succeeded), (0, 0, 24));
}

#[test]
fn overload_halves_and_success_grows() {
    let overloaded = Arc::new(AtomicUsize::new(1));
    let left = overloaded.clone();
    let server = serve(move |_: &Request| {
        let take = |n: usize| n.checked_sub(1);
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take) {
            Ok(_) => Scripted::Status { status: 529, body: String::new(), retry_after: None },
            Err(_) => Scripted::Say(Say::text("x")),
        }
    });
    let config = LimitConfig { concurrent: Some(8), grow_after: 4, ..LimitConfig::default() };
    let client = limited(config, &server.url());
    assert_eq!(client.gauge().allowed, Some(8));
    client.call(&question(), &patient(60.0)).unwrap();
    // One was under way, so one is what the server can take; it took it, so two may be.
    assert_eq!((client.gauge().allowed, client.gauge().overloaded), (Some(2), 1));
    for _ in 0..5 {
        client.call(&question(), &patient(60.0)).unwrap();
    }
    assert_eq!(client.gauge().allowed, Some(4));
    for _ in 0..40 {
        client.call(&question(), &patient(60.0)).unwrap();
    }
    assert_eq!(client.gauge().allowed, Some(8));
}

#[test]
fn a_wave_of_refusals_halves_once() {
    let server = serve(|_: &Request| {
        std::thread::sleep(Duration::from_millis(2));
        Scripted::Status { status: 429, body: String::new(), retry_after: Some("100".to_owned()) }
    });
    let config = LimitConfig { concurrent: Some(16), grow_after: 4, ..LimitConfig::default() };
    let client = limited(config, &server.url());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| client.call(&question(), &patient(10.0)).unwrap_err());
        }
    });
    // All sixteen began before the first refusal came, or fewer did and that was the number.
    let gauge = client.gauge();
    assert!(gauge.allowed >= Some(1) && gauge.allowed <= Some(8), "{gauge:?}");
    assert_eq!((gauge.overloaded, gauge.failed), (16, 16));
}

#[test]
fn who_waits_for_a_place_can_stop() {
    let server = serve(|_: &Request| Scripted::Hang);
    let config = LimitConfig { concurrent: Some(1), ..LimitConfig::default() };
    let client = limited(config, &server.url());
    let options = patient(600.0);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..5).map(|_| scope.spawn(|| client.call(&question(), &options))).collect();
        while client.gauge().waiting < 4 {
            std::thread::yield_now();
        }
        options.stop.store(true, Ordering::Relaxed);
        for thread in threads {
            assert_eq!(thread.join().unwrap().unwrap_err(), ModelError::Cancelled);
        }
    });
    let gauge = client.gauge();
    assert_eq!((gauge.in_flight, gauge.waiting), (0, 0));
}

#[test]
fn rates_are_kept() {
    let server = saying(Say::text("x"));
    let config = LimitConfig { requests_per_minute: Some(600.0), ..LimitConfig::default() };
    let client = limited(config, &server.url());
    // A minute's worth may come at once; what is beyond it waits, and the wait is told.
    let limits = LimitConfig { requests_per_minute: Some(3.0), ..LimitConfig::default() };
    let slow = limited(limits, &server.url());
    for _ in 0..3 {
        client.call(&question(), &patient(60.0)).unwrap();
        slow.call(&question(), &patient(60.0)).unwrap();
    }
    let began = Instant::now();
    let error = slow.call(&question(), &patient(1.0)).unwrap_err();
    assert!(matches!(error, ModelError::RateLimited { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(server.requests(), 6);
}

#[test]
fn tokens_are_estimated_and_corrected() {
    let server = saying(Say::text("x"));
    // 100 tokens are asked for, and some for the prompt; few are used.
    let limits = LimitConfig { tokens_per_minute: Some(400.0), ..LimitConfig::default() };
    let client = limited(limits, &server.url());
    for _ in 0..15 {
        client.call(&question(), &patient(60.0)).unwrap();
    }
    // Without the correction, the last would have had to wait for minutes.
    assert_eq!(server.requests(), 15);
}
