//! Every call is written down, and money ends.

use std::io::Write;
use std::sync::Arc;

use palestra_model::scripted::{Say, Scripted};
use palestra_model::{
    Api, Client, ClientConfig, Ledger, Model, ModelError, Prices, Request, Usage,
};

use crate::{config, patient, question, serve};

const PRICES: &str = "[\"a-*\"]\nprompt = 2.0\ncompletion = 10.0";

fn costly(ledger: &Arc<Ledger>, url: &str) -> Client {
    Client::new(ClientConfig {
        prices: Arc::new(Prices::parse(PRICES).unwrap()),
        ledger: Some(ledger.clone()),
        ..config(Api::Chat, url, false)
    })
    .unwrap()
}

#[test]
fn lines_and_sums() {
    let server = serve(|request: &Request| match request.model.as_str() {
        "a-bad" => Scripted::Status { status: 400, body: String::new(), retry_after: None },
        _ => {
            let usage = Usage { prompt: 100_000, completion: 10_000, ..Usage::default() };
            Scripted::Say(Say { usage: Some(usage), ..Say::text("x") })
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.jsonl");
    let ledger = Arc::new(Ledger::open(&path, Some(1.0)).unwrap());
    let client = costly(&ledger, &server.url());
    // 0.3 dollars each: the fourth call reaches the budget, the fifth is not made.
    for _ in 0..4 {
        let answer = client.call(&question(), &patient(60.0)).unwrap();
        assert!((answer.effort.cost.unwrap() - 0.3).abs() < 1e-9);
    }
    let error = client.call(&question(), &patient(60.0)).unwrap_err();
    assert!(matches!(error, ModelError::Budget(_)), "{error}");
    assert_eq!(server.requests(), 4);
    let totals = ledger.totals();
    assert_eq!((totals.calls, totals.usage.prompt), (4, 400_000));
    drop((client, ledger));

    // The next run goes on with what was spent, although the last line was cut off.
    write!(std::fs::OpenOptions::new().append(true).open(&path).unwrap(), "{{\"time\": 1").unwrap();
    let ledger = Arc::new(Ledger::open(&path, Some(1.3)).unwrap());
    assert!((ledger.totals().cost - 1.2).abs() < 1e-9);
    let client = costly(&ledger, &server.url());
    let bad = Request { model: "a-bad".to_owned(), ..question() };
    assert!(client.call(&bad, &patient(60.0)).is_err());
    let unknown = Request { model: "unknown".to_owned(), ..question() };
    let error = client.call(&unknown, &patient(60.0)).unwrap_err();
    assert!(error.to_string().contains("unknown"), "{error}");
    client.call(&question(), &patient(60.0)).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(
        (&lines[4]["status"], &lines[4]["cost"]),
        (&"rejected".into(), &serde_json::Value::Null)
    );
    assert_eq!((&lines[5]["session"], &lines[5]["tries"]), (&"s-1".into(), &1.into()));
    assert!(lines[5]["time"].as_f64().unwrap() > 1.7e9);
}

#[test]
fn no_price_no_cost() {
    let server = serve(|_: &Request| Scripted::Say(Say::text("x")));
    let ledger = Arc::new(Ledger::in_memory(None));
    let client = costly(&ledger, &server.url());
    let request = Request { model: "unknown".to_owned(), ..question() };
    assert_eq!(client.call(&request, &patient(60.0)).unwrap().effort.cost, None);
    assert_eq!(ledger.totals().unpriced, 1);
}
