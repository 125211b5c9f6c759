//! Who the server is: a user without any privilege, in a user namespace of its own.

use std::fs;

use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, getegid, geteuid, setgroups, setresgid, setresuid};

use super::process;
use crate::fault::InLayer as _;
use crate::{Layer, LayerFault};

/// Where the user ids begin that servers get when the gateway is root: above those of people, of
/// services and of containers.
const FIRST: u32 = 2_000_000_000;
/// How many there are. Servers whose names fall on the same one differ in everything else.
const COUNT: u32 = 65_536;
/// What a user is called inside when outside it is a container's root.
const INNER: u32 = 1000;

/// The server's user and group.
#[derive(Clone, Debug)]
pub(super) struct User {
    /// As the machine knows it.
    outer: u32,
    /// As the server sees itself.
    inner: u32,
    gid: u32,
    /// It is the gateway's own user, who can be no other.
    own: bool,
}

impl User {
    /// One of its own for each server of each gateway, if the gateway is root; else the gateway's.
    pub fn of(household: &str, name: &str) -> User {
        let own = geteuid().as_raw();
        // FNV-1a: the same in each run, so that what a server wrote stays its own.
        let hash =
            household.bytes().chain([0]).chain(name.bytes()).fold(0x811c_9dc5_u32, |hash, byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            });
        let apart = FIRST + hash % COUNT;
        if own == 0 && has_id(apart) {
            return User { outer: apart, inner: apart, gid: apart, own: false };
        }
        let inner = if own == 0 { INNER } else { own };
        User { outer: own, inner, gid: getegid().as_raw(), own: true }
    }

    /// Whether it is the gateway's own user.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// Its id outside.
    pub fn uid(&self) -> u32 {
        self.outer
    }

    /// Its id inside.
    pub fn inner(&self) -> u32 {
        self.inner
    }

    /// Its group's id, outside and inside.
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// The last time that this process has any privilege.
    pub fn become_it(&self, namespaces: bool) -> Result<(), LayerFault> {
        if !self.own {
            let (uid, gid) = (Uid::from_raw(self.outer), Gid::from_raw(self.gid));
            bound_capabilities();
            setgroups(&[]).layer(Layer::Identity, "setgroups")?;
            setresgid(gid, gid, gid).layer(Layer::Identity, "setresgid")?;
            setresuid(uid, uid, uid).layer(Layer::Identity, "setresuid")?;
            // The kernel forgets it with each change of user.
            process::die_with_parent()?;
            if namespaces {
                user_namespace(self)?;
            }
        }
        drop_capabilities()
    }
}

/// Whether this user namespace has the id at all: a container's root may not.
fn has_id(id: u32) -> bool {
    let Ok(map) = fs::read_to_string("/proc/self/uid_map") else { return false };
    map.lines().any(|line| {
        let mut numbers = line.split_whitespace().map(str::parse::<u32>);
        matches!(
            (numbers.next(), numbers.nth(1)),
            (Some(Ok(first)), Some(Ok(count))) if (first..first.saturating_add(count)).contains(&id)
        )
    })
}

/// A user namespace in which there is this user alone.
pub(super) fn user_namespace(user: &User) -> Result<(), LayerFault> {
    let User { outer, inner, gid, .. } = user;
    process::unshare(CloneFlags::CLONE_NEWUSER, Layer::UserNamespace)?;
    // The files below belong to root otherwise.
    prctl::set_dumpable(true).layer(Layer::UserNamespace, "its files in /proc")?;
    let write = |name: &str, text: String| {
        fs::write(format!("/proc/self/{name}"), text).layer(Layer::UserNamespace, name)
    };
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("{inner} {outer} 1"))?;
    write("gid_map", format!("{gid} {gid} 1"))
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Every capability in every set, and no way to gain one by executing a file.
#[expect(unsafe_code, reason = "plain system calls, see the comments")]
fn drop_capabilities() -> Result<(), LayerFault> {
    const VERSION_3: u32 = 0x2008_0522;
    prctl::set_no_new_privs().layer(Layer::Capabilities, "no_new_privs")?;
    bound_capabilities();
    // SAFETY: integers only.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    let header = CapHeader { version: VERSION_3, pid: 0 };
    let none = [CapData::default(); 2];
    // SAFETY: both pointers are to live locals of the layout that version 3 prescribes.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    if done == 0 {
        Ok(())
    } else {
        Err(nix::errno::Errno::last()).layer(Layer::Capabilities, "capset")
    }
}

/// No capability can come back. An ordinary user without a namespace may not do this, and need not: with
/// `no_new_privs` none can be gained.
#[expect(unsafe_code, reason = "a plain system call, see the comment")]
fn bound_capabilities() {
    for capability in 0..64 {
        // SAFETY: integers only. It fails without the right to, and beyond the last capability.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            break;
        }
    }
}

/// Leaves the session keyring of whoever started the gateway. Where keyrings do not exist there is
/// nothing to leave, and seccomp takes the calls away in either case.
#[expect(unsafe_code, reason = "a plain system call, see the comment")]
pub(super) fn leave_keyrings() {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for a nameless keyring.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) };
}
