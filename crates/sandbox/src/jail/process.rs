//! Processes: forking, waiting, ending together, descriptors, and the last step.

use std::convert::Infallible;
use std::ffi::{CString, NulError};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

use super::identity::User;
use super::network::Sockets;
use super::seccomp;
use crate::fault::InLayer as _;
use crate::spec::{self, Spec};
use crate::{FIRST_DESCRIPTOR, Layer, LayerFault, Level};

pub(super) enum Fork {
    Child,
    Parent(Pid),
}

#[expect(unsafe_code, reason = "see the comment")]
pub(super) fn fork() -> Result<Fork, LayerFault> {
    // SAFETY: this process has one thread, so the child may do whatever a process may.
    let forked = unsafe { nix::unistd::fork() }.layer(Layer::Process, "fork")?;
    Ok(match forked {
        ForkResult::Child => Fork::Child,
        ForkResult::Parent { child } => Fork::Parent(child),
    })
}

pub(super) fn unshare(flag: CloneFlags, layer: Layer) -> Result<(), LayerFault> {
    nix::sched::unshare(flag).layer(layer, "unshare")
}

/// The kernel kills this process when its parent ends, however that ends.
pub(super) fn die_with_parent() -> Result<(), LayerFault> {
    prctl::set_pdeathsig(Signal::SIGKILL).layer(Layer::Process, "the parent-death signal")
}

/// Shows a child in another process namespace, where the parent's id is 0, whether its parent lives:
/// the parent keeps the writing end of a pipe.
pub(super) struct Alive {
    read: OwnedFd,
    write: OwnedFd,
}

impl Alive {
    pub fn new() -> Result<Alive, LayerFault> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).layer(Layer::Process, "a pipe")?;
        Ok(Alive { read, write })
    }

    /// In the child. Closes the gap between its birth and its request for the signal.
    pub fn die_with_keeper(self) -> Result<(), LayerFault> {
        die_with_parent()?;
        drop(self.write);
        let mut ends = [PollFd::new(self.read.as_fd(), PollFlags::POLLIN)];
        poll(&mut ends, PollTimeout::ZERO).layer(Layer::Process, "poll")?;
        if ends[0].revents().is_some_and(|seen| seen.contains(PollFlags::POLLHUP)) {
            return Err(LayerFault {
                layer: Layer::Process,
                detail: "the keeper is gone".to_owned(),
            });
        }
        Ok(())
    }
}

impl AsRawFd for Alive {
    fn as_raw_fd(&self) -> RawFd {
        self.write.as_raw_fd()
    }
}

/// Above the numbers that the server's own descriptors get.
const ASIDE: RawFd = 64;

/// The same thing under a number of which no server knows.
#[expect(unsafe_code, reason = "see the comment")]
pub(super) fn out_of_the_way(fd: impl AsFd) -> nix::Result<OwnedFd> {
    let moved = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(ASIDE))?;
    // SAFETY: the kernel has just made it for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// The number of the server's descriptor at this place.
fn number(at: usize) -> RawFd {
    RawFd::from(FIRST_DESCRIPTOR) + RawFd::try_from(at).unwrap_or_default()
}

/// Puts the server's descriptors where it looks for them, and lets them survive its start. Their numbers.
#[expect(unsafe_code, reason = "see the comment")]
pub(super) fn place(descriptors: Vec<OwnedFd>) -> Result<Vec<RawFd>, LayerFault> {
    let aside: Result<Vec<OwnedFd>, _> = descriptors.into_iter().map(out_of_the_way).collect();
    let mut placed = Vec::new();
    for (at, fd) in aside.layer(Layer::Process, "moving descriptors")?.into_iter().enumerate() {
        // SAFETY: whatever had this number was inherited, and nobody owns it. What has it now stays open until exec.
        let done = unsafe { libc::dup2(fd.as_raw_fd(), number(at)) };
        Errno::result(done).layer(Layer::Process, "placing descriptors")?;
        placed.push(number(at));
    }
    Ok(placed)
}

/// Lets the server open them once more by their names in `/proc`, although it will be another user.
#[expect(unsafe_code, reason = "see the comment")]
pub(super) fn give(descriptors: usize, user: &User) -> Result<(), LayerFault> {
    if user.is_own() {
        return Ok(());
    }
    for at in 0..descriptors {
        // SAFETY: `place` has put one there, and it stays.
        let fd = unsafe { BorrowedFd::borrow_raw(number(at)) };
        std::os::unix::fs::fchown(fd, Some(user.uid()), Some(user.gid()))
            .layer(Layer::Process, "giving the server its descriptors")?;
    }
    Ok(())
}

/// Closes every descriptor from 3 on but these.
pub(super) fn close_all_but(kept: &[RawFd]) -> Result<(), LayerFault> {
    let mut kept: Vec<u32> = kept.iter().map(|fd| fd.cast_unsigned()).collect();
    kept.sort_unstable();
    let mut from = 3;
    for fd in kept.into_iter().chain([u32::MAX]) {
        if fd > from {
            close_range(from, fd - 1)?;
        }
        from = fd.saturating_add(1);
    }
    Ok(())
}

#[expect(unsafe_code, reason = "a plain system call, see the comment")]
fn close_range(first: u32, last: u32) -> Result<(), LayerFault> {
    // SAFETY: integers only. What is closed is inherited and unowned, or owned by values that this
    // process never drops: it ends by exec or exit.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0u32) };
    if done == 0 { Ok(()) } else { Err(Errno::last()).layer(Layer::Process, "close_range") }
}

/// A process that only waits holds no pipe open: whoever reads them sees the server's end of file.
#[expect(unsafe_code, reason = "a plain system call, see the comment")]
pub(super) fn close_standard() {
    for fd in 0..3 {
        // SAFETY: nothing in this process uses them any more.
        unsafe { libc::close(fd) };
    }
}

/// The server may not look into its keeper, though they have the same user.
pub(super) fn hide() -> Result<(), LayerFault> {
    prctl::set_dumpable(false).layer(Layer::Process, "hiding")
}

/// Ends a keeper. Its descriptors were closed under its values: those are not dropped.
pub(super) fn leave(code: u8) -> ! {
    std::process::exit(code.into())
}

/// Kills what is left of this process's group, which nothing in it could leave.
pub(super) fn end_group() {
    let own = Pid::this();
    let member = |entry: std::fs::DirEntry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?);
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // Behind the name in parentheses: the state, the parent, the group.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let group = fields.nth(1)?.parse::<i32>().ok()?;
        (pid != own && group == own.as_raw() && state != "Z").then_some(pid)
    };
    // Whatever is started while one look is taken, the next one finds.
    for _ in 0..ROUNDS {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let members: Vec<Pid> = entries.filter_map(member).collect();
        if members.is_empty() {
            return;
        }
        for pid in members {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// Looks that are taken at what is left of a group.
const ROUNDS: usize = 1000;

/// Waits for one child; its exit code, or 128 and the signal's number as shells have it.
pub(super) fn wait_for(child: Pid) -> u8 {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            Err(_) => return u8::MAX,
            Ok(status) => {
                if let Some(code) = code(status) {
                    return code;
                }
            }
        }
    }
}

/// As init: reaps whatever ends until the server does. The namespace ends with its init, so nothing
/// survives.
pub(super) fn reap_until(server: Pid) -> u8 {
    loop {
        match waitpid(None, None) {
            Err(Errno::EINTR) => {}
            Err(_) => return u8::MAX,
            Ok(status) => {
                if let Some(code) = code(status).filter(|_| status.pid() == Some(server)) {
                    return code;
                }
            }
        }
    }
}

fn code(status: WaitStatus) -> Option<u8> {
    match status {
        WaitStatus::Exited(_, code) => Some(u8::try_from(code).unwrap_or(u8::MAX)),
        WaitStatus::Signaled(_, signal, _) => {
            Some(u8::try_from(128 + signal as i32).unwrap_or(u8::MAX))
        }
        _ => None,
    }
}

/// Requests to end are for the server; what keeps it ends after it.
pub(super) fn outlive_requests() -> Result<(), LayerFault> {
    let mut requests = SigSet::empty();
    for request in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
        requests.add(request);
    }
    requests.thread_block().layer(Layer::Process, "holding signals")
}

/// The signals of which a keeper without a process namespace makes something: a child's end, and its
/// parent's, which arrives as `SIGTERM` there since after `SIGKILL` it could end nobody.
pub(super) fn hold_end_signals() -> Result<SigSet, LayerFault> {
    prctl::set_pdeathsig(Signal::SIGTERM).layer(Layer::Process, "the parent-death signal")?;
    let mut held = SigSet::empty();
    held.add(Signal::SIGCHLD);
    held.add(Signal::SIGTERM);
    held.thread_block().layer(Layer::Process, "holding signals")?;
    Ok(held)
}

pub(super) fn release(held: &SigSet) -> Result<(), LayerFault> {
    held.thread_unblock().layer(Layer::Process, "releasing signals")
}

/// Waits for the server. When the gateway ends first, the whole group is killed.
pub(super) fn guard(server: Pid, held: &SigSet, gateway: i32) -> u8 {
    loop {
        match held.wait() {
            Ok(Signal::SIGTERM) if nix::unistd::getppid() != Pid::from_raw(gateway) => {
                let _ = kill(Pid::from_raw(0), Signal::SIGKILL);
            }
            Ok(Signal::SIGCHLD) => {
                let done = waitpid(server, Some(nix::sys::wait::WaitPidFlag::WNOHANG));
                if let Some(code) = done.ok().and_then(code) {
                    return code;
                }
            }
            _ => {}
        }
    }
}

/// A folder for temporary files where there is no private `/tmp`.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub fn make(user: &User) -> Result<Scratch, LayerFault> {
        let made = || {
            let folder = std::env::temp_dir().join(format!("bartizan-{}", std::process::id()));
            let mut builder = std::fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(&folder)?;
            std::os::unix::fs::chown(&folder, Some(user.uid()), Some(user.gid()))?;
            folder.canonicalize()
        };
        made().map(Scratch).layer(Layer::Root, "a folder for temporary files")
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Tells the gateway that all is in place, with the sockets, and becomes the server. Returns only
/// when that fails.
pub(super) fn execute(spec: &Spec, control: &UnixStream, sockets: Sockets) -> LayerFault {
    let home = (spec.level == Level::Strong).then_some(Path::new("/tmp"));
    match exec(spec, control, sockets, home) {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

/// The same, with a folder that serves as its home and for temporary files.
pub(super) fn execute_in(spec: &Spec, control: &UnixStream, home: &Path) -> LayerFault {
    match exec(spec, control, Sockets::default(), Some(home)) {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

fn exec(
    spec: &Spec,
    control: &UnixStream,
    sockets: Sockets,
    home: Option<&Path>,
) -> Result<Infallible, LayerFault> {
    if let Some(folder) = spec.cwd.as_deref().or(home) {
        std::env::set_current_dir(folder)
            .layer(Layer::Exec, &format!("its folder {}", folder.display()))?;
    }
    let program = CString::new(spec.program.as_os_str().as_bytes());
    let args: Result<Vec<_>, NulError> =
        spec.args.iter().map(|arg| CString::new(arg.as_str())).collect();
    let mut env: Vec<String> =
        spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    for name in home.map_or(&[][..], |_| &["HOME", "TMPDIR"]) {
        if !spec.env.iter().any(|(given, _)| given == name) {
            env.extend(home.map(|home| format!("{name}={}", home.display())));
        }
    }
    let env: Result<Vec<_>, NulError> = env.into_iter().map(CString::new).collect();
    let (program, args, env) = match (program, args, env) {
        (Ok(program), Ok(args), Ok(env)) => (program, args, env),
        _ => return Err("a zero byte").layer(Layer::Exec, "its arguments or environment"),
    };
    default_signals()?;
    let watched = seccomp::apply_own(&spec.calls)?;
    let (answer, descriptors) = sockets.answer(watched.as_ref());
    spec::send(control, &answer, &[], &descriptors).layer(Layer::Process, "telling the gateway")?;
    // They close with the old program. Closing them by hand may make calls that somebody would have to look at, and
    // nobody does before the new one runs.
    std::mem::forget((sockets, watched));
    nix::unistd::execve(&program, &args, &env)
        .layer(Layer::Exec, &spec.program.display().to_string())
}

/// What Rust's runtime and the keeper changed is the server's again.
#[expect(unsafe_code, reason = "see the comment")]
fn default_signals() -> Result<(), LayerFault> {
    for changed in [Signal::SIGPIPE, Signal::SIGCHLD] {
        // SAFETY: the default action runs no code of ours.
        unsafe { signal(changed, SigHandler::SigDfl) }.layer(Layer::Process, "signals")?;
    }
    SigSet::all().thread_unblock().layer(Layer::Process, "releasing signals")
}
