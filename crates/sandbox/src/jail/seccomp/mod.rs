//! System calls that no MCP server needs, refused: the doors to the kernel's least travelled parts.
//!
//! A list of what is denied, since arbitrary interpreters must run. A denied call fails with `EPERM`; `clone3`
//! and `openat2` with `ENOSYS`, so that libraries fall back to `clone` and `openat`, whose flags and modes can be
//! looked at.

mod denied;
mod own;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter, sock_filter,
};

use crate::fault::InLayer as _;
use crate::{Layer, LayerFault};
use denied::Rules;
pub(super) use own::apply as apply_own;

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
    let unknown: Rules = [(libc::SYS_clone3, Vec::new()), (libc::SYS_openat2, Vec::new())].into();
    let denied = denied::rules(sockets, alone)?;
    let mut programs = vec![filter(denied, libc::EPERM)?, filter(unknown, libc::ENOSYS)?];
    programs.extend(no_other_numbering());
    Ok(programs)
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
