//! The one thread that starts processes.
//!
//! Linux sends the parent-death signal when the *thread* that forked ends, not the process: a server
//! started from a pool thread would die with that thread. This one never ends.

use std::io;
use std::sync::mpsc;
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;

struct Job {
    command: Command,
    runtime: Handle,
    done: mpsc::SyncSender<io::Result<Child>>,
}

static LAUNCHER: OnceLock<Option<Mutex<mpsc::Sender<Job>>>> = OnceLock::new();

fn launcher() -> Option<mpsc::Sender<Job>> {
    let start = || {
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || {
            while let Ok(mut job) = queue.recv() {
                // The child's pipes belong to the runtime of whoever asked.
                let _inside = job.runtime.enter();
                let _ = job.done.send(job.command.spawn());
            }
        };
        let thread = std::thread::Builder::new().name("launcher".into()).spawn(work);
        thread.is_ok().then(|| Mutex::new(jobs))
    };
    let jobs = LAUNCHER.get_or_init(start).as_ref()?;
    Some(jobs.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Starts a command on the launcher thread; waits for the fork and exec (about a millisecond).
pub(crate) fn launch(command: Command) -> io::Result<Child> {
    let lost = || io::Error::other("the launcher thread is not there");
    let runtime = Handle::try_current().map_err(io::Error::other)?;
    let (done, child) = mpsc::sync_channel(1);
    launcher().ok_or_else(lost)?.send(Job { command, runtime, done }).map_err(|_| lost())?;
    child.recv().map_err(|_| lost())?
}
