//! What keeps this process's memory from being read by others.

/// Forbids core dumps, and debuggers and `/proc/PID/mem` to other processes of the same user. Where the limits allow it,
/// memory is never written to swap. What can't be had is told by `bartizan posture`, and is no reason not to run.
#[cfg(target_os = "linux")]
pub fn memory() {
    use nix::sys::{
        mman::{MlockAllFlags, mlockall},
        prctl,
        resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
    };
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let _ = prctl::set_dumpable(false);
    // Below "unlimited" an allocation would fail some day that could have been made.
    if getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == RLIM_INFINITY) {
        // A page when it is touched, not all that is reserved.
        let on_fault = MlockAllFlags::from_bits_retain(nix::libc::MCL_ONFAULT);
        let _ = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault);
    }
}

/// Forbids core dumps.
#[cfg(not(target_os = "linux"))]
pub fn memory() {
    #[cfg(unix)]
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
}

/// Whether memory may reach the swap.
pub fn is_locked() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
    locked.is_some_and(|locked| !locked.trim().starts_with("0 "))
}
