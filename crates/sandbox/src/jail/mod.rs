//! The process that becomes the jail. It is short-lived and has one thread, so that everything that
//! is done between `fork` and `exec` is ordinary code.
//!
//! Three processes at the level `strong`: the *keeper*, which the gateway started and waits for; the
//! *init* of the new process namespace, which builds and closes the jail around itself, and whose end
//! is the end of everything inside; and the server. At `basic` there are the keeper and the server.

mod cgroup;
mod etc;
mod identity;
mod idmap;
mod landlock;
mod limits;
mod mount;
mod network;
mod process;
mod root;
mod seccomp;

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::sched::CloneFlags;
use nix::unistd::{Pid, dup2_stdin, getppid, setsid};

use crate::fault::InLayer as _;
use crate::spec::{self, Answer, Spec};
use crate::{Layer, LayerFault, Level, Network};
use process::Fork;

/// What the jail exits with when the program could not be started.
const NOT_STARTED: u8 = 126;

/// Becomes the jail that the gateway on the other end of standard input describes, and then the
/// server. To be called first thing in `main`, before any thread exists, when the first argument is
/// [`crate::JAIL`].
pub fn jail_main() -> ExitCode {
    let Ok((order, control)) = receive() else { return ExitCode::from(NOT_STARTED) };
    let Err(fault) = run(order, &control);
    // Nobody may be left to hear it.
    let _ = spec::send(&control, &Answer::Failed(fault), &[], &[]);
    ExitCode::from(NOT_STARTED)
}

/// The specification, and what came with it.
struct Order {
    spec: Spec,
    /// Contents of [`Spec::files`].
    contents: Vec<u8>,
    stdin: OwnedFd,
    /// Those of the profile.
    descriptors: Vec<OwnedFd>,
}

fn receive() -> io::Result<(Order, UnixStream)> {
    use std::os::fd::AsFd as _;
    // Its descriptor becomes the server's standard input.
    let control = UnixStream::from(process::out_of_the_way(io::stdin().as_fd())?);
    let (spec, contents, came) = spec::receive(&control)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut came = came.into_iter();
    let stdin = came.next().ok_or(io::ErrorKind::InvalidData)?;
    Ok((Order { spec, contents, stdin, descriptors: came.collect() }, control))
}

/// Returns only when a layer fails: otherwise this process becomes the server, or leaves with its code.
fn run(order: Order, control: &UnixStream) -> Result<Infallible, LayerFault> {
    let Order { spec, contents, stdin, descriptors } = order;
    dup2_stdin(&stdin).layer(Layer::Process, "taking the server's standard input")?;
    drop(stdin);
    let mut kept = process::place(descriptors)?;
    kept.push(control.as_raw_fd());
    process::close_all_but(&kept)?;
    process::die_with_parent()?;
    if getppid() != Pid::from_raw(spec.parent) {
        return Err(LayerFault { layer: Layer::Process, detail: "the gateway is gone".to_owned() });
    }
    setsid().layer(Layer::Process, "a session of its own")?;
    identity::leave_keyrings();
    limits::no_core()?;
    match spec.level {
        Level::Strong => strong(&spec, &contents, control),
        Level::Basic => basic(&spec, control),
        Level::Off => {
            nix::sys::prctl::set_no_new_privs().layer(Layer::Process, "no_new_privs")?;
            Err(process::execute(&spec, control, network::Sockets::default()))
        }
    }
}

/// The keeper's part: what has to be done before the process namespace's init exists.
fn strong(spec: &Spec, contents: &[u8], control: &UnixStream) -> Result<Infallible, LayerFault> {
    let user = identity::User::of(&spec.household, &spec.name);
    process::give(spec.descriptors, &user)?;
    let group = cgroup::Group::make(&spec.name, &spec.limits);
    let maps = idmap::Maps::make(spec, &user)?;
    if user.is_own() {
        identity::user_namespace(&user)?;
    }
    process::outlive_requests()?;
    process::unshare(CloneFlags::CLONE_NEWPID, Layer::PidNamespace)?;
    process::unshare(CloneFlags::from_bits_retain(libc::CLONE_NEWTIME), Layer::TimeNamespace)?;
    let alive = process::Alive::new()?;
    match process::fork()? {
        Fork::Child => {
            alive.die_with_keeper()?;
            Init { spec, contents, control, user: &user, group: &group, maps: &maps }.run()
        }
        Fork::Parent(init) => {
            process::close_all_but(&[alive.as_raw_fd()])?;
            process::close_standard();
            let code = process::wait_for(init);
            group.remove();
            process::leave(code)
        }
    }
}

/// The first process of the new process namespace.
struct Init<'a> {
    spec: &'a Spec,
    contents: &'a [u8],
    control: &'a UnixStream,
    user: &'a identity::User,
    group: &'a cgroup::Group,
    maps: &'a idmap::Maps,
}

impl Init<'_> {
    fn run(self) -> Result<Infallible, LayerFault> {
        self.group.join()?;
        for (flag, layer) in [
            (CloneFlags::CLONE_NEWNS, Layer::MountNamespace),
            (CloneFlags::CLONE_NEWNET, Layer::NetworkNamespace),
            (CloneFlags::CLONE_NEWIPC, Layer::IpcNamespace),
            (CloneFlags::CLONE_NEWUTS, Layer::UtsNamespace),
            (CloneFlags::CLONE_NEWCGROUP, Layer::CgroupNamespace),
        ] {
            process::unshare(flag, layer)?;
        }
        nix::unistd::sethostname("sandbox").layer(Layer::UtsNamespace, "naming the host")?;
        let sockets = network::prepare(&self.spec.network)?;
        root::build(self.spec, self.contents, self.user, self.maps)?;
        limits::apply(&self.spec.limits, self.group.holds(), 0)?;
        self.user.become_it(true)?;
        root::verify_named(self.spec, self.user)?;
        landlock::restrict(self.spec, None)?;
        let sockets_allowed = match self.spec.network {
            Network::None => seccomp::Sockets::Local,
            Network::Gate(_) => seccomp::Sockets::Internet,
        };
        seccomp::apply(sockets_allowed, false)?;
        // Before the server exists: there is no moment at which it could look into this process. Its own
        // program makes it visible again.
        process::hide()?;
        match process::fork()? {
            Fork::Child => Err(process::execute(self.spec, self.control, sockets)),
            Fork::Parent(server) => {
                process::close_all_but(&[])?;
                process::close_standard();
                process::leave(process::reap_until(server))
            }
        }
    }
}

/// Without namespaces: the keeper and the server are one process group, which the server can't leave.
fn basic(spec: &Spec, control: &UnixStream) -> Result<Infallible, LayerFault> {
    let user = identity::User::of(&spec.household, &spec.name);
    process::give(spec.descriptors, &user)?;
    let group = cgroup::Group::make(&spec.name, &spec.limits);
    let scratch = process::Scratch::make(&user)?;
    let signals = process::hold_end_signals()?;
    match process::fork()? {
        Fork::Child => {
            process::die_with_parent()?;
            process::release(&signals)?;
            group.join()?;
            limits::apply(&spec.limits, group.holds(), limits::threads_of(user.uid()))?;
            user.become_it(false)?;
            root::verify_named(spec, &user)?;
            landlock::restrict(spec, Some(scratch.path()))?;
            seccomp::apply(seccomp::Sockets::Pairs, true)?;
            Err(process::execute_in(spec, control, scratch.path()))
        }
        Fork::Parent(server) => {
            process::close_all_but(&[])?;
            process::close_standard();
            let code = process::guard(server, &signals, spec.parent);
            process::end_group();
            group.remove();
            scratch.remove();
            process::leave(code)
        }
    }
}
