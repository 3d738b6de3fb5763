//! What programs inside can reach, and what they cannot.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use palestra_sandbox::{
    Bind, Exec, FileOp, LimitBy, Limits, Network, Outcome, SandboxError, SandboxSpec, Writable,
};

use crate::common::{host, is_root, ok, python, run, sandbox, skip};

#[test]
fn without_a_network_only_loopback_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    let with = |network| {
        let sandbox = host().create(&SandboxSpec { network, ..SandboxSpec::default() }).unwrap();
        sandbox.exec(&Exec::new(["bash", "-c", &connect])).unwrap().outcome.success()
    };
    assert!(!with(Network::None), "the host's loopback is reachable");
    assert!(with(Network::Host));
    let sandbox = sandbox();
    let outside = "timeout 5 bash -c 'exec 3<>/dev/tcp/192.0.2.1/80' 2>&1";
    let result = run(&sandbox, outside);
    assert!(result.stdout.text().contains("unreachable"), "{result:?}");
    // What tests of time limits want: an address where nobody answers, and nobody says so.
    let swallowed = "timeout 0.5 bash -c 'exec 3<>/dev/tcp/10.255.255.1/80' 2>&1; echo $?";
    assert_eq!(ok(&sandbox, swallowed).trim(), "124");
    let Some((python, bind)) = python() else { return skip("no Python for the other half") };
    let spec = SandboxSpec { binds: bind.into_iter().collect(), ..SandboxSpec::default() };
    let program = "
import socket
a = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(a.getsockname())
a.accept()[0].send(b'x'); print(b.recv(1), socket.gethostbyname('localhost'))";
    let exec = Exec::new([python.into_os_string(), "-c".into(), program.into()]);
    let result = host().create(&spec).unwrap().exec(&exec).unwrap();
    assert_eq!(result.stdout.text(), "b'x' 127.0.0.1\n", "{}", result.stderr.text());
}

#[test]
fn the_host_is_out_of_sight() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "x").unwrap();
    let sandbox = sandbox();
    assert_eq!(ok(&sandbox, "ls -A /root /home /opt /srv /mnt | grep -v : | tr -d '\\n'"), "");
    assert!(!run(&sandbox, &format!("ls {}", outside.path().display())).outcome.success());
    assert_eq!(
        ok(&sandbox, "cat /proc/1/comm | wc -l; ls -d /proc/[0-9]* | head -c 7"),
        "1\n/proc/1"
    );
    for forbidden in [
        "touch /usr/x",
        "touch /usr/bin/x",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo x > /proc/sysrq-trigger",
        "chmod 666 /dev/null",
        "mount -t tmpfs none /mnt",
        "umount /usr",
        "mount -o remount,rw /usr",
        "unshare -U true",
        "unshare -m true",
        "hostname x",
        "mknod /x b 8 0",
        "cat /proc/1/environ",
        "readlink /proc/1/fd/3",
        "cat /proc/1/maps",
        "ls /proc/1/root/",
        "echo x > /proc/1/oom_score_adj",
        "tr '\\0' ' ' < /proc/1/cmdline | grep /",
        "ls /etc/ssl/private",
        "cat /proc/kcore | head -c 1 | grep .",
        "dmesg",
        "date -s 2000-01-01",
    ] {
        let result = run(&sandbox, forbidden);
        assert!(!result.outcome.success(), "{forbidden}: {result:?}");
    }
    // And what must work.
    for allowed in [
        "touch /x /etc/x /root/x /home/x /var/tmp/x /tmp/x /dev/shm/x /run/x",
        "echo x > /dev/null; head -c 1 /dev/zero; head -c 1 /dev/urandom",
        "echo changed > /etc/passwd",
        "ln -s /etc y && rm y && mkfifo z && mkdir -p d/e && mv d f && rm -r f",
        "cat /proc/cpuinfo /proc/meminfo /proc/self/status > /dev/null",
        "(ulimit -n 100; ulimit -n) | grep -x 100",
    ] {
        let result = run(&sandbox, allowed);
        assert!(result.outcome.success(), "{allowed}: {result:?}");
    }
}

#[test]
fn rights_inside_are_few() {
    let sandbox = sandbox();
    let status = ok(
        &sandbox,
        "grep -E '^(CapEff|CapBnd|CapPrm|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t\\n'",
    );
    assert_eq!(
        status,
        "CapPrm:00000000000404fbCapEff:00000000000404fbCapBnd:00000000000404fbNoNewPrivs:1Seccomp:2"
    );
}

#[test]
fn writable_binds_are_written_to_and_others_are_not() {
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| outside.path().join(name);
    std::fs::create_dir(path("rw")).unwrap();
    std::fs::write(path("file"), "content").unwrap();
    let bind =
        |source: PathBuf, target: &str, writable| Bind { source, target: target.into(), writable };
    let binds = vec![
        bind(path("rw"), "/cache/deep/rw", true),
        bind(path("rw"), "/tmp/below/rw", true),
        bind(outside.path().into(), "/ro", false),
        bind(path("file"), "/etc/one-file", false),
    ];
    let sandbox = host().create(&SandboxSpec { binds, ..SandboxSpec::default() }).unwrap();
    ok(
        &sandbox,
        "echo a > /cache/deep/rw/a; cat /tmp/below/rw/a; grep content /etc/one-file /ro/file",
    );
    assert_eq!(std::fs::read_to_string(path("rw/a")).unwrap(), "a\n");
    assert!(!run(&sandbox, "touch /ro/x").outcome.success());
    assert!(!run(&sandbox, "echo x > /etc/one-file").outcome.success());
    for target in ["relative", "/", "/a/../b"] {
        let binds = vec![bind(path("rw"), target, false)];
        let result = host().create(&SandboxSpec { binds, ..SandboxSpec::default() });
        assert!(matches!(result, Err(SandboxError::InvalidPath { .. })), "{target}");
    }
    let binds = vec![bind(path("absent"), "/x", false)];
    let error = host().create(&SandboxSpec { binds, ..SandboxSpec::default() }).unwrap_err();
    assert!(error.to_string().contains("absent"), "{error}");
}

#[test]
fn a_missing_layer_is_named() {
    let layers = vec![PathBuf::from("/no/such/layer")];
    let error = host().create(&SandboxSpec { layers, ..SandboxSpec::default() }).unwrap_err();
    assert!(error.to_string().contains("/no/such/layer"), "{error}");
}

#[test]
fn open_files_are_bounded_and_the_bound_is_not_the_first_process_own() {
    let limits = Limits { open_files: 8, ..Limits::default() };
    let sandbox = host().create(&SandboxSpec { limits, ..SandboxSpec::default() }).unwrap();
    assert_eq!(ok(&sandbox, "ulimit -n; ulimit -Hn"), "8\n8\n");
    let deep = "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/file";
    let write = FileOp::Write { path: deep.into(), mode: 0o644, bytes: b"x".to_vec() };
    sandbox.apply(&[write, FileOp::Remove { path: "/a".into() }]).unwrap();
    assert_eq!(sandbox.read(deep, 1).unwrap(), None);
}

#[test]
fn a_fork_bomb_is_bounded() {
    if host().capabilities().processes == LimitBy::Nothing {
        return skip("nothing bounds processes on this host");
    }
    let limits = Limits { processes: 50, ..Limits::default() };
    let sandbox = host().create(&SandboxSpec { limits, ..SandboxSpec::default() }).unwrap();
    let bomb = "b() { b | b & }; b; sleep 0.5; ls -d /proc/[0-9]* | wc -l";
    let mut exec = Exec::new(["bash", "-c", bomb]).timeout(Duration::from_secs(20));
    exec.output_limit = 1 << 12;
    let result = sandbox.exec(&exec).unwrap();
    assert!(result.stderr.text().contains("Resource temporarily unavailable"), "{result:?}");
    // And it leaves a sandbox that works.
    assert_eq!(ok(&sandbox, "echo fine"), "fine\n");
}

#[test]
fn running_out_of_memory_is_told_apart() {
    if !matches!(host().capabilities().memory, LimitBy::CgroupV1 | LimitBy::CgroupV2) {
        return skip("nothing bounds memory on this host");
    }
    let limits = Limits { memory: 64 << 20, ..Limits::default() };
    let sandbox = host().create(&SandboxSpec { limits, ..SandboxSpec::default() }).unwrap();
    let hog = run(&sandbox, "echo start; head -c 1G /dev/zero | tail -n 1 | wc -c");
    assert_eq!(hog.outcome, Outcome::OutOfMemory, "{hog:?}");
    assert_eq!(ok(&sandbox, "echo fine"), "fine\n");
}

#[test]
fn the_writable_layer_in_memory_is_bounded() {
    let writable = Writable::Tmpfs { bytes: 10 << 20 };
    let sandbox = host().create(&SandboxSpec { writable, ..SandboxSpec::default() }).unwrap();
    assert!(!run(&sandbox, "head -c 20M /dev/zero > /var/big").outcome.success());
    assert!(!run(&sandbox, "head -c 20M /dev/zero > /tmp/big").outcome.success());
}

#[test]
fn files_are_changed_and_read_inside_the_root_only() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("victim");
    std::fs::write(&target, "untouched").unwrap();
    let sandbox = sandbox();
    let out = outside.path().display();
    ok(
        &sandbox,
        &format!(
            "ln -s {out} /link; ln -s {out}/victim /file; ln -s ../../../.. /up; ln -s /proc/1/fd /fds; ln -s /proc/self/fd/3 /fd3; mkdir -p /a/b; mkfifo /fifo"
        ),
    );
    let write = |path: &str, bytes: &str| FileOp::Write {
        path: path.into(),
        mode: 0o755,
        bytes: bytes.into(),
    };
    let remove = |path: &str| FileOp::Remove { path: path.into() };
    sandbox
        .apply(&[
            write("/file", "inside"),
            write("/new/deep/file", "inside"),
            FileOp::Symlink { path: "/new/link".into(), target: "deep/file".into() },
            write("/a", "a file in place of a directory"),
            write("/up/up-there", "inside"),
            remove("/absent/x"),
            remove("/fifo"),
        ])
        .unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "untouched");
    assert_eq!(sandbox.read("/new/link", 100).unwrap().unwrap(), b"inside");
    assert_eq!(sandbox.read("/up-there", 100).unwrap().unwrap(), b"inside");
    assert_eq!(
        ok(&sandbox, "cat /file; stat -c '%a %U' /file; cat /a; test ! -e /fifo"),
        "inside755 root\na file in place of a directory"
    );
    assert_eq!(sandbox.read("/link/victim", 100).unwrap(), None);
    for through in ["/fds/3", "/fd3"] {
        assert!(matches!(sandbox.read(through, 100), Err(SandboxError::File { .. })), "{through}");
        assert!(sandbox.apply(&[write(&format!("{through}/x"), "x")]).is_err());
    }
    // A dangling link above the file: nothing is made outside, and the error names the path.
    let error = sandbox.apply(&[write("/ok", "x"), write("/link/x", "x")]).unwrap_err();
    assert!(
        matches!(&error, SandboxError::File { path, .. } if path.ends_with("link/x")),
        "{error}"
    );
    assert!(sandbox.apply(&[remove("/")]).is_err());
    assert!(sandbox.apply(&[write("/a/..", "x")]).is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn only_regular_files_of_bounded_size_are_read() {
    let sandbox = sandbox();
    ok(
        &sandbox,
        "mkfifo /fifo; ln -s /fifo /to-fifo; head -c 1000 /dev/zero > /big; ln -s loop /loop",
    );
    for (path, kind) in [
        ("/fifo", "fifo"),
        ("/to-fifo", "fifo"),
        ("/dev/zero", "device"),
        ("/etc", "directory"),
        ("/proc/uptime", "file of the kernel"),
    ] {
        match sandbox.read(path, 100) {
            Err(SandboxError::NotRegular { kind: found, .. }) => assert_eq!(found, kind),
            other => panic!("{path}: {other:?}"),
        }
    }
    assert!(matches!(sandbox.read("/big", 999), Err(SandboxError::TooLarge { limit: 999, .. })));
    assert_eq!(sandbox.read("/big", 1000).unwrap().unwrap().len(), 1000);
    assert!(matches!(sandbox.read("/loop", 1), Err(SandboxError::File { .. })));
    assert_eq!(sandbox.read("/absent", 1).unwrap(), None);
    assert_eq!(sandbox.read("/etc/passwd/below", 1).unwrap(), None);
}

#[test]
fn other_user_ids_exist_for_root_alone() {
    let sandbox = sandbox();
    let changed = run(&sandbox, "touch /f && chown 33:33 /f && stat -c '%u %g' /f");
    if is_root() {
        assert_eq!(changed.stdout.text(), "33 33\n");
    } else {
        assert!(!changed.outcome.success());
    }
    assert_eq!(ok(&sandbox, "id -u; id -g; stat -c %u /etc/passwd"), "0\n0\n0\n");
}

#[test]
fn abstract_sockets_of_the_host_are_closed_even_on_its_network() {
    if host().capabilities().landlock.is_none_or(|version| version < 6) {
        return skip("this kernel's Landlock has no scopes");
    }
    let Some((python, bind)) = python() else { return skip("no Python to connect with") };
    use std::os::linux::net::SocketAddrExt;
    let name = format!("palestra-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let program = format!("import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}')");
    let binds: Vec<_> = bind.into_iter().collect();
    for network in [Network::None, Network::Host] {
        let spec = SandboxSpec { network, binds: binds.clone(), ..SandboxSpec::default() };
        let exec =
            Exec::new([python.clone().into_os_string(), "-c".into(), program.clone().into()]);
        let result = host().create(&spec).unwrap().exec(&exec).unwrap();
        let text = result.stderr.text();
        assert!(text.contains("PermissionError") || text.contains("refused"), "{text}");
    }
}
