//! The owner's socket in the state folder: how commands of this machine's owner reach the running
//! gateway without any key. The folder's mode lets nobody else in, and the peer's user id is checked.

use std::{
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use identity::Verified;
use mcp::ServerName;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
};

use crate::{
    Control, Gateway,
    call::{Door, Scope},
    control,
};

/// The socket's name in the state folder.
pub const SOCKET: &str = "gateway.sock";

/// The socket, and the only user who may use it.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

/// Binds it. A folder whose path is too long for a socket has none: said, and no fault.
pub fn bind(state_dir: &Path) -> Option<Socket> {
    let path = state_dir.join(SOCKET);
    match try_bind(state_dir, &path) {
        Ok((listener, owner)) => Some(Socket { listener, path, owner }),
        Err(fault) => {
            tracing::warn!(%fault, path = %path.display(), "no owner's socket: local commands will start their own gateway");
            None
        }
    }
}

fn try_bind(state_dir: &Path, path: &Path) -> io::Result<(UnixListener, u32)> {
    let owner = std::fs::metadata(state_dir)?.uid();
    // The journal's lock says that no other gateway uses this folder: what is there is left over.
    match std::fs::remove_file(path) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok((listener, owner))
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Serves until told to stop.
pub async fn accept(gateway: Arc<Gateway>, socket: Socket, mut stopping: watch::Receiver<bool>) {
    let mut clients = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = socket.listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            _ = stopping.changed() => return,
            Some(_) = clients.join_next() => continue,
        };
        let peer = stream.peer_cred().map(|peer| peer.uid());
        if peer.is_ok_and(|uid| uid == socket.owner) {
            clients.spawn(serve(gateway.clone(), stream));
        }
    }
}

async fn serve(gateway: Arc<Gateway>, stream: UnixStream) {
    let (read, write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut preface = String::new();
    let _ = (&mut read).take(128).read_line(&mut preface).await;
    let preface = preface.trim_end();
    if let Some(words) = preface.strip_prefix(CONTROL) {
        let mut write = write;
        if let Some(request) = Control::parse(words) {
            let answer = control::answer(&gateway, &request).await;
            let _ = write.write_all(answer.as_bytes()).await;
        }
        return;
    }
    let Some((door, scope)) = parse_preface(preface) else { return };
    gateway.serve_lines(Verified::process_owner(), scope, door, read, write).await;
}

/// What a request to the gateway itself begins with.
const CONTROL: &str = "bartizan/1 control ";

/// Asks the gateway that runs on this state folder, if one does; its answer is JSON.
pub async fn control(state_dir: &Path, request: &Control) -> Option<io::Result<String>> {
    let mut stream = UnixStream::connect(state_dir.join(SOCKET)).await.ok()?;
    let line = format!("{CONTROL}{}\n", request.words());
    let mut asking = async || {
        stream.write_all(line.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    Some(asking().await)
}

/// The first line: which door the command stands for, and whether it wants all servers or one.
fn parse_preface(line: &str) -> Option<(Door, Scope)> {
    let mut words = line.split(' ');
    let door = match (words.next()?, words.next()?) {
        ("bartizan/1", "stdio") => Door::Stdio,
        ("bartizan/1", "local") => Door::Local,
        _ => return None,
    };
    let scope = match words.next() {
        None => Scope::All,
        Some(name) => Scope::One(ServerName::new(name).ok()?),
    };
    words.next().is_none().then_some((door, scope))
}

/// Connects to the gateway that runs on this state folder, if one does.
pub async fn connect(state_dir: &Path, door: Door, scope: &Scope) -> Option<UnixStream> {
    let mut stream = UnixStream::connect(state_dir.join(SOCKET)).await.ok()?;
    let mut preface = format!("bartizan/1 {}", door.as_str());
    if let Scope::One(name) = scope {
        preface.push(' ');
        preface.push_str(name.as_str());
    }
    preface.push('\n');
    stream.write_all(preface.as_bytes()).await.ok()?;
    Some(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preface_names_a_door_and_at_most_one_server() {
        assert_eq!(parse_preface("bartizan/1 stdio"), Some((Door::Stdio, Scope::All)));
        let one = Scope::One(ServerName::new("demo").unwrap());
        assert_eq!(parse_preface("bartizan/1 local demo"), Some((Door::Local, one)));
        for wrong in
            ["", "bartizan/1", "bartizan/2 stdio", "bartizan/1 stdio A", "bartizan/1 stdio a b"]
        {
            assert_eq!(parse_preface(wrong), None, "{wrong}");
        }
    }
}
