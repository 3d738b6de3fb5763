//! From a fresh process to the first one of a sandbox: namespaces, file systems, a new root.
//!
//! Everything here runs between the launcher's fork and the first command. Host paths are opened
//! before the root changes; paths inside are resolved beneath the new root (`openat2`), since the
//! layers may hold symlinks made by earlier programs.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, open};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::thread::UnshareFlags;

use crate::mounts::{Dev, attach, attach_to, mask_proc, own_proc, put_bind};
use crate::overlay::{Laid, Mounts, overlay, scratch};
use crate::plan::Plan;
use crate::stock::Fittings;
use crate::sys;

/// A step that failed, in words, and why.
pub(crate) type Failure = (String, io::Error);

/// Names the step that an error belongs to.
pub(crate) trait At<T> {
    fn at(self, step: &str) -> Result<T, Failure>;
    fn at_path(self, step: &str, path: &Path) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, step: &str) -> Result<T, Failure> {
        self.map_err(|error| (step.to_owned(), error.into()))
    }

    fn at_path(self, step: &str, path: &Path) -> Result<T, Failure> {
        self.map_err(|error| (format!("{step} {}", path.display()), error.into()))
    }
}

/// What the first process keeps for its work. None of it is passed on to commands.
#[derive(Debug)]
pub(crate) struct Place {
    /// The root, as programs see it.
    pub(crate) root: OwnedFd,
    /// The writable layer by itself, to be read only, where it can be had.
    pub(crate) upper: Option<OwnedFd>,
    /// The file system that it is on, where that can be shared.
    pub(crate) tree: Option<OwnedFd>,
    /// The writable layers of sandboxes that this one goes on from, lowest first.
    pub(crate) held: Vec<OwnedFd>,
    /// Bytes that a writable layer on disk may take.
    pub(crate) disk_limit: Option<u64>,
    /// Bytes of files to have in memory at once.
    pub(crate) answer_limit: u64,
    /// Whether programs can write to directories of the host.
    pub(crate) to_host: bool,
    /// What programs are looked up and handed by. Never by path: a layer may have put something
    /// else there.
    pub(crate) fixed: Fixed,
    /// Open files of a command; the first process itself may need more.
    pub(crate) open_files: libc::rlimit,
}

/// Parts of the sandbox that no program and no layer can replace.
#[derive(Debug)]
pub(crate) struct Fixed {
    /// `/dev/null`, open to read and write.
    pub(crate) null: OwnedFd,
    /// `/dev/pts`.
    pub(crate) terminals: OwnedFd,
    /// `/proc`.
    pub(crate) proc: OwnedFd,
}

/// Directories of the host's root that a program may need when they are not symlinks into `/usr`.
pub(crate) const TOP: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr"];

/// Opens directories and files of a mount by a path that stays inside it.
pub(crate) fn inside(root: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let path = path.strip_prefix("/").unwrap_or(path);
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    sys::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, resolve)
}

/// Directories that first processes mount on while they have no root of their own, each in its
/// own mount namespace.
#[derive(Debug, Clone)]
pub(crate) struct Points {
    /// For the layers.
    pub(crate) root: PathBuf,
    proc: PathBuf,
    dev: PathBuf,
}

impl Points {
    /// Those in a directory.
    pub(crate) fn of(dir: &Path) -> Self {
        Self { root: dir.join("root"), proc: dir.join("proc"), dev: dir.join("dev") }
    }

    pub(crate) fn all(&self) -> [&Path; 3] {
        [&self.root, &self.proc, &self.dev]
    }
}

/// What can be made before anything is known of a sandbox.
#[derive(Debug)]
pub(crate) struct Begun {
    proc: OwnedFd,
    dev: Dev,
    points: Points,
}

/// A network for the sandbox that is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnNetwork {
    /// The host's, then.
    None,
    /// To be made.
    New,
    /// The process was born into it.
    Ready,
}

/// Makes what every sandbox has around this process.
pub(crate) fn begin(
    fittings: Fittings,
    points: &Points,
    mapping: Option<(u32, u32)>,
    network: OwnNetwork,
) -> Result<Begun, Failure> {
    map_ids(mapping)?;
    // The kernel counts these for the user of the host, too, who has 128 instances as a rule.
    for (name, most) in [("instances", "48"), ("watches", "32768")] {
        let _ = fs::write(format!("/proc/sys/user/max_inotify_{name}"), most);
    }
    // When memory runs out, the kernel looks among programs in sandboxes first, and there at the
    // largest; commands inherit it.
    fs::write("/proc/self/oom_score_adj", "500").at("offer itself to the kernel")?;
    let mut spaces = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if network == OwnNetwork::New {
        spaces |= UnshareFlags::NEWNET;
    }
    // SAFETY: the flags make namespaces; none of them divides what Rust's own objects rely on.
    unsafe { rustix::thread::unshare_unsafe(spaces) }.at("make namespaces")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .at("make mounts private")?;
    if network == OwnNetwork::New {
        loopback_up().at("start the loopback device")?;
    }
    rustix::system::sethostname(b"sandbox").at("set the host name")?;
    let place = |path: &Path| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        open(path, flags, Mode::empty()).at_path("open the mount point", path)
    };
    let proc = own_proc()?;
    attach_to(&proc, &place(&points.proc)?).at("mount /proc")?;
    mask_proc(&proc, &fittings.masks)?;
    let dev = Dev::mount(fittings.dev, &place(&points.dev)?)?;
    Ok(Begun { proc, dev, points: points.clone() })
}

/// Makes the sandbox around this process, and moves there what it has begun with.
pub(crate) fn enter(
    plan: &Plan,
    mounts: Mounts,
    begun: Begun,
) -> Result<(Place, Option<OwnedFd>), Failure> {
    // Only now is it in the control groups that are to be the topmost that programs see.
    // SAFETY: makes a namespace, which none of Rust's own objects relies on.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }
        .at("make a namespace of control groups")?;
    let listener = plan.listen.map(listen).transpose().at("listen for the network's sake")?;
    let laid = overlay(plan, &mounts, &begun.points.root)?;
    let root = laid.merged.as_fd();
    let Begun { proc, mut dev, .. } = begun;
    if plan.binds.iter().any(|bind| bind.target.starts_with("/dev")) {
        // The one that is kept ready is shared, and so cannot take mount points.
        let point = inside(root, Path::new("dev")).at("find the mount point dev")?;
        dev = Dev::mount(None, &point)?;
    } else {
        attach(&dev.top, root, Path::new("dev"))?;
    }
    attach(&proc, root, Path::new("proc"))?;
    let scratch = |name: &str| scratch(laid.memory.as_ref(), name, plan.tmp_bytes);
    dev.share(&scratch("shm").at("make /dev/shm")?)?;
    let tmp = scratch("tmp").at("make /tmp")?;
    attach(&tmp, root, Path::new("tmp"))?;
    let mut ready = mounts.binds.iter();
    for bind in &plan.binds {
        put_bind(root, bind, ready.next().and_then(Option::as_ref))?;
    }
    change_root(root)?;
    let root = open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .at("open the new root")?;
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let most = plan.open_files.min(hard.unwrap_or(u64::MAX));
    let open_files = libc::rlimit { rlim_cur: most, rlim_max: most };
    let Laid { upper, held, .. } = laid;
    let place = Place {
        root,
        upper: Some(upper),
        tree: mounts.tree,
        held,
        open_files,
        disk_limit: plan.disk_limit,
        answer_limit: plan.answer_limit,
        to_host: plan.binds.iter().any(|bind| bind.writable),
        fixed: Fixed { null: dev.null, terminals: dev.terminals, proc },
    };
    Ok((place, listener))
}

/// Becomes root of a new user namespace.
fn map_ids(mapping: Option<(u32, u32)>) -> Result<(), Failure> {
    if let Some((uid, gid)) = mapping {
        fs::write("/proc/self/setgroups", "deny").at("give up setting groups")?;
        fs::write("/proc/self/uid_map", format!("0 {uid} 1\n")).at("map the user id")?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1\n")).at("map the group id")?;
    } else {
        // The caller's other groups are not for programs inside.
        rustix::thread::set_thread_groups(&[]).at("leave the caller's groups")?;
    }
    Ok(())
}

/// A socket that listens on the loopback address.
pub(crate) fn listen(port: u16) -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
    use std::net::{Ipv4Addr, SocketAddrV4};
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    listen(&socket, 128)?;
    Ok(socket)
}

/// Makes `root` the root and lets go of the old one.
fn change_root(root: BorrowedFd<'_>) -> Result<(), Failure> {
    rustix::process::fchdir(root).at("enter the new root")?;
    rustix::process::pivot_root(".", ".").at("change the root")?;
    unmount(".", UnmountFlags::DETACH).at("let go of the old root")?;
    rustix::process::chdir("/").at("enter the new root")
}

/// The address that tests of time limits connect to, because on most networks nobody answers there.
const TARPIT: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 255, 255, 1);

/// Starts the loopback device of a new network namespace. Everything else is unreachable, but for one
/// address that swallows what is sent to it.
pub(crate) fn loopback_up() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: an all-zero `ifreq` is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    sys::check(result.into())?;
    swallow(&socket, TARPIT)
}

/// Sends packets for an address to the loopback device, which drops what is for nobody.
fn swallow(socket: &OwnedFd, address: std::net::Ipv4Addr) -> io::Result<()> {
    // SAFETY: an all-zero `rtentry` is valid.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst.sa_family = libc::AF_INET as libc::sa_family_t;
    // A `sockaddr_in` has the address behind the port, which has two bytes.
    for (to, from) in route.rt_dst.sa_data[2..6].iter_mut().zip(address.octets()) {
        *to = from as libc::c_char;
    }
    route.rt_genmask.sa_family = libc::AF_INET as libc::sa_family_t;
    route.rt_genmask.sa_data[2..6].fill(-1);
    route.rt_flags = libc::RTF_UP | libc::RTF_HOST;
    route.rt_dev = c"lo".as_ptr().cast_mut();
    // SAFETY: SIOCADDRT reads an `rtentry` and the name that it points to, which lives as long.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT, &raw const route) };
    sys::check(result.into()).map(drop)
}

/// A path as the kernel wants it.
pub(crate) fn c_string(bytes: impl AsRef<[u8]>) -> io::Result<CString> {
    CString::new(bytes.as_ref()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// As [`c_string`], for a path.
pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    c_string(path.as_os_str().as_bytes())
}
