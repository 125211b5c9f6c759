//! Waiting for the configuration file to change.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::{
    config::{self, Loaded, Search},
    lock,
};

/// A file is taken when it has been still for so long: an editor may write it in pieces.
const STILL: Duration = Duration::from_millis(100);
/// Not every file system tells of changes, and not every way of changing a file is told: a look now and then finds the rest.
const LOOK: Duration = Duration::from_secs(5);

/// Waits for changes of what the file says, whatever the way they came about. It stays with one file: the one that
/// was loaded, or the first that appears where there was none.
pub struct Watch {
    file: Option<PathBuf>,
    seen: Option<Seen>,
    events: mpsc::Receiver<()>,
    hang_up: HangUp,
    // Dropping it would end the events.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// From what was loaded on.
    pub fn new(named: Option<&Path>, loaded: &Loaded) -> Self {
        let (told, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |_| {
            // One that waits already says the same.
            let _ = told.try_send(());
        })
        .map(|mut watcher| {
            let folder =
                |path: PathBuf| std::path::absolute(path).ok()?.parent().map(Path::to_owned);
            let candidates = loaded
                .path
                .clone()
                .into_iter()
                .chain(named.is_none().then(|| PathBuf::from(config::FILE_NAME)))
                .chain(config::user_file());
            let policies = config::policies::folders(&loaded.file.policy, &loaded.folder());
            for folder in candidates.filter_map(folder).chain(policies) {
                // A folder that is not there yet is left to the look now and then.
                let _ = watcher.watch(&folder, RecursiveMode::NonRecursive);
            }
            watcher
        });
        let seen = loaded.path.clone().map(|path| {
            let policies = loaded.policies.clone();
            let lock = std::fs::read_to_string(lock::path(&loaded.folder())).unwrap_or_default();
            Seen { path, text: loaded.text.clone(), policies, lock }
        });
        Watch {
            file: loaded.path.clone().or_else(|| named.map(Path::to_owned)),
            seen,
            events,
            hang_up: HangUp::new(),
            _watcher: watcher.ok(),
        }
    }

    /// Returns when there is another file, or another text in it, or when SIGHUP asks for a fresh look.
    pub async fn changed(&mut self) {
        loop {
            let asked = tokio::select! {
                Some(()) = self.events.recv() => false,
                () = self.hang_up.received() => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            let now = self.still().await;
            if let Some(seen) = &now {
                self.file = Some(seen.path.clone());
            }
            if asked || now != self.seen {
                self.seen = now;
                return;
            }
        }
    }

    /// The file that is watched, once there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    async fn still(&mut self) -> Option<Seen> {
        let mut before = self.read();
        loop {
            tokio::time::sleep(STILL).await;
            let now = self.read();
            if now == before {
                return now;
            }
            before = now;
        }
    }

    fn read(&self) -> Option<Seen> {
        let path = config::find(self.file.as_deref(), Search::Here)?;
        let text = std::fs::read_to_string(&path).ok()?;
        // A file that can't be read now names no policies: once it can, it is another text.
        let policy = toml::from_str::<config::File>(&text).map(|file| file.policy);
        let folder = path.parent().unwrap_or(Path::new("."));
        let policies = policy.ok().and_then(|policy| config::policies::read(&policy, folder).ok());
        let lock = std::fs::read_to_string(lock::path(folder)).unwrap_or_default();
        Some(Seen { path, text, policies: policies.unwrap_or_default(), lock })
    }
}

/// The file, the policies that it names, and the lock beside it.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    text: String,
    policies: Vec<policy::CedarFile>,
    lock: String,
}

/// SIGHUP, where there is such a thing.
struct HangUp {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl HangUp {
    fn new() -> Self {
        HangUp {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    async fn received(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}
