//! The system calls that programs inside may not make. Each is refused with `EPERM`, as it would
//! be for an unprivileged user, so that programs fall back instead of dying.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

/// Newer than the C library's list; the same number everywhere.
const OPEN_TREE_ATTR: libc::c_long = 467;

/// Never allowed, whatever the arguments.
const DENIED: &[libc::c_long] = &[
    // Mounts and roots.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    OPEN_TREE_ATTR,
    libc::SYS_open_by_handle_at,
    // Namespaces.
    libc::SYS_setns,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // The kernel itself.
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_vhangup,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Keys, which namespaces do not divide.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Other processes' memory and descriptors.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Clocks.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
];

#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[libc::c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS__sysctl,
    libc::SYS_uselib,
    libc::SYS_modify_ldt,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[libc::c_long] = &[libc::SYS_kexec_file_load];

/// `clone` and `unshare` flags that make namespaces.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
const CLONE_NEWTIME: u64 = 0x80;

/// Address families that network namespaces do not divide, or that only widen the kernel's
/// attack surface: AF_VSOCK reaches the hypervisor.
const FAMILIES: [libc::c_int; 2] = [libc::AF_VSOCK, libc::AF_ALG];

/// The compiled filter.
pub(crate) fn filter() -> io::Result<BpfProgram> {
    build().map_err(|error| io::Error::other(format!("seccomp filter: {error}")))
}

fn build() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        DENIED.iter().chain(DENIED_HERE).map(|&call| (call, Vec::new())).collect();
    let when = |index, len, op, value| {
        SeccompRule::new(vec![SeccompCondition::new(index, len, op, value)?])
    };
    let mut namespaces = Vec::new();
    for flag in NAMESPACES {
        namespaces.push(when(0, Len::Qword, Op::MaskedEq(flag as u64), flag as u64)?);
    }
    rules.insert(libc::SYS_clone, namespaces.clone());
    // In `clone` this bit belongs to the exit signal.
    namespaces.push(when(0, Len::Qword, Op::MaskedEq(CLONE_NEWTIME), CLONE_NEWTIME)?);
    rules.insert(libc::SYS_unshare, namespaces);
    let mut families = Vec::new();
    for family in FAMILIES {
        families.push(when(0, Len::Dword, Op::Eq, family as u64)?);
    }
    rules.insert(libc::SYS_socket, families);
    // Typing into another's terminal.
    rules.insert(
        libc::SYS_ioctl,
        vec![
            when(1, Len::Dword, Op::Eq, libc::TIOCSTI)?,
            when(1, Len::Dword, Op::Eq, libc::TIOCLINUX)?,
        ],
    );
    let arch = std::env::consts::ARCH.try_into()?;
    let deny = SeccompAction::Errno(libc::EPERM as u32);
    let inner: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, deny, arch)?.try_into()?;
    let mut program = prologue(arch);
    program.extend(inner);
    Ok(program)
}

/// Checks that come first: `clone3` keeps its flags in memory, where a filter cannot look, so it
/// "does not exist" and the C library uses `clone`; and on x86-64 the x32 table is closed, whose
/// numbers the rules would not match.
fn prologue(arch: TargetArch) -> BpfProgram {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let errno = |number: i32| libc::SECCOMP_RET_ERRNO | number as u32;
    let mut program = vec![
        sock_filter { code: LOAD, jt: 0, jf: 0, k: 0 },
        sock_filter { code: EQUAL, jt: 0, jf: 1, k: libc::SYS_clone3 as u32 },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: errno(libc::ENOSYS) },
    ];
    if matches!(arch, TargetArch::x86_64) {
        program.push(sock_filter { code: AT_LEAST, jt: 0, jf: 1, k: 0x4000_0000 });
        program.push(sock_filter { code: RETURN, jt: 0, jf: 0, k: errno(libc::EPERM) });
    }
    program
}

/// Puts the filter on this process and all that it starts.
pub(crate) fn install(program: &BpfProgram) -> io::Result<()> {
    seccompiler::apply_filter(program).map_err(|error| match error {
        seccompiler::Error::Prctl(source) | seccompiler::Error::Seccomp(source) => source,
        other => io::Error::other(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_filter_compiles_and_fits() {
        let program = super::filter().unwrap();
        assert!(program.len() > 50 && program.len() < 4096, "{}", program.len());
    }
}
