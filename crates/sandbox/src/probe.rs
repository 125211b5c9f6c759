//! What `posture` does to know, not to believe: a throw-away server that tries what each layer is to
//! forbid.
//!
//! The outer half ([`probe`]) puts something there to be reached, starts the inner half in a jail and
//! looks what happened; the inner half ([`probe_main`]) tries.

use std::fs;
use std::io::{self, Read as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;

use crate::{Level, Limits, Profile, SpawnFault, spawn};

/// The first argument of a program that is to be the inner half.
pub const PROBE: &str = "__probe";
/// A jail and what it tries are done in much less.
const PATIENCE: Duration = Duration::from_secs(20);
const LIMITS: Limits =
    Limits { memory: 96 << 20, processes: 24, descriptors: 64, disk: 1 << 20, cpu: None };

/// What the outer half put there.
#[derive(Debug, Serialize, Deserialize)]
struct Bait {
    folder: PathBuf,
    tcp: u16,
    udp: u16,
    name: String,
    pid: i32,
}

/// A thing that must not work: its name, and what of it did work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tried {
    pub what: What,
    /// `None`: it was forbidden. Otherwise what happened.
    pub worked: Option<String>,
}

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    Calls,
    Descriptors,
    Disk,
    Environment,
    Files,
    Memory,
    Network,
    Privileges,
    Processes,
    Signals,
    Sockets,
}

/// Tries everything at a level. Must be called inside a tokio runtime.
pub(crate) async fn probe(level: Level, program: &Path) -> Result<Vec<Tried>, SpawnFault> {
    let folder = std::env::temp_dir().join(format!("bartizan-probe-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(SpawnFault::Jail)?;
    let found = within(level, program, &folder).await;
    let _ = fs::remove_dir_all(&folder);
    found
}

async fn within(level: Level, program: &Path, folder: &Path) -> Result<Vec<Tried>, SpawnFault> {
    let jail = SpawnFault::Jail;
    fs::write(folder.join("bait"), "bait").map_err(jail)?;
    let name = format!("bartizan-probe-{}", std::process::id());
    let tcp = TcpListener::bind("127.0.0.1:0").map_err(jail)?;
    let udp = UdpSocket::bind("127.0.0.1:0").map_err(jail)?;
    let address = SocketAddr::from_abstract_name(&name).map_err(jail)?;
    let _listening = UnixListener::bind_addr(&address).map_err(jail)?;
    let bait = Bait {
        folder: folder.to_owned(),
        tcp: tcp.local_addr().map_err(jail)?.port(),
        udp: udp.local_addr().map_err(jail)?.port(),
        name,
        pid: std::process::id().cast_signed(),
    };
    let facts = serde_json::to_string(&bait).map_err(|fault| SpawnFault::Jail(fault.into()))?;
    let profile = |what: &str| Profile {
        args: vec![PROBE.into(), what.into(), facts.clone()],
        level,
        limits: LIMITS,
        ..Profile::new("probe", program.to_string_lossy())
    };
    let mut tried: Vec<Tried> = Vec::new();
    for line in output(&profile("all")).await?.lines() {
        tried.extend(serde_json::from_str::<Tried>(line));
    }
    udp.set_nonblocking(true).map_err(jail)?;
    if udp.recv(&mut [0; 8]).is_ok() {
        tried.push(Tried { what: What::Network, worked: Some("a datagram left it".to_owned()) });
    }
    // Alone, since it may be killed for it.
    let text = output(&profile("memory")).await?;
    let worked = text.contains("got it").then(|| "it got twice its memory".to_owned());
    tried.push(Tried { what: What::Memory, worked });
    Ok(tried)
}

async fn output(profile: &Profile) -> Result<String, SpawnFault> {
    let mut child = spawn(profile)?.child;
    drop(child.stdin.take());
    let mut text = String::new();
    if let Some(out) = child.stdout.take() {
        let reading = async { out.take(64 << 10).read_to_string(&mut text).await };
        let late = |_| SpawnFault::Jail(io::ErrorKind::TimedOut.into());
        tokio::time::timeout(PATIENCE, reading).await.map_err(late)?.map_err(SpawnFault::Jail)?;
    }
    let _ = child.kill().await;
    Ok(text)
}

/// The inner half: to be called first thing in `main` when the first argument is [`PROBE`].
pub fn probe_main() {
    let mut args = std::env::args().skip(2);
    let what = args.next().unwrap_or_default();
    let Ok(bait) = serde_json::from_str::<Bait>(&args.next().unwrap_or_default()) else { return };
    if what == "memory" {
        memory();
        return;
    }
    let tries: [(What, &dyn Fn() -> io::Result<String>); 10] = [
        (What::Files, &|| files(&bait)),
        (What::Network, &|| network(&bait)),
        (What::Sockets, &|| sockets(&bait)),
        (What::Signals, &|| signals(&bait)),
        (What::Calls, &calls),
        (What::Privileges, &privileges),
        (What::Environment, &environment),
        (What::Descriptors, &descriptors),
        (What::Disk, &disk),
        (What::Processes, &processes),
    ];
    for (what, attempt) in tries {
        let tried = Tried { what, worked: attempt().ok() };
        println!("{}", serde_json::to_string(&tried).unwrap_or_default());
    }
    // Threads that only wait must not keep it.
    std::process::exit(0);
}

/// Nothing worked.
fn forbidden() -> io::Result<String> {
    Err(io::ErrorKind::PermissionDenied.into())
}

fn files(bait: &Bait) -> io::Result<String> {
    if fs::read(bait.folder.join("bait")).is_ok() {
        return Ok("it read a file that it was not given".to_owned());
    }
    fs::write(bait.folder.join("mine"), "mine")?;
    Ok("it wrote where it was not allowed to".to_owned())
}

fn network(bait: &Bait) -> io::Result<String> {
    if TcpStream::connect(("127.0.0.1", bait.tcp)).is_ok() {
        return Ok("it connected to this machine".to_owned());
    }
    // Whether that arrives is looked at outside.
    UdpSocket::bind("127.0.0.1:0")?.send_to(b"bait", ("127.0.0.1", bait.udp))?;
    Ok("it sent a datagram".to_owned())
}

fn sockets(bait: &Bait) -> io::Result<String> {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(&bait.name)?)?;
    Ok("it connected to an abstract socket of this machine".to_owned())
}

fn signals(bait: &Bait) -> io::Result<String> {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(bait.pid), None)?;
    Ok("it could signal the gateway".to_owned())
}

#[expect(unsafe_code, reason = "plain system calls, see the comment")]
fn calls() -> io::Result<String> {
    let calls = [
        ("bpf", libc::SYS_bpf, 0),
        ("io_uring", libc::SYS_io_uring_setup, 0),
        ("keyctl", libc::SYS_keyctl, 0),
        ("perf", libc::SYS_perf_event_open, 0),
        ("ptrace", libc::SYS_ptrace, libc::c_long::MAX),
        ("unshare", libc::SYS_unshare, libc::c_long::from(libc::CLONE_NEWUSER)),
        ("userfaultfd", libc::SYS_userfaultfd, libc::c_long::MAX),
        ("vsock", libc::SYS_socket, libc::c_long::from(libc::AF_VSOCK)),
    ];
    for (name, number, argument) in calls {
        // SAFETY: no argument is a pointer that the kernel follows; those that are one are null.
        let done = unsafe { libc::syscall(number, argument, 1, 0, 0, 0) };
        let refused = io::Error::last_os_error().raw_os_error() == Some(libc::EPERM);
        if done >= 0 || !refused {
            return Ok(format!("{name} reached the kernel"));
        }
    }
    forbidden()
}

fn privileges() -> io::Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let none = |name| value(name).is_some_and(|set| set.trim_matches('0').is_empty());
    let held = ["CapEff:", "CapPrm:", "CapBnd:", "CapAmb:"].into_iter().all(none);
    if !held {
        return Ok("it has capabilities".to_owned());
    }
    if value("NoNewPrivs:") == Some("1") {
        forbidden()
    } else {
        Ok("it can gain privileges".to_owned())
    }
}

fn environment() -> io::Result<String> {
    const KNOWN: [&str; 6] = ["HOME", "LANG", "PATH", "TERM", "TMPDIR", "TZ"];
    let more = std::env::vars_os().find(|(name, _)| {
        let name = name.to_string_lossy();
        !KNOWN.contains(&&*name) && name != "USER" && !name.starts_with("LC_")
    });
    match more {
        Some((name, _)) => Ok(format!("it got {}", name.display())),
        None => forbidden(),
    }
}

fn descriptors() -> io::Result<String> {
    let mut held = Vec::new();
    while (held.len() as u64) <= LIMITS.descriptors {
        held.push(fs::File::open("/dev/null")?);
    }
    Ok("it opened more files than its limit".to_owned())
}

fn disk() -> io::Result<String> {
    let path = std::env::temp_dir().join("fill");
    let _ignored = nix::sys::signal::SigSet::all().thread_block();
    fs::write(path, vec![0; usize::try_from(LIMITS.disk).unwrap_or_default() * 2])?;
    Ok("it wrote a longer file than its limit".to_owned())
}

fn processes() -> io::Result<String> {
    for _ in 0..=LIMITS.processes {
        std::thread::Builder::new().stack_size(64 << 10).spawn(|| {
            std::thread::sleep(PATIENCE);
        })?;
    }
    Ok("it started more threads than its limit".to_owned())
}

fn memory() {
    let wanted = usize::try_from(LIMITS.memory).unwrap_or_default() * 2;
    let mut held: Vec<u8> = Vec::new();
    if held.try_reserve_exact(wanted).is_ok() {
        // Reserved is not had: each page is written.
        let filled = io::repeat(1).take(wanted as u64).read_to_end(&mut held);
        if filled.is_ok() {
            println!("got it");
        }
    }
}
