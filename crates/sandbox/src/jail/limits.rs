//! What a process may use up, as far as the kernel counts it for each process or user.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::sys::resource::{Resource, setrlimit};

use super::cgroup::Holds;
use crate::fault::InLayer as _;
use crate::{Layer, LayerFault, Limits};

/// No core files: they would hold secrets.
pub(super) fn no_core() -> Result<(), LayerFault> {
    set(Resource::RLIMIT_CORE, 0)
}

/// Sets the limits; `others`: how many processes are counted that are not the server's.
pub(super) fn apply(limits: &Limits, holds: Holds, others: u64) -> Result<(), LayerFault> {
    set(Resource::RLIMIT_NOFILE, limits.descriptors)?;
    set(Resource::RLIMIT_FSIZE, limits.disk)?;
    set(Resource::RLIMIT_NPROC, limits.processes.saturating_add(others))?;
    // Locked memory and message queues are not counted elsewhere.
    set(Resource::RLIMIT_MEMLOCK, 1 << 20)?;
    set(Resource::RLIMIT_MSGQUEUE, 0)?;
    if !holds.memory {
        // Of the address space only what is written: programs reserve far more than they use.
        set(Resource::RLIMIT_DATA, limits.memory)?;
    }
    Ok(())
}

fn set(resource: Resource, limit: u64) -> Result<(), LayerFault> {
    setrlimit(resource, limit, limit).layer(Layer::Limits, &format!("{resource:?}"))
}

/// How many threads a user has already: without a user namespace the kernel counts them all.
pub(super) fn threads_of(own: u32) -> u64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let threads = processes
        .filter(|entry| entry.metadata().is_ok_and(|meta| meta.uid() == own))
        .filter_map(|entry| Some(fs::read_dir(entry.path().join("task")).ok()?.count()));
    threads.sum::<usize>() as u64
}
