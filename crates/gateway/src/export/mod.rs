//! The journal's records, carried to where others read them: each at least once, in order.
//!
//! One task for each destination follows the journal from a cursor on the disk and moves the cursor only when
//! the receiver has taken a batch. A receiver that is slow or away holds its own task up and nothing else:
//! what waits, waits in the journal's files.

mod deliver;
mod documents;
mod file;
mod http;
mod syslog;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use audit::{Cursor, Format, Journal, Start};
use tokio::task::JoinHandle;
use upstream::HttpClient;

use self::deliver::{Delivery, Sink};
use crate::{
    exchange::Exchange,
    secrets::Secrets,
    telemetry::{Encoding, Metrics},
};

/// One destination.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// Its name in the configuration, and its cursor's.
    pub name: String,
    /// The records' form.
    pub format: Format,
    /// Where they go.
    pub to: Destination,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    /// Lines are appended to a file.
    File(PathBuf),
    /// By HTTP.
    Http(Http),
    /// RFC 5424 over TCP.
    Syslog(Syslog),
}

/// A receiver that is spoken to by HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Its address; the receiver's own path is put behind it.
    pub url: String,
    /// Whose interface it has.
    pub receiver: Receiver,
    /// What shows who is sending.
    pub credential: Option<vault::Credential>,
    /// The same, got from a token endpoint or from the machine.
    pub exchange: Option<Box<Exchange>>,
    /// The authorities of its certificate, instead of the system's.
    pub ca: Option<PathBuf>,
    /// The named loosening: addresses that are not public are allowed.
    pub allow_private: bool,
}

/// Whose interface a receiver has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// Azure Monitor's Logs Ingestion, by a data collection rule and one of its streams.
    Azure {
        /// The rule's immutable id.
        rule: String,
        /// Such as `Custom-Bartizan_CL`.
        stream: String,
    },
    /// Elasticsearch's bulk interface.
    Elastic {
        /// The index or data stream.
        index: String,
    },
    /// OpenTelemetry's logs.
    Otlp(Encoding),
    /// Splunk's HTTP Event Collector.
    Splunk,
}

/// A receiver of syslog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The authorities of its certificate, instead of the system's.
    pub ca: Option<PathBuf>,
    /// The named loosening: addresses that are not public are allowed.
    pub allow_private: bool,
}

/// How long deliveries may go on when the gateway ends: what is left over goes out at the next start.
const GRACE: Duration = Duration::from_secs(5);

/// The destinations that are served now; none before the first time.
#[derive(Default)]
pub(crate) struct Exports(Mutex<Option<BTreeMap<String, Running>>>);

struct Running {
    export: Export,
    task: JoinHandle<()>,
    /// The last record that its receiver has.
    delivered: Arc<AtomicU64>,
}

impl Exports {
    /// Serves exactly these: what did not change goes on undisturbed. Cursors are in `folder`.
    pub(crate) fn serve(
        &self,
        exports: &[Export],
        journal: &Journal,
        client: &HttpClient,
        secrets: &Arc<Secrets>,
        metrics: &Metrics,
        folder: &Path,
    ) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = held.get_or_insert_default();
        running.retain(|_, served| {
            let kept = exports.contains(&served.export);
            if !kept {
                served.task.abort();
            }
            kept
        });
        for export in exports {
            if running.contains_key(&export.name) {
                continue;
            }
            match begin(export, journal, client, secrets, metrics, folder) {
                Ok(begun) => drop(running.insert(export.name.clone(), begun)),
                Err(fault) => tracing::error!(export = export.name, "nothing is exported: {fault}"),
            }
        }
    }

    /// How many of so many records each receiver does not have.
    pub(crate) fn lags(&self, committed: u64) -> Vec<(String, u64)> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lag = |(name, running): (&String, &Running)| {
            let delivered = running.delivered.load(Ordering::Relaxed);
            (name.clone(), committed.saturating_sub(delivered))
        };
        held.iter().flatten().map(lag).collect()
    }

    /// Whether this gateway exports at all.
    pub(crate) fn are_served(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Waits, for a while, until everything is delivered. The journal is closed when this is called.
    pub(crate) async fn finish(&self) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let deadline = tokio::time::Instant::now() + GRACE;
        for Running { mut task, .. } in running.into_iter().flat_map(BTreeMap::into_values) {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

fn begin(
    export: &Export,
    journal: &Journal,
    client: &HttpClient,
    secrets: &Arc<Secrets>,
    metrics: &Metrics,
    folder: &Path,
) -> Result<Running, String> {
    let sink = Sink::new(export, journal, client, secrets)?;
    std::fs::create_dir_all(folder).map_err(|fault| format!("{}: {fault}", folder.display()))?;
    let cursor = folder.join(format!("{}.cursor", export.name));
    let cursor = Cursor::open(&cursor, journal, Start::Beginning).map_err(|f| f.to_string())?;
    let refused = folder.join(format!("{}.refused.jsonl", export.name));
    let follower = journal.follow(cursor.next());
    let delivered = Arc::new(AtomicU64::new(cursor.next() - 1));
    let (name, meters) = (export.name.clone(), metrics.export(&export.name));
    let delivery = Delivery { name, sink, cursor, delivered: delivered.clone(), meters, refused };
    let task = tokio::spawn(delivery.run(follower));
    Ok(Running { export: export.clone(), task, delivered })
}
