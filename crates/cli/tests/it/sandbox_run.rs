//! `palestra sandbox run`: one command in a sandbox of its own.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Palestra, can_sandbox, each_user};

#[test]
fn the_exit_status_is_that_of_the_command() {
    each_user(|palestra| {
        for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -SEGV $$", 139)] {
            let ran = palestra.run(&["sandbox", "run", "--", "sh", "-c", script]);
            assert_eq!(ran.code, Some(code), "{script}: {ran:?}");
        }
        let ran = palestra.run(&["sandbox", "run", "no-such-program"]);
        assert_eq!(ran.code, Some(127), "{ran:?}");
        let ran = palestra.run(&["sandbox", "run", "/etc/passwd"]);
        assert_eq!(ran.code, Some(126), "{ran:?}");
    });
}

#[test]
fn ten_megabytes_go_through_cat() {
    each_user(|palestra| {
        let bytes: Vec<u8> = (0..10_000_000u32).map(|i| (i ^ (i >> 8)) as u8).collect();
        let mut command = palestra.command(&["sandbox", "run", "cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let sent = bytes.clone();
        let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
        let mut got = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut got).unwrap();
        writer.join().unwrap();
        assert!(child.wait().unwrap().success());
        assert!(got == bytes, "{} bytes came back", got.len());
    });
}

#[test]
fn output_comes_while_the_command_runs() {
    if !can_sandbox() {
        return;
    }
    let palestra = Palestra::new();
    let mut command = palestra.command(&["sandbox", "run", "--", "sh", "-c", "echo now; cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = [0; 4];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"now\n");
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_leaves_ends_the_command() {
    if !can_sandbox() {
        return;
    }
    let palestra = Palestra::new();
    let mut command = palestra.command(&["sandbox", "run", "yes"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 4096];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(128 + 13));
}

#[test]
fn limits_have_names() {
    each_user(|palestra| {
        let run = |options: &[&str], script: &str| {
            let mut all = vec!["sandbox", "run"];
            all.extend(options);
            all.extend(["--", "sh", "-c", script]);
            palestra.run(&all)
        };
        let ran = run(&["--timeout", "300ms"], "sleep 60");
        assert_eq!(ran.code, Some(124), "{ran:?}");
        assert!(ran.stderr.contains("timed out"), "{ran:?}");
        let ran = run(&["--tmpfs", "4M"], "head -c 8M /dev/zero > /root/x");
        assert!(ran.stderr.contains("out of disk"), "{ran:?}");
        let ran = run(&["--disk", "4M"], "head -c 64M /dev/zero > /root/x; sleep 60");
        assert_eq!(ran.code, Some(137), "{ran:?}");
        assert!(ran.stderr.contains("out of disk"), "{ran:?}");
        if palestra.is_root() {
            let hog = "exec python3 -c 'x = bytearray(1 << 30)'";
            let ran = run(&["--memory", "64M"], hog);
            assert_eq!(ran.code, Some(137), "{ran:?}");
            assert!(ran.stderr.contains("out of memory"), "{ran:?}");
            let ran = run(&["--pids", "8"], "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 9 & done");
            assert!(ran.stderr.contains("out of processes"), "{ran:?}");
        }
    });
}

#[test]
fn one_document() {
    each_user(|palestra| {
        let ran = palestra.run(&[
            "sandbox",
            "run",
            "--json",
            "--timeout",
            "2s",
            "--",
            "sh",
            "-c",
            "echo out; echo err >&2; sleep 60",
        ]);
        assert_eq!(ran.code, Some(124), "{ran:?}");
        let document: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(document["outcome"], "timed_out", "{document}");
        assert_eq!(document["limits"], serde_json::json!(["time"]), "{document}");
        assert_eq!(document["stdout"], "out\n");
        // A shell whose child is killed before itself may say so.
        let said = document["stderr"].as_str().unwrap_or_default();
        assert!(["err\n", "err\nKilled\n"].contains(&said), "{document}");
        assert!(document["wall_seconds"].as_f64() >= Some(2.0), "{document}");
    });
}

#[test]
fn what_it_is_made_of() {
    each_user(|palestra| {
        let data = palestra.dir().join("data");
        std::fs::create_dir_all(data.join("opt")).unwrap();
        std::fs::write(data.join("opt/file"), "kept").unwrap();
        palestra.give(&data);
        let bind = format!("{}:/mnt/data:rw", data.display());
        let data_text = data.to_string_lossy().into_owned();
        let ran = palestra.run(&[
            "sandbox", "run", "--layer", &data_text, "--bind", &bind, "--env", "A=b c",
            "--workdir", "/mnt/data", "--", "sh", "-c",
            "cat /opt/file && echo \" $A $(pwd)\" && echo new > opt/new && ! cat /etc/shadow 2>/dev/null",
        ]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.stdout, "kept b c /mnt/data\n");
        assert_eq!(std::fs::read_to_string(data.join("opt/new")).unwrap(), "new\n");
    });
}

/// The first Ctrl-C is the command's, the second ends it.
#[test]
fn interrupts() {
    each_user(|palestra| {
        let script = "trap 'echo caught' INT; echo ready; while :; do sleep 0.05; done";
        let mut command = palestra.command(&["sandbox", "run", "--", "sh", "-c", script]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut expect = |text: &[u8]| {
            let mut got = vec![0; text.len()];
            out.read_exact(&mut got).unwrap();
            assert_eq!(got, text);
        };
        let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
        let interrupt =
            || rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        expect(b"ready\n");
        interrupt();
        expect(b"caught\n");
        interrupt();
        let begin = Instant::now();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(130));
        assert!(begin.elapsed() < Duration::from_secs(20));
    });
}

#[test]
fn wrong_words_say_what_is_wrong() {
    let palestra = Palestra::new();
    for (arguments, says) in [
        (&["run", "--memory", "much", "true"][..], "no size"),
        (&["run", "--timeout", "soon", "true"], "no duration"),
        (&["run", "--timeout", "0", "true"], "no time"),
        (&["run", "--bind", "/usr", "true"], "where inside"),
        (&["run", "--bind", "/no/such:/x", "true"], "No such file"),
        (&["run", "--env", "=x", "true"], "no variable"),
        (&["run", "--net", "localhost", "true"], "loopback"),
        (&["run", "--net", " ", "true"], "no rules"),
        (&["run", "--layer", "/no/such", "true"], "/no/such"),
        (&["run", "--workdir", "here", "true"], "absolute"),
        (&["run", "--image", "./no-such.tar", "true"], "no such file"),
        (&["run", "--image", "Not A Name", "true"], "does not name an image"),
        (&["run", "--name", "a/b", "true"], "cannot be the name"),
        (&["run", "--ttl", "5m", "true"], "--ttl"),
        (&["run"], "no command"),
        (&["run", "--tty", "true"], "terminal"),
        (&["run", "--bogus", "true"], "--bogus"),
        (&["exec", "nobody", "true"], "no sandbox is named nobody"),
        (&["shell"], "terminal"),
    ] {
        let mut all = vec!["sandbox"];
        all.extend(arguments);
        let output = palestra.command(&all).stdin(Stdio::null()).output().unwrap();
        let ran = crate::support::Ran::from(output);
        assert_eq!(ran.code, Some(125), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(says), "{arguments:?}: {ran:?}");
    }
    for arguments in [
        &["sandbox", "rm", "nobody"][..],
        &["sandbox", "fork", "nobody", "x"],
        &["sandbox", "diff", "nobody"],
        &["sandbox", "cp", "/a", "/b"],
        &["sandbox", "cp", "a:/a", "b:/b"],
        &["sandbox", "rm"],
        &["gc", "--max-size", "x"],
        &["gc", "--older-than", "x"],
    ] {
        let ran = palestra.run(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
    }
    let ran = palestra.run(&["help", "sandbox"]);
    assert!(ran.code == Some(0) && ran.stdout.contains("124"), "{ran:?}");
}
