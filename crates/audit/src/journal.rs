//! The journal: intents, outcomes, and everything else that is recorded.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::files;
use crate::follow::Follower;
use crate::ledger::Ledger;
use crate::payload::Payloads;
use crate::personal::{Sealed, Subjects};
use crate::read::{Entries, Entry};
use crate::writer::{Disk, Line, Queue};
use crate::{AuditFault, Kind, Outcome, Record};

/// How a journal is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether a record counts as durable only after `fdatasync`.
    pub fsync: bool,
    /// Whether an intent must be durable before the call is sent. Otherwise it is in the file
    /// within 50 ms, and in any case before the call's outcome.
    pub strict: bool,
    /// A file that has reached this size is followed by a new one.
    pub max_file_bytes: u64,
    /// How long a record may be without a signed checkpoint over it.
    pub checkpoint_every: Duration,
    /// Whether what names people is sealed, with a key for each of them.
    pub sealed: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            fsync: true,
            strict: false,
            max_file_bytes: 64 << 20,
            checkpoint_every: Duration::from_secs(10),
            sealed: false,
        }
    }
}

/// An open journal. Cheap to clone; closed when the last clone goes.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    queue: Arc<Queue>,
    strict: bool,
    subjects: Option<Subjects>,
    /// Under which configuration records are made.
    policy: RwLock<Box<str>>,
    dir: PathBuf,
    origin: String,
    /// The number of the last durable record; its sender is the thread's.
    committed: watch::Receiver<u64>,
    /// The number of the last signed record; likewise.
    signed: watch::Receiver<u64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens or makes the journal in `dir`: cuts a torn last line, goes on with the sequence
    /// number, and closes intents without outcome as `unknown`. A journal that is not what its
    /// checkpoint says is left as it is.
    pub fn open(dir: &Path, options: Options) -> Result<Journal, AuditFault> {
        let lock = files::lock(dir)?;
        let mut ledger = Ledger::open(dir, options.checkpoint_every)?;
        let end = files::end(dir, ledger.signed())?;
        end.file.sync_all().map_err(files::at(dir))?;
        ledger.recover()?;
        let queue = Arc::new(Queue::new(&end, &options));
        let subjects = options.sealed.then(|| Subjects::open(dir)).transpose()?;
        let origin = ledger.origin().to_owned();
        let (committed, following) = watch::channel(end.next - 1);
        let (signing, signed) = watch::channel(ledger.signed());
        let disk = Disk {
            dir: dir.into(),
            file: end.file,
            ledger,
            payloads: Payloads::open(dir, end.next)?,
            fsync: options.fsync,
            committed,
            signed: signing,
            _lock: lock,
        };
        let shared = queue.clone();
        let thread = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || disk.run(&shared))
            .map_err(files::at(dir))?;
        let inner = Inner {
            queue,
            strict: options.strict,
            subjects,
            policy: RwLock::default(),
            dir: dir.into(),
            origin,
            committed: following,
            signed,
            thread: Mutex::new(Some(thread)),
        };
        let journal = Journal(Arc::new(inner));
        if end.cut > 0 {
            let detail = format!("cut {} bytes of an unfinished write", end.cut);
            journal.push(
                Kind::System,
                None,
                &Record { detail: &detail, ..Record::default() },
                None,
            )?;
        }
        for intent in end.open {
            journal.unknown(intent, "the gateway stopped before an answer came")?;
        }
        Ok(journal)
    }

    /// Records that a call is about to be sent; `record.kind` is set here.
    pub fn intent(
        &self,
        record: &Record<'_>,
    ) -> impl Future<Output = Result<Intended, AuditFault>> + Send + 'static + use<> {
        let (waiter, durable) = match self.0.strict {
            true => Some(oneshot::channel()).unzip(),
            false => (None, None),
        };
        // Made before anything is awaited: whoever drops the future leaves an outcome behind.
        let intended = self.push(Kind::Intent, None, record, waiter);
        let intended = intended.map(|seq| Intended { seq, journal: Some(self.clone()) });
        async move {
            let intended = intended?;
            if let Some(durable) = durable {
                durable.await.unwrap_or(Err(AuditFault::Closed))?;
            }
            Ok(intended)
        }
    }

    /// Records what came of a call; `record.kind` is set here.
    pub fn outcome(&self, mut intended: Intended, record: &Record<'_>) -> Append {
        intended.journal = None;
        self.awaited(Kind::Outcome, Some(intended.seq), record)
    }

    /// Records anything else: a refusal, a failed authentication, a start, a change. Intents,
    /// outcomes and checkpoints come about in other ways: as such a kind, the record is
    /// written as [`Kind::System`].
    pub fn append(&self, record: &Record<'_>) -> Append {
        let kind = match record.kind {
            Kind::Checkpoint | Kind::Intent | Kind::Outcome => Kind::System,
            kind => kind,
        };
        self.awaited(kind, None, record)
    }

    /// Records are made under this configuration from now on; what is recorded without saying under which gets
    /// it as its `policy`. Outcomes don't: their intents have it.
    pub fn under(&self, policy: &str) {
        *self.0.policy.write().unwrap_or_else(PoisonError::into_inner) = policy.into();
    }

    /// Why nothing more can be recorded, if that is so: what a health check shows.
    pub fn fault(&self) -> Option<AuditFault> {
        self.0.queue.fault()
    }

    /// Writes what waits and closes the file. Further records fail. Blocks until it is done.
    pub fn close(&self) -> Result<(), AuditFault> {
        self.0.close();
        match self.fault() {
            None | Some(AuditFault::Closed) => Ok(()),
            Some(fault) => Err(fault),
        }
    }

    /// The log's name, which is its key's: with a sequence number it names a record for good.
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// The number of the last durable record.
    pub fn committed(&self) -> u64 {
        *self.0.committed.borrow()
    }

    /// How many records wait to be durable.
    pub fn waiting(&self) -> u64 {
        self.0.queue.last().saturating_sub(self.committed())
    }

    /// Tells how long each group of records took to be durable; the first who asks is told.
    pub fn watch_commits(&self, watcher: impl Fn(Duration) + Send + Sync + 'static) {
        self.0.queue.watch(Box::new(watcher));
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Waits until a record is under a signed checkpoint.
    pub async fn signed(&self, seq: u64) -> Result<(), AuditFault> {
        let mut signed = self.0.signed.clone();
        signed.wait_for(|size| *size >= seq).await.map(drop).map_err(|_| AuditFault::Closed)
    }

    /// Looks whose key was destroyed since the last look, and records it; how many they are.
    pub async fn notice_forgotten(&self) -> Result<usize, AuditFault> {
        let gone = self.0.subjects.as_ref().map(Subjects::refresh).unwrap_or_default();
        for word in &gone {
            let detail = format!("the key of {word} was destroyed: who that was is forgotten");
            self.append(&Record { detail: &detail, ..Record::default() }).await?;
        }
        Ok(gone.len())
    }

    /// Follows the journal from the record with this number on.
    pub fn follow(&self, from: u64) -> Follower {
        Follower::new(self.0.dir.clone(), self.0.committed.clone(), from)
    }

    /// The records of the journal in `dir`, oldest first; it may be open elsewhere.
    pub fn read(dir: &Path) -> Result<Entries, AuditFault> {
        Entries::open(dir)
    }

    /// The last `count` records of the journal in `dir`, oldest first.
    pub fn last(dir: &Path, count: usize) -> Result<Vec<Entry>, AuditFault> {
        Entries::last(dir, count)
    }

    fn awaited(&self, kind: Kind, intent: Option<u64>, record: &Record<'_>) -> Append {
        let (waiter, durable) = oneshot::channel();
        Append(self.push(kind, intent, record, Some(waiter)).map(|_| durable).map_err(Some))
    }

    fn push(
        &self,
        kind: Kind,
        intent: Option<u64>,
        record: &Record<'_>,
        waiter: Option<oneshot::Sender<Result<Recorded, AuditFault>>>,
    ) -> Result<u64, AuditFault> {
        let policy = self.0.policy.read().unwrap_or_else(PoisonError::into_inner);
        let own = record.policy.is_empty() && kind != Kind::Outcome;
        let record = &Record { policy: if own { &policy } else { record.policy }, ..*record };
        let sealed = self.0.subjects.as_ref().map(|subjects| subjects.seal(record)).transpose()?;
        let line = match sealed.flatten() {
            None => Line::new(kind, intent, record),
            Some(Sealed { word, text }) => {
                let (tenant, agent, client, detail) = ("", "", "", "");
                let principal = &*word;
                let open = Record { principal, tenant, agent, client, detail, ..*record };
                let record = Record { address: None, sealed: &text, ..open };
                Line::new(kind, intent, &record)
            }
        };
        self.0.queue.push(line, waiter)
    }

    fn unknown(&self, intent: u64, detail: &str) -> Result<u64, AuditFault> {
        let record = Record { outcome: Some(Outcome::Unknown), detail, ..Record::default() };
        self.push(Kind::Outcome, Some(intent), &record, None)
    }
}

impl Inner {
    fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It ends with a fault, never with a panic; if it did, there would be nothing to write.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journal")
    }
}

/// Proof that a record is durable: only the journal makes it.
#[derive(Debug)]
pub struct Recorded {
    seq: u64,
}

impl Recorded {
    pub(crate) fn new(seq: u64) -> Recorded {
        Recorded { seq }
    }

    /// The record's place in the journal.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

/// Proof that the intent of a call is recorded (durably, when the journal is strict). Its
/// outcome must follow; dropped without one, the call is recorded as `unknown`.
#[derive(Debug)]
#[must_use = "dropped without an outcome, the call is recorded as unknown"]
pub struct Intended {
    seq: u64,
    /// Taken when the outcome is recorded.
    journal: Option<Journal>,
}

impl Intended {
    /// The intent's place in the journal.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

impl Drop for Intended {
    fn drop(&mut self) {
        if let Some(journal) = self.journal.take() {
            // If that fails, the intent stays open, and the next opening closes it.
            let _ = journal.unknown(self.seq, "the caller left before an answer came");
        }
    }
}

/// Resolves when the record is durable. The record is written even when this is dropped.
#[must_use = "a reply may be released only after its record is durable"]
pub struct Append(Result<oneshot::Receiver<Result<Recorded, AuditFault>>, Option<AuditFault>>);

impl Future for Append {
    type Output = Result<Recorded, AuditFault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(durable) => {
                Poll::Ready(ready!(Pin::new(durable).poll(cx)).unwrap_or(Err(AuditFault::Closed)))
            }
            Err(fault) => Poll::Ready(Err(fault.take().unwrap_or(AuditFault::Closed))),
        }
    }
}
