//! Commands: how they end, what is kept of their output, what becomes of what they start.

use std::time::{Duration, Instant};

use palestra_sandbox::{Exec, Outcome, SandboxError, SandboxSpec};

use crate::common::{host, ok, run, sandbox, sh};

#[test]
fn a_command_ends_as_it_ends() {
    let sandbox = sandbox();
    let outcome = |argv: &[&str]| sandbox.exec(&Exec::new(argv)).unwrap().outcome;
    assert_eq!(outcome(&["true"]), Outcome::Exited(0));
    assert_eq!(outcome(&["false"]), Outcome::Exited(1));
    assert_eq!(outcome(&["sh", "-c", "exit 42"]), Outcome::Exited(42));
    assert_eq!(outcome(&["sh", "-c", "kill -9 $$"]), Outcome::Signaled(9));
    assert_eq!(outcome(&["sh", "-c", "kill -SEGV $$"]), Outcome::Signaled(11));
    assert_eq!(outcome(&["/bin/sh", "-c", "exit 0"]), Outcome::Exited(0));
}

#[test]
fn what_cannot_be_run_is_an_error_and_the_sandbox_goes_on() {
    let sandbox = sandbox();
    let kind = |exec: &Exec| match sandbox.exec(exec) {
        Err(SandboxError::CannotRun { source, .. }) => source.kind(),
        other => panic!("{other:?}"),
    };
    use std::io::ErrorKind;
    assert_eq!(kind(&Exec::new(["no-such-program"])), ErrorKind::NotFound);
    assert_eq!(kind(&Exec::new(["/etc/passwd"])), ErrorKind::PermissionDenied);
    assert_eq!(kind(&Exec::new(["true"]).cwd("/nowhere")), ErrorKind::NotFound);
    assert_eq!(kind(&Exec::new([""])), ErrorKind::NotFound);
    assert_eq!(kind(&Exec::new(["true", "a\0b"])), ErrorKind::InvalidInput);
    assert_eq!(kind(&Exec::new::<&str>([])), ErrorKind::InvalidInput);
    assert!(run(&sandbox, "true").outcome.success());
}

#[test]
fn commands_see_their_variables_directory_and_input() {
    let env = [("ONE".into(), "sandbox".into()), ("TWO".into(), "sandbox".into())].into();
    let sandbox = host().create(&SandboxSpec { env, ..SandboxSpec::default() }).unwrap();
    let mut exec = sh("echo $ONE $TWO $HOME $TZ $LANG $TERM; pwd; cat; cat /proc/$$/oom_score_adj");
    exec.stdin = b"input\n".to_vec();
    let result = sandbox.exec(&exec.env("TWO", "command").cwd("/usr")).unwrap();
    assert_eq!(result.stdout.text(), "sandbox command /root UTC C.UTF-8 dumb\n/usr\ninput\n500\n");
    let names = ok(&sandbox, "env | cut -d= -f1 | sort | tr '\\n' ' '");
    assert_eq!(names, "HOME LANG ONE PATH PWD TERM TWO TZ ");
    assert_eq!(ok(&sandbox, "ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ");
}

#[test]
fn input_larger_than_a_pipe_is_fed_while_output_is_read() {
    let sandbox = sandbox();
    let mut exec = Exec::new(["cat"]);
    exec.stdin = vec![b'x'; 5 << 20];
    exec.output_limit = 8 << 20;
    let result = sandbox.exec(&exec).unwrap();
    assert!(result.stdout.bytes == exec.stdin);
    exec.argv = vec!["true".into()];
    assert_eq!(sandbox.exec(&exec).unwrap().outcome, Outcome::Exited(0));
}

#[test]
fn each_stream_keeps_its_beginning_and_its_end() {
    let sandbox = sandbox();
    let mut exec = sh("echo begin; head -c 100000 /dev/zero; echo end; echo err >&2");
    exec.output_limit = 20;
    let result = sandbox.exec(&exec).unwrap();
    let text = result.stdout.text();
    assert!(text.starts_with("begin\n\0\0\0\0\n[... 99990 bytes dropped ...]\n\0"), "{text:?}");
    assert!(text.ends_with("\0end\n"), "{text:?}");
    assert_eq!(result.stdout.total, 100_010);
    assert_eq!((result.stderr.text().as_str(), result.stderr.total), ("err\n", 4));
}

#[test]
fn processor_time_is_that_of_what_was_run() {
    let sandbox = sandbox();
    let before = sandbox.processor_time().unwrap();
    ok(&sandbox, "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done");
    let after = sandbox.processor_time().unwrap();
    assert!(after > before + Duration::from_millis(20), "{before:?} {after:?}");
}

#[test]
fn a_flood_is_cut_off_at_the_deadline() {
    let sandbox = sandbox();
    let mut exec = Exec::new(["yes"]).timeout(Duration::from_millis(500));
    exec.output_limit = 1000;
    let result = sandbox.exec(&exec).unwrap();
    assert_eq!(result.outcome, Outcome::TimedOut);
    assert!(result.stdout.total > 1 << 20, "{}", result.stdout.total);
    assert!(result.stdout.bytes.len() < 1100);
    assert!(result.wall < Duration::from_secs(5));
}

#[test]
fn at_its_deadline_the_whole_tree_dies_and_what_it_wrote_is_kept() {
    let sandbox = sandbox();
    // A daemon of two forks in a session of its own, which ignores everything it can.
    let script = "
        echo before
        setsid sh -c 'trap \"\" TERM HUP INT; (while :; do date >> /beat; sleep 0.05; done) & exit' &
        sleep 60";
    let result = sandbox.exec(&sh(script).timeout(Duration::from_millis(500))).unwrap();
    assert_eq!(result.outcome, Outcome::TimedOut);
    assert_eq!(result.stdout.text(), "before\n");
    assert!(result.wall < Duration::from_secs(10), "{:?}", result.wall);
    let size =
        ok(&sandbox, "stat -c %s /beat; cat /proc/[0-9]*/comm | grep -c -e sleep -e date || true");
    std::thread::sleep(Duration::from_millis(300));
    let later =
        ok(&sandbox, "stat -c %s /beat; cat /proc/[0-9]*/comm | grep -c -e sleep -e date || true");
    assert_eq!(size, later);
    assert!(size.ends_with("\n0\n") && !size.starts_with("0\n"), "{size}");
}

#[test]
fn background_processes_that_hold_the_output_open_are_not_waited_for() {
    let sandbox = sandbox();
    let started = Instant::now();
    let result = run(&sandbox, "sleep 30 & setsid sleep 30 & echo done");
    assert_eq!(result.outcome, Outcome::Exited(0));
    assert_eq!(result.stdout.text(), "done\n");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(ok(&sandbox, "cat /proc/[0-9]*/comm | grep -c sleep || true"), "0\n");
}

#[test]
fn orphans_are_reaped_while_a_command_runs() {
    let sandbox = sandbox();
    let script = "for i in 1 2 3 4 5; do (true & exec true) & done; sleep 0.3; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l";
    assert_eq!(ok(&sandbox, script), "0\n");
}

#[test]
fn commands_of_several_threads_wait_for_each_other() {
    let sandbox = sandbox();
    std::thread::scope(|scope| {
        for index in 0..8 {
            let sandbox = &sandbox;
            scope.spawn(move || {
                assert_eq!(ok(sandbox, &format!("echo {index}")), format!("{index}\n"))
            });
        }
    });
}

#[test]
fn killing_a_sandbox_ends_a_command_under_way() {
    let sandbox = sandbox();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| sandbox.exec(&Exec::new(["sleep", "60"])));
        std::thread::sleep(Duration::from_millis(300));
        sandbox.kill();
        assert!(matches!(running.join().unwrap(), Err(SandboxError::Dead(_))));
    });
    assert!(matches!(sandbox.exec(&Exec::new(["true"])), Err(SandboxError::Dead(_))));
}

#[test]
fn threads_and_child_processes_work() {
    let Some((python, bind)) = crate::common::python() else {
        return crate::common::skip("no Python interpreter found");
    };
    let spec = SandboxSpec { binds: bind.into_iter().collect(), ..SandboxSpec::default() };
    let sandbox = host().create(&spec).unwrap();
    let program = "
import multiprocessing, subprocess, threading, tempfile, os, pty, socket, ssl, sqlite3
results = []
threads = [threading.Thread(target=results.append, args=(i,)) for i in range(10)]
[t.start() for t in threads]; [t.join() for t in threads]
assert sorted(results) == list(range(10))
if __name__ == '__main__':
    with multiprocessing.get_context('fork').Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
assert subprocess.check_output(['echo', 'x']) == b'x\\n'
main, sub = pty.openpty(); assert os.isatty(sub)
with tempfile.NamedTemporaryFile() as f: f.write(b'x')
assert os.getuid() == 0 and os.path.expanduser('~') == '/root'
print('fine')
";
    let exec = Exec::new([python.into_os_string(), "-c".into(), program.into()]);
    let result = sandbox.exec(&exec).unwrap();
    assert_eq!(result.stdout.text(), "fine\n", "{}", result.stderr.text());
}
