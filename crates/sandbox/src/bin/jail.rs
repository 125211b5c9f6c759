//! A program that becomes a jail and nothing else: for tests, and for whoever starts servers from a
//! program that can't call [`sandbox::jail_main`] first thing in `main`.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    sandbox::jail_main()
}

#[cfg(not(target_os = "linux"))]
fn main() {}
