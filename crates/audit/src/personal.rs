//! What names people, sealed: each subject has a key of its own, and whose key is destroyed is forgotten.
//!
//! The records stay as they are, so the tree stays what was signed. A sealed record names its subject by a
//! word of chance; who that is stands beside the key, in a file that can be removed.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::{AuditFault, Entry, Record, files};

/// What stands before a subject's word.
const PREFIX: &str = "subject:";
/// Who is nobody in particular.
const NOBODY: [&str; 3] = ["loopback", "owner", "policy"];
/// How many subjects are known at once: a key is a file.
const MOST: usize = 100_000;

/// The subjects of a journal and their keys.
pub(crate) struct Subjects {
    dir: PathBuf,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By who they are.
    by_name: HashMap<String, Arc<Subject>>,
    /// By their word.
    by_word: HashMap<String, Arc<Subject>>,
}

struct Subject {
    name: String,
    /// `subject:…`
    word: String,
    key: RandomizedNonceKey,
}

impl Known {
    fn add(&mut self, subject: Arc<Subject>) {
        self.by_name.insert(subject.name.clone(), subject.clone());
        self.by_word.insert(subject.word.clone(), subject);
    }
}

/// The members of a record that stand in for what is sealed.
pub(crate) struct Sealed {
    pub(crate) word: String,
    pub(crate) text: String,
}

impl Subjects {
    /// Those of the journal in this folder.
    pub(crate) fn open(journal: &Path) -> Result<Subjects, AuditFault> {
        let dir = journal.join("subjects");
        let mut known = Known::default();
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Subjects { dir, known: Mutex::default() });
            }
            Err(error) => return Err(files::at(&dir)(error)),
        };
        for entry in entries {
            let path = entry.map_err(files::at(&dir))?.path();
            if path.extension().is_some_and(|extension| extension == "new") {
                continue;
            }
            let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(files::at(&path))?);
            let word = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let invalid = || files::at(&path)(io::Error::other("not a subject's key"));
            known.add(Arc::new(parse(word, &text).ok_or_else(invalid)?));
        }
        Ok(Subjects { dir, known: Mutex::new(known) })
    }

    /// What of a record names people, sealed; none when it names nobody in particular. A new subject's
    /// key is on the disk before this returns.
    pub(crate) fn seal(&self, record: &Record<'_>) -> Result<Option<Sealed>, AuditFault> {
        // One and the same, whatever process or session it is about.
        let name = record.principal.split('#').next().unwrap_or_default();
        if name.is_empty() || NOBODY.contains(&name) {
            return Ok(None);
        }
        let subject = self.subject(name)?;
        let Record { principal, tenant, agent, client, address, detail, .. } = *record;
        let personal =
            Record { principal, tenant, agent, client, address, detail, ..Record::default() };
        let mut text = String::with_capacity(256);
        personal.write(&mut text);
        let mut bytes = text.into_bytes();
        let failed = |_| files::at(&self.dir)(io::Error::other("sealing failed"));
        let aad = Aad::from(subject.word.as_bytes());
        let nonce = subject.key.seal_in_place_append_tag(aad, &mut bytes).map_err(failed)?;
        let text = STANDARD.encode([&nonce.as_ref()[..], &bytes].concat());
        Ok(Some(Sealed { word: subject.word.clone(), text }))
    }

    fn subject(&self, name: &str) -> Result<Arc<Subject>, AuditFault> {
        let mut known = self.lock();
        if let Some(subject) = known.by_name.get(name) {
            return Ok(subject.clone());
        }
        if known.by_name.len() >= MOST {
            return Err(files::at(&self.dir)(io::Error::other("too many subjects")));
        }
        let failed = |_| files::at(&self.dir)(io::Error::other("no randomness"));
        let (mut word, mut key) = ([0_u8; 12], Zeroizing::new([0_u8; 32]));
        rand::fill(&mut word).map_err(failed)?;
        rand::fill(&mut key[..]).map_err(failed)?;
        let word: String = word.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = Zeroizing::new(format!("{}\n{name}\n", STANDARD.encode(&key[..])));
        files::make_dir(&self.dir).map_err(files::at(&self.dir))?;
        let path = self.dir.join(&word);
        files::replace(&path, text.as_bytes(), true).map_err(files::at(&path))?;
        #[cfg(unix)]
        std::fs::File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(files::at(&path))?;
        let subject = parse(&word, &text).map(Arc::new);
        let subject = subject.ok_or_else(|| files::at(&path)(io::Error::other("no key")))?;
        known.add(subject.clone());
        Ok(subject)
    }

    /// Puts back into a record what was sealed, as long as its key is there.
    pub(crate) fn reveal(&self, entry: &mut Entry) {
        let Some(Value::String(sealed)) = entry.rest.get("sealed") else { return };
        let Some(subject) = self.lock().by_word.get(entry.text("principal")).cloned() else {
            return;
        };
        if let Some(members) = subject.open(sealed) {
            entry.rest.shift_remove("sealed");
            entry.rest.extend(members);
        }
    }

    /// Who a word stands for.
    pub(crate) fn name(&self, word: &str) -> Option<String> {
        self.lock().by_word.get(word).map(|subject| subject.name.clone())
    }

    /// Destroys the key of whoever is called so; the word that their records keep.
    pub(crate) fn forget(&self, name: &str) -> Result<Option<String>, AuditFault> {
        let mut known = self.lock();
        let Some(subject) = known.by_name.remove(name) else { return Ok(None) };
        known.by_word.remove(&subject.word);
        let path = self.dir.join(subject.word.trim_start_matches(PREFIX));
        destroy(&path).map_err(files::at(&path))?;
        Ok(Some(subject.word.clone()))
    }

    /// Forgets those whose file somebody removed; their words.
    pub(crate) fn refresh(&self) -> Vec<String> {
        let mut known = self.lock();
        let gone = |subject: &&Arc<Subject>| {
            !self.dir.join(subject.word.trim_start_matches(PREFIX)).exists()
        };
        let gone: Vec<Arc<Subject>> = known.by_word.values().filter(gone).cloned().collect();
        for subject in &gone {
            known.by_name.remove(&subject.name);
            known.by_word.remove(&subject.word);
        }
        gone.iter().map(|subject| subject.word.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subject {
    fn open(&self, sealed: &str) -> Option<Map<String, Value>> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, rest) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::from(nonce);
        let text =
            self.key.open_in_place(nonce, Aad::from(self.word.as_bytes()), &mut rest).ok()?;
        // As the members stand in a record: each with a comma before it.
        let text = std::str::from_utf8(text).ok()?.strip_prefix(',')?;
        serde_json::from_str(&format!("{{{text}}}")).ok()
    }
}

fn parse(word: &str, text: &str) -> Option<Subject> {
    let (key, name) = text.strip_suffix('\n')?.split_once('\n')?;
    let key = Zeroizing::new(STANDARD.decode(key).ok()?);
    let key = RandomizedNonceKey::new(&AES_256_GCM, &key).ok()?;
    Some(Subject { name: name.to_owned(), word: format!("{PREFIX}{word}"), key })
}

/// Overwrites a file before it is removed: of what the disk keeps besides, nothing is known here.
fn destroy(path: &Path) -> io::Result<()> {
    let length = std::fs::metadata(path)?.len() as usize;
    let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
    file.write_all(&vec![0; length])?;
    file.sync_all()?;
    std::fs::remove_file(path)?;
    #[cfg(unix)]
    if let Some(dir) = path.parent() {
        std::fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Destroys the key of whoever is called so in the journal in `dir`: nothing that is recorded of them can be
/// read from then on. Gives the word that stands for them in their records; none when nobody is called so.
pub fn forget(dir: &Path, name: &str) -> Result<Option<String>, AuditFault> {
    Subjects::open(dir)?.forget(name)
}
