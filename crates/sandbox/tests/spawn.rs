//! Starting servers at each level.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use sandbox::{Layer, Level, Network, Profile, Request, SpawnFault, spawn};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;

fn shell(level: Level, script: &str) -> Profile {
    Profile {
        args: vec!["-c".into(), script.into()],
        env: vec![("MINE".into(), "value".into())],
        level,
        jailer: Some(PathBuf::from(env!("CARGO_BIN_EXE_sandbox-jail"))),
        ..Profile::new("test", "sh")
    }
}

fn started(profile: &Profile) -> Child {
    spawn(profile).unwrap_or_else(|fault| panic!("{fault}")).child
}

/// What it printed, errors too.
async fn output(mut child: Child) -> String {
    let (mut text, mut errors) = (String::new(), String::new());
    drop(child.stdin.take());
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (a, b) = tokio::join!(out.read_to_string(&mut text), err.read_to_string(&mut errors));
    a.and(b).unwrap();
    child.wait().await.unwrap();
    text + &errors
}

async fn run(level: Level, script: &str) -> String {
    output(started(&shell(level, script))).await
}

const ALL: [Level; 3] = [Level::Strong, Level::Basic, Level::Off];

#[tokio::test]
async fn environment_is_an_allow_list() {
    // Cargo sets CARGO_MANIFEST_DIR for tests: a variable that is not on the list.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    for level in ALL {
        let text = run(level, "env").await;
        assert!(text.contains("MINE=value\n") && text.contains("PATH="), "{level:?}: {text}");
        assert!(!text.contains("CARGO"), "{level:?}: {text}");
    }
}

#[tokio::test]
async fn own_session_and_no_core() {
    for level in ALL {
        let text = run(level, "cut -d' ' -f6 /proc/$$/stat; ulimit -c; ps -o sid= -p $$").await;
        let mut lines = text.lines();
        // In its own process namespace the session's leader is not there, which shows as 0.
        let session: u32 = lines.next().unwrap().parse().unwrap();
        assert_ne!(session, std::process::id(), "{level:?}");
        assert_eq!(lines.next(), Some("0"), "{level:?}");
    }
}

#[tokio::test]
async fn inherits_no_descriptor() {
    let file = std::fs::File::open("/dev/null").unwrap();
    // SAFETY: dup gives a fresh descriptor that nobody else owns; it has no CLOEXEC.
    #[expect(unsafe_code, reason = "a leaky descriptor can't be made otherwise")]
    let leaky = unsafe { OwnedFd::from_raw_fd(libc::dup(file.as_raw_fd())) };
    for level in ALL {
        // The three pipes, and the folder that the shell itself reads meanwhile.
        assert_eq!(run(level, "set -- /proc/$$/fd/*; echo $#").await.trim(), "4", "{level:?}");
    }
    drop(leaky);
}

#[tokio::test]
async fn has_the_descriptors_that_it_is_given() {
    use std::io::Write as _;
    for level in ALL {
        let pipe = |text: &str| {
            let (read, mut write) = std::io::pipe().unwrap();
            write.write_all(text.as_bytes()).unwrap();
            std::sync::Arc::new(read.into())
        };
        // By its path, and once.
        let script = "cat /proc/self/fd/10; echo; cat /dev/fd/11; cat /dev/fd/11; echo; set -- /proc/$$/fd/*; echo $#";
        let mut profile = shell(level, script);
        profile.descriptors = vec![pipe("one"), pipe("two")];
        assert_eq!(output(started(&profile)).await, "one\ntwo\n6\n", "{level:?}");
        profile.descriptors = (0..=sandbox::DESCRIPTORS).map(|_| pipe("x")).collect();
        assert!(sandbox::spawn(&profile).is_err());
    }
}

#[tokio::test]
async fn ends_with_its_group() {
    for level in ALL {
        let mut child = started(&shell(level, "sleep 600 & echo there; wait"));
        let mut line = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut line).await.unwrap();
        let pid = child.id().unwrap();
        sandbox::terminate(pid, sandbox::Signal::Kill).unwrap();
        child.wait().await.unwrap();
        // Its stdout closes when the last holder, the grandchild, is gone.
        let mut rest = String::new();
        child.stdout.take().unwrap().read_to_string(&mut rest).await.unwrap();
        sandbox::terminate(pid, sandbox::Signal::Kill).unwrap();
    }
    assert!(sandbox::terminate(0, sandbox::Signal::Kill).is_err());
}

#[tokio::test]
async fn may_clean_up_when_it_is_asked_to_end() {
    for level in ALL {
        let script = "trap 'echo cleaned; exit 7' TERM; echo there; while :; do sleep 0.05; done";
        let mut child = started(&shell(level, script));
        let mut line = [0; 6];
        child.stdout.as_mut().unwrap().read_exact(&mut line).await.unwrap();
        sandbox::terminate(child.id().unwrap(), sandbox::Signal::Terminate).unwrap();
        let mut rest = String::new();
        child.stdout.as_mut().unwrap().read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "cleaned\n", "{level:?}");
        assert_eq!(child.wait().await.unwrap().code(), Some(7), "{level:?}");
    }
}

#[tokio::test]
async fn survives_the_thread_that_asked() {
    let runtime = tokio::runtime::Handle::current();
    let asked = std::thread::spawn(move || {
        let _inside = runtime.enter();
        started(&shell(Level::Strong, "read line; echo still here"))
    });
    let mut child = asked.join().unwrap();
    // The thread is gone; the process must still answer.
    child.stdin.take().unwrap().write_all(b"go\n").await.unwrap();
    assert_eq!(output(child).await, "still here\n");
}

#[tokio::test]
async fn named_paths_are_there_and_nothing_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let open = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    };
    for name in ["read", "write", "hidden"] {
        std::fs::create_dir(path(name)).unwrap();
        std::fs::write(path(name).join("note"), name).unwrap();
        // Without namespaces a server of root's has its own user, and no more than everybody.
        open(&path(name));
        open(&path(name).join("note"));
    }
    open(folder.path());
    std::os::unix::fs::symlink(path("read"), path("link")).unwrap();
    for level in [Level::Strong, Level::Basic] {
        let script = "cat link/note; cat write/note; echo -n more >> write/note; echo x >> read/note; \
                      cat hidden/note; mkdir write/new && rmdir write/new && echo ' made'";
        let profile = Profile {
            read: vec![path("link")],
            write: vec![path("write/../write")],
            ..shell(level, &format!("cd {}; {script}", folder.path().display()))
        };
        let text = output(started(&profile)).await;
        assert!(text.contains("readwrite") && text.contains(" made"), "{level:?}: {text}");
        assert!(!text.contains("hidden\n") && !text.starts_with("hidden"), "{level:?}: {text}");
        assert_eq!(std::fs::read_to_string(path("read/note")).unwrap(), "read");
        assert_eq!(std::fs::read_to_string(path("write/note")).unwrap(), "writemore");
        std::fs::write(path("write/note"), "write").unwrap();
    }
    // What the server made belongs to whom the folder belongs.
    let profile =
        Profile { write: vec![path("write")], ..shell(Level::Strong, "echo > \"$0/made\"") };
    let mut profile = profile;
    profile.args.push(path("write").display().to_string());
    output(started(&profile)).await;
    use std::os::unix::fs::MetadataExt as _;
    let owner = |path: PathBuf| std::fs::metadata(path).unwrap().uid();
    assert_eq!(owner(path("write/made")), owner(path("write")));
}

#[tokio::test]
async fn what_would_give_the_machine_is_refused() {
    for path in ["/", "/proc/self", "/sys", "/dev", "/run", "/usr/../"] {
        let profile = Profile { read: vec![path.into()], ..shell(Level::Strong, "true") };
        let fault = spawn(&profile).unwrap_err();
        assert!(matches!(fault, SpawnFault::Forbidden(_)), "{path}: {fault}");
    }
    let state = tempfile::tempdir().unwrap();
    let above = vec![state.path().parent().unwrap().to_owned()];
    let hidden = vec![state.path().to_owned()];
    let profile = Profile { read: above, hidden, ..shell(Level::Strong, "true") };
    assert!(matches!(spawn(&profile).unwrap_err(), SpawnFault::Forbidden(_)));
    let missing = Profile { read: vec!["/no/such/path".into()], ..shell(Level::Strong, "true") };
    assert!(matches!(spawn(&missing).unwrap_err(), SpawnFault::Path { .. }));
    let gate = Network::Gate(Request::default());
    let basic = Profile { network: gate, ..shell(Level::Basic, "true") };
    assert!(matches!(spawn(&basic).unwrap_err(), SpawnFault::Level(_)));
}

#[tokio::test]
async fn a_layer_that_is_missing_is_named_with_the_ways_out() {
    // A program that is there for the gateway and gone in the jail: what fails is its start.
    let profile = Profile { cwd: Some("/proc/nothing".into()), ..shell(Level::Off, "true") };
    let fault = spawn(&profile).unwrap_err();
    let SpawnFault::Layer(layer) = &fault else { panic!("{fault}") };
    assert_eq!(layer.layer, Layer::Exec);
    let namespaces = sandbox::LayerFault { layer: Layer::UserNamespace, detail: "EPERM".into() };
    let said = namespaces.to_string();
    assert!(
        said.contains("user.max_user_namespaces") && said.contains("level = \"basic\""),
        "{said}"
    );
}

#[tokio::test]
async fn the_gate_accepts_what_the_server_dials() {
    let script = "import socket\n\
        for family, address in ((socket.AF_INET, '203.0.113.7'), (socket.AF_INET6, '2001:db8::7')):\n\
        \ts = socket.socket(family); s.connect((address, 8443)); s.send(b'hello'); print(s.recv(9)); s.close()\n\
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.sendto(b'name?', ('127.0.0.1', 53)); print(u.recv(9))\n\
        print(open('/etc/resolv.conf').read().split()[:2], open('/etc/gate/ca.pem').read())\n";
    let profile = Profile {
        args: vec!["-c".into(), script.into()],
        network: Network::Gate(Request { tcp: vec![8443], proxy: true, dns: true }),
        files: vec![("/etc/gate/ca.pem".into(), b"certificate".to_vec())],
        ..Profile { command: "python3".into(), ..shell(Level::Strong, "") }
    };
    let spawned = spawn(&profile).unwrap_or_else(|fault| panic!("{fault}"));
    let gate = spawned.gate.unwrap();
    assert_eq!(gate.tcp.len(), 2);
    assert_eq!(gate.proxy.as_ref().unwrap().local_addr().unwrap().port(), sandbox::PROXY_PORT);
    let (udp, _) = gate.dns.unwrap();
    let serve = async {
        for (listener, dialled) in gate.tcp.iter().zip(["203.0.113.7:8443", "[2001:db8::7]:8443"]) {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_eq!(stream.local_addr().unwrap().to_string(), dialled);
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).await.unwrap();
            stream.write_all(b"welcome").await.unwrap();
        }
        let mut asked = [0; 16];
        let (count, from) = udp.recv_from(&mut asked).await.unwrap();
        assert_eq!(&asked[..count], b"name?");
        udp.send_to(b"none", from).await.unwrap();
    };
    let (text, ()) = tokio::join!(output(spawned.child), serve);
    let wanted = "b'welcome'\nb'welcome'\nb'none'\n['nameserver', '127.0.0.1'] certificate\n";
    assert_eq!(text, wanted);
}

#[tokio::test]
async fn unknown_commands_and_debug() {
    let mut profile = shell(Level::Strong, "true");
    assert!(!format!("{profile:?}").contains("value"));
    assert!(!profile.describe().contains("value"));
    profile.command = "no-such-command-here".into();
    let fault = spawn(&profile).unwrap_err();
    assert!(
        matches!(&fault, SpawnFault::Command { error, .. } if error.kind() == io::ErrorKind::NotFound),
        "{fault}"
    );
}
