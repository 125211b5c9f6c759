//! Group commit: callers fill a batch, one thread writes it, syncs it, and wakes all who wait.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use tokio::sync::{oneshot, watch};

use crate::files::{self, End};
use crate::journal::{Options, Recorded};
use crate::ledger::Ledger;
use crate::payload::Payloads;
use crate::record::SCHEMA;
use crate::{AuditFault, Body, Kind, Record};

/// What may wait to be written, in bytes. Outcomes may use all of it, everything else half,
/// so that a call that was let in can be brought to its end.
const QUEUE_BYTES: usize = 16 << 20;
/// The same for sealed payloads.
const PAYLOAD_BYTES: usize = 64 << 20;
/// How much is read at most when the journal is opened after a crash, roughly.
const CHECKPOINT_BYTES: u64 = 1 << 20;
/// How long a record that nobody waits for may lie in memory.
const LAZY: Duration = Duration::from_millis(50);

type Waiter = oneshot::Sender<Result<Recorded, AuditFault>>;

/// What the callers and the thread share.
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    max_file_bytes: u64,
    watcher: OnceLock<Box<Watcher>>,
}

/// Who is told how long a write took.
type Watcher = dyn Fn(Duration) + Send + Sync;

struct State {
    batch: Batch,
    next: u64,
    /// Intents without an outcome; one for each call that is under way.
    open: BTreeSet<u64>,
    /// Length of the file that the batch's end goes to.
    file_bytes: u64,
    since_checkpoint: u64,
    writer: Writer,
    urgent: bool,
    /// Set once, and then for good.
    fault: Option<AuditFault>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// It writes, and looks again when it is done.
    Busy,
    /// It waits to be woken.
    Parked,
    /// It waits, at most for [`LAZY`].
    Waiting,
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Where new files begin: offset and first sequence number.
    cuts: Vec<(usize, u64)>,
    waiters: Vec<(u64, Waiter)>,
    /// Sealed payloads, with their records' numbers.
    payloads: Vec<(u64, Vec<u8>)>,
    payload_bytes: usize,
    /// The number of the last record; 0 when there is none.
    last: u64,
}

/// A record on its way, without its sequence number.
pub(crate) struct Line {
    kind: Kind,
    intent: Option<u64>,
    /// The members behind the sequence number, each with a comma before it.
    members: String,
    /// What is kept beside it.
    payload: Option<Vec<u8>>,
}

impl Line {
    /// A line of this kind; `intent` is the one that an outcome closes.
    pub(crate) fn new(kind: Kind, intent: Option<u64>, record: &Record<'_>) -> Line {
        let mut members = Line::head(kind);
        if let Some(intent) = intent {
            // Writing to a String can't fail.
            let _ = write!(members, ",\"intent\":{intent}");
        }
        record.write(&mut members);
        let payload = match record.body {
            Body::Sealed(sealed) => Some(sealed.to_vec()),
            Body::Nothing | Body::TooLarge => None,
        };
        Line { kind, intent, members, payload }
    }

    /// Time (RFC 3339, UTC, microseconds), kind and the schema's version.
    fn head(kind: Kind) -> String {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
        let mut head = String::with_capacity(640);
        head.push_str(",\"time\":\"");
        let _ = PRINTER.print_timestamp(&Timestamp::now(), &mut head);
        let _ = write!(head, "\",\"kind\":\"{}\",\"v\":{SCHEMA}", kind.as_str());
        head
    }
}

impl Queue {
    pub(crate) fn new(end: &End, options: &Options) -> Queue {
        let state = State {
            batch: Batch::default(),
            next: end.next,
            open: end.open.clone(),
            file_bytes: end.bytes,
            since_checkpoint: CHECKPOINT_BYTES,
            writer: Writer::Busy,
            urgent: false,
            fault: None,
        };
        Queue {
            state: Mutex::new(state),
            wake: Condvar::new(),
            max_file_bytes: options.max_file_bytes,
            watcher: OnceLock::new(),
        }
    }

    /// Takes a record and gives it its sequence number. With a waiter it is written at once.
    pub(crate) fn push(&self, line: Line, waiter: Option<Waiter>) -> Result<u64, AuditFault> {
        let mut state = self.lock();
        if let Some(fault) = &state.fault {
            return Err(fault.clone());
        }
        let share = if line.kind == Kind::Outcome { 1 } else { 2 };
        let payload = line.payload.as_ref().map_or(0, Vec::len);
        let full = state.batch.bytes.len() + line.members.len() > QUEUE_BYTES / share;
        if full || state.batch.payload_bytes + payload > PAYLOAD_BYTES / share {
            return Err(AuditFault::Overloaded);
        }
        state.make_way(self.max_file_bytes);
        let seq = state.append(&line.members);
        state.batch.payload_bytes += payload;
        state.batch.payloads.extend(line.payload.map(|sealed| (seq, sealed)));
        match (line.kind, line.intent) {
            (Kind::Intent, _) => drop(state.open.insert(seq)),
            (Kind::Outcome, Some(intent)) => drop(state.open.remove(&intent)),
            _ => {}
        }
        state.urgent |= waiter.is_some();
        state.batch.waiters.extend(waiter.map(|waiter| (seq, waiter)));
        let wake = match state.writer {
            Writer::Busy => false,
            Writer::Parked => true,
            Writer::Waiting => state.urgent,
        };
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(seq)
    }

    /// Takes nothing more; the thread ends when it has written what is there.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        if state.fault.is_none() {
            state.checkpoint();
            state.fault = Some(AuditFault::Closed);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// The number of the last record that was taken.
    pub(crate) fn last(&self) -> u64 {
        self.lock().next - 1
    }

    pub(crate) fn watch(&self, watcher: Box<Watcher>) {
        let _ = self.watcher.set(watcher);
    }

    pub(crate) fn fault(&self) -> Option<AuditFault> {
        self.lock().fault.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to write, and puts an empty batch in its place. The flag says
    /// that it is the last. When a checkpoint is due, the batch may be empty.
    fn take(&self, spare: Batch, due: Option<Instant>) -> (Batch, bool) {
        let mut state = self.lock();
        let mut idle = false;
        while !state.urgent && state.fault.is_none() {
            if idle && state.batch.bytes.is_empty() {
                state.writer = Writer::Parked;
                state = match due.map(|due| due.saturating_duration_since(Instant::now())) {
                    None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                    Some(Duration::ZERO) => break,
                    Some(left) => {
                        let waited = self.wake.wait_timeout(state, left);
                        waited.unwrap_or_else(PoisonError::into_inner).0
                    }
                };
                idle = false;
                continue;
            }
            // Not parked yet: while calls come, an intent need not wake the thread.
            state.writer = Writer::Waiting;
            let (back, waited) =
                self.wake.wait_timeout(state, LAZY).unwrap_or_else(PoisonError::into_inner);
            state = back;
            if waited.timed_out() {
                if !state.batch.bytes.is_empty() {
                    break;
                }
                idle = true;
            }
        }
        state.writer = Writer::Busy;
        state.urgent = false;
        let batch = std::mem::replace(&mut state.batch, spare);
        (batch, state.fault.is_some())
    }

    /// Nothing can be written any more: all who wait learn it, and all who come.
    fn fail(&self, fault: &AuditFault) {
        let mut state = self.lock();
        state.fault = Some(fault.clone());
        let waiters = std::mem::take(&mut state.batch.waiters);
        state.batch = Batch::default();
        drop(state);
        settle(waiters, Some(fault));
    }
}

impl State {
    /// Begins a new file when this one is full; a checkpoint stands at the head of each.
    fn make_way(&mut self, max_file_bytes: u64) {
        if self.file_bytes >= max_file_bytes {
            self.batch.cuts.push((self.batch.bytes.len(), self.next));
            self.file_bytes = 0;
            self.checkpoint();
        } else if self.since_checkpoint >= CHECKPOINT_BYTES {
            self.checkpoint();
        }
    }

    fn checkpoint(&mut self) {
        let mut members = Line::head(Kind::Checkpoint);
        members.push_str(",\"open\":[");
        for (at, seq) in self.open.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(members, "{comma}{seq}");
        }
        members.push(']');
        self.append(&members);
        self.since_checkpoint = 0;
    }

    fn append(&mut self, members: &str) -> u64 {
        let seq = self.next;
        self.next += 1;
        self.batch.last = seq;
        let bytes = &mut self.batch.bytes;
        let before = bytes.len();
        // Writing to a Vec can't fail.
        let _ = write!(bytes, "{{\"seq\":{seq}");
        bytes.extend_from_slice(members.as_bytes());
        bytes.extend_from_slice(b"}\n");
        let grown = (bytes.len() - before) as u64;
        self.file_bytes += grown;
        self.since_checkpoint += grown;
        seq
    }
}

/// The thread's own.
pub(crate) struct Disk {
    pub(crate) dir: PathBuf,
    pub(crate) file: File,
    pub(crate) ledger: Ledger,
    pub(crate) payloads: Payloads,
    pub(crate) fsync: bool,
    /// Tells those who follow the number of the last durable record.
    pub(crate) committed: watch::Sender<u64>,
    /// The same of the last signed one.
    pub(crate) signed: watch::Sender<u64>,
    /// Held as long as this writes.
    pub(crate) _lock: File,
}

impl Disk {
    /// Writes batches until the queue is closed or the disk fails.
    pub(crate) fn run(mut self, queue: &Arc<Queue>) {
        let mut spare = Batch::default();
        loop {
            let (mut batch, last) = queue.take(spare, self.ledger.due());
            let began = Instant::now();
            let written = self.commit(&batch).map_err(files::at(&self.dir));
            if let Some(watcher) = queue.watcher.get().filter(|_| batch.last > 0) {
                watcher(began.elapsed());
            }
            if let Err(fault) = &written {
                settle(std::mem::take(&mut batch.waiters), Some(fault));
                return queue.fail(fault);
            }
            // First those who follow: whoever is told that a record is durable finds it committed.
            if batch.last > 0 {
                self.committed.send_replace(batch.last);
            }
            settle(std::mem::take(&mut batch.waiters), None);
            // Replies don't wait for this: the journal is what the tree is made of.
            if let Err(error) = self.extend_tree(&batch, last) {
                return queue.fail(&files::at(&self.dir)(error));
            }
            if last {
                return;
            }
            batch.bytes.clear();
            batch.bytes.shrink_to(1 << 20);
            batch.cuts.clear();
            batch.payloads.clear();
            batch.payload_bytes = 0;
            batch.last = 0;
            spare = batch;
        }
    }

    fn commit(&mut self, batch: &Batch) -> io::Result<()> {
        // Before the records that have their digests.
        self.payloads.write(&batch.payloads, self.fsync)?;
        let mut from = 0;
        for &(at, first) in &batch.cuts {
            self.write(&batch.bytes[from..at])?;
            if !self.fsync {
                self.file.sync_data()?;
            }
            self.file = files::create(&self.dir, first)?;
            from = at;
        }
        self.write(&batch.bytes[from..])
    }

    /// Adds the batch to the tree, and signs it when it is time: at the end, after a change
    /// of files, and when the interval is over.
    fn extend_tree(&mut self, batch: &Batch, last: bool) -> io::Result<()> {
        self.ledger.append(&batch.bytes)?;
        let due = self.ledger.due().is_some_and(|due| due <= Instant::now());
        if !(last || due || !batch.cuts.is_empty()) {
            return Ok(());
        }
        // Nothing is signed that a power loss could take back.
        if !self.fsync {
            self.file.sync_data()?;
        }
        self.ledger.checkpoint()?;
        self.signed.send_replace(self.ledger.signed());
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.file.write_all(bytes)?;
        if self.fsync { self.file.sync_data() } else { Ok(()) }
    }
}

fn settle(waiters: Vec<(u64, Waiter)>, fault: Option<&AuditFault>) {
    for (seq, waiter) in waiters {
        // Whoever no longer waits need not know.
        let _ = waiter.send(match fault {
            None => Ok(Recorded::new(seq)),
            Some(fault) => Err(fault.clone()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue that nobody empties.
    fn queue(dir: &std::path::Path) -> Queue {
        Queue::new(&files::end(dir, 0).unwrap(), &Options::default())
    }

    #[test]
    fn what_waits_is_bounded_and_outcomes_have_room_left() {
        let dir = tempfile::tempdir().unwrap();
        let queue = queue(dir.path());
        let text = "x".repeat(1 << 10);
        let record = Record { detail: &text, ..Record::default() };
        let push = |kind, intent| queue.push(Line::new(kind, intent, &record), None);
        let first = push(Kind::Intent, None).unwrap();
        let intents = 1 + std::iter::from_fn(|| push(Kind::Intent, None).ok()).count();
        assert!(matches!(push(Kind::Intent, None), Err(AuditFault::Overloaded)));
        assert!(matches!(push(Kind::Refusal, None), Err(AuditFault::Overloaded)));
        for intent in (first..).take(intents / 2) {
            push(Kind::Outcome, Some(intent)).unwrap();
        }
        while push(Kind::Outcome, None).is_ok() {}
        assert!(queue.lock().batch.bytes.len() <= QUEUE_BYTES + (1 << 20));
    }

    #[test]
    fn checkpoints_come_often_and_name_what_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let queue = queue(dir.path());
        let text = "x".repeat(1 << 10);
        let record = Record { detail: &text, ..Record::default() };
        let open = queue.push(Line::new(Kind::Intent, None, &record), None).unwrap();
        for _ in 0..4000 {
            queue.push(Line::new(Kind::Refusal, None, &record), None).unwrap();
        }
        let state = queue.lock();
        let text = std::str::from_utf8(&state.batch.bytes).unwrap();
        let checkpoints: Vec<_> =
            text.lines().filter(|line| line.contains("\"kind\":\"checkpoint\"")).collect();
        assert_eq!(checkpoints.len(), 5);
        assert!(checkpoints[0].ends_with("\"open\":[]}"));
        assert!(
            checkpoints[1..].iter().all(|line| line.ends_with(&format!("\"open\":[{open}]}}")))
        );
    }
}
