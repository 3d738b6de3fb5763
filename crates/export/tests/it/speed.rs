//! How fast rows are written, beside a plain script with `datasets` on the same data. To be run by hand:
//!
//! ```text
//! PALESTRA_DATASETS_PYTHON=… cargo test --release -p palestra-export --test it -- \
//!     --ignored --nocapture speed
//! ```

use std::time::Instant;

use palestra_export::{Episode, Origin, Outcome, Target, write_rows};
use palestra_model::{Message, ToolCall};

use crate::support::{python, request, run, say, tools};

/// Turns of the model; with what is said around them, 40 messages.
const TURNS: usize = 19;
const ASSISTANT: usize = 150;
const RESULT: usize = 450;

/// Words of no meaning, out of which all texts are cut.
fn words() -> String {
    let mut seed = 1u64;
    let mut text = String::with_capacity(1 << 20);
    while text.len() < 1 << 20 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{:x} ", seed >> 40));
    }
    text
}

/// Where a text is cut out.
fn start(row: usize, part: usize) -> usize {
    (row * 7919 + part * 104_729) % ((1 << 20) - 1000)
}

fn episode(words: &str, row: usize) -> Episode {
    let cut = |part: usize, length: usize| {
        let start = start(row, part);
        &words[start..start + length]
    };
    let mut episode = Episode::new(Origin::Palestra, format!("job/{row}"), format!("a__b-{row}"));
    episode.outcome = Outcome::Resolved;
    episode.tools = tools().to_vec();
    episode.messages = vec![Message::system(cut(0, 300)), Message::user(cut(1, 900))];
    for turn in 0..TURNS {
        let arguments = serde_json::json!({"command": cut(2 * turn + 2, 60)}).to_string();
        let call = ToolCall { id: format!("call_{turn}"), name: "bash".to_owned(), arguments };
        let text = cut(2 * turn + 2, ASSISTANT);
        episode.messages.push(Message { tool_calls: vec![call], ..Message::assistant(text) });
        episode.messages.push(Message::tool(format!("call_{turn}"), cut(2 * turn + 3, RESULT)));
    }
    episode
}

/// The most memory that this process ever had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

const PYTHON: &str = r#"
import json, os, pathlib, resource, sys, time
import datasets
datasets.disable_progress_bars()
words, out, rows = pathlib.Path(sys.argv[1]).read_text(), sys.argv[2], int(pathlib.Path(sys.argv[3]).name)
tools = json.dumps([{"type": "function", "function": {"name": "bash"}}])
def cut(row, part, length):
    start = (row * 7919 + part * 104729) % ((1 << 20) - 1000)
    return words[start:start + length]
def message(role, content, calls=None, call=None):
    return {"role": role, "content": content, "reasoning_content": None, "tool_calls": calls, "tool_call_id": call}
def make():
    for row in range(rows):
        messages = [message("system", cut(row, 0, 300)), message("user", cut(row, 1, 900))]
        for turn in range(19):
            function = {"name": "bash", "arguments": json.dumps({"command": cut(row, 2 * turn + 2, 60)})}
            calls = [{"id": f"call_{turn}", "type": "function", "function": function}]
            messages.append(message("assistant", cut(row, 2 * turn + 2, 150), calls))
            messages.append(message("tool", cut(row, 2 * turn + 3, 450), None, f"call_{turn}"))
        yield {"messages": messages, "tools": tools, "instance_id": f"a__b-{row}"}
begin = time.time()
datasets.Dataset.from_generator(make).to_parquet(out)
print(round(time.time() - begin, 2), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, os.path.getsize(out) >> 20)
"#;

#[test]
#[ignore = "takes minutes; see the head of this file"]
fn speed() {
    let rows = std::env::var("PALESTRA_EXPORT_ROWS").ok().and_then(|rows| rows.parse().ok());
    let rows: usize = rows.unwrap_or(100_000);
    let dir = tempfile::TempDir::new().expect("a directory");
    let words = words();
    let path = dir.path().join("ours.parquet");
    let begin = Instant::now();
    let mut episodes = (0..rows).map(|row| episode(&words, row));
    let card = write_rows(&mut episodes, &request("speed", Target::Trl), &path).expect("a set");
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(card.rows, rows as u64);
    let size = std::fs::metadata(&path).expect("a file").len() >> 20;
    let characters = (300 + 900 + TURNS * (ASSISTANT + RESULT + 60)) * rows;
    say(&format!(
        "{rows} rows of {} messages, {} MiB of text\n\
         palestra:  {seconds:.2} s, {:.0} rows/s, peak {} MiB, {size} MiB on disk",
        2 * TURNS + 2,
        characters >> 20,
        rows as f64 / seconds,
        peak(),
    ));
    let Some(python) = python("PALESTRA_DATASETS_PYTHON", "datasets, pyarrow") else { return };
    let (text, theirs) = (dir.path().join("words"), dir.path().join("theirs.parquet"));
    std::fs::write(&text, &words).expect("written");
    let count = dir.path().join(rows.to_string());
    let told = run(&python, PYTHON, &[&text, &theirs, &count]);
    let told: Vec<f64> = told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    say(&format!(
        "datasets:  {:.2} s, {:.0} rows/s, peak {} MiB, {} MiB on disk",
        told[0],
        rows as f64 / told[0],
        told[1],
        told[2],
    ));
}
