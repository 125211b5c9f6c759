//! Starting a server's process.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::launcher::launch;
use crate::resolve::resolve;
use crate::{GateSockets, Level, Network, Profile, SpawnFault};

/// A started server.
#[derive(Debug)]
pub struct Spawned {
    /// Its process: stdin, stdout and stderr piped.
    pub child: Child,
    /// The sockets of its network namespace, if the profile asked for some.
    pub gate: Option<GateSockets>,
}

/// Starts a fresh process: its environment cleared but for an allow-list, stdin, stdout and stderr
/// piped, in a session and process group of its own, dying with the gateway, without core dumps.
/// Must be called inside a tokio runtime.
pub fn spawn(profile: &Profile) -> Result<Spawned, SpawnFault> {
    if profile.level != Level::Strong && profile.network != Network::None {
        return Err(SpawnFault::Level("a network through the gate needs the level \"strong\""));
    }
    let child = start(profile)
        .map_err(|error| SpawnFault::Command { command: profile.command.clone(), error })?;
    Ok(Spawned { child, gate: None })
}

fn start(profile: &Profile) -> io::Result<Child> {
    let environment = profile.environment();
    let path =
        environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    let program = resolve(&profile.command, path, profile.cwd.as_deref())?;
    let mut command = Command::new(&program);
    // Programs look at their own name: it stays as it was written.
    #[cfg(unix)]
    command.arg0(OsStr::new(&profile.command));
    command
        .args(&profile.args)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(folder) = &profile.cwd {
        command.current_dir(folder);
    }
    confine(&mut command);
    launch(command)
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "what runs between fork and exec can be given in no other way")]
fn confine(command: &mut Command) {
    // Read before the fork: a parent that is gone by the time the child looks was this one.
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. `in_child` makes plain
    // system calls on values that it owns; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || in_child(parent));
    }
}

#[cfg(not(unix))]
fn confine(_: &mut Command) {}

/// Runs in the child before exec.
#[cfg(unix)]
#[expect(unsafe_code, reason = "plain system calls, see the comments")]
fn in_child(parent: u32) -> io::Result<()> {
    let check = |result: libc::c_int| {
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: setsid takes nothing and touches no memory. The child is no group leader after fork.
    check(unsafe { libc::setsid() })?;
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live local of the right type.
    check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) })?;
    #[cfg(target_os = "linux")]
    {
        // SAFETY: prctl with these constants reads its integer arguments only.
        check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
        // SAFETY: as above. It gains nothing by executing a set-uid program.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
        close_inherited()?;
    }
    // The gateway may have died before the signal was asked for.
    // SAFETY: getppid takes nothing and can't fail.
    if cfg!(target_os = "linux") && unsafe { libc::getppid() }.cast_unsigned() != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
}

/// Marks every descriptor beyond the three pipes to be closed by exec: Rust opens its own so, but
/// libraries and whoever started the gateway may not have.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a plain system call, see the comment")]
fn close_inherited() -> io::Result<()> {
    // SAFETY: close_range with integers only; CLOEXEC leaves the descriptor on which the parent waits
    // for the outcome of exec usable until then.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    fn shell(script: &str) -> Profile {
        Profile {
            args: vec!["-c".into(), script.into()],
            env: vec![("MINE".into(), "value".into())],
            level: Level::Off,
            ..Profile::new("test", "sh")
        }
    }

    async fn output(mut child: Child) -> String {
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
        child.wait().await.unwrap();
        text
    }

    #[tokio::test]
    async fn environment_is_an_allow_list() {
        // Cargo sets CARGO_MANIFEST_DIR for tests: a variable that is not on the list.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let text = output(spawn(&shell("env")).unwrap().child).await;
        assert!(text.contains("MINE=value\n") && text.contains("PATH="));
        assert!(!text.contains("CARGO"), "{text}");
    }

    #[tokio::test]
    async fn own_session_group_and_no_core() {
        let child = spawn(&shell("cut -d' ' -f1,5,6 /proc/$$/stat; ulimit -c")).unwrap().child;
        let pid = child.id().unwrap();
        assert_eq!(output(child).await, format!("{pid} {pid} {pid}\n0\n"));
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn inherits_no_descriptor() {
        use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
        let file = std::fs::File::open("/dev/null").unwrap();
        // SAFETY: dup gives a fresh descriptor that nobody else owns; it has no CLOEXEC.
        #[expect(unsafe_code, reason = "a leaky descriptor can't be made otherwise")]
        let leaky = unsafe { OwnedFd::from_raw_fd(libc::dup(file.as_raw_fd())) };
        let text = output(spawn(&shell("ls /proc/self/fd | wc -l")).unwrap().child).await;
        // The three pipes, and the folder that ls itself reads.
        assert_eq!(text.trim(), "4");
        drop(leaky);
    }

    #[tokio::test]
    async fn ends_with_its_group() {
        let mut child = spawn(&shell("sleep 600 & echo $!; wait")).unwrap().child;
        let mut line = Vec::new();
        let stdout = child.stdout.as_mut().unwrap();
        while line.last() != Some(&b'\n') {
            line.push(stdout.read_u8().await.unwrap());
        }
        let grandchild = String::from_utf8(line).unwrap().trim().to_owned();
        let pid = child.id().unwrap();
        crate::terminate(pid, crate::Signal::Kill).unwrap();
        child.wait().await.unwrap();
        // Its stdout closes when the last holder, the grandchild, is gone.
        let mut rest = String::new();
        child.stdout.take().unwrap().read_to_string(&mut rest).await.unwrap();
        // Gone, or dead and waiting for init to reap it.
        let running = || {
            let stat = std::fs::read_to_string(format!("/proc/{grandchild}/stat"));
            stat.is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
        };
        while running() {
            tokio::task::yield_now().await;
        }
        crate::terminate(pid, crate::Signal::Kill).unwrap();
        assert!(crate::terminate(0, crate::Signal::Kill).is_err());
    }

    #[tokio::test]
    async fn survives_the_thread_that_asked() {
        let runtime = tokio::runtime::Handle::current();
        let asked = std::thread::spawn(move || {
            let _inside = runtime.enter();
            spawn(&shell("read line; echo still here")).unwrap().child
        });
        let mut child = asked.join().unwrap();
        // The thread is gone; the process must still answer.
        use tokio::io::AsyncWriteExt as _;
        child.stdin.take().unwrap().write_all(b"go\n").await.unwrap();
        assert_eq!(output(child).await, "still here\n");
    }

    #[tokio::test]
    async fn unknown_commands_and_debug() {
        let mut profile = shell("true");
        assert!(!format!("{profile:?}").contains("value"));
        profile.command = "no-such-command-here".into();
        let fault = spawn(&profile).unwrap_err();
        assert!(
            matches!(&fault, SpawnFault::Command { error, .. } if error.kind() == io::ErrorKind::NotFound),
            "{fault}"
        );
    }
}
