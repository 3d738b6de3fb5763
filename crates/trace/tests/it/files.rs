//! The file: whole, cut off, damaged, continued.

use std::sync::Arc;

use palestra_model::{Message, ModelError, Part, Role};
use palestra_trace::{Raw, Recorder, TraceError, read};
use serde_json::json;

use crate::common::{answer, calls, request};

#[test]
fn what_was_said_comes_back_to_the_byte() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("trace.jsonl");
    let hard = "  \u{0}a\r\nb\r\u{2028}\u{fffd}\u{10ffff}</tool>\"\\ud800\" \u{7f}\t".to_owned();
    let mut said = calls(&hard, &format!("{{\"x\": {}}}", json!(hard)));
    said.reasoning = Some(hard.clone());
    said.extra.insert("chat".to_owned(), json!({"f": 0.1, "e": 1e300, "n": u64::MAX, "s": hard}));
    said.content.push(Part::Other(json!({"z": 1, "a": [hard, null, 0.30000000000000004]})));
    let mut recorder = Recorder::open(&path).expect("a file");
    let mut made = answer(said.clone(), Some((&[1, u32::MAX], &[2, 3, 4])));
    let logprobs = vec![-0.1 - 0.2, f64::NEG_INFINITY, -1.234_567_890_123_456_7e-300];
    made.reply.tokens.as_mut().expect("ids").logprobs = logprobs.clone();
    made.received = Arc::from(&b"\xff\xfe data: {\"content\":\"\\ud800\"}\r\n\r\n\0"[..]);
    let prompt = [Message::system(hard.clone()), Message::user(" x ".repeat(1 << 18))];
    recorder.record(&request(&prompt), &made, 1_234.567_8).expect("a call");
    made.received = Arc::from("data: {\"content\":\"\\ud800\u{e9}\"}\r\n".as_bytes());
    recorder.record(&request(&prompt), &made, 2.0).expect("a call");
    recorder.failed(&request(&prompt), &ModelError::Cancelled, 3.0).expect("a line");

    let back = read(&path).expect("a trace");
    assert_eq!(back.problems, Vec::<String>::new());
    let sample = &back.graph.branches()[0];
    assert_eq!(*sample.messages[2], said);
    assert_eq!(*sample.messages[0], prompt[0]);
    assert_eq!(*sample.messages[1], prompt[1]);
    assert_eq!(sample.logprobs.as_ref().expect("given")[2..], logprobs);
    assert_eq!(sample.token_ids, [1, u32::MAX, 2, 3, 4]);
    let calls = back.graph.calls();
    assert!(matches!(calls[0].received, Raw::Base64(_)));
    let bytes = calls[0].received.bytes().expect("bytes");
    assert_eq!(bytes, b"\xff\xfe data: {\"content\":\"\\ud800\"}\r\n\r\n\0");
    assert_eq!(calls[1].received.bytes().as_deref(), Some(&*made.received));
    assert_eq!(calls[0].time, 1_234.567_8);
    assert_eq!(back.failed.len(), 1);
    assert_eq!(back.graph.counters(), recorder.counters());
    // The long message stands in the file once.
    assert!(std::fs::metadata(&path).expect("a file").len() < 2 << 20);
}

#[test]
fn a_file_that_was_cut_anywhere_loses_only_its_last_call() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("trace.jsonl");
    let mut recorder = Recorder::open(&path).expect("a file");
    let mut history = vec![Message::user("é")];
    let mut ids = vec![1, 2];
    let mut ends = vec![std::fs::metadata(&path).expect("a file").len()];
    for turn in 0..3 {
        let completion = [10 * turn, 10 * turn + 1];
        let said = Message::assistant(format!("a{turn}"));
        let made = answer(said.clone(), Some((&ids, &completion)));
        recorder.record(&request(&history), &made, 1.0).expect("a call");
        ends.push(std::fs::metadata(&path).expect("a file").len());
        ids.extend(completion);
        ids.push(7);
        history.extend([said, Message::user(format!("u{turn}"))]);
    }
    let whole = std::fs::read(&path).expect("bytes");
    for cut in ends[0] as usize..whole.len() {
        let part = dir.path().join("part.jsonl");
        std::fs::write(&part, &whole[..cut]).expect("written");
        let back = read(&part).expect("a trace");
        let calls = ends.iter().filter(|end| **end <= cut as u64).count() - 1;
        assert_eq!(back.graph.calls().len(), calls, "cut at {cut}");
        assert!(back.graph.branches().iter().all(|sample| sample.complete()));
        if cut % 97 == 0 {
            // The calls that were lost are made again; the file is then what it was.
            let mut again = Recorder::open(&part).expect("a file");
            assert_eq!(again.counters().calls, calls as u64);
            let mut ids = vec![1, 2];
            for turn in 0..3 {
                let completion = [10 * turn, 10 * turn + 1];
                let said = Message::assistant(format!("a{turn}"));
                if turn as usize >= calls {
                    let sent = request(&history[..2 * turn as usize + 1]);
                    let made = answer(said, Some((&ids, &completion)));
                    let recorded = again.record(&sent, &made, 1.0).expect("a call");
                    assert_eq!(recorded.branched, None);
                }
                ids.extend(completion);
                ids.push(7);
            }
            assert!(std::fs::read(&part).expect("bytes") == whole, "cut at {cut}");
        }
    }
}

#[test]
fn a_damaged_line_costs_its_call_and_what_follows_from_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("trace.jsonl");
    let mut recorder = Recorder::open(&path).expect("a file");
    for name in ["one", "two", "three"] {
        let sent = [Message::user(name)];
        let made = answer(Message::assistant(name), Some((&[1, 2, 3], &[4])));
        recorder.record(&request(&sent), &made, 1.0).expect("a call");
        let next = [Message::user(name), Message::assistant(name), Message::user("on")];
        let made = answer(Message::assistant("end"), Some((&[1, 2, 3, 4, 5], &[6])));
        recorder.record(&request(&next), &made, 1.0).expect("a call");
    }
    let text = std::fs::read_to_string(&path).expect("text");
    let broken = text.replacen(r#"{"node":{"id":5,"#, r#"{"node":{"id":"#, 1);
    assert_ne!(text, broken);
    std::fs::write(&path, &broken).expect("written");
    let back = read(&path).expect("a trace");
    assert_eq!(back.problems.len(), 3, "{:?}", back.problems);
    let samples = back.graph.branches();
    assert_eq!(samples.len(), 2);
    assert!(samples.iter().all(|sample| sample.complete() && sample.token_ids.len() == 6));
    // Ids that were changed are seen.
    let changed = text.replacen(r#""ids":[5]"#, r#""ids":[55]"#, 1);
    assert_ne!(text, changed);
    std::fs::write(&path, &changed).expect("written");
    let samples = read(&path).expect("a trace").graph.branches();
    assert_eq!(samples.iter().filter(|sample| !sample.complete()).count(), 1);
}

#[test]
fn what_is_no_trace_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("trace.jsonl");
    for text in ["", "{\"trace\":99}\n", "hello\n", "{\"call\":{}}\n"] {
        std::fs::write(&path, text).expect("written");
        assert!(matches!(read(&path), Err(TraceError::Form { .. })), "{text:?}");
    }
    let missing = read(&dir.path().join("none")).expect_err("no file").to_string();
    assert!(missing.contains("none"), "{missing}");
}

#[test]
fn a_fork_goes_on_by_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let (one, two) = (dir.path().join("one.jsonl"), dir.path().join("two.jsonl"));
    let mut recorder = Recorder::open(&one).expect("a file");
    let sent = [Message::user("u")];
    recorder.record(&request(&sent), &answer(Message::assistant("a"), None), 1.0).expect("a call");
    let mut fork = recorder.fork(&two).expect("a copy");
    let next = [Message::user("u"), Message::assistant("a"), Message::user("v")];
    for (recorder, text) in [(&mut recorder, "left"), (&mut fork, "right")] {
        let made = answer(Message::assistant(text), None);
        assert_eq!(recorder.record(&request(&next), &made, 2.0).expect("a call").branched, None);
    }
    for (path, text) in [(one, "left"), (two, "right")] {
        let samples = read(&path).expect("a trace").graph.branches();
        assert_eq!(samples.len(), 1);
        let last = samples[0].messages.last().expect("messages");
        assert_eq!((last.role, &*last.content_text()), (Role::Assistant, text));
    }
}
