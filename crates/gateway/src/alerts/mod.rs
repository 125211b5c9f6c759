//! Alerts: rules over the records as they become durable, and who is told.
//!
//! What was counted, and what is still to be told, is on the disk before anybody is told: a gateway that ends
//! at any moment goes on where it was, and the same records never make a second alert. Whoever is told may
//! be told again only when the gateway ended between telling and noting it; the alert's id is the same then.

mod deliver;
mod kept;
mod rule;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use audit::{Kind, Record};
use tokio::sync::watch;

pub use lettre::message::Mailbox;

use self::{deliver::Postman, kept::Kept};
pub use self::{
    deliver::{Mail, MailTls, Target},
    rule::{Alert, Each, Rule, Selector, usual},
};
use crate::{Gateway, applied::while_configured};

/// Who is told what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alerts {
    /// The rules.
    pub rules: Vec<Rule>,
    /// Who is told; all of them, of everything.
    pub targets: Vec<Target>,
    /// How often the log is verified; never when absent.
    pub verify_every: Option<Duration>,
}

/// The rule's name for a log that is not what was signed.
const VERIFICATION: &str = "verification";
/// How long nothing is tried after a failure: from, to.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// How long records gather before they are looked at.
const GATHER: Duration = Duration::from_millis(200);
/// How often what was counted is written down while nobody has to be told.
const WRITE: Duration = Duration::from_secs(5);

/// Watches the journal, as the configuration says, until the gateway stops.
pub(crate) async fn run(gateway: Arc<Gateway>, stopping: watch::Receiver<bool>) {
    let serve = |config, ending| watch(gateway.clone(), config, ending);
    while_configured(gateway.clone(), stopping, |config| config.alerts.clone(), serve).await;
}

async fn watch(gateway: Arc<Gateway>, config: Alerts, mut ending: watch::Receiver<bool>) {
    if config.targets.is_empty() {
        return;
    }
    let state_dir = gateway.current().config.state_dir.clone();
    let kept = match Kept::open(state_dir.join("alerts.json"), &gateway.journal) {
        Ok(kept) => kept,
        Err(fault) => {
            tracing::error!(%fault, "no alerts: what was counted can't be read");
            return;
        }
    };
    let postman =
        Postman::new(gateway.client.clone(), gateway.secrets.clone(), config.targets.clone());
    let mut watcher =
        Watcher { gateway, config, kept, postman, pause: PAUSE.0, written: Instant::now() };
    tokio::select! {
        () = watcher.watch(state_dir.join("audit")) => {}
        _ = ending.changed() => {}
    }
    watcher.write();
}

struct Watcher {
    gateway: Arc<Gateway>,
    config: Alerts,
    kept: Kept,
    postman: Postman,
    pause: Duration,
    written: Instant,
}

impl Watcher {
    async fn watch(&mut self, journal: PathBuf) {
        let mut follower = self.gateway.journal.follow(self.kept.place.next);
        let mut verifying = tokio::time::interval(
            self.config.verify_every.unwrap_or(Duration::from_secs(365 * 86_400)),
        );
        // Opening the journal was a look at it already.
        verifying.tick().await;
        let mut retry = Instant::now();
        loop {
            let waiting = !self.kept.place.outbox.is_empty();
            tokio::select! {
                records = follower.next() => match records {
                    Ok(Some(records)) => {
                        if self.take(&records, follower.at() + 1) {
                            retry = Instant::now();
                        } else {
                            // Reading many at once costs less, and nobody is told later for it than this.
                            tokio::time::sleep(GATHER).await;
                        }
                    }
                    Ok(None) => return,
                    Err(fault) => {
                        self.verify_failed(&fault.to_string());
                        tokio::time::sleep(PAUSE.1).await;
                    }
                },
                () = tokio::time::sleep_until(retry.into()), if waiting => {
                    retry = Instant::now() + self.tell().await;
                }
                _ = verifying.tick() => {
                    let journal = journal.clone();
                    let verified = tokio::task::spawn_blocking(move || verify(&journal)).await;
                    match verified {
                        Ok(Err(fault)) => self.verify_failed(&fault),
                        Ok(Ok(())) => self.kept.place.broken = None,
                        Err(_) => {}
                    }
                }
            }
        }
    }

    /// Counts records, and says whether there is somebody to tell.
    fn take(&mut self, records: &[audit::Followed], next: u64) -> bool {
        let (rules, before) = (&self.config.rules, self.kept.place.outbox.len());
        let concern = |line: &str| rules.iter().any(|rule| rule.may_select(line));
        let entries = records.iter().filter(|record| concern(&record.line));
        let mut alerts = Vec::new();
        for entry in entries.filter_map(audit::Followed::entry) {
            alerts.extend(self.kept.place.counted.take(rules, &entry));
        }
        for alert in alerts {
            self.kept.put(alert, &self.postman.names());
        }
        self.kept.place.next = next;
        let more = self.kept.place.outbox.len() > before;
        if more || self.written.elapsed() > WRITE {
            self.write();
        }
        more
    }

    fn verify_failed(&mut self, fault: &str) {
        if self.kept.place.broken.as_deref() == Some(fault) {
            return;
        }
        tracing::error!(fault, "the audit log is not what was signed");
        self.kept.place.broken = Some(fault.to_owned());
        let time = jiff::Timestamp::now();
        let alert = Alert {
            id: format!("{VERIFICATION}-{}", time.as_second()),
            rule: VERIFICATION.to_owned(),
            about: String::new(),
            text: format!("the audit log is not what was signed: {fault}"),
            time: time.to_string(),
            records: Vec::new(),
        };
        self.kept.put(alert, &self.postman.names());
        self.write();
    }

    /// Tells what is waiting, and says when to look again. One that does not answer keeps no other waiting.
    async fn tell(&mut self) -> Duration {
        let mut deaf = Vec::new();
        for letter in self.kept.place.outbox.clone() {
            for name in letter.left {
                if deaf.contains(&name) {
                    continue;
                }
                match self.postman.deliver(&name, &letter.alert).await {
                    Ok(()) => self.delivered(&letter.alert, &name).await,
                    Err(fault) => {
                        let alert = &letter.alert.id;
                        tracing::warn!(name, alert, fault, "an alert could not be told");
                        deaf.push(name);
                    }
                }
            }
        }
        if deaf.is_empty() {
            self.pause = PAUSE.0;
            return Duration::ZERO;
        }
        self.pause = (self.pause * 2).min(PAUSE.1);
        self.pause
    }

    async fn delivered(&mut self, alert: &Alert, name: &str) {
        self.kept.delivered(&alert.id, name);
        self.write();
        self.gateway.metrics.alerted(&alert.rule);
        let detail = format!("{name} was told: {}", alert.text);
        let note = Record {
            kind: Kind::System,
            name: &alert.id,
            rule: &alert.rule,
            detail: &detail,
            ..Record::default()
        };
        if let Err(fault) = self.gateway.append(&note).await {
            tracing::error!(%fault, "an alert could not be recorded");
        }
    }

    fn write(&mut self) {
        self.written = Instant::now();
        if let Err(fault) = self.kept.write() {
            tracing::error!(%fault, "what alerts counted can't be written");
        }
    }
}

fn verify(journal: &std::path::Path) -> Result<(), String> {
    let key = std::fs::read_to_string(journal.join("audit.pub")).map_err(|f| f.to_string())?;
    let key = key.trim().parse().map_err(|fault: audit::KeyFault| fault.to_string())?;
    audit::verify(journal, &key).map(drop).map_err(|fault| fault.to_string())
}
