//! System calls that no MCP server needs, refused: the doors to the kernel's least travelled parts.
//!
//! A list of what is denied, since arbitrary interpreters must run. A denied call fails with `EPERM`; `clone3`
//! with `ENOSYS`, so that libraries fall back to `clone`, whose flags can be looked at.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter, sock_filter,
};

use crate::fault::InLayer as _;
use crate::{Layer, LayerFault};

/// Which sockets a server may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sockets {
    /// None that has an address: pairs only.
    Pairs,
    /// Unix sockets, and questions about the interfaces of its own network namespace.
    Local,
    /// The internet's too. VSOCK, packets, Bluetooth and all others are not confined by a network
    /// namespace, or have no business here.
    Internet,
}

/// Denied whatever their arguments are.
const DENIED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_memfd_secret,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_name_to_handle_at,
    libc::SYS_nfsservctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_remap_file_pages,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    libc::SYS_vmsplice,
];

/// Those that only this architecture has.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[libc::c_long] = &[
    libc::SYS__sysctl,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_modify_ldt,
    libc::SYS_sysfs,
    libc::SYS_uselib,
    libc::SYS_ustat,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[libc::c_long] = &[];

/// What Landlock does not look at, since it opens nothing: a file's mode, owner, times and attributes by its
/// path. Where no namespace hides the paths, only what was opened may be changed so.
const DENIED_BY_PATH: &[libc::c_long] = &[
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchownat,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_setxattr,
];
#[cfg(target_arch = "x86_64")]
const DENIED_BY_PATH_HERE: &[libc::c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_futimesat,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_BY_PATH_HERE: &[libc::c_long] = &[];

/// Flags of `clone` that make a namespace.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// `ioctl` requests that type into a terminal, or change its driver.
const TERMINAL: [u32; 3] = [0x5412, 0x541C, 0x5423];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Confines this process and all that it starts. `alone`: no namespace helps, so that nothing may leave its
/// process group, nor change by its path what it can't open.
pub(super) fn apply(sockets: Sockets, alone: bool) -> Result<(), LayerFault> {
    for program in programs(sockets, alone).layer(Layer::Seccomp, "the filter")? {
        apply_filter(&program).layer(Layer::Seccomp, "the filter")?;
    }
    Ok(())
}

fn programs(sockets: Sockets, alone: bool) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let filter = |rules, errno: i32| -> Result<BpfProgram, seccompiler::BackendError> {
        let action = SeccompAction::Errno(errno.cast_unsigned());
        SeccompFilter::new(rules, SeccompAction::Allow, action, arch)?.try_into()
    };
    let mut denied: Rules =
        DENIED.iter().chain(DENIED_HERE).map(|call| (*call, Vec::new())).collect();
    if alone {
        let group = [libc::SYS_setpgid, libc::SYS_setsid];
        let calls = DENIED_BY_PATH.iter().chain(DENIED_BY_PATH_HERE).chain(&group);
        denied.extend(calls.map(|call| (*call, Vec::new())));
        // Without a path it is about an open file.
        let path = SeccompCondition::new(1, Len::Qword, Op::Ne, 0)?;
        denied.insert(libc::SYS_utimensat, vec![SeccompRule::new(vec![path])?]);
    }
    denied.extend(by_argument(sockets)?);
    let unknown: Rules = [(libc::SYS_clone3, Vec::new())].into();
    let mut programs = vec![filter(denied, libc::EPERM)?, filter(unknown, libc::ENOSYS)?];
    programs.extend(no_other_numbering());
    Ok(programs)
}

fn by_argument(sockets: Sockets) -> Result<Rules, seccompiler::BackendError> {
    let when = |argument, op, value: i64| {
        SeccompCondition::new(argument, Len::Dword, op, value.cast_unsigned())
    };
    let mut rules = Rules::new();
    let namespace = |flag: &i32| {
        let flag = i64::from(*flag);
        SeccompRule::new(vec![when(0, Op::MaskedEq(flag.cast_unsigned()), flag)?])
    };
    rules.insert(libc::SYS_clone, NAMESPACES.iter().map(namespace).collect::<Result<_, _>>()?);
    let request = |code: &u32| SeccompRule::new(vec![when(1, Op::Eq, i64::from(*code))?]);
    rules.insert(libc::SYS_ioctl, TERMINAL.iter().map(request).collect::<Result<_, _>>()?);
    // Asking for the personality is harmless, and 0 is what everybody has.
    let ask = 0xffff_ffff;
    rules.insert(
        libc::SYS_personality,
        vec![SeccompRule::new(vec![when(0, Op::Ne, 0)?, when(0, Op::Ne, ask)?])?],
    );
    let device = |argument| -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        let kind = |kind: libc::mode_t| {
            let mask = u64::from(libc::S_IFMT);
            SeccompRule::new(vec![when(argument, Op::MaskedEq(mask), i64::from(kind))?])
        };
        Ok(vec![kind(libc::S_IFCHR)?, kind(libc::S_IFBLK)?])
    };
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_mknod, device(1)?);
    rules.insert(libc::SYS_mknodat, device(2)?);

    let families: &[i32] = match sockets {
        Sockets::Pairs => &[],
        Sockets::Local => &[libc::AF_UNIX, libc::AF_NETLINK],
        Sockets::Internet => &[libc::AF_UNIX, libc::AF_NETLINK, libc::AF_INET, libc::AF_INET6],
    };
    let other = |families: &[i32]| -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
        let others = families.iter().map(|family| when(0, Op::Ne, i64::from(*family)));
        let others: Vec<_> = others.collect::<Result<_, _>>()?;
        // A call without rules is denied altogether.
        if others.is_empty() { Ok(Vec::new()) } else { Ok(vec![SeccompRule::new(others)?]) }
    };
    let mut socket = other(families)?;
    if !families.is_empty() {
        let netlink = when(0, Op::Eq, i64::from(libc::AF_NETLINK))?;
        let not_routes = when(2, Op::Ne, i64::from(libc::NETLINK_ROUTE))?;
        socket.push(SeccompRule::new(vec![netlink, not_routes])?);
    }
    rules.insert(libc::SYS_socket, socket);
    rules.insert(libc::SYS_socketpair, other(&[libc::AF_UNIX])?);
    Ok(rules)
}

/// x86_64 numbers its calls a second time for the x32 interface: by those numbers a list could be walked around.
#[cfg(target_arch = "x86_64")]
fn no_other_numbering() -> Option<BpfProgram> {
    const X32: u32 = 0x4000_0000;
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let refuse = u32::from(SeccompAction::Errno(libc::ENOSYS.cast_unsigned()));
    Some(vec![
        step(LOAD_WORD, 0, 0, 0), // the number stands first
        step(JUMP_IF_AT_LEAST, 0, 1, X32),
        step(RETURN, 0, 0, refuse),
        step(RETURN, 0, 0, u32::from(SeccompAction::Allow)),
    ])
}

#[cfg(not(target_arch = "x86_64"))]
fn no_other_numbering() -> Option<BpfProgram> {
    None
}
