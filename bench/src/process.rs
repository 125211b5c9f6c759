//! Processes: started, watched through `/proc`, and ended.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::Context;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The unit of `/proc/PID/stat`: Linux reports 1/100 s to user space on every architecture we run on.
const TICK: Duration = Duration::from_millis(10);

/// CPU time spent so far, user and system.
///
/// # Errors
/// When the process is gone.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} is gone"))?;
    // The command may contain anything, so fields are counted behind its closing bracket.
    let mut fields = stat.rsplit_once(") ").context("/proc/PID/stat")?.1.split(' ').skip(11);
    let mut ticks =
        || fields.next().and_then(|field| field.parse::<u32>().ok()).context("/proc/PID/stat");
    Ok(TICK * (ticks()? + ticks()?))
}

/// Resident memory in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// Of that, its own: not the program's text, which the system can drop and read again.
    pub anonymous: u64,
    /// At its highest.
    pub peak: u64,
}

/// Resident memory of a process.
///
/// # Errors
/// When the process is gone.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).context("/proc/PID/status")?;
        Ok::<u64, anyhow::Error>(line.trim().trim_end_matches(" kB").parse()?)
    };
    Ok(Memory { resident: field("VmRSS:")?, anonymous: field("RssAnon:")?, peak: field("VmHWM:")? })
}

/// A child that ends with its owner.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// The URL it printed, or was said to serve.
    pub url: String,
    /// When it was spawned.
    pub since: Instant,
}

impl Running {
    /// Spawns and waits for a line `listening on URL` on standard output; standard error goes to a file.
    ///
    /// # Errors
    /// When no such line arrives in time, with the end of its standard error.
    pub fn announced(
        mut command: Command,
        errors: &Path,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let since = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(errors)?)
            .spawn()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        let output = child.stdout.take().context("no standard output")?;
        let (announce, announced) = mpsc::channel();
        std::thread::spawn(move || {
            // Reads to the end, so that a chatty program never blocks on its output.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("listening on ") {
                    let _ = announce.send(url.trim().to_owned());
                }
            }
        });
        let mut running = Self { child, url: String::new(), since };
        running.url = announced.recv_timeout(patience).map_err(|_| {
            running.end(Duration::ZERO);
            let said = fs::read_to_string(errors).unwrap_or_default();
            anyhow::anyhow!(
                "{:?} did not say where it listens: {}",
                command.get_program(),
                said.trim()
            )
        })?;
        Ok(running)
    }

    /// Spawns a program that serves a known URL.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn silent(mut command: Command, errors: &Path, url: &str) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(errors)?)
            .spawn()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        Ok(Self { child, url: url.to_owned(), since: Instant::now() })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `host:port` of its URL.
    #[must_use]
    pub fn authority(&self) -> String {
        let rest = self.url.split_once("://").map_or(&*self.url, |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default().to_owned()
    }

    /// Asks it to end and waits; kills it when it takes longer than `patience`. Whether it ended by itself.
    pub fn end(&mut self, patience: Duration) -> bool {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end(Duration::from_secs(5));
    }
}
