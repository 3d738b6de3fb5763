//! Any text goes from the model through a tool into a file, a patch and the record, unchanged.

use std::collections::HashMap;

use palestra_agent::Live;
use palestra_agent::format::xml;
use palestra_diff::{apply_all, parse};
use palestra_sandbox::{Bounds, DiffOptions};
use serde_json::{Value, json};

use crate::common::{Scripted, calls, named, read, said, sandbox, stage};

/// How a scaffold names what makes a file.
struct Way {
    agent: &'static str,
    options: Value,
    tool: &'static str,
    native: bool,
}

fn ways() -> Vec<Way> {
    let way = |agent, format: &str, tool| Way {
        agent,
        options: json!({"format": format}),
        tool,
        native: format == "native",
    };
    vec![
        way("editor", "native", "edit"),
        way("editor", "text", "edit"),
        way("r2egym", "native", "file_editor"),
        way("r2egym", "text", "file_editor"),
        way("openhands", "native", "str_replace_editor"),
        way("openhands", "text", "str_replace_editor"),
    ]
}

/// Texts that other systems lose something of.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "    leading spaces\n",
        "\n\nleading newlines",
        "trailing newlines\n\n\n",
        "no newline at the end",
        "\r\nCRLF\r\n lines\r\n",
        "lone \r return",
        "NUL \0 inside\0",
        "\ttabs\t\n",
        "</parameter>\n</function>\n",
        "<parameter=x>y</parameter>",
        "<function=finish>\n<parameter=command>submit</parameter>\n</function>",
        "</parameter#1>\n</parameter>",
        "{{statement}} ```bash\nls\n``` $HOME `id` \\n \"quoted\" 'single'",
        "\u{feff}byte order mark, \u{202e}right to left, \u{1F600}, e\u{301}",
        " ",
        "\n",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut rng = fastrand::Rng::with_seed(7);
    let pieces = [
        "</parameter>",
        "<parameter=a>",
        "</function>",
        "<function=f>",
        "\n",
        "\r\n",
        " ",
        "\0",
        "é",
        "x",
    ];
    for _ in 0..20 {
        let count = rng.usize(1..12);
        texts.push((0..count).map(|_| *rng.choice(&pieces).unwrap()).collect());
    }
    texts
}

fn reply(way: &Way, arguments: &[(&str, &str)]) -> palestra_model::Reply {
    if way.native {
        let map: serde_json::Map<String, Value> =
            arguments.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        calls(&[(way.tool, Value::Object(map))])
    } else {
        said(format!("I write.\n\n{}", xml::write(way.tool, arguments)))
    }
}

/// The files of the patch of a sandbox, by path.
fn patched(live: &dyn Live) -> HashMap<Vec<u8>, Vec<u8>> {
    let options =
        DiffOptions { top: "/testbed".into(), exclude: Vec::new(), bounds: Bounds::default() };
    let bytes = live.sandbox().diff(&options).unwrap();
    let (patch, problems) = parse(&bytes);
    assert!(problems.is_empty(), "{problems:?}");
    let written = apply_all(&patch, |_| None).unwrap();
    written.into_iter().filter_map(|file| Some((file.path, file.content?))).collect()
}

#[test]
fn any_text_survives() {
    for way in ways() {
        let texts = texts();
        let replies: Vec<_> = texts
            .iter()
            .enumerate()
            .flat_map(|(number, text)| {
                let path = format!("/testbed/f{number}");
                let create =
                    reply(&way, &[("command", "create"), ("path", &path), ("file_text", text)]);
                let replace = reply(
                    &way,
                    &[
                        ("command", "str_replace"),
                        ("path", &path),
                        ("old_str", text),
                        ("new_str", "\n<new>  "),
                    ],
                );
                let back = reply(
                    &way,
                    &[
                        ("command", "str_replace"),
                        ("path", &path),
                        ("old_str", "\n<new>  "),
                        ("new_str", text),
                    ],
                );
                [create, replace, back]
            })
            .collect();
        let mut stage = stage(Scripted::saying(replies), sandbox());
        stage.limits.steps = 1000;
        let mut live = named(way.agent, way.options.clone()).start(stage).unwrap();
        for (number, text) in texts.iter().enumerate() {
            let path = format!("f{number}");
            for (step, key) in [(0, "file_text"), (1, "old_str"), (2, "new_str")] {
                let progress = live.step().unwrap();
                let record = progress.records.last().unwrap();
                let action = &record.actions[0];
                let here = format!("{} {} {text:?}", way.agent, way.options);
                assert!(!action.failed, "{here}: {}", action.observation);
                assert_eq!(action.arguments[key], json!(text), "{here}");
                let content = read(live.sandbox(), &path);
                let wanted = if step == 1 { "\n<new>  " } else { text };
                assert_eq!(String::from_utf8(content).unwrap(), wanted, "{here}");
            }
        }
        let patched = patched(&*live);
        for (number, text) in texts.iter().enumerate() {
            assert_eq!(patched[format!("f{number}").as_bytes()], text.as_bytes());
        }
    }
}

#[test]
fn a_megabyte_survives() {
    let mut rng = fastrand::Rng::with_seed(9);
    let mut text = String::new();
    while text.len() < 1 << 20 {
        text.extend((0..rng.usize(0..120)).map(|_| rng.char('\0'..='\u{2fff}')));
        text.push_str(rng.choice(["\n", "\r\n", "</parameter>", "    "]).unwrap());
    }
    for way in ways() {
        let create =
            reply(&way, &[("command", "create"), ("path", "/testbed/big"), ("file_text", &text)]);
        let model = Scripted::saying([create]);
        let mut live =
            named(way.agent, way.options.clone()).start(stage(model, sandbox())).unwrap();
        let progress = live.step().unwrap();
        let record = progress.records.last().unwrap();
        assert!(record.actions[0].arguments["file_text"] == json!(text));
        assert!(record.actions[0].observation.len() < 64 << 10);
        assert!(read(live.sandbox(), "big") == text.as_bytes());
        assert!(patched(&*live)[&b"big"[..]] == text.as_bytes());
    }
}

#[test]
fn files_keep_what_an_edit_does_not_touch() {
    let edit = |arguments: Value| calls(&[("edit", arguments)]);
    let model = Scripted::saying([
        edit(
            json!({"command": "str_replace", "path": "crlf.txt", "old_str": "two\r\n", "new_str": "2\r\n"}),
        ),
        edit(json!({"command": "insert", "path": "crlf.txt", "insert_line": 3, "new_str": "more"})),
        edit(
            json!({"command": "str_replace", "path": "latin.txt", "old_str": "end", "new_str": "END"}),
        ),
        edit(
            json!({"command": "str_replace", "path": "data.bin", "old_str": "ELF", "new_str": "elf"}),
        ),
        edit(
            json!({"command": "str_replace", "path": "run.sh", "old_str": "old", "new_str": "new"}),
        ),
        edit(
            json!({"command": "str_replace", "path": "link.py", "old_str": "a - b", "new_str": "a + b"}),
        ),
        edit(
            json!({"command": "insert", "path": "docs/README.md", "insert_line": 0, "new_str": "top\n"}),
        ),
        edit(json!({"command": "create", "path": "deep/er/new.txt", "file_text": ""})),
    ]);
    let mut live = named("editor", json!({})).start(stage(model, sandbox())).unwrap();
    for _ in 0..8 {
        let progress = live.step().unwrap();
        let action = &progress.records.last().unwrap().actions[0];
        assert!(!action.failed, "{action:?}");
    }
    let sandbox = live.sandbox();
    assert_eq!(read(sandbox, "crlf.txt"), b"one\r\n2\r\nno end\nmore");
    assert_eq!(read(sandbox, "latin.txt"), b"caf\xe9\nEND\n");
    assert_eq!(read(sandbox, "data.bin"), b"\x7felf\0\0\x01");
    assert_eq!(read(sandbox, "docs/README.md"), b"top\n# calc\n");
    assert_eq!(read(sandbox, "deep/er/new.txt"), b"");
    assert_eq!(
        crate::common::sh(sandbox, "stat -c '%a %F' run.sh link.py; sed -n 2p calc.py; ./run.sh"),
        "755 regular file\n777 symbolic link\n    return a + b\nnew\n"
    );
}

#[test]
fn undo_goes_back_step_by_step() {
    let edit = |arguments: Value| calls(&[("edit", arguments)]);
    let undo = || edit(json!({"command": "undo_edit", "path": "calc.py"}));
    let model = Scripted::saying([
        edit(
            json!({"command": "str_replace", "path": "calc.py", "old_str": "a - b", "new_str": "a + b"}),
        ),
        edit(json!({"command": "insert", "path": "calc.py", "insert_line": 6, "new_str": "# end"})),
        undo(),
        undo(),
        undo(),
        edit(json!({"command": "create", "path": "new", "file_text": "x"})),
        edit(json!({"command": "undo_edit", "path": "new"})),
        edit(json!({"command": "insert", "path": "calc.py", "insert_line": 6, "new_str": "# end"})),
        calls(&[("bash", json!({"command": "echo more >> calc.py"}))]),
        undo(),
    ]);
    let mut live = named("editor", json!({})).start(stage(model, sandbox())).unwrap();
    let mut said = Vec::new();
    for _ in 0..10 {
        said.push(live.step().unwrap().records.pop().unwrap().actions.remove(0).observation);
    }
    assert!(said[3].starts_with("took back the last edit of /testbed/calc.py; it has 6 lines"));
    assert!(said[4].starts_with("ERROR: no edit of"), "{}", said[4]);
    assert!(said[6].contains("it is gone"), "{}", said[6]);
    assert!(
        said[9].starts_with("ERROR: /testbed/calc.py was changed by something else"),
        "{}",
        said[9]
    );
    assert!(read(live.sandbox(), "calc.py").ends_with(b"return a * 2\n# end\nmore\n"));
}
