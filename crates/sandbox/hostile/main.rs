//! A hostile server in Rust: what a native program can try. `hostile.py` knows more, and what FACTS is;
//! `bomb NAME FACTS` uses something up instead.

mod bombs;

use std::ffi::CStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};
use std::time::Duration;

use serde_json::Value;

type Attempt<'a> = (&'a str, Box<dyn Fn() -> io::Result<String> + 'a>);

fn main() {
    let facts = std::env::args().next_back().unwrap_or_default();
    let facts: Value = serde_json::from_str(&facts).unwrap_or_default();
    if std::env::args().nth(1).as_deref() == Some("bomb") {
        bombs::run(&std::env::args().nth(2).unwrap_or_default(), &facts);
    }
    let text = |name: &str| facts[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| facts[name].as_u64().unwrap_or_default();
    let attempts = files(&text, number("pid")).into_iter().chain(set_id(&text));
    let attempts = attempts.chain(network(&text, &number));
    for (name, attempt) in attempts.chain(others(&number)).chain(kernel()) {
        match attempt() {
            Ok(how) => println!("ESCAPED\t{name}\t{how}"),
            Err(why) => println!("held\t{name}\t{why}"),
        }
    }
}

fn read(path: String) -> io::Result<String> {
    use io::Read as _;
    let mut bytes = [0; 64];
    let count = fs::File::open(&path)?.read(&mut bytes)?;
    Ok(format!("read {count} bytes of {path}"))
}

fn write(path: String) -> io::Result<String> {
    OpenOptions::new().append(true).create(true).open(&path)?.write_all(b"owned")?;
    Ok(format!("wrote {path}"))
}

fn files<'a>(text: &'a dyn Fn(&str) -> String, pid: u64) -> Vec<Attempt<'a>> {
    let temporary = std::env::temp_dir();
    vec![
        ("read a secret", Box::new(|| read(text("secret")))),
        ("read the gateway's state", Box::new(|| read(text("state")))),
        ("read /etc/shadow", Box::new(|| read("/etc/shadow".into()))),
        ("write outside", Box::new(|| write(text("outside") + "/owned"))),
        ("write a readable path", Box::new(|| write(text("readable") + "/owned"))),
        ("write its own program", Box::new(|| write(std::env::args().next().unwrap_or_default()))),
        ("/proc/self/root", Box::new(|| read(format!("/proc/self/root{}", text("secret"))))),
        ("/proc/PID/root", Box::new(move || read(format!("/proc/{pid}/root{}", text("secret"))))),
        ("the gateway's memory", Box::new(move || read(format!("/proc/{pid}/mem")))),
        ("the gateway's environment", Box::new(move || read(format!("/proc/{pid}/environ")))),
        ("the keeper's memory", Box::new(|| read("/proc/1/mem".into()))),
        ("the keeper's program", Box::new(|| read("/proc/1/exe".into()))),
        ("/dev/mem", Box::new(|| read("/dev/mem".into()))),
        ("/dev/tty", Box::new(|| read("/dev/tty".into()))),
        ("/proc/sys", Box::new(|| write("/proc/sys/kernel/core_pattern".into()))),
        ("write /usr", Box::new(|| write("/usr/owned".into()))),
        (
            "make a hard link",
            Box::new(|| {
                let link = std::env::temp_dir().join("hard");
                fs::hard_link(text("secret"), &link)?;
                read(link.display().to_string())
            }),
        ),
        (
            "rename out",
            Box::new(|| {
                let mine = std::env::temp_dir().join("mine");
                fs::write(&mine, "x")?;
                fs::rename(&mine, text("outside") + "/renamed").map(|()| "renamed".to_owned())
            }),
        ),
        (
            "follow a symbolic link",
            Box::new(move || {
                let link = temporary.join("link");
                std::os::unix::fs::symlink(text("secret"), &link)?;
                read(link.display().to_string())
            }),
        ),
    ]
}

/// Outside, a set-uid file in a named path would make whoever runs it its owner.
fn set_id<'a>(text: &'a dyn Fn(&str) -> String) -> Vec<Attempt<'a>> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let tried = move |make: fn(&str) -> io::Result<()>| -> io::Result<String> {
        let path = text("writable") + "/set-id";
        let made = make(&path);
        let mode = fs::metadata(&path).map(|meta| meta.permissions().mode());
        let _ = fs::remove_file(&path);
        made?;
        Ok(format!("made {path} with {:o}", mode?))
    };
    vec![
        (
            "chmod set-uid",
            Box::new(move || {
                tried(|path| {
                    fs::write(path, "")?;
                    fs::set_permissions(path, fs::Permissions::from_mode(0o4755))
                })
            }),
        ),
        (
            "create set-uid",
            Box::new(move || {
                tried(|path| {
                    OpenOptions::new().write(true).create_new(true).mode(0o4755).open(path)?;
                    Ok(())
                })
            }),
        ),
    ]
}

/// Other processes, and what is theirs.
fn others<'a>(number: &'a dyn Fn(&str) -> u64) -> Vec<Attempt<'a>> {
    let pid = libc::c_long::try_from(number("pid")).unwrap_or_default();
    let shm = libc::c_long::try_from(number("shm")).unwrap_or_default();
    let plain = |number, arguments| move || plain(number, arguments);
    vec![
        ("signal the gateway", Box::new(plain(libc::SYS_kill, [pid, 0, 0, 0]))),
        ("slow the gateway", Box::new(plain(libc::SYS_setpriority, [0, pid, 19, 0]))),
        ("read the gateway's limits", Box::new(plain(libc::SYS_prlimit64, [pid, 4, 0, 0]))),
        ("another's memory segment", Box::new(plain(libc::SYS_shmat, [shm, 0, 0, 0]))),
    ]
}

fn network<'a>(
    text: &'a dyn Fn(&str) -> String,
    number: &'a dyn Fn(&str) -> u64,
) -> Vec<Attempt<'a>> {
    let port = move |name: &str| u16::try_from(number(name)).unwrap_or_default();
    let connect = |address: SocketAddr| {
        TcpStream::connect_timeout(&address, Duration::from_secs(2)).map(|_| "connected".to_owned())
    };
    vec![
        ("loopback TCP", Box::new(move || connect(([127, 0, 0, 1], port("tcp")).into()))),
        (
            "loopback TCP, IPv6",
            Box::new(move || connect((std::net::Ipv6Addr::LOCALHOST, port("tcp")).into())),
        ),
        (
            "loopback UDP",
            Box::new(move || {
                let socket = UdpSocket::bind("127.0.0.1:0")?;
                socket.send_to(b"escaped", ("127.0.0.1", port("udp"))).map(|_| "sent".to_owned())
            }),
        ),
        ("cloud metadata", Box::new(move || connect(([169, 254, 169, 254], 80).into()))),
        (
            "an abstract socket",
            Box::new(|| {
                let address = UnixAddr::from_abstract_name(text("abstract"))?;
                UnixStream::connect_addr(&address).map(|_| "connected".to_owned())
            }),
        ),
        (
            "a socket file",
            Box::new(|| UnixStream::connect(text("socket")).map(|_| "connected".to_owned())),
        ),
    ]
}

/// Only a refusal by the jail counts: what the kernel finds wrong with an argument, it has looked at.
#[expect(unsafe_code, reason = "a plain system call, see the comment")]
fn call(number: libc::c_long, arguments: [libc::c_long; 4]) -> io::Result<String> {
    let [a, b, c, d] = arguments;
    // SAFETY: every pointer among the arguments is null or a static string; the jail refuses the call.
    let done = unsafe { libc::syscall(number, a, b, c, d) };
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        _ if done >= 0 => Ok(format!("returned {done}")),
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => Err(error),
        _ => Ok(format!("the kernel looked at it: {error}")),
    }
}

/// A call that the kernel may refuse by itself, since who is meant is not there.
#[expect(unsafe_code, reason = "a plain system call, see the comment")]
fn plain(number: libc::c_long, arguments: [libc::c_long; 4]) -> io::Result<String> {
    let [a, b, c, d] = arguments;
    // SAFETY: every pointer among the arguments is null.
    let done = unsafe { libc::syscall(number, a, b, c, d) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(format!("returned {done}")) }
}

fn pointer(text: &'static CStr) -> libc::c_long {
    text.as_ptr() as libc::c_long
}

fn kernel() -> Vec<Attempt<'static>> {
    let tmp = pointer(c"/tmp");
    let user = libc::c_long::from(libc::CLONE_NEWUSER);
    let calls: [(&str, libc::c_long, [libc::c_long; 4]); 30] = [
        ("mount", libc::SYS_mount, [pointer(c"x"), tmp, pointer(c"tmpfs"), 0]),
        ("unmount", libc::SYS_umount2, [pointer(c"/usr"), 2, 0, 0]),
        ("pivot_root", libc::SYS_pivot_root, [tmp, tmp, 0, 0]),
        ("chroot", libc::SYS_chroot, [tmp, 0, 0, 0]),
        ("open_tree", libc::SYS_open_tree, [-100, pointer(c"/"), 1, 0]),
        ("unshare a user namespace", libc::SYS_unshare, [user, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [0, 0, 0, 0]),
        ("bpf", libc::SYS_bpf, [0, 0, 0, 0]),
        ("io_uring", libc::SYS_io_uring_setup, [1, 0, 0, 0]),
        ("perf", libc::SYS_perf_event_open, [0, 0, -1, -1]),
        ("userfaultfd", libc::SYS_userfaultfd, [1, 0, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [0, -3, 0, 0]),
        ("load a module", libc::SYS_init_module, [0, 0, pointer(c""), 0]),
        ("kexec", libc::SYS_kexec_load, [0, 0, 0, 0]),
        ("the kernel's log", libc::SYS_syslog, [2, 0, 0, 0]),
        ("ptrace", libc::SYS_ptrace, [16, 1, 0, 0]),
        ("process_vm_readv", libc::SYS_process_vm_readv, [1, 0, 0, 0]),
        ("process_vm_writev", libc::SYS_process_vm_writev, [1, 0, 0, 0]),
        ("vsock", libc::SYS_socket, [40, 1, 0, 0]),
        ("a packet socket", libc::SYS_socket, [17, 3, 0, 0]),
        ("a raw socket", libc::SYS_socket, [2, 3, 1, 0]),
        ("the kernel's cryptography", libc::SYS_socket, [38, 5, 0, 0]),
        ("type into a terminal", libc::SYS_ioctl, [0, 0x5412, pointer(c"x"), 0]),
        ("setns", libc::SYS_setns, [0, 0, 0, 0]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [0, 0, 0, 0]),
        ("reboot", libc::SYS_reboot, [0, 0, 0, 0]),
        ("open by handle", libc::SYS_open_by_handle_at, [-100, 0, 0, 0]),
        ("set the clock", libc::SYS_clock_settime, [0, 0, 0, 0]),
        ("open_tree_attr", 467, [-100, pointer(c"/"), 1, 0]),
        ("a device node", libc::SYS_mknodat, [-100, pointer(c"/tmp/mem"), 0o020_600, 0x101]),
    ];
    let attempt = |(name, number, arguments)| -> Attempt<'static> {
        (name, Box::new(move || call(number, arguments)))
    };
    let become_root = || Ok(nix::unistd::setuid(0.into()).map(|()| "is root".to_owned())?);
    let root: Attempt<'static> = ("become root", Box::new(become_root));
    calls.into_iter().map(attempt).chain([root]).collect()
}
