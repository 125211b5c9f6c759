//! What is denied whatever a server is: whole calls, and calls with certain arguments.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompRule,
};

use super::Sockets;

pub(super) type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that are younger than the C library's names for them; their numbers are the same everywhere.
mod young {
    pub const SETXATTRAT: i64 = 463;
    pub const REMOVEXATTRAT: i64 = 466;
    pub const OPEN_TREE_ATTR: i64 = 467;
    pub const FILE_SETATTR: i64 = 469;
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
    young::OPEN_TREE_ATTR,
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

/// What reaches others where no namespace is between, and Landlock looks at none of it:
/// - a file's mode, owner, times and attributes by its path, since nothing is opened: only what was opened
///   may be changed so;
/// - what happens in a folder, by watching it;
/// - memory, semaphores and queues of the user's other programs.
const DENIED_ALONE: &[libc::c_long] = &[
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchownat,
    libc::SYS_inotify_add_watch,
    libc::SYS_lremovexattr,
    libc::SYS_lsetxattr,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_msgctl,
    libc::SYS_msgget,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_removexattr,
    libc::SYS_semctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_setxattr,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmget,
    young::FILE_SETATTR,
    young::REMOVEXATTRAT,
    young::SETXATTRAT,
];
#[cfg(target_arch = "x86_64")]
const DENIED_ALONE_HERE: &[libc::c_long] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_futimesat,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_ALONE_HERE: &[libc::c_long] = &[];

/// Calls that change how another process is scheduled or limited. The first argument is whose; 0 is oneself.
const DENIED_TO_OTHERS: [libc::c_long; 5] = [
    libc::SYS_prlimit64,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
];

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

/// Everything that is denied.
pub(super) fn rules(sockets: Sockets, alone: bool) -> Result<Rules, BackendError> {
    let whole = |calls: &[libc::c_long]| -> Rules {
        calls.iter().map(|call| (*call, Vec::new())).collect()
    };
    let mut rules = whole(DENIED);
    rules.extend(whole(DENIED_HERE));
    rules.extend(by_argument()?);
    rules.extend(by_mode()?);
    rules.extend(by_family(sockets)?);
    if alone {
        rules.extend(whole(DENIED_ALONE));
        rules.extend(whole(DENIED_ALONE_HERE));
        rules.extend(whole(&[libc::SYS_setpgid, libc::SYS_setsid]));
        rules.extend(to_others()?);
    }
    Ok(rules)
}

fn when(argument: u8, op: Op, value: i64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, Len::Dword, op, value.cast_unsigned())
}

/// Whether any of these bits is set: one rule for each.
fn any_bit(argument: u8, bits: &[i64]) -> Result<Vec<SeccompRule>, BackendError> {
    let rule = |bit: &i64| {
        SeccompRule::new(vec![when(argument, Op::MaskedEq(bit.cast_unsigned()), *bit)?])
    };
    bits.iter().map(rule).collect()
}

fn by_argument() -> Result<Rules, BackendError> {
    let mut rules = Rules::new();
    rules.insert(libc::SYS_clone, any_bit(0, &NAMESPACES.map(i64::from))?);
    let request = |code: &u32| SeccompRule::new(vec![when(1, Op::Eq, i64::from(*code))?]);
    rules.insert(libc::SYS_ioctl, TERMINAL.iter().map(request).collect::<Result<_, _>>()?);
    // Asking for the personality is harmless, and 0 is what everybody has.
    let ask = 0xffff_ffff;
    rules.insert(
        libc::SYS_personality,
        vec![SeccompRule::new(vec![when(0, Op::Ne, 0)?, when(0, Op::Ne, ask)?])?],
    );
    Ok(rules)
}

/// Files that make whoever executes them somebody else: in the jail they do nothing, but a named writable path is
/// also outside, where its owner may be root. And device nodes.
fn by_mode() -> Result<Rules, BackendError> {
    const SET_ID: [i64; 2] = [libc::S_ISUID as i64, libc::S_ISGID as i64];
    // Only then is the mode looked at. The second is `O_TMPFILE` without `O_DIRECTORY`.
    const MAKES: [i64; 2] = [libc::O_CREAT as i64, (libc::O_TMPFILE & !libc::O_DIRECTORY) as i64];
    let opening = |flags: u8, mode: u8| -> Result<Vec<SeccompRule>, BackendError> {
        let pairs = MAKES.iter().flat_map(|makes| SET_ID.iter().map(move |bit| (makes, bit)));
        let rule = |(makes, bit): (&i64, &i64)| {
            SeccompRule::new(vec![
                when(flags, Op::MaskedEq(makes.cast_unsigned()), *makes)?,
                when(mode, Op::MaskedEq(bit.cast_unsigned()), *bit)?,
            ])
        };
        pairs.map(rule).collect()
    };
    let node = |mode: u8| -> Result<Vec<SeccompRule>, BackendError> {
        let kind = |kind: libc::mode_t| {
            let mask = u64::from(libc::S_IFMT);
            SeccompRule::new(vec![when(mode, Op::MaskedEq(mask), i64::from(kind))?])
        };
        let mut rules = any_bit(mode, &SET_ID)?;
        rules.extend([kind(libc::S_IFCHR)?, kind(libc::S_IFBLK)?]);
        Ok(rules)
    };
    let mut rules = Rules::new();
    rules.insert(libc::SYS_fchmod, any_bit(1, &SET_ID)?);
    rules.insert(libc::SYS_fchmodat, any_bit(2, &SET_ID)?);
    rules.insert(libc::SYS_fchmodat2, any_bit(2, &SET_ID)?);
    rules.insert(libc::SYS_mknodat, node(2)?);
    rules.insert(libc::SYS_openat, opening(2, 3)?);
    #[cfg(target_arch = "x86_64")]
    {
        rules.insert(libc::SYS_chmod, any_bit(1, &SET_ID)?);
        rules.insert(libc::SYS_creat, any_bit(1, &SET_ID)?);
        rules.insert(libc::SYS_mknod, node(1)?);
        rules.insert(libc::SYS_open, opening(1, 2)?);
    }
    Ok(rules)
}

fn by_family(sockets: Sockets) -> Result<Rules, BackendError> {
    let families: &[i32] = match sockets {
        Sockets::Pairs => &[],
        Sockets::Local => &[libc::AF_UNIX, libc::AF_NETLINK],
        Sockets::Internet => &[libc::AF_UNIX, libc::AF_NETLINK, libc::AF_INET, libc::AF_INET6],
    };
    let other = |families: &[i32]| -> Result<Vec<SeccompRule>, BackendError> {
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
    Ok([(libc::SYS_socket, socket), (libc::SYS_socketpair, other(&[libc::AF_UNIX])?)].into())
}

fn to_others() -> Result<Rules, BackendError> {
    let mut rules = Rules::new();
    let other = |argument| SeccompRule::new(vec![when(argument, Op::Ne, 0)?]);
    for call in DENIED_TO_OTHERS {
        rules.insert(call, vec![other(0)?]);
    }
    // The first argument says whether the second is a process, a group or a user.
    rules.insert(libc::SYS_setpriority, vec![other(0)?, other(1)?]);
    let process = when(0, Op::Ne, 1)?;
    rules.insert(libc::SYS_ioprio_set, vec![SeccompRule::new(vec![process])?, other(1)?]);
    // Without a path it is about an open file.
    let path = SeccompCondition::new(1, Len::Qword, Op::Ne, 0)?;
    rules.insert(libc::SYS_utimensat, vec![SeccompRule::new(vec![path])?]);
    Ok(rules)
}
