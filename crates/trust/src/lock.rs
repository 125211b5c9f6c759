//! The lockfile: what is approved, in a form that people review and version control keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Kind, State};

/// The version that is written.
pub const VERSION: u32 = 1;

/// Entries that are read; more is a fault.
const ENTRIES: usize = 100_000;

/// What of `bartizan.lock` is about definitions. What servers are started from stands beside it, in `[packages]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lock {
    /// [`VERSION`]
    pub version: u32,
    /// By the servers' names.
    #[serde(default)]
    pub servers: BTreeMap<String, LockedServer>,
}

/// One server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedServer {
    /// How it is reached: what its definitions are pinned to.
    pub identity: String,
    /// What it shows, by kind and name.
    #[serde(default)]
    pub definitions: Vec<Locked>,
}

/// One definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Locked {
    /// `tool`, `prompt`, …
    pub kind: String,
    /// Its name; empty for the server itself.
    pub name: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// `approved`, `new`, …
    pub state: String,
    /// Who decided last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Detached JWS over the digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<String>,
}

/// Why a text is no lockfile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum LockFault {
    #[error("{server}/{name}: {what} can't be read")]
    Entry { server: String, name: String, what: &'static str },
    #[error("it has more than {ENTRIES} definitions")]
    TooLong,
    #[error("{0}")]
    Toml(String),
    #[error("it has version {0}, this program knows {VERSION}")]
    Version(u32),
}

const HEAD: &str = "\
# What may be used of the servers behind this gateway. Written by `bartizan trust lock`; made for review.
# A changed digest is a changed definition: `bartizan trust diff SERVER` shows it.

";

impl Lock {
    /// Reads and checks it.
    pub fn read(text: &str) -> Result<Lock, LockFault> {
        let lock: Lock =
            toml::from_str(text).map_err(|fault| LockFault::Toml(fault.to_string()))?;
        if lock.version != VERSION {
            return Err(LockFault::Version(lock.version));
        }
        let count: usize = lock.servers.values().map(|server| server.definitions.len()).sum();
        if count > ENTRIES {
            return Err(LockFault::TooLong);
        }
        for (server, locked) in &lock.servers {
            for entry in &locked.definitions {
                let fault = |what| LockFault::Entry {
                    server: server.clone(),
                    name: entry.name.clone(),
                    what,
                };
                entry.kind.parse::<Kind>().map_err(|_| fault("the kind"))?;
                entry.digest().ok_or_else(|| fault("the digest"))?;
                entry.state().ok_or_else(|| fault("the state"))?;
            }
        }
        Ok(lock)
    }

    /// Writes it, in a fixed order: one table for each definition, so that a diff is short.
    pub fn write(&self) -> Result<String, LockFault> {
        let mut sorted = self.clone();
        for server in sorted.servers.values_mut() {
            let key = |of: &Locked| (of.kind.clone(), of.name.clone());
            server.definitions.sort_by_key(key);
        }
        let text = toml::to_string(&sorted).map_err(|fault| LockFault::Toml(fault.to_string()))?;
        Ok(format!("{HEAD}{text}"))
    }

    /// What differs between this one, which was reviewed, and how things stand: one sentence each.
    pub fn drift(&self, now: &Lock) -> Vec<String> {
        let mut found = Vec::new();
        for (name, server) in &now.servers {
            let Some(locked) = self.servers.get(name) else {
                found.push(format!("{name} is not in the lockfile"));
                continue;
            };
            if locked.identity != server.identity {
                found.push(format!("{name} is reached otherwise: {}", server.identity));
            }
            compare(name, &locked.definitions, &server.definitions, &mut found);
        }
        let gone = self.servers.keys().filter(|name| !now.servers.contains_key(*name));
        found.extend(gone.map(|name| format!("{name} is in the lockfile alone")));
        found
    }
}

fn compare(server: &str, locked: &[Locked], now: &[Locked], found: &mut Vec<String>) {
    let find = |list: &'_ [Locked], of: &Locked| {
        list.iter().find(|other| other.kind == of.kind && other.name == of.name).cloned()
    };
    let called = |of: &Locked| format!("{server}: {} {}", of.kind.replace('_', " "), of.name);
    for entry in now {
        match find(locked, entry) {
            None => found.push(format!("{} is not in the lockfile", called(entry))),
            Some(old) if old.digest != entry.digest => {
                found.push(format!("{} is not what was locked", called(entry)));
            }
            Some(old) if old.state != entry.state => {
                found.push(format!("{} is {}, was {}", called(entry), entry.state, old.state));
            }
            Some(_) => {}
        }
    }
    let gone = locked.iter().filter(|entry| find(now, entry).is_none());
    found.extend(gone.map(|entry| format!("{} is in the lockfile alone", called(entry))));
}

impl Locked {
    /// The digest.
    pub fn digest(&self) -> Option<Digest> {
        self.digest.strip_prefix("sha256:")?.parse().ok()
    }

    /// The state.
    pub fn state(&self) -> Option<State> {
        let all = [State::Approved, State::Changed, State::New, State::Rejected, State::Revoked];
        all.into_iter().find(|state| state.as_str() == self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, byte: u8, state: &str) -> Locked {
        Locked {
            kind: "tool".into(),
            name: name.into(),
            digest: format!("sha256:{}", Digest::from_bytes([byte; 32])),
            state: state.into(),
            by: Some("user:ada".into()),
            signatures: Vec::new(),
        }
    }

    fn lock(definitions: Vec<Locked>) -> Lock {
        let identity = "{\"command\":[\"npx\",\"x\"]}".to_owned();
        let server = LockedServer { identity, definitions };
        Lock { version: VERSION, servers: BTreeMap::from([("files".to_owned(), server)]) }
    }

    #[test]
    fn what_is_written_is_read_back_in_a_fixed_order() {
        let one = lock(vec![tool("b", 1, "approved"), tool("a", 2, "new")]);
        let text = one.write().unwrap();
        let other = lock(vec![tool("a", 2, "new"), tool("b", 1, "approved")]);
        assert_eq!(text, other.write().unwrap());
        assert_eq!(Lock::read(&text).unwrap(), other);
        assert_eq!(one.drift(&other), [""; 0]);
    }

    #[test]
    fn drift_is_told() {
        let locked = lock(vec![
            tool("a", 1, "approved"),
            tool("b", 1, "approved"),
            tool("c", 1, "approved"),
        ]);
        let now = lock(vec![tool("a", 2, "changed"), tool("b", 1, "revoked"), tool("d", 1, "new")]);
        assert_eq!(
            locked.drift(&now),
            [
                "files: tool a is not what was locked",
                "files: tool b is revoked, was approved",
                "files: tool d is not in the lockfile",
                "files: tool c is in the lockfile alone",
            ]
        );
        let mut moved = locked.clone();
        moved.servers.get_mut("files").unwrap().identity = "{\"url\":\"https://x\"}".into();
        assert_eq!(locked.drift(&moved).len(), 1);
        assert_eq!(locked.drift(&Lock { version: VERSION, ..Lock::default() }).len(), 1);
    }

    #[test]
    fn what_is_no_lockfile_is_refused() {
        let text = lock(vec![tool("a", 1, "approved")]).write().unwrap();
        for (from, to) in [
            ("version = 1", "version = 2"),
            ("approved", "aproved"),
            ("sha256:", "md5:"),
            ("\"tool\"", "\"tol\""),
            ("identity", "identiti"),
        ] {
            assert!(Lock::read(&text.replacen(from, to, 1)).is_err(), "{from}");
        }
    }
}
