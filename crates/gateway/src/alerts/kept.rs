//! What alerts have counted, and what is still to be told, in one file.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Write},
    path::PathBuf,
};

use audit::Journal;
use serde::{Deserialize, Serialize};

use super::rule::{Alert, Counted};

/// Alerts that wait to be told; when there are more, the oldest is given up.
const WAITING: usize = 1000;

/// The file and what is in it.
pub(super) struct Kept {
    path: PathBuf,
    pub place: Place,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Place {
    /// Which journal it is about.
    journal: String,
    /// The record that comes next.
    pub next: u64,
    pub counted: Counted,
    pub outbox: VecDeque<Letter>,
    /// Why the log was not what was signed, when that was told last.
    pub broken: Option<String>,
}

/// An alert, and who has not been told.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Letter {
    pub alert: Alert,
    pub left: Vec<String>,
}

impl Kept {
    /// Takes up what is there for this journal, or begins with the records that come from now on.
    pub fn open(path: PathBuf, journal: &Journal) -> io::Result<Kept> {
        let kept = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<Place>(&bytes).map_err(io::Error::other)?,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Place::default(),
            Err(fault) => return Err(fault),
        };
        let mut place = kept;
        if place.journal != journal.origin() {
            place = Place {
                journal: journal.origin().to_owned(),
                next: journal.committed() + 1,
                ..Place::default()
            };
        }
        // A journal that is not synced may have lost its end.
        place.next = place.next.min(journal.committed() + 1);
        Ok(Kept { path, place })
    }

    pub fn put(&mut self, alert: Alert, targets: &[&str]) {
        if self.place.outbox.len() == WAITING {
            self.place.outbox.pop_front();
            tracing::error!("an alert that nobody took for long is given up");
        }
        let left = targets.iter().map(|name| (*name).to_owned()).collect();
        self.place.outbox.push_back(Letter { alert, left });
    }

    pub fn delivered(&mut self, id: &str, target: &str) {
        for letter in self.place.outbox.iter_mut().filter(|letter| letter.alert.id == id) {
            letter.left.retain(|name| name != target);
        }
        self.place.outbox.retain(|letter| !letter.left.is_empty());
    }

    /// Whole or not at all, and on the disk when this returns.
    pub fn write(&self) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        file.write_all(&serde_json::to_vec(&self.place)?)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)
    }
}
