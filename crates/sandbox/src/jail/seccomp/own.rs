//! The filter of one server: the list of calls that was learned for it, or the watching by which it is learned.
//! What is denied to all stays denied under either.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

use crate::fault::InLayer as _;
use crate::{Calls, Layer, LayerFault, calls};

/// Confines this process and what it becomes. A descriptor comes back when its calls are watched: whoever holds it
/// has to answer them.
pub(in crate::jail) fn apply(allowed: &Calls) -> Result<Option<OwnedFd>, LayerFault> {
    match allowed {
        Calls::All => Ok(None),
        Calls::Learned => watch().map(Some).layer(Layer::Seccomp, "watching system calls"),
        Calls::Only(names) => only(names).map(|()| None).layer(Layer::Seccomp, "the list"),
    }
}

/// What is not listed does not exist, so that libraries try an older call.
fn only(names: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let rules = calls::allowed(names).into_iter().map(|call| (call, Vec::new())).collect();
    let other = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let filter = SeccompFilter::new(rules, other, SeccompAction::Allow, arch)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(apply_filter(&program)?)
}

fn watch() -> io::Result<OwnedFd> {
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    // The number stands first.
    let mut program = vec![step(LOAD_WORD, 0, 0)];
    for call in calls::allowed(&[]) {
        let call = u32::try_from(call).map_err(io::Error::other)?;
        program.push(step(JUMP_IF_EQUAL, 1, call));
        program.push(step(RETURN, 0, libc::SECCOMP_RET_ALLOW));
    }
    program.push(step(RETURN, 0, libc::SECCOMP_RET_USER_NOTIF));
    // Kernels before 5.19 do not know the second; then a signal may interrupt a call that is looked at.
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    install(&mut program, flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
        .or_else(|_| install(&mut program, flags))
}

#[expect(unsafe_code, reason = "a plain system call, see the comment")]
fn install(program: &mut [libc::sock_filter], flags: libc::c_ulong) -> io::Result<OwnedFd> {
    let len = program.len().try_into().map_err(io::Error::other)?;
    let program = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: the program is live and its length is given; the result is a fresh descriptor that nobody else owns.
    unsafe {
        let mode = libc::c_long::from(libc::SECCOMP_SET_MODE_FILTER);
        let made = libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program);
        if made < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(i32::try_from(made).map_err(io::Error::other)?))
    }
}
