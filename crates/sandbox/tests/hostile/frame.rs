//! What every case has in common.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use palestra_sandbox::{
    Bind, Exec, ExecResult, FileOp, Host, HostConfig, LimitBy, Limits, Outcome, Result, Sandbox,
    SandboxSpec,
};

/// How long any call may keep a case waiting beyond what it was given.
pub(crate) const SOON: Duration = Duration::from_secs(25);

/// One host for all cases.
pub(crate) fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        // Always the same, since nothing drops it: each run removes what the one before left.
        let state = std::env::temp_dir().join(format!("palestra-hostile-{}", user()));
        Host::start(&HostConfig::new(state)).unwrap()
    })
}

pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(crate) fn is_root() -> bool {
    user() == 0
}

/// Says why a case proves nothing here.
#[expect(clippy::print_stderr, reason = "the only way for a test to say so")]
pub(crate) fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

/// Says what was seen, for whoever runs the suite with `--nocapture`.
#[expect(clippy::print_stderr, reason = "the only way for a test to say so")]
pub(crate) fn note(what: &str) {
    eprintln!("note: {what}");
}

pub(crate) fn memory_is_bounded() -> bool {
    matches!(host().capabilities().memory, LimitBy::CgroupV1 | LimitBy::CgroupV2)
}

pub(crate) fn processes_are_bounded() -> bool {
    host().capabilities().processes != LimitBy::Nothing
}

/// The limits of a case: small enough that no bomb hurts the host.
pub(crate) fn small() -> Limits {
    Limits { memory: 256 << 20, processes: 200, disk: 16 << 20, ..Limits::default() }
}

/// What must be the same on the host before and after.
#[derive(Debug)]
struct Seen {
    mounts: Vec<String>,
    settings: BTreeMap<PathBuf, String>,
    devices: Vec<(u32, u64)>,
    sentinel: Vec<(PathBuf, u32, u64, i64, i64)>,
}

impl Seen {
    /// What is not as it was, in words; empty if all is.
    fn differs(&self, before: &Self) -> String {
        let mut words = String::new();
        for mount in self.mounts.iter().filter(|mount| !before.mounts.contains(mount)) {
            words.push_str(&format!("new mount: {mount}\n"));
        }
        for mount in before.mounts.iter().filter(|mount| !self.mounts.contains(mount)) {
            words.push_str(&format!("lost mount: {mount}\n"));
        }
        for (path, value) in &self.settings {
            if before.settings.get(path) != Some(value) {
                words.push_str(&format!(
                    "{path:?}: {:?}, now {value:?}\n",
                    before.settings.get(path)
                ));
            }
        }
        if self.devices != before.devices {
            words.push_str(&format!("devices: {:?}, now {:?}\n", before.devices, self.devices));
        }
        if self.sentinel != before.sentinel {
            words.push_str(&format!("files: {:?}, now {:?}\n", before.sentinel, self.sentinel));
        }
        words
    }
}

/// Settings of the kernel that a program with too many rights would change first.
const SETTINGS: &[&str] = &[
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/dmesg_restrict",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/kptr_restrict",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/kernel/perf_event_paranoid",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/kernel/printk",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/shmmax",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/threads-max",
    "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/proc/sys/fs/file-max",
    "/proc/sys/fs/protected_hardlinks",
    "/proc/sys/fs/protected_symlinks",
    "/proc/sys/fs/suid_dumpable",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/vm/swappiness",
    "/proc/swaps",
    "/proc/modules",
    "/proc/self/cgroup",
    "/proc/self/limits",
    "/etc/passwd",
    "/etc/hostname",
];

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Wall-clock time less monotonic time: moves only when somebody sets the clock.
fn clock() -> f64 {
    let boot: f64 = text("/proc/uptime").split(' ').next().unwrap().parse().unwrap();
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64() - boot
}

/// Things of the host that a hostile program would find if it got out.
struct Sentinel {
    dir: tempfile::TempDir,
    process: Child,
    sockets: (UnixListener, UnixListener),
    tcp: TcpListener,
    abstract_name: String,
    clock: f64,
    before: Option<Seen>,
}

impl Sentinel {
    fn place() -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), "the host's own").unwrap();
        std::fs::create_dir(dir.path().join("dir")).unwrap();
        let abstract_name = format!("palestra-hostile-{}-{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let sockets = (
            UnixListener::bind_addr(&address).unwrap(),
            UnixListener::bind(dir.path().join("socket")).unwrap(),
        );
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        for result in [
            sockets.0.set_nonblocking(true),
            sockets.1.set_nonblocking(true),
            tcp.set_nonblocking(true),
        ] {
            result.unwrap();
        }
        let process = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let mut sentinel =
            Self { dir, process, sockets, tcp, abstract_name, clock: clock(), before: None };
        sentinel.before = Some(sentinel.look());
        sentinel
    }

    fn look(&self) -> Seen {
        let stat = |path: &Path| {
            let meta = std::fs::symlink_metadata(path).unwrap();
            (path.to_owned(), meta.mode(), meta.size(), meta.mtime(), meta.ctime())
        };
        let mut sentinel = vec![stat(self.dir.path())];
        for entry in std::fs::read_dir(self.dir.path()).unwrap() {
            sentinel.push(stat(&entry.unwrap().path()));
        }
        sentinel.sort();
        let device = |name: &str| {
            let meta = std::fs::metadata(Path::new("/dev").join(name)).unwrap();
            (meta.mode(), meta.rdev())
        };
        let devices = ["null", "zero", "full", "random", "urandom", "tty"].map(device).into();
        // Container engines on the same machine come and go.
        let foreign = |line: &str| {
            let point = line.split(' ').nth(4).unwrap_or_default();
            let theirs =
                [Path::new("/tmp"), Path::new("/var"), Path::new("/run"), Path::new("/home")];
            let own = line.contains("palestra-hostile") || self.dir.path().starts_with(point);
            theirs.iter().any(|dir| Path::new(point).starts_with(dir)) && !own
        };
        let mounts = text("/proc/self/mountinfo");
        let mounts = mounts.lines().filter(|line| !foreign(line)).map(str::to_owned).collect();
        Seen {
            mounts,
            settings: SETTINGS.iter().map(|path| (path.into(), text(path))).collect(),
            devices,
            sentinel,
        }
    }

    /// Nothing got out.
    fn check(&mut self) {
        let before = self.before.take().unwrap();
        let now = self.look();
        let differs = now.differs(&before);
        assert!(differs.is_empty(), "the host is not as it was:\n{differs}");
        assert!((clock() - self.clock).abs() < 5.0, "somebody set the clock");
        assert_eq!(text(self.dir.path().join("secret")), "the host's own");
        assert!(self.process.try_wait().unwrap().is_none(), "a process of the host was killed");
        let quiet = |error: io::Error| assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        quiet(self.sockets.0.accept().map(drop).expect_err("the host's abstract socket"));
        quiet(self.sockets.1.accept().map(drop).expect_err("the host's socket"));
        quiet(self.tcp.accept().map(drop).expect_err("the host's loopback"));
        self.before = Some(now);
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One case: a sandbox, and the host around it.
pub(crate) struct Frame {
    pub(crate) sandbox: Sandbox,
    pub(crate) spec: SandboxSpec,
    sentinel: Sentinel,
}

impl Frame {
    pub(crate) fn new() -> Self {
        Self::with(SandboxSpec { limits: small(), ..SandboxSpec::default() })
    }

    pub(crate) fn limited(limits: Limits) -> Self {
        Self::with(SandboxSpec { limits, ..SandboxSpec::default() })
    }

    pub(crate) fn with(spec: SandboxSpec) -> Self {
        let sentinel = Sentinel::place();
        let sandbox = host().create(&spec).unwrap();
        Self { sandbox, spec, sentinel }
    }

    /// A directory of the host with the file `secret` and the socket `socket`.
    pub(crate) fn outside(&self) -> &Path {
        self.sentinel.dir.path()
    }

    /// A port of the host's loopback that listens.
    pub(crate) fn port(&self) -> u16 {
        self.sentinel.tcp.local_addr().unwrap().port()
    }

    /// A socket of the host that has no place in the file system.
    pub(crate) fn abstract_name(&self) -> &str {
        &self.sentinel.abstract_name
    }

    pub(crate) fn process(&self) -> u32 {
        self.sentinel.process.id()
    }

    /// Runs a script; it must come back in time, whatever it does.
    pub(crate) fn run(&self, script: &str) -> ExecResult {
        self.exec(&sh(script)).unwrap()
    }

    pub(crate) fn exec(&self, exec: &Exec) -> Result<ExecResult> {
        let bound = exec.timeout + SOON;
        self.bounded(bound, || self.sandbox.exec(exec))
    }

    /// Calls something that must come back.
    pub(crate) fn bounded<T: Send>(&self, bound: Duration, call: impl FnOnce() -> T + Send) -> T {
        bounded(&self.sandbox, bound, call)
    }

    /// Runs a script that must succeed; its standard output.
    pub(crate) fn ok(&self, script: &str) -> String {
        let result = self.run(script);
        assert!(result.outcome.success(), "{script}: {result:?} {}", result.stderr.text());
        result.stdout.text()
    }

    /// Puts a program of ours inside, by its name in [`program`].
    pub(crate) fn upload(&self, program: &Path, to: &str) {
        let bytes = std::fs::read(program).unwrap();
        self.sandbox.apply(&[FileOp::Write { path: to.into(), mode: 0o755, bytes }]).unwrap();
    }

    /// The same sandbox still answers.
    pub(crate) fn answers(&self) {
        let result = self.exec(&sh("echo fine").timeout(Duration::from_secs(20))).unwrap();
        assert_eq!(result.stdout.text(), "fine\n", "{result:?}");
        assert_eq!(result.outcome, Outcome::Exited(0));
    }

    /// The host is as it was, this sandbox answers, and the next one is clean.
    pub(crate) fn done(self) {
        self.answers();
        self.over();
    }

    /// As [`Frame::done`], for a sandbox that need not answer any more.
    pub(crate) fn over(mut self) {
        self.sentinel.check();
        let spec = self.spec.clone();
        let Self { sandbox, mut sentinel, .. } = self;
        let started = Instant::now();
        drop(sandbox);
        assert!(started.elapsed() < SOON, "its end took {:?}", started.elapsed());
        clean(&host().create(&spec).unwrap());
        sentinel.check();
    }
}

/// Calls something that must come back; where it does not, the sandbox is killed, which brings it
/// back, and the case fails.
pub(crate) fn bounded<T: Send>(
    sandbox: &Sandbox,
    bound: Duration,
    call: impl FnOnce() -> T + Send,
) -> T {
    std::thread::scope(|scope| {
        let (tell, hear) = channel();
        let caller = scope.spawn(move || {
            let value = call();
            let _ = tell.send(());
            value
        });
        if hear.recv_timeout(bound) == Err(RecvTimeoutError::Timeout) {
            sandbox.kill();
            let _ = caller.join();
            panic!("the call did not come back within {bound:?}");
        }
        caller.join().unwrap()
    })
}

/// What a fresh sandbox shows of itself.
const LOOK: &str = "
for p in /proc/[0-9]*; do read name < $p/comm && echo process $name; done 2>/dev/null | grep -v -e ' sh$' -e ' grep$'
ls -A /tmp /dev/shm /dev/mqueue /root /run/lock /var/tmp | grep -v -e : -e '^$'
cut -d' ' -f5- /proc/self/mountinfo | sed 's/fd.[0-9]*//g'
cat /proc/sys/kernel/hostname /proc/self/cgroup
ls /proc/sysvipc && tail -n +2 -q /proc/sysvipc/*
cat /proc/net/unix | wc -l
exit 0";

/// A sandbox in which nothing has happened yet is as one in which nothing ever did.
fn clean(fresh: &Sandbox) {
    // One for each kind of writable layer: `/tmp` is on the one in memory.
    static FIRST: [OnceLock<String>; 2] = [OnceLock::new(), OnceLock::new()];
    let look = |sandbox: &Sandbox| {
        let result = sandbox.exec(&sh(LOOK)).unwrap();
        // Bounds of file systems in memory follow from the limits.
        let size = |word: &str| word.starts_with("size=");
        let text = result.stdout.text();
        let lines = text.lines().map(|line| {
            line.split([' ', ',']).filter(|word| !size(word)).collect::<Vec<_>>().join(" ")
        });
        // Binds are the case's own.
        let own = |line: &String| {
            let place = line.split(' ').next().unwrap_or_default();
            sandbox.spec().binds.iter().any(|bind| bind.target == Path::new(place))
        };
        // In no order: a first process that waited in its namespaces has mounted /proc before /usr.
        let mut lines: Vec<_> = lines.filter(|line| !own(line)).collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    let writable = fresh.spec().writable;
    let first =
        FIRST[usize::from(writable == palestra_sandbox::Writable::Disk)].get_or_init(|| {
            look(&host().create(&SandboxSpec { writable, ..SandboxSpec::default() }).unwrap())
        });
    let now = look(fresh);
    let kind = |text: &str| {
        text.lines().filter(|line| !line.contains("overlay")).collect::<Vec<_>>().join("\n")
    };
    if fresh.spec().base == palestra_sandbox::Base::Host && fresh.spec().layers.is_empty() {
        assert_eq!(kind(&now), kind(first), "the next sandbox is not clean");
    }
}

pub(crate) fn sh(script: &str) -> Exec {
    Exec::new(["sh", "-c", script]).timeout(Duration::from_secs(60))
}

pub(crate) fn bash(script: &str) -> Exec {
    Exec::new(["bash", "-c", script]).timeout(Duration::from_secs(60))
}

/// The host's Python in `/usr`, which every sandbox sees.
pub(crate) fn python(program: &str) -> Option<Exec> {
    if !Path::new("/usr/bin/python3").exists() {
        skip("no /usr/bin/python3");
        return None;
    }
    let head = "import os, sys, time, ctypes, errno, signal, socket, struct, fcntl\nlibc = ctypes.CDLL(None, use_errno=True)\n";
    Some(
        Exec::new(["/usr/bin/python3", "-c", &format!("{head}{program}")])
            .timeout(Duration::from_secs(60)),
    )
}

/// Compiles a C program once and returns where it is; `None`, with a word about it, where there is
/// no compiler.
pub(crate) fn compile(name: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    // Always the same for a user, since nothing drops it: programs are made again by each run.
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("palestra-hostile-{}-programs", user()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).unwrap();
        dir
    });
    let (input, output) = (dir.join(format!("{name}.c")), dir.join(name));
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if output.exists() {
        return Some(output);
    }
    std::fs::write(&input, source).unwrap();
    let result = Command::new("cc")
        .arg("-O1")
        .arg("-w")
        .args(flags)
        .arg("-o")
        .arg(&output)
        .arg(&input)
        .output();
    match result {
        Ok(result) if result.status.success() => Some(output),
        Ok(result) => {
            skip(&format!("cc cannot make {name}: {}", String::from_utf8_lossy(&result.stderr)));
            None
        }
        Err(error) => {
            skip(&format!("no C compiler: {error}"));
            None
        }
    }
}

/// A directory of the host that a case shows inside.
pub(crate) fn bind(source: &Path, target: &str, writable: bool) -> Bind {
    Bind { source: source.into(), target: target.into(), writable }
}

pub(crate) fn mode_of(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Whether this process runs only the test of this name. Where it does not, such a process is
/// started, from a copy of this program, and must succeed: for cases that look at the controller
/// as a whole, or would harm it.
pub(crate) fn alone(name: &str) -> bool {
    if std::env::var("PALESTRA_HOSTILE_ALONE").is_ok_and(|own| own == name) {
        return true;
    }
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("hostile");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let result = Command::new(&copy)
        .args(["--exact", name, "--nocapture"])
        .env("PALESTRA_HOSTILE_ALONE", name)
        .env("TMPDIR", dir.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&result.stderr);
    for line in
        errors.lines().filter(|line| line.starts_with("note: ") && !line.contains("RUST_BACKTRACE"))
    {
        note(&line[6..]);
    }
    assert!(result.status.success(), "{}\n{errors}", String::from_utf8_lossy(&result.stdout));
    false
}
