//! Sandboxes that stay.

use std::fs;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Palestra, Ran, can_sandbox, each_user};

/// Runs a `sandbox` command that must succeed; its output.
fn ok(palestra: &Palestra, arguments: &[&str]) -> String {
    let mut all = vec!["sandbox"];
    all.extend(arguments);
    let ran = palestra.run(&all);
    assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    ran.stdout
}

fn listed(palestra: &Palestra) -> Vec<serde_json::Value> {
    let list: serde_json::Value = serde_json::from_str(&ok(palestra, &["ls", "--json"])).unwrap();
    list["sandboxes"].as_array().unwrap().clone()
}

fn keeper(palestra: &Palestra) -> u32 {
    listed(palestra)[0]["about"]["pid"].as_u64().unwrap().try_into().unwrap()
}

#[test]
fn a_life_with_forks_patches_and_copies() {
    each_user(|palestra| {
        ok(palestra, &["run", "--detach", "--name", "one"]);
        let taken = palestra.run(&["sandbox", "run", "--detach", "--name", "one"]);
        assert_eq!(taken.code, Some(125), "{taken:?}");
        assert!(taken.stderr.contains("is there already"), "{taken:?}");
        ok(
            palestra,
            &["exec", "one", "--", "sh", "-c", "mkdir /work; echo a > /work/a; echo t > /tmp/t"],
        );
        ok(palestra, &["fork", "one", "two"]);
        ok(palestra, &["exec", "two", "--", "sh", "-c", "echo b >> /work/a"]);
        assert_eq!(ok(palestra, &["exec", "one", "cat", "/work/a", "/tmp/t"]), "a\nt\n");
        let patch = ok(palestra, &["diff", "two", "/work"]);
        assert!(patch.contains("+++ b/a\n@@ -0,0 +1,2 @@\n+a\n+b\n"), "{patch}");
        ok(palestra, &["fork", "--share", "one", "three"]);
        assert_eq!(ok(palestra, &["exec", "three", "cat", "/work/a"]), "a\n");
        assert_eq!(ok(palestra, &["exec", "one", "cat", "/work/a"]), "a\n");
        let names: Vec<_> = listed(palestra).iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, ["one", "three", "two"]);

        let from = palestra.dir().join("tree");
        fs::create_dir_all(from.join("below")).unwrap();
        fs::write(from.join("below/x"), "x\n").unwrap();
        palestra.give(&from);
        ok(palestra, &["cp", &from.to_string_lossy(), "two:/work"]);
        assert_eq!(ok(palestra, &["exec", "two", "cat", "/work/tree/below/x"]), "x\n");
        let to = palestra.dir().join("back");
        fs::create_dir(&to).unwrap();
        palestra.give(&to);
        let to_text = to.to_string_lossy().into_owned();
        ok(palestra, &["cp", "two:/work/tree", &to_text]);
        ok(palestra, &["cp", "two:/work/a", &to_text]);
        ok(palestra, &["cp", "two:/work/a", &to_text]);
        assert_eq!(fs::read_to_string(to.join("tree/below/x")).unwrap(), "x\n");
        assert_eq!(fs::read_to_string(to.join("a")).unwrap(), "a\nb\n");
        assert_eq!(fs::read_dir(&to).unwrap().count(), 2);
        let ran = palestra.run(&["sandbox", "cp", "two:/nothing", &to_text]);
        assert_eq!(ran.code, Some(2), "{ran:?}");

        let pid = keeper(palestra);
        ok(palestra, &["rm", "one"]);
        assert_eq!(listed(palestra).len(), 2);
        assert_eq!(ok(palestra, &["exec", "two", "cat", "/work/a"]), "a\nb\n");
        ok(palestra, &["rm", "--all"]);
        assert!(listed(palestra).is_empty());
        gone(pid);
        let named = palestra.dir().join("home/state/named");
        assert_eq!(fs::read_dir(named).unwrap().count(), 0);
    });
}

/// Waits until a process is gone, or nobody but its parent knows of it.
fn gone(pid: u32) {
    let begin = Instant::now();
    let lives = || {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
    };
    while lives() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{pid} lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn commands_with_status_input_signals_and_deadlines() {
    if !can_sandbox() {
        return;
    }
    let palestra = Palestra::new();
    let ran = palestra.run(&["sandbox", "run", "--name", "s", "--", "sh", "-c", "exit 5"]);
    assert_eq!(ran.code, Some(5), "{ran:?}");
    for (arguments, code) in [
        (&["exec", "s", "--", "sh", "-c", "exit 9"][..], 9),
        (&["exec", "s", "--", "sh", "-c", "kill -9 $$"], 137),
        (&["exec", "s", "no-such-program"], 127),
        (&["exec", "--timeout", "200ms", "s", "sleep", "60"], 124),
    ] {
        let mut all = vec!["sandbox"];
        all.extend(arguments);
        let ran = palestra.run(&all);
        assert_eq!(ran.code, Some(code), "{ran:?}");
    }
    // A client that dies takes its command with it.
    let mut command = palestra.command(&["sandbox", "exec", "s", "sleep", "4321"]);
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let running = || listed(&palestra)[0]["status"]["running"].as_u64().unwrap();
    let wait = |count: u64| {
        let begin = Instant::now();
        while running() != count {
            assert!(begin.elapsed() < Duration::from_secs(20), "not {count}");
        }
    };
    wait(1);
    child.kill().unwrap();
    child.wait().unwrap();
    wait(0);
    ok(&palestra, &["rm", "s"]);
}

#[test]
fn two_clients_at_once() {
    if !can_sandbox() {
        return;
    }
    let palestra = Palestra::new();
    ok(&palestra, &["run", "--detach", "--name", "s"]);
    // Each waits for the other.
    let start = |mine: &str, other: &str| {
        let script = format!(
            "touch /tmp/{mine}; i=0; while [ ! -e /tmp/{other} ]; do sleep 0.02; i=$((i+1)); [ $i -lt 1000 ] || exit 1; done; seq 20000"
        );
        let mut command = palestra.command(&["sandbox", "exec", "s", "--", "sh", "-c", &script]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let (a, b) = (start("a", "b"), start("b", "a"));
    for child in [a, b] {
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.stdout.lines().count(), 20000);
    }
    ok(&palestra, &["rm", "s"]);
}

#[test]
fn a_detached_command_and_the_end_by_itself() {
    if !can_sandbox() {
        return;
    }
    let palestra = Palestra::new();
    let name =
        ok(&palestra, &["run", "--detach", "--ttl", "1s", "--", "sh", "-c", "echo hello; exit 3"]);
    let name = name.trim();
    let pid = keeper(&palestra);
    let output = palestra.dir().join("home/state/named").join(name).join("output");
    let begin = Instant::now();
    while fs::read_to_string(&output).unwrap_or_default() != "hello\n" {
        assert!(begin.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
    gone(pid);
    assert!(listed(&palestra).is_empty());
    // A command that cannot be started is an error of the first command.
    let ran = palestra.run(&["sandbox", "run", "--detach", "--name", "x", "no-such-program"]);
    assert_eq!(ran.code, Some(127), "{ran:?}");
    let ran =
        palestra.run(&["sandbox", "run", "--detach", "--name", "x", "--bind", "/usr:/proc/x"]);
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(listed(&palestra).is_empty());
}

#[test]
fn a_keeper_that_is_killed_leaves_no_process_and_gc_takes_the_rest() {
    each_user(|palestra| {
        ok(palestra, &["run", "--detach", "--writable-disk", "--name", "s"]);
        ok(palestra, &["exec", "s", "--", "sh", "-c", "head -c 1M /dev/zero > /root/x"]);
        let mut command = palestra.command(&["sandbox", "exec", "s", "sleep", "86399"]);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pid = keeper(palestra);
        let begin = Instant::now();
        while sleeping(palestra) == 0 {
            assert!(begin.elapsed() < Duration::from_secs(20));
        }
        let raw = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(125));
        let begin = Instant::now();
        while sleeping(palestra) > 0 {
            assert!(begin.elapsed() < Duration::from_secs(20), "its command lives on");
        }
        // A process that was killed takes a moment to let go of all that it holds.
        while !listed(palestra).is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(20), "its name lives on");
        }
        let ran = palestra.run(&["sandbox", "exec", "s", "true"]);
        assert_eq!(ran.code, Some(125), "{ran:?}");
        let count = |name: &str| {
            fs::read_dir(palestra.dir().join("home/state").join(name)).unwrap().count()
        };
        assert_eq!((count("named"), count("sandboxes")), (1, 1));
        let items = |ran: Ran, kind: &str| -> u64 {
            assert_eq!(ran.code, Some(0), "{ran:?}");
            let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
            let found = report["found"].as_array().unwrap();
            found.iter().find(|one| one["kind"] == kind).unwrap()["items"].as_u64().unwrap()
        };
        assert_eq!(items(palestra.run(&["gc", "--dry-run", "--json"]), "dead_named"), 1);
        assert_eq!((count("named"), count("sandboxes")), (1, 1));
        assert_eq!(items(palestra.run(&["gc", "--json"]), "dead_instances"), 1);
        assert_eq!((count("named"), count("sandboxes"), count("trash")), (0, 0, 0));
        assert_eq!(items(palestra.run(&["gc", "--json"]), "dead_named"), 0);
        // The name is free again.
        ok(palestra, &["run", "--detach", "--name", "s"]);
        ok(palestra, &["rm", "s"]);
    });
}

/// Processes with this argument, which other tests do not use; each user has his own.
fn sleeping(palestra: &Palestra) -> usize {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ours = entries.filter(|entry| {
        fs::metadata(entry.path()).is_ok_and(|meta| (meta.uid() == 0) == palestra.is_root())
    });
    ours.filter(|entry| {
        fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == b"sleep\x0086399\x00")
    })
    .count()
}

#[test]
fn a_shell_on_a_real_terminal() {
    each_user(|palestra| {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
        ok(palestra, &["run", "--detach", "--name", "s"]);
        let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&main).unwrap();
        unlockpt(&main).unwrap();
        let name = ptsname(&main, Vec::new()).unwrap().into_string().unwrap();
        palestra.give(name.as_ref());
        let size =
            |rows, columns| Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&main, size(30, 100)).unwrap();
        let sub = || -> OwnedFd {
            fs::OpenOptions::new().read(true).write(true).open(&name).unwrap().into()
        };
        let before = format!("{:?}", tcgetattr(sub()).unwrap());
        let shell = palestra.command(&["sandbox", "shell", "s"]);
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(shell.get_program()).args(shell.get_args());
        for (name, value) in shell.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let mut child = command.stdin(sub()).stdout(sub()).stderr(sub()).spawn().unwrap();
        let mut seen = String::new();
        let mut expect = |text: &str| {
            let begin = Instant::now();
            let mut buffer = [0; 4096];
            while !seen.contains(text) {
                assert!(begin.elapsed() < Duration::from_secs(20), "no {text:?} in {seen:?}");
                let mut fds = [rustix::event::PollFd::new(&main, rustix::event::PollFlags::IN)];
                let second = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
                if rustix::event::poll(&mut fds, Some(&second)).unwrap() > 0 {
                    let count = rustix::io::read(&main, &mut buffer).unwrap_or(0);
                    seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
                }
            }
            seen.clear();
        };
        let say =
            |text: &str| assert_eq!(rustix::io::write(&main, text.as_bytes()), Ok(text.len()));
        expect("s:");
        say("echo $((6*7)) $(stty size)\r");
        expect("42 30 100");
        // The interrupt key reaches the program inside, not palestra.
        say("sleep 600 || echo sle''pt\r");
        std::thread::sleep(Duration::from_millis(300));
        say("\x03");
        say("echo ba''ck\r");
        expect("back");
        tcsetwinsize(&main, size(40, 120)).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        say("stty size\r");
        expect("40 120");
        say("exit 6\r");
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(6));
        assert_eq!(
            format!("{:?}", tcgetattr(sub()).unwrap()),
            before,
            "the terminal is not as before"
        );
        ok(palestra, &["rm", "s"]);
    });
}
