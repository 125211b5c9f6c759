//! Ending a process together with what it started.

use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal as Unix, killpg};
use nix::unistd::Pid;

/// How to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// At once.
    Kill,
    /// It may clean up.
    Terminate,
}

/// Signals the whole group of a process that [`crate::spawn`] started. A group that is gone is no error.
pub fn terminate(pid: u32, signal: Signal) -> io::Result<()> {
    let group = i32::try_from(pid).ok().filter(|pid| *pid > 1);
    let group =
        group.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a child's pid"))?;
    let signal = match signal {
        Signal::Kill => Unix::SIGKILL,
        Signal::Terminate => Unix::SIGTERM,
    };
    match killpg(Pid::from_raw(group), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
