//! A child process: its pipes, its end, and its reaping.
//!
//! Four tasks a process: one reads stdout, one writes stdin, one drains stderr, and the keeper waits
//! for the end and always reaps. None of them owns the session, so a dropped session ends its process.

use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcp::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::call::lock;
use crate::lines::{Lines, LinesEnd};
use crate::session::Session;
use crate::stderr::{self, Tail};
use crate::{Launched, LinkFault};

/// How long each step of the shutdown may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the exit status may come after the end of stdout.
const STATUS: Duration = Duration::from_millis(500);
/// Messages that may wait for a child that does not read.
const QUEUE: usize = 512;

/// How a process ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub lived: Duration,
    /// Whether this link asked for it.
    pub asked: bool,
}

/// The link's hold on a child process. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Pipe {
    pid: Option<u32>,
    queue: mpsc::Sender<Bytes>,
    queued: Arc<AtomicUsize>,
    limit: usize,
    stop: Arc<Notify>,
    started: Instant,
    ended: watch::Receiver<Option<Ended>>,
}

/// The process's side: run once the session that it feeds exists.
pub(crate) struct Feed {
    name: ServerName,
    child: Child,
    kept: Option<Box<dyn Send + Sync>>,
    stdin: ChildStdin,
    stdout: ChildStdout,
    messages: mpsc::Receiver<Bytes>,
    queued: Arc<AtomicUsize>,
    limit: usize,
    stop: Arc<Notify>,
    ended: watch::Sender<Option<Ended>>,
    tail: Arc<Tail>,
}

impl Pipe {
    /// Takes over a fresh child. `limit`: the longest line.
    pub fn new(
        name: ServerName,
        launched: Launched,
        limit: usize,
        tail: Arc<Tail>,
    ) -> Result<(Pipe, Feed), LinkFault> {
        let Launched { mut child, kept, .. } = launched;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(LinkFault::Start("stdin and stdout are not piped".into()));
        };
        let (queue, messages) = mpsc::channel(QUEUE);
        let (tell, ended) = watch::channel(None);
        let queued = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(Notify::new());
        let started = Instant::now();
        let (pid, queued_here, stop_here) = (child.id(), queued.clone(), stop.clone());
        let pipe = Pipe { pid, queue, queued: queued_here, limit, stop: stop_here, started, ended };
        let feed = Feed {
            name,
            child,
            kept,
            stdin,
            stdout,
            messages,
            queued,
            limit,
            stop,
            ended: tell,
            tail,
        };
        Ok((pipe, feed))
    }

    /// Queues one message. Never waits: a child that does not read fails its own callers with `Full`.
    pub fn write(&self, message: Bytes) -> Result<(), LinkFault> {
        let length = message.len();
        let room = self.limit.saturating_mul(2);
        if self.queued.fetch_add(length, Ordering::Relaxed) + length > room.max(length) {
            self.queued.fetch_sub(length, Ordering::Relaxed);
            return Err(LinkFault::Full);
        }
        self.queue.try_send(message).map_err(|refused| {
            self.queued.fetch_sub(length, Ordering::Relaxed);
            match refused {
                mpsc::error::TrySendError::Full(_) => LinkFault::Full,
                mpsc::error::TrySendError::Closed(_) => {
                    LinkFault::Lost("the process has ended".into())
                }
            }
        })
    }

    /// Its id.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }

    /// How long it has lived, and whether this link ended it.
    pub fn life(&self) -> (Duration, bool) {
        self.ended().map_or((self.started.elapsed(), false), |ended| (ended.lived, ended.asked))
    }

    /// Begins the shutdown.
    pub fn stop(&self) {
        self.stop.notify_one();
    }

    /// Waits until the process is gone and reaped.
    pub fn gone(&self) -> impl Future<Output = ()> + use<> {
        let mut ended = self.ended.clone();
        async move {
            let _ = ended.wait_for(Option::is_some).await;
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

impl Feed {
    /// Starts the four tasks.
    pub fn run(mut self, session: Weak<Session>) {
        if let Some(from) = self.child.stderr.take() {
            let (name, tail) = (self.name.clone(), self.tail.clone());
            tokio::spawn(async move { stderr::drain(name, from, &tail).await });
        }
        let why = Arc::new(Mutex::new(None));
        let reader = tokio::spawn(read(self.stdout, self.limit, session.clone(), why.clone()));
        let writer = tokio::spawn(write(self.stdin, self.messages, self.queued));
        let keeper = Keeper {
            name: self.name,
            group: self.child.id(),
            child: self.child,
            _kept: self.kept,
            writer,
            started: Instant::now(),
        };
        tokio::spawn(keeper.run(reader, why, self.stop, self.ended, session));
    }
}

async fn read(
    stdout: ChildStdout,
    limit: usize,
    session: Weak<Session>,
    why: Arc<Mutex<Option<LinesEnd>>>,
) {
    let mut lines = Lines::new(stdout, limit);
    loop {
        match lines.next().await {
            Ok(line) => match session.upgrade() {
                Some(session) => session.receive(line),
                None => return,
            },
            Err(end) => {
                *lock(&why) = Some(end);
                return;
            }
        }
    }
}

/// Writes what is queued; many small messages go out in one system call.
async fn write(
    mut stdin: ChildStdin,
    mut messages: mpsc::Receiver<Bytes>,
    queued: Arc<AtomicUsize>,
) {
    let mut batch = Vec::with_capacity(16);
    let mut buffer = Vec::new();
    while messages.recv_many(&mut batch, 16).await > 0 {
        buffer.clear();
        for message in batch.drain(..) {
            queued.fetch_sub(message.len(), Ordering::Relaxed);
            push_line(&mut buffer, &message);
        }
        if stdin.write_all(&buffer).await.is_err() {
            return;
        }
        if buffer.capacity() > 1 << 20 {
            buffer = Vec::new();
        }
    }
}

/// Strictly read JSON holds line feeds only between tokens: as spaces they mean the same.
fn push_line(buffer: &mut Vec<u8>, message: &[u8]) {
    let start = buffer.len();
    buffer.extend_from_slice(message);
    for at in memchr::memchr2_iter(b'\n', b'\r', message) {
        buffer[start + at] = b' ';
    }
    buffer.push(b'\n');
}

/// Waits for the end of a process, and brings it about.
struct Keeper {
    name: ServerName,
    child: Child,
    /// Dropped with the process.
    _kept: Option<Box<dyn Send + Sync>>,
    group: Option<u32>,
    writer: JoinHandle<()>,
    started: Instant,
}

impl Keeper {
    async fn run(
        mut self,
        mut reader: JoinHandle<()>,
        why: Arc<Mutex<Option<LinesEnd>>>,
        stop: Arc<Notify>,
        ended: watch::Sender<Option<Ended>>,
        session: Weak<Session>,
    ) {
        let mut asked = false;
        let reason = tokio::select! {
            status = self.child.wait() => {
                self.signal_leftovers();
                // What it wrote before it went may still be in the pipe.
                let _ = timeout(PATIENCE, &mut reader).await;
                died(status)
            }
            () = stop.notified() => {
                asked = true;
                "the process was stopped".to_owned()
            }
            _ = &mut reader => match take(&why) {
                Some(LinesEnd::TooLong) => {
                    let _ = self.child.start_kill(); // no patience: it would go on writing
                    "it wrote a line longer than the limit".to_owned()
                }
                Some(LinesEnd::Io(error)) => format!("its stdout failed: {error}"),
                Some(LinesEnd::Closed) => {
                    // Most often because it ended: then its status says more.
                    let ending = timeout(STATUS, self.child.wait()).await;
                    ending.map_or_else(|_| "it closed its stdout".to_owned(), died)
                }
                // The reader found its session gone.
                None => {
                    asked = true;
                    "the process was stopped".to_owned()
                }
            },
        };
        // First the callers: they need not wait for the shutdown.
        if let Some(session) = session.upgrade() {
            session.close(&LinkFault::Lost(reason.clone()));
        }
        self.end().await;
        reader.abort();
        let lived = self.started.elapsed();
        if asked {
            tracing::debug!(server = %self.name, ?lived, "process stopped");
        } else {
            tracing::warn!(server = %self.name, ?lived, %reason, "process ended");
        }
        ended.send_replace(Some(Ended { lived, asked }));
    }

    /// Close stdin, wait, TERM to the group, wait, KILL to the group; reaped in every case.
    async fn end(&mut self) {
        self.writer.abort();
        let _ = (&mut self.writer).await; // its stdin is dropped with it
        if timeout(PATIENCE, self.child.wait()).await.is_err() {
            self.signal(Signal::Terminate);
            let _ = timeout(PATIENCE, self.child.wait()).await;
        }
        self.signal_leftovers();
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }

    /// Kills what is left of the group. When its leader was reaped, the group's number can only be
    /// taken again once the group is empty, so this hits no stranger as long as members live.
    fn signal_leftovers(&mut self) {
        self.signal(Signal::Kill);
        self.group = None;
    }

    #[cfg(unix)]
    fn signal(&self, signal: Signal) {
        use nix::sys::signal as unix;
        let signal = match signal {
            Signal::Kill => unix::Signal::SIGKILL,
            Signal::Terminate => unix::Signal::SIGTERM,
        };
        if let Some(group) = self.group.and_then(|pid| i32::try_from(pid).ok()) {
            let _ = unix::killpg(nix::unistd::Pid::from_raw(group), signal);
        }
    }

    #[cfg(not(unix))]
    fn signal(&self, _: Signal) {}
}

fn take(why: &Mutex<Option<LinesEnd>>) -> Option<LinesEnd> {
    lock(why).take()
}

#[derive(Clone, Copy)]
enum Signal {
    Kill,
    Terminate,
}

fn died(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("the process ended ({status})"),
        Err(error) => format!("the process can't be waited for: {error}"),
    }
}
