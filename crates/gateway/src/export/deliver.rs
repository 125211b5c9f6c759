//! The way of one destination: batch after batch, each until it is taken.

use std::{
    io::Write,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use audit::{Cursor, Followed, Follower, Journal};
use upstream::HttpClient;

use super::{Destination, Export, file::FileSink, http::HttpSink, syslog::SyslogSink};
use crate::{secrets::Secrets, telemetry::ExportMeters};

/// The longest batch.
const MOST: usize = 1000;
/// The first pause after a failure; it doubles up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause that a receiver may ask for.
const LONGEST: Duration = Duration::from_secs(3600);

/// What a receiver said to a batch.
pub(super) enum Verdict {
    /// Not now.
    Later {
        /// When it is worth trying again, where the receiver says so.
        after: Option<Duration>,
        /// For the log.
        why: String,
    },
    /// It has the batch, but those that it will never take: their numbers, and why.
    Taken(Vec<(u64, String)>),
    /// A smaller batch may pass.
    TooLarge,
}

impl Verdict {
    pub(super) fn later(why: impl ToString) -> Verdict {
        Verdict::Later { after: None, why: why.to_string() }
    }
}

pub(super) enum Sink {
    File(FileSink),
    Http(Box<HttpSink>),
    Syslog(SyslogSink),
}

impl Sink {
    pub(super) fn new(
        export: &Export,
        journal: &Journal,
        client: &HttpClient,
        secrets: &Arc<Secrets>,
    ) -> Result<Sink, String> {
        let (format, origin) = (export.format, journal.origin().to_owned());
        Ok(match &export.to {
            Destination::File(path) => Sink::File(FileSink::new(path.clone(), format, origin)),
            Destination::Http(http) => {
                let name = &export.name;
                Sink::Http(Box::new(HttpSink::new(name, http, format, journal, client, secrets)?))
            }
            Destination::Syslog(syslog) => {
                Sink::Syslog(SyslogSink::new(syslog.clone(), format, origin)?)
            }
        })
    }

    async fn send(&mut self, records: &[Followed]) -> Verdict {
        match self {
            Sink::File(file) => file.send(records).await,
            Sink::Http(http) => http.send(records).await,
            Sink::Syslog(syslog) => syslog.send(records).await,
        }
    }
}

pub(super) struct Delivery {
    pub(super) name: String,
    pub(super) sink: Sink,
    pub(super) cursor: Cursor,
    /// The last record that the receiver has, for others to look at.
    pub(super) delivered: Arc<AtomicU64>,
    pub(super) meters: ExportMeters,
    /// Where records go that the receiver will never take.
    pub(super) refused: PathBuf,
}

impl Delivery {
    /// Until the journal is closed and everything is delivered.
    pub(super) async fn run(mut self, mut follower: Follower) {
        loop {
            match follower.next().await {
                Ok(Some(records)) => self.deliver(&records).await,
                Ok(None) => return,
                Err(fault) => {
                    tracing::error!(export = self.name, %fault, "the journal can't be followed");
                    tokio::time::sleep(LAST_PAUSE).await;
                }
            }
        }
    }

    async fn deliver(&mut self, mut records: &[Followed]) {
        let (mut size, mut failures) = (MOST, 0);
        while !records.is_empty() {
            let batch = &records[..size.min(records.len())];
            match self.sink.send(batch).await {
                Verdict::Taken(refused) => {
                    if failures > 0 {
                        tracing::info!(export = self.name, "records are taken again");
                    }
                    self.advance(batch, &refused).await;
                    records = &records[batch.len()..];
                    (size, failures) = ((size * 2).min(MOST), 0);
                }
                Verdict::TooLarge if batch.len() > 1 => size = batch.len() / 2,
                Verdict::TooLarge => {
                    let why = "too large for the receiver".to_owned();
                    self.advance(batch, &[(batch[0].seq, why)]).await;
                    records = &records[1..];
                }
                Verdict::Later { after, why } => {
                    let pause = FIRST_PAUSE * 2_u32.pow(failures.min(6));
                    let pause = after.unwrap_or(pause.min(LAST_PAUSE)).min(LONGEST);
                    let waiting = batch[0].seq;
                    tracing::warn!(export = self.name, waiting, ?pause, "not delivered: {why}");
                    failures += 1;
                    self.meters.failures.inc();
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Moves the cursor behind a batch, once what was refused of it is kept.
    async fn advance(&mut self, batch: &[Followed], refused: &[(u64, String)]) {
        for (seq, why) in refused {
            tracing::error!(
                export = self.name,
                seq,
                "the receiver will never take a record: {why}"
            );
        }
        while let Err(fault) = self.keep(batch, refused) {
            tracing::error!(export = self.name, "{}: {fault}", self.refused.display());
            tokio::time::sleep(LAST_PAUSE).await;
        }
        let Some(last) = batch.last() else { return };
        while let Err(fault) = self.cursor.advance(last.seq) {
            tracing::error!(export = self.name, %fault, "the cursor can't be written");
            tokio::time::sleep(LAST_PAUSE).await;
        }
        self.delivered.store(last.seq, Ordering::Relaxed);
        self.meters.refused.inc_by(refused.len() as u64);
        self.meters.taken.inc_by((batch.len() - refused.len()) as u64);
    }

    fn keep(&self, batch: &[Followed], refused: &[(u64, String)]) -> std::io::Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        let lines = batch.iter().filter(|record| refused.iter().any(|(seq, _)| *seq == record.seq));
        let text: String = lines.map(|record| format!("{}\n", record.line)).collect();
        let mut file = super::file::append(&self.refused)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }
}
