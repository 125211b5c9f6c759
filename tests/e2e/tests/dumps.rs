//! What others can read of the gateway's memory: no core dump is written, whatever the limits say, and nobody but root looks
//! into it. What it starts holds nothing of what it keeps.
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

use std::{
    fs::{self, File},
    os::unix::{
        fs::{FileExt, PermissionsExt},
        process::ExitStatusExt,
    },
    path::Path,
    process::Stdio,
};

use e2e::{Era, Gateway, Guarded, binary, eventually, run};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

const OTHERS: &str = "canary-of-another-3f7a9c2e51d8";
const OWN: &str = "canary-of-its-own-b06e4d18a2c7";
const PIPED: &str = "canary-in-a-pipe-92cd7f3b60e1";

/// Seals a secret beside a running gateway.
async fn seal(gateway: &Gateway, name: &str, value: &str) {
    let mut command = gateway.command();
    let mut child = command.args(["secret", "set", name]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).await.unwrap();
    assert!(child.wait().await.unwrap().success());
}

/// Whether a text stands in what a process has of memory that can be read, in its environment or in its arguments.
fn holds(pid: u32, text: &str) -> bool {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let has = |bytes: &[u8]| memchr::memmem::find(bytes, text.as_bytes()).is_some();
    if has(&read("environ")) || has(&read("cmdline")) {
        return true;
    }
    let Ok(memory) = File::open(format!("/proc/{pid}/mem")) else { return false };
    let maps = String::from_utf8(read("maps")).unwrap();
    let mut buffer = vec![0; 1 << 20];
    for line in maps.lines() {
        let mut fields = line.split(' ');
        let (place, allowed) = (fields.next().unwrap(), fields.next().unwrap());
        if !allowed.starts_with('r') {
            continue;
        }
        let (from, to) = place.split_once('-').unwrap();
        let hex = |text| u64::from_str_radix(text, 16).unwrap();
        let (mut at, to) = (hex(from), hex(to));
        while at < to {
            let length = buffer.len().min(usize::try_from(to - at).unwrap());
            // Special mappings can't be read from outside.
            if memory.read_exact_at(&mut buffer[..length], at).is_err() {
                break;
            }
            if has(&buffer[..length]) {
                return true;
            }
            if length < buffer.len() {
                break;
            }
            // What a border cuts is found from the other side.
            at += (length - text.len()) as u64;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_started_holds_only_what_it_is_given() {
    let web = Guarded::bearer(OTHERS).await;
    let script = "import os,sys,json\n\
        piped = open(os.environ['PIPED']).read() if 'PIPED' in os.environ else ''\n\
        for line in sys.stdin:\n \
        m = json.loads(line)\n \
        if 'id' in m:\n  \
        r = {'protocolVersion': '2025-11-25', 'capabilities': {'tools': {}}, 'serverInfo': {'name': 'x', 'version': '1'}, 'tools': [{'name': 'echo', 'inputSchema': {'type': 'object'}}], 'content': [{'type': 'text', 'text': str(len(piped))}]}\n  \
        print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result': r}), flush=True)\n";
    let local = |name: &str, more: &str| {
        format!(
            "[servers.{name}]\ncommand = \"python3\"\nera = \"handshake\"\nargs = [\"-c\", {script:?}]\n{more}\n"
        )
    };
    let gateway = Gateway::start(&format!(
        "[servers.web]\nurl = {:?}\nallow-private = true\nera = \"stateless\"\n\
         credential = {{ scheme = \"bearer\", value = \"${{secret:others}}\" }}\n{}{}",
        web.url,
        local("plain", ""),
        local("given", "env.TOKEN = \"${secret:own}\"\nenv.PIPED = { secret = \"${secret:piped}\", descriptor = \"path\" }"),
    ))
    .await;
    for (name, value) in [("others", OTHERS), ("own", OWN), ("piped", PIPED)] {
        seal(&gateway, name, value).await;
    }
    let piped = PIPED.len().to_string();
    for (server, said) in [("web", "hello"), ("plain", "0"), ("given", piped.as_str())] {
        let client = gateway.client_of(server, Era::Stateless).await;
        eventually("it answers", async || {
            let reply = client.call("echo", json!({"text": "hello"})).await;
            reply.pointer("/result/content/0/text").is_some_and(|text| text == said)
        })
        .await;
    }
    // The gateway itself has them, which shows that they would be found.
    assert!(holds(gateway.pid(), OTHERS) && holds(gateway.pid(), OWN));
    let started = gateway.descendants();
    assert!(started.len() >= 2, "{started:?}");
    let with = |text: &str| started.iter().filter(|pid| holds(**pid, text)).count();
    assert_eq!(with(OTHERS), 0, "a web server's secret");
    assert!(with(OWN) > 0, "the one that it is given");
    for pid in &started {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        assert!(!environment.contains(PIPED), "what comes by a pipe is not in the environment");
        if !holds(*pid, OWN) {
            assert!(!holds(*pid, PIPED), "of the server that it is not for");
        }
    }
    // None of it is in what the state folder has.
    let mut folders = vec![gateway.folder()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = fs::read(&path) {
                for text in [OTHERS, OWN, PIPED] {
                    let found = memchr::memmem::find(&bytes, text.as_bytes());
                    assert_eq!(found, None, "{}", path.display());
                }
            }
        }
    }
}

/// Lets a process dump as much as it wants to, and ends it as a fault does. Whether the kernel wrote a dump.
async fn dumps(pid: u32, child: &mut tokio::process::Child) -> bool {
    let pid = pid.to_string();
    // Where a process has forbidden it for good, not even root may allow it again in every container.
    let allowed = Command::new("prlimit").args(["--pid", &pid, "--core=unlimited"]).output().await;
    allowed.unwrap();
    run(Command::new("kill").args(["-ABRT", &pid])).await;
    let status = child.wait().await.unwrap();
    assert_eq!(status.signal(), Some(6), "{status}");
    status.core_dumped()
}

/// A gateway that runs as this user, started by hand since its process is to be ended by hand. Its folder is theirs.
async fn by_hand(folder: &Path, user: Option<&str>) -> tokio::process::Child {
    fs::write(folder.join("bartizan.toml"), "listen = \"127.0.0.1:0\"\n").unwrap();
    let program = folder.join("bartizan");
    fs::copy(binary("bartizan"), &program).unwrap();
    let mut command = match user {
        Some(user) => {
            run(Command::new("chown").args(["-R", user]).arg(folder)).await;
            let mut command = Command::new("setpriv");
            command.args([
                &format!("--reuid={user}"),
                &format!("--regid={user}"),
                "--clear-groups",
            ]);
            command.arg(&program);
            command
        }
        None => Command::new(&program),
    };
    let mut child = command
        .current_dir(folder)
        .env("HOME", folder)
        .arg("--config")
        .arg(folder.join("bartizan.toml"))
        .arg("--state-dir")
        .arg(folder.join("state"))
        .arg("up")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("listening on") {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return child;
        }
    }
    panic!("it ended before it listened");
}

#[tokio::test]
async fn no_core_dump_is_written() {
    let folder = tempfile::tempdir().unwrap();
    // Another process of this machine leaves one: else nothing would be shown.
    let mut other = Command::new("sleep").arg("60").current_dir(folder.path()).spawn().unwrap();
    assert!(dumps(other.id().unwrap(), &mut other).await, "this machine writes core dumps");
    let mut gateway = by_hand(folder.path(), None).await;
    assert!(!dumps(gateway.id().unwrap(), &mut gateway).await);
}

#[tokio::test]
async fn other_processes_of_its_user_can_not_look_into_it() {
    const USER: &str = "65534";
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let gateway = by_hand(folder.path(), Some(USER)).await;
    let other = Command::new("setpriv")
        .args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"])
        .args(["sleep", "60"])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let reads = async |pid: u32, name: &str| {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"]);
        // The bounding set, too: root's rights to look anywhere are not theirs.
        command.args(["--bounding-set=-all", "head", "-c1", &format!("/proc/{pid}/{name}")]);
        command.output().await.unwrap().status.success()
    };
    for name in ["environ", "maps"] {
        eventually("the other one can be read", async || reads(other.id().unwrap(), name).await)
            .await;
        assert!(!reads(gateway.id().unwrap(), name).await, "{name}");
    }
    // Memory is opened, or not: address 0 is nobody's.
    let opens = async |pid: u32| {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups"]);
        command.args(["--bounding-set=-all", "sh", "-c", &format!("exec 3</proc/{pid}/mem")]);
        command.stderr(Stdio::null()).status().await.unwrap().success()
    };
    assert!(opens(other.id().unwrap()).await);
    assert!(!opens(gateway.id().unwrap()).await);
}
