//! Watching what a server calls, and which files it asks for, so that its entry can name the least that it needs.
//!
//! The kernel holds each call until this side has looked at it; then it goes on as if nobody had, under
//! the same filters. Nothing is decided here, so nothing is gained by changing an argument meanwhile.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::calls;

/// Something that a server used or asked for, told once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// A system call.
    Call(&'static str),
    /// A path, as the server sees the file system. `write`: to change it.
    Path {
        /// Absolute, without `..`.
        path: PathBuf,
        /// Whether it was to be changed.
        write: bool,
    },
}

/// Different things that are told of one process tree.
const LIMIT: usize = 4096;
const LONGEST_PATH: usize = 4096;
/// What is the kernel's, or each jail's own.
const UNINTERESTING: [&str; 3] = ["/dev", "/proc", "/sys"];

/// The calls of one server, which wait to be looked at.
#[derive(Debug)]
pub struct Watch {
    listener: OwnedFd,
}

impl Watch {
    pub(crate) fn new(listener: OwnedFd) -> Watch {
        Watch { listener }
    }

    /// Looks until the last process of the server has ended. Blocks: for a thread of its own.
    pub fn run(self, mut tell: impl FnMut(Want)) {
        let mut known = HashSet::new();
        loop {
            let mut ends = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ends, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                Err(_) => return,
                Ok(_) => {}
            }
            let seen = ends[0].revents().unwrap_or(PollFlags::POLLHUP);
            if !seen.contains(PollFlags::POLLIN) {
                return;
            }
            match self.receive() {
                Ok(call) => {
                    for want in self.wants(&call) {
                        if known.len() < LIMIT && known.insert(want.clone()) {
                            tell(want);
                        }
                    }
                    self.go_on(call.id);
                }
                // The process was killed meanwhile.
                Err(Errno::ENOENT | Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    #[expect(unsafe_code, reason = "plain system calls, see the comments")]
    fn receive(&self) -> Result<libc::seccomp_notif, Errno> {
        // SAFETY: integers only; the kernel asks for zeroes.
        let mut call: libc::seccomp_notif = unsafe { zeroed() };
        let (fd, request) = (self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV);
        // SAFETY: the kernel writes no more than this structure.
        Errno::result(unsafe { libc::ioctl(fd, request, &raw mut call) })?;
        Ok(call)
    }

    /// Lets a call go on. One that is gone needs it no more.
    #[expect(unsafe_code, reason = "plain system calls, see the comments")]
    fn go_on(&self, id: u64) {
        // SAFETY: integers only.
        let mut answer: libc::seccomp_notif_resp = unsafe { zeroed() };
        answer.id = id;
        answer.flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or_default();
        let (fd, request) = (self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND);
        // SAFETY: the kernel reads no more than this structure.
        unsafe { libc::ioctl(fd, request, &raw mut answer) };
    }

    /// Whether the process still waits, so that what was read of it was its own.
    #[expect(unsafe_code, reason = "a plain system call, see the comment")]
    fn is_waiting(&self, id: u64) -> bool {
        let (fd, request) = (self.listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID);
        // SAFETY: the kernel reads no more than this number.
        unsafe { libc::ioctl(fd, request, &raw const id) == 0 }
    }

    fn wants(&self, call: &libc::seccomp_notif) -> Vec<Want> {
        let number = i64::from(call.data.nr);
        let mut wants: Vec<Want> = calls::name(number).map(Want::Call).into_iter().collect();
        for Place { folder, text, write } in places(number, &call.data.args) {
            let path = path(call.pid, folder, text).ok().flatten();
            wants.extend(path.map(|path| Want::Path { path, write }));
        }
        if wants.len() > 1 && !self.is_waiting(call.id) {
            wants.truncate(1);
        }
        wants
    }
}

/// A path among a call's arguments.
struct Place {
    /// The descriptor of the folder that it begins at.
    folder: i32,
    /// Where it stands in the process's memory.
    text: u64,
    write: bool,
}

/// The paths that a call names.
fn places(number: i64, args: &[u64; 6]) -> Vec<Place> {
    let at = |folder: usize, text: usize, write: bool| Place {
        folder: args[folder].cast_signed() as i32,
        text: args[text],
        write,
    };
    let changes = |flags: u64| {
        let changing = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
        flags & u64::from(changing.cast_unsigned()) != 0
    };
    match number {
        libc::SYS_openat => vec![at(0, 1, changes(args[2]))],
        libc::SYS_faccessat
        | libc::SYS_faccessat2
        | libc::SYS_newfstatat
        | libc::SYS_readlinkat
        | libc::SYS_statx => vec![at(0, 1, false)],
        libc::SYS_mkdirat | libc::SYS_unlinkat => vec![at(0, 1, true)],
        libc::SYS_renameat | libc::SYS_renameat2 => vec![at(0, 1, true), at(2, 3, true)],
        libc::SYS_linkat => vec![at(0, 1, false), at(2, 3, true)],
        libc::SYS_symlinkat => vec![at(1, 2, true)],
        libc::SYS_chdir => vec![here(args[0], false)],
        libc::SYS_truncate => vec![here(args[0], true)],
        _ => places_here(number, args, changes(args[1])),
    }
}

/// Begins where the process is.
fn here(text: u64, write: bool) -> Place {
    Place { folder: libc::AT_FDCWD, text, write }
}

/// Calls that only this architecture has.
#[cfg(target_arch = "x86_64")]
fn places_here(number: i64, args: &[u64; 6], changes: bool) -> Vec<Place> {
    match number {
        libc::SYS_open => vec![here(args[0], changes)],
        libc::SYS_access | libc::SYS_lstat | libc::SYS_readlink | libc::SYS_stat => {
            vec![here(args[0], false)]
        }
        libc::SYS_creat | libc::SYS_mkdir | libc::SYS_rmdir | libc::SYS_unlink => {
            vec![here(args[0], true)]
        }
        libc::SYS_rename => vec![here(args[0], true), here(args[1], true)],
        libc::SYS_link => vec![here(args[0], false), here(args[1], true)],
        libc::SYS_symlink => vec![here(args[1], true)],
        _ => Vec::new(),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn places_here(_: i64, _: &[u64; 6], _: bool) -> Vec<Place> {
    Vec::new()
}

/// The absolute path that a process names; `None` for what is not worth telling.
fn path(pid: u32, folder: i32, text: u64) -> io::Result<Option<PathBuf>> {
    let written = text_at(&File::open(format!("/proc/{pid}/mem"))?, text)?;
    if written.as_os_str().is_empty() {
        return Ok(None);
    }
    let base = if written.is_absolute() {
        PathBuf::new()
    } else if folder == libc::AT_FDCWD {
        fs::read_link(format!("/proc/{pid}/cwd"))?
    } else {
        fs::read_link(format!("/proc/{pid}/fd/{folder}"))?
    };
    let path = plain(&base.join(written));
    let interesting = path.is_absolute() && !UNINTERESTING.iter().any(|of| path.starts_with(of));
    Ok(interesting.then_some(path))
}

/// The text that stands at an address, up to its zero.
fn text_at(memory: &File, address: u64) -> io::Result<PathBuf> {
    const PAGE: u64 = 4096;
    let mut text = Vec::new();
    while text.len() < LONGEST_PATH {
        let from = address.checked_add(text.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
        // What lies behind the page may not be there.
        let mut piece = vec![0; (PAGE - from % PAGE) as usize];
        let count = memory.read_at(&mut piece, from)?;
        let piece = &piece[..count];
        match piece.iter().position(|byte| *byte == 0) {
            Some(end) => {
                text.extend_from_slice(&piece[..end]);
                return Ok(PathBuf::from(std::ffi::OsString::from_vec(text)));
            }
            None if count == 0 => break,
            None => text.extend_from_slice(piece),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// Without `.` and `..`, as far as the text alone tells.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}
