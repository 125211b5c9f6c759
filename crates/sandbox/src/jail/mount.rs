//! The kernel's mount calls that work on descriptors: what was opened is what is mounted, whatever
//! happens to its path meanwhile.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};

/// Nothing gains privileges, no device works.
pub(super) const PLAIN: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
pub(super) const READ_ONLY: u64 = PLAIN | libc::MOUNT_ATTR_RDONLY;
/// Device nodes are to work, and nothing else.
pub(super) const DEVICE: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC;

/// A copy of the mounts at a path and below, not attached anywhere.
pub(super) struct Tree(OwnedFd);

impl Tree {
    /// Refuses symbolic links anywhere in the path: it was resolved before, and must still be what it
    /// was then.
    #[expect(unsafe_code, reason = "a plain system call, see the comment")]
    pub fn copy(path: &Path) -> nix::Result<Tree> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let opened = openat2(AT_FDCWD, path, how)?;
        let flags = libc::OPEN_TREE_CLONE
            | libc::O_CLOEXEC.cast_unsigned()
            | (libc::AT_EMPTY_PATH | libc::AT_RECURSIVE).cast_unsigned();
        // SAFETY: the path is an empty string; the result is a fresh descriptor that nobody else owns.
        unsafe {
            let fd = libc::syscall(libc::SYS_open_tree, opened.as_raw_fd(), c"".as_ptr(), flags);
            let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
            Ok(Tree(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Sets attributes of all its mounts.
    pub fn restrict(&self, attributes: u64) -> nix::Result<()> {
        set(self.0.as_fd(), attributes, None)
    }

    /// Lets the owner of its files appear as another user.
    pub fn map_owner(&self, namespace: BorrowedFd<'_>) -> nix::Result<()> {
        set(self.0.as_fd(), libc::MOUNT_ATTR_IDMAP, Some(namespace))
    }

    /// Attaches it at a path that exists.
    #[expect(unsafe_code, reason = "a plain system call, see the comment")]
    pub fn attach(&self, target: &Path) -> nix::Result<()> {
        let target =
            std::ffi::CString::new(target.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
        // SAFETY: both paths are live, zero-terminated strings.
        let done = unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                target.as_ptr(),
                libc::MOVE_MOUNT_F_EMPTY_PATH,
            )
        };
        Errno::result(done).map(drop)
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> std::io::Result<bool> {
        Ok(File::from(self.0.try_clone()?).metadata()?.is_dir())
    }

    /// Whose it is.
    pub fn owner(&self) -> std::io::Result<(u32, u32)> {
        use std::os::unix::fs::MetadataExt as _;
        let meta = File::from(self.0.try_clone()?).metadata()?;
        Ok((meta.uid(), meta.gid()))
    }
}

/// Sets attributes of the mount at a path alone.
pub(super) fn restrict_mount(path: &Path, attributes: u64) -> nix::Result<()> {
    let opened =
        nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())?;
    set_at(opened.as_fd(), 0, attributes, None)
}

fn set(mount: BorrowedFd<'_>, attributes: u64, map: Option<BorrowedFd<'_>>) -> nix::Result<()> {
    set_at(mount, libc::AT_RECURSIVE, attributes, map)
}

#[expect(unsafe_code, reason = "a plain system call, see the comment")]
fn set_at(
    mount: BorrowedFd<'_>,
    how_far: i32,
    attributes: u64,
    map: Option<BorrowedFd<'_>>,
) -> nix::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: map.map_or(0, |fd| u64::from(fd.as_raw_fd().cast_unsigned())),
    };
    // SAFETY: the path is an empty string, the structure is live and its size is given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | how_far,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(done).map(drop)
}
