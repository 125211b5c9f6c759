//! What the gateway tells the process that becomes the jail, and what that one answers.
//!
//! Both go over a Unix socket which is the jail's standard input until the server's own takes its
//! place: no inherited descriptor, no file, nothing on the command line.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Calls, LayerFault, Level, Limits, Network};

/// The longest message: certificates and an environment are far shorter.
const LONGEST: u64 = 64 << 20;
/// Descriptors that travel with one message; the kernel's own bound is 253.
const DESCRIPTORS: usize = 250;

/// Everything that the jail needs to know, resolved.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// Whose death ends it.
    pub parent: i32,
    pub name: String,
    /// As the profile has it.
    pub household: String,
    /// The file that is executed.
    pub program: PathBuf,
    /// With the program's own name in front.
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub cwd: Option<PathBuf>,
    pub level: Level,
    pub binds: Vec<Bind>,
    /// Symbolic links to make: where, and what they say.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Where a file stands in the jail, and its length; the contents follow one after another.
    pub files: Vec<(PathBuf, usize)>,
    /// How many of the descriptors that came with it are the profile's.
    pub descriptors: usize,
    pub network: Network,
    pub calls: Calls,
    pub limits: Limits,
}

/// Something of the machine that exists in the jail, at the same path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bind {
    /// Absolute, without links and `..`.
    pub path: PathBuf,
    pub access: Access,
}

/// What a server may do with a bound path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Access {
    /// Part of the operating system: read and execute.
    System,
    /// The server's program and its runtime: read and execute.
    Runtime,
    /// Named readable.
    Read,
    /// Named writable.
    Write,
}

/// The jail's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// A layer is missing, or the program can't be executed.
    Failed(LayerFault),
    /// All is in place; what follows is exec. The sockets travel with it, in the order of the request; then what
    /// the calls are watched by.
    Ready { tcp: usize, proxy: bool, dns: bool, watched: bool },
}

/// Sends a message in one frame, with descriptors and raw bytes behind it.
pub(crate) fn send<T: Serialize>(
    socket: &UnixStream,
    message: &T,
    raw: &[&[u8]],
    descriptors: &[RawFd],
) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let more: usize = raw.iter().map(|bytes| bytes.len()).sum();
    let mut head = [0u8; 16];
    head[..8].copy_from_slice(&(text.len() as u64).to_le_bytes());
    head[8..].copy_from_slice(&(more as u64).to_le_bytes());
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control = if descriptors.is_empty() { &rights[..0] } else { &rights[..] };
    // A frame's head is short enough to leave in one piece.
    let flags = MsgFlags::MSG_NOSIGNAL;
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&head)], control, flags, None)?;
    let mut stream = socket;
    stream.write_all(&text)?;
    raw.iter().try_for_each(|bytes| stream.write_all(bytes))
}

/// A message, what followed it, and its descriptors. `None` when the other side closed.
pub(crate) type Received<T> = Option<(T, Vec<u8>, Vec<OwnedFd>)>;

/// Receives one frame.
pub(crate) fn receive<T: DeserializeOwned>(socket: &UnixStream) -> io::Result<Received<T>> {
    let Some((head, descriptors)) = receive_head(socket)? else { return Ok(None) };
    let (text, more) = head.split_at(8);
    let length = |bytes: &[u8]| {
        let bytes = bytes.try_into().map_err(|_| io::ErrorKind::InvalidData)?;
        Some(u64::from_le_bytes(bytes))
            .filter(|length| *length <= LONGEST)
            .and_then(|length| usize::try_from(length).ok())
            .ok_or(io::ErrorKind::InvalidData)
    };
    let (mut text, mut more) = (vec![0; length(text)?], vec![0; length(more)?]);
    let mut stream = socket;
    stream.read_exact(&mut text)?;
    stream.read_exact(&mut more)?;
    Ok(Some((serde_json::from_slice(&text)?, more, descriptors)))
}

#[expect(unsafe_code, reason = "received descriptors are nobody's until they are owned")]
fn receive_head(socket: &UnixStream) -> io::Result<Option<([u8; 16], Vec<OwnedFd>)>> {
    let mut head = [0u8; 16];
    let mut control = nix::cmsg_space!([RawFd; DESCRIPTORS]);
    let mut descriptors = Vec::new();
    let count = {
        let mut parts = [IoSliceMut::new(&mut head)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_WAITALL;
        let got = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
        for message in got.cmsgs()? {
            if let ControlMessageOwned::ScmRights(received) = message {
                // SAFETY: the kernel has just made these descriptors for us; nobody else owns them.
                descriptors
                    .extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        got.bytes
    };
    match count {
        0 => Ok(None),
        16 => Ok(Some((head, descriptors))),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
