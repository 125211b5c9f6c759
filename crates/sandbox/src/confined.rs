//! The gateway's side of a jail: what it is made of, starting it, and hearing that it stands.

use std::ffi::OsStr;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::fcntl::OFlag;
use tokio::process::{Child, ChildStdin, Command};

use crate::launcher::launch;
use crate::resolve::resolve;
use crate::runtime::Needs;
use crate::spec::{self, Access, Answer, Spec};
use crate::{GateSockets, JAIL, Level, Profile, SpawnFault, Spawned, Watch};

/// How long a jail may take to stand: milliseconds, but for a machine that is out of breath.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where programs are looked for in a jail.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
/// What can't be named: giving it would give the machine.
const FORBIDDEN: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];

pub(crate) fn start(profile: &Profile) -> Result<Spawned, SpawnFault> {
    let spec = specify(profile)?;
    let (control, theirs) = UnixStream::pair().map_err(SpawnFault::Jail)?;
    control.set_read_timeout(Some(PATIENCE)).map_err(SpawnFault::Jail)?;
    let (stdin, ours) = nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(jail)?;
    let jailer = profile.jailer.as_deref().unwrap_or(Path::new("/proc/self/exe"));
    let mut command = Command::new(jailer);
    command
        .arg0("bartizan")
        .arg(JAIL)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = launch(command).map_err(SpawnFault::Jail)?;
    let contents: Vec<&[u8]> = profile.files.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let more = profile.descriptors.iter().map(|descriptor| descriptor.as_raw_fd());
    let descriptors: Vec<_> = std::iter::once(stdin.as_raw_fd()).chain(more).collect();
    spec::send(&control, &spec, &contents, &descriptors).map_err(SpawnFault::Jail)?;
    drop(stdin);
    let (gate, watch) = hear(&control, &mut child)?;
    child.stdin = Some(stdin_of(ours).map_err(SpawnFault::Jail)?);
    Ok(Spawned { child, gate, watch })
}

fn jail(error: nix::Error) -> SpawnFault {
    SpawnFault::Jail(error.into())
}

fn stdin_of(pipe: OwnedFd) -> io::Result<ChildStdin> {
    ChildStdin::from_std(std::process::ChildStdin::from(pipe))
}

/// What came out of a jail.
type Came = (Option<GateSockets>, Option<Watch>);

/// Waits until the server's program has taken the jail's place: then the socket closes.
fn hear(control: &UnixStream, child: &mut Child) -> Result<Came, SpawnFault> {
    let mut ready = None;
    let fault = loop {
        match spec::receive(control).map_err(SpawnFault::Jail) {
            Ok(Some((Answer::Ready { tcp, proxy, dns, watched }, _, mut came))) => {
                let watch = if watched { came.pop().map(Watch::new) } else { None };
                let gate = adopt(tcp, proxy, dns, came).map_err(SpawnFault::Jail)?;
                ready = Some((gate, watch));
            }
            Ok(Some((Answer::Failed(fault), _, _))) => break fault.into(),
            Ok(None) => match ready {
                Some(came) => return Ok(came),
                None => break SpawnFault::Jail(io::Error::other("it ended before it stood")),
            },
            Err(fault) => break fault,
        }
    };
    let _ = child.start_kill();
    Err(fault)
}

/// The sockets, in the order in which the jail hands them out.
fn adopt(
    tcp: usize,
    proxy: bool,
    dns: bool,
    came: Vec<OwnedFd>,
) -> io::Result<Option<GateSockets>> {
    let mut came = came.into_iter();
    let mut next = || came.next().ok_or(io::Error::from(io::ErrorKind::UnexpectedEof));
    let listeners =
        (0..tcp).map(|_| Ok(TcpListener::from(next()?))).collect::<io::Result<Vec<_>>>()?;
    let proxy = if proxy { Some(TcpListener::from(next()?)) } else { None };
    let dns = if dns { Some((UdpSocket::from(next()?), TcpListener::from(next()?))) } else { None };
    if listeners.is_empty() && proxy.is_none() && dns.is_none() {
        return Ok(None);
    }
    GateSockets::adopt(listeners, proxy, dns).map(Some)
}

/// From what was asked for to what is done: every path found and resolved.
fn specify(profile: &Profile) -> Result<Spec, SpawnFault> {
    let fault = |error| SpawnFault::Command { command: profile.command.clone(), error };
    let mut env = Vec::new();
    for (name, value) in profile.environment() {
        if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
            env.push((name, value));
        }
    }
    let given = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let path = given.clone().map(Into::into).or_else(|| std::env::var_os("PATH"));
    let program =
        resolve(&profile.command, path.as_deref(), profile.cwd.as_deref()).map_err(fault)?;
    let needs = needs(profile, &program, path.as_deref())?;
    if given.is_none() && profile.level != Level::Off {
        let own = needs.programs.iter().filter_map(|folder| folder.to_str());
        let all: Vec<&str> = own.chain([PATH]).collect();
        env.push(("PATH".to_owned(), all.join(":")));
        env.push(("USER".to_owned(), "server".to_owned()));
    }
    let (binds, links) = needs.ordered();
    Ok(Spec {
        parent: std::process::id().cast_signed(),
        name: label(&profile.name),
        household: profile.household.clone(),
        program,
        // Programs look at their own name: it stays as it was written.
        args: std::iter::once(&profile.command).chain(&profile.args).cloned().collect(),
        env,
        cwd: profile.cwd.clone(),
        level: profile.level,
        binds,
        links,
        files: profile.files.iter().map(|(path, bytes)| (path.clone(), bytes.len())).collect(),
        descriptors: profile.descriptors.len(),
        network: profile.network.clone(),
        calls: profile.calls.clone(),
        limits: profile.limits,
    })
}

/// What of this machine's files a server sees: for advice about what its entry should name.
#[derive(Debug)]
pub struct Visible(Option<Vec<PathBuf>>);

impl Visible {
    /// To the server of this profile. A command that is not found sees what its entry names.
    pub fn to(profile: &Profile) -> Visible {
        if profile.level == Level::Off {
            return Visible(None);
        }
        let path = std::env::var_os("PATH");
        let program = resolve(&profile.command, path.as_deref(), profile.cwd.as_deref());
        let needs = program.ok().and_then(|program| needs(profile, &program, path.as_deref()).ok());
        let found = needs.map(|needs| needs.binds.into_iter().map(|bind| bind.path));
        let named = profile.read.iter().chain(&profile.write).cloned();
        Visible(Some(found.into_iter().flatten().chain(named).collect()))
    }

    /// Whether something that it sees lies below a path.
    pub fn is_below(&self, path: &Path) -> bool {
        self.0.as_ref().is_some_and(|seen| seen.iter().any(|seen| seen.starts_with(path)))
    }

    /// Whether a path is the same inside and outside.
    pub fn contains(&self, path: &Path) -> bool {
        let real = path.canonicalize();
        let real = real.as_deref().unwrap_or(path);
        self.0.as_ref().is_none_or(|seen| {
            seen.iter().any(|seen| real.starts_with(seen) || path.starts_with(seen))
        })
    }
}

/// The part of a name that can stand in a file's name.
fn label(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect()
}

fn needs(profile: &Profile, program: &Path, path: Option<&OsStr>) -> Result<Needs, SpawnFault> {
    if profile.level == Level::Off {
        return Ok(Needs::default());
    }
    let mut needs = Needs::of(program, &profile.args, profile.cwd.as_deref(), path);
    let read = profile.read.iter().map(|path| (path, Access::Read));
    let write = profile.write.iter().map(|path| (path, Access::Write));
    for (path, access) in read.chain(write) {
        needs
            .named(path, access)
            .map_err(|error| SpawnFault::Path { path: path.clone(), error })?;
    }
    let named = |access| matches!(access, Access::Read | Access::Write);
    let hidden = |path: &Path| {
        let real = |own: &PathBuf| own.canonicalize().unwrap_or_else(|_| own.clone());
        profile.hidden.iter().any(|own| real(own).starts_with(path))
    };
    let refused = |path: &PathBuf| is_forbidden(path) || hidden(path);
    match needs.binds.iter().find(|bind| named(bind.access) && refused(&bind.path)) {
        Some(bind) => Err(SpawnFault::Forbidden(bind.path.clone())),
        None => Ok(needs),
    }
}

fn is_forbidden(path: &PathBuf) -> bool {
    path == Path::new("/")
        || path == Path::new("/run")
        || FORBIDDEN.iter().filter(|of| **of != "/run").any(|of| path.starts_with(of))
}
