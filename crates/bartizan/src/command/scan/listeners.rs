//! MCP servers that listen on this machine without being behind Bartizan. They are asked over HTTP what they are;
//! nothing is started, and no tool is called.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

use crate::{config::Loaded, print};

/// Ports that are asked, how many at once, how long each answer may take, and how long it may be.
const MOST: usize = 512;
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_millis(1500);
const LONGEST: usize = 64 << 10;

/// An MCP server that nobody put behind Bartizan.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    pub address: SocketAddr,
    /// Where on it.
    pub path: &'static str,
    /// What it calls itself; empty when it wants a credential first.
    pub name: String,
    pub version: String,
    /// It answers whoever asks.
    pub open: bool,
    /// Other machines can reach it.
    pub exposed: bool,
    /// The program, where this user may know.
    pub program: Option<String>,
}

impl print::Row for Listener {
    const TITLES: &'static [&'static str] = &["LISTENING", "SERVER", "PROGRAM", "ACCESS"];

    fn cells(&self) -> Vec<String> {
        let server = format!("{} {}", self.name, self.version);
        let access = match (self.open, self.exposed) {
            (true, true) => "open to everybody, from other machines too",
            (true, false) => "open to every program on this machine",
            (false, true) => "wants a credential, from other machines too",
            (false, false) => "wants a credential",
        };
        let program = self.program.as_deref().unwrap_or("-");
        let address = format!("http://{}{}", self.address, self.path);
        [&address, server.trim(), program, access].map(print::tame).to_vec()
    }
}

/// Asks everything that listens on this machine.
pub async fn look(loaded: &Loaded) -> Vec<Listener> {
    let known = known(loaded);
    let sockets = listening().into_iter().filter(|(address, _)| !known.contains(&address.port()));
    let (places, mut asked) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    for (address, socket) in sockets.take(MOST) {
        let places = places.clone();
        asked.spawn(async move {
            let _place = places.acquire().await.ok()?;
            let found = ask(address).await?;
            Some((found, socket))
        });
    }
    let mut found = Vec::new();
    while let Some(done) = asked.join_next().await {
        found.extend(done.ok().flatten());
    }
    let programs = programs(&found.iter().map(|(_, socket)| socket.inode).collect());
    let mut listeners: Vec<Listener> = found
        .into_iter()
        .map(|(listener, socket)| Listener {
            exposed: socket.exposed,
            program: programs.get(&socket.inode).cloned(),
            ..listener
        })
        .collect();
    listeners.sort_by_key(|listener| listener.address);
    listeners
}

/// The ports of Bartizan and of the servers behind it.
fn known(loaded: &Loaded) -> BTreeSet<u16> {
    let own = loaded.file.listen.get_ref().0.port();
    let servers = loaded.file.servers.values().filter_map(|server| {
        let url = server.get_ref().url.as_ref()?.get_ref();
        let near = crate::config::is_this_machine(url.0.host().unwrap_or_default());
        near.then(|| url.0.port_u16()).flatten()
    });
    servers.chain([own]).collect()
}

/// A socket that listens.
#[derive(Clone, Copy)]
struct Socket {
    inode: u64,
    exposed: bool,
}

/// Those that this machine's loopback reaches, by the address to ask at.
fn listening() -> BTreeMap<SocketAddr, Socket> {
    let mut sockets = BTreeMap::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in std::fs::read_to_string(file).unwrap_or_default().lines().skip(1) {
            let Some((address, inode)) = entry(line) else { continue };
            let exposed = address.ip().is_unspecified();
            let ip = match address.ip() {
                IpAddr::V4(ip) if ip.is_loopback() => IpAddr::V4(ip),
                IpAddr::V6(ip) if ip.is_loopback() => IpAddr::V6(ip),
                _ if exposed => IpAddr::V4(Ipv4Addr::LOCALHOST),
                _ => continue,
            };
            sockets.insert(SocketAddr::new(ip, address.port()), Socket { inode, exposed });
        }
    }
    sockets
}

/// One line of `/proc/net/tcp`, if it listens: proc_pid_net(5).
fn entry(line: &str) -> Option<(SocketAddr, u64)> {
    const LISTEN: &str = "0A";
    let words: Vec<&str> = line.split_whitespace().collect();
    if *words.get(3)? != LISTEN {
        return None;
    }
    let (ip, port) = words.get(1)?.split_once(':')?;
    // Each word of four bytes is written as a number of this machine.
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?)).to_canonical()
        }
        _ => return None,
    };
    Some((SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?), words.get(9)?.parse().ok()?))
}

/// The programs that hold these sockets, as far as this user may look.
fn programs(inodes: &BTreeSet<u64>) -> HashMap<u64, String> {
    let mut programs = HashMap::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        for file in files.flatten() {
            let Ok(target) = std::fs::read_link(file.path()) else { continue };
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            let Some(inode) = inode.and_then(|inode| inode.parse().ok()) else { continue };
            if inodes.contains(&inode) {
                let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                let pid = process.file_name();
                let text = format!("{} ({})", name.trim(), pid.to_string_lossy());
                programs.entry(inode).or_insert(text);
            }
        }
    }
    programs
}

/// What listens there, if it is an MCP server other than Bartizan.
async fn ask(address: SocketAddr) -> Option<Listener> {
    let initialize = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "bartizan-scan", "version": env!("CARGO_PKG_VERSION")},
        },
    });
    let discover = json!({
        "jsonrpc": "2.0", "id": 1, "method": "server/discover",
        "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }},
    });
    for path in ["/mcp", "/"] {
        let mut answer = post(address, path, "", &initialize).await?;
        if let Some(session) = answer.header("mcp-session-id") {
            let bye = format!("DELETE {path} HTTP/1.1\r\nMcp-Session-Id: {session}\r\n");
            exchange(address, &bye, "").await;
        }
        if answer.body.get("error").is_some() {
            let headers = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: server/discover\r\n";
            answer = post(address, path, headers, &discover).await.unwrap_or(answer);
        }
        if let Some(found) = answer.server(address, path) {
            return (found.name != "bartizan").then_some(found);
        }
    }
    let accept = "GET /sse HTTP/1.1\r\nAccept: text/event-stream\r\n";
    let answer = exchange(address, accept, "").await?;
    answer.text.contains("event: endpoint").then(|| Listener::at(address, "/sse", true))
}

async fn post(address: SocketAddr, path: &str, headers: &str, body: &Value) -> Option<Answer> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{headers}"
    );
    exchange(address, &head, &body.to_string()).await
}

/// One request; whatever has come within a while is the answer. `None` where nobody speaks HTTP.
async fn exchange(address: SocketAddr, head: &str, body: &str) -> Option<Answer> {
    let mut text = Vec::new();
    let talk = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let length = body.len();
        let request = format!(
            "{head}Host: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            text.extend_from_slice(&buffer[..count]);
            // A stream of events may stay open: its first event is enough.
            if text.len() > LONGEST || Answer::is_whole(&text) {
                break;
            }
        }
        Some(())
    };
    let _ = timeout(PATIENCE, talk).await;
    Answer::read(&text)
}

/// What came back.
struct Answer {
    head: String,
    text: String,
    /// The message in it, if there is one.
    body: Value,
}

impl Answer {
    fn read(bytes: &[u8]) -> Option<Answer> {
        let text = String::from_utf8_lossy(bytes);
        let (head, rest) = text.split_once("\r\n\r\n")?;
        if !head.starts_with("HTTP/1.") {
            return None;
        }
        let head = head.to_owned();
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let text = if chunked { joined(rest) } else { rest.to_owned() };
        let data: String = text.lines().filter_map(|line| line.strip_prefix("data:")).collect();
        let body = serde_json::from_str(if data.is_empty() { &text } else { &data });
        Some(Answer { head, text, body: body.unwrap_or_default() })
    }

    fn is_whole(bytes: &[u8]) -> bool {
        Answer::read(bytes).is_some_and(|answer| {
            answer.body.is_object() || answer.text.contains("event: endpoint")
        })
    }

    fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let line = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        line.map(|(_, value)| value.trim().to_owned())
    }

    fn server(&self, address: SocketAddr, path: &'static str) -> Option<Listener> {
        let result = &self.body["result"];
        let info = &result["serverInfo"];
        if info.is_object() || result["supportedVersions"].is_array() {
            let text =
                |name: &str| info[name].as_str().unwrap_or_default().chars().take(80).collect();
            let (name, version) = (text("name"), text("version"));
            return Some(Listener { name, version, ..Listener::at(address, path, true) });
        }
        let challenge = self.header("www-authenticate").unwrap_or_default();
        let wants =
            self.head.starts_with("HTTP/1.1 401") && challenge.contains("resource_metadata=");
        wants.then(|| Listener::at(address, path, false))
    }
}

impl Listener {
    fn at(address: SocketAddr, path: &'static str, open: bool) -> Listener {
        let (name, version) = (String::new(), String::new());
        Listener { address, path, name, version, open, exposed: false, program: None }
    }
}

/// A chunked body without the lines between its chunks (RFC 9112 §7.1).
fn joined(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = size.split(';').next().unwrap_or_default().trim();
        let Ok(size @ 1..) = usize::from_str_radix(size, 16) else { break };
        let chunk = behind.get(..size).unwrap_or(behind);
        whole.push_str(chunk);
        rest = behind.get(size..).unwrap_or_default().trim_start_matches("\r\n");
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1";
        assert_eq!(entry(line), Some(("127.0.0.1:8080".parse().unwrap(), 4711)));
        let line = line.replace("0100007F", "00000000000000000000000001000000");
        assert_eq!(entry(&line), Some(("[::1]:8080".parse().unwrap(), 4711)));
        assert_eq!(entry(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(entry("nonsense"), None);
    }

    #[test]
    fn answers_in_each_form() {
        let message =
            r#"{"jsonrpc":"2.0","id":1,"result":{"serverInfo":{"name":"x","version":"1"}}}"#;
        let (half, rest) = message.split_at(30);
        for text in [
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{message}"),
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: message\ndata: {message}\n\n"
            ),
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{half}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
                half.len(),
                rest.len()
            ),
        ] {
            let answer = Answer::read(text.as_bytes()).unwrap();
            let server = answer.server("127.0.0.1:1".parse().unwrap(), "/mcp").unwrap();
            assert_eq!((&*server.name, &*server.version, server.open), ("x", "1", true), "{text}");
        }
        assert!(Answer::read(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").is_none());
        assert!(Answer::read(b"HTTP/1.1 200 OK\r\n\r\n<html>").unwrap().body.is_null());
    }
}
