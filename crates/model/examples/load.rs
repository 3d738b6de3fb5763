//! What a call costs: `load [THREADS] [CALLS] [BYTES] [chat|responses|anthropic] [stream]`.
//!
//! Threads call a scripted server in this process, each with a prompt of so many bytes. Printed are
//! calls per second and processor time per call, with that of the server apart.

#![expect(clippy::print_stdout, reason = "it prints a measurement")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use palestra_model::scripted::{Say, Scripted, ScriptedOptions, ScriptedServer};
use palestra_model::{Api, CallOptions, Client, ClientConfig, Message, Model, Request, Role};

/// Seconds of processor time: of the whole process, and of the threads of the server.
fn processor() -> (f64, f64) {
    let of = |stat: &str| {
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields: Vec<f64> = rest.split(' ').filter_map(|field| field.parse().ok()).collect();
        // The state is a letter; user and system time are the 14th and 15th field of all.
        fields.get(10).zip(fields.get(11)).map_or(0.0, |(user, system)| (user + system) / 100.0)
    };
    let all = std::fs::read_to_string("/proc/self/stat").map_or(0.0, |stat| of(&stat));
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let server = threads
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok())
        .filter(|stat| stat.contains("(scripted)"))
        .map(|stat| of(&stat));
    (all, server.sum())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: usize| {
        arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (threads, calls, bytes) = (number(0, 1000), number(1, 10), number(2, 20_000));
    let api = arguments.get(3).and_then(|text| text.parse().ok()).unwrap_or(Api::Chat);
    let stream = arguments.get(4).is_some_and(|text| text == "stream");
    let options =
        ScriptedOptions { latency: Duration::from_millis(20), ..ScriptedOptions::default() };
    let script = |_: &Request| -> Scripted {
        Say::text("I look at the files.").and_call("bash", "{\"command\": \"ls -la\"}").into()
    };
    let server = ScriptedServer::start(script, options).expect("a server");
    let config = ClientConfig { stream, ..ClientConfig::new(api, server.url()) };
    let client = Client::new(config).expect("a client");
    // A conversation of twenty messages.
    let text = "x = 1\n".repeat(bytes / 20 / 6 + 1);
    let messages = (0..20).map(|turn| {
        let role = if turn % 2 == 0 { Role::User } else { Role::Assistant };
        Arc::new(Message::text(role, text.clone()))
    });
    let request = Request::new("m", messages.collect());
    let (all, served) = processor();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let builder = std::thread::Builder::new().stack_size(256 << 10);
            let (client, request) = (&client, &request);
            let call = move || {
                for _ in 0..calls {
                    client.call(request, &CallOptions::default()).expect("an answer");
                }
            };
            builder.spawn_scoped(scope, call).expect("a thread");
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let (all, served) = (processor().0 - all, processor().1 - served);
    let count = (threads * calls) as f64;
    println!(
        "{threads} threads, {count} calls of {bytes} bytes ({api}, stream {stream}): {:.0} calls/s; \
         processor time per call {:.3} ms, and {:.3} ms of the server",
        count / seconds,
        (all - served) * 1000.0 / count,
        served * 1000.0 / count,
    );
}
