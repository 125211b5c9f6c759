//! Witnesses of C2SP tlog-witness: others who sign that the log only ever grew.
//!
//! What is sent and received goes as text: whoever calls this speaks HTTP.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{self, Checkpoint};
use crate::note::{self, KeyFault, VerifierKey};
use crate::tile::Tiles;
use crate::{AuditFault, files, merkle};

/// The newest checkpoint that witnesses signed as well.
const FILE: &str = "checkpoint.cosigned";
/// The type of a key for cosignatures, version 1.
const COSIGNATURE: u8 = 4;

/// A witness's public key, as `name+hash+base64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl WitnessKey {
    /// The witness's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time (in seconds since 1970) at which this witness signed a checkpoint, if it did.
    pub fn signed(&self, note: &str) -> Option<u64> {
        let (text, signatures) = note::split(note)?;
        signatures.split('\n').find_map(|line| self.verifies(text, line))
    }

    fn verifies(&self, text: &str, line: &str) -> Option<u64> {
        let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let signature = STANDARD.decode(signature).ok()?;
        let (id, rest) = signature.split_first_chunk::<4>()?;
        let (time, signature) = rest.split_first_chunk::<8>()?;
        if name != self.name || *id != self.id {
            return None;
        }
        let time = u64::from_be_bytes(*time);
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        let key = UnparsedPublicKey::new(&ED25519, self.public);
        key.verify(message.as_bytes(), signature).ok().map(|()| time)
    }
}

impl FromStr for WitnessKey {
    type Err = KeyFault;

    fn from_str(text: &str) -> Result<WitnessKey, KeyFault> {
        let (name, id, public) = note::parse_key(text, COSIGNATURE).ok_or(KeyFault)?;
        Ok(WitnessKey { name, id, public })
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&note::key_text(&self.name, self.id, COSIGNATURE, &self.public))
    }
}

/// A checkpoint for a witness to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The body of the request.
    pub body: String,
    /// How many records it is about.
    pub size: u64,
    note: String,
}

/// The newest checkpoint of the journal in `dir`, with the proof that the log only grew since it had `old`
/// records. None when there is nothing newer, or no proof.
pub fn submission(dir: &Path, old: u64) -> Result<Option<Submission>, AuditFault> {
    let path = dir.join("audit.pub");
    let key = std::fs::read_to_string(&path).map_err(files::at(&path))?;
    let Ok(key) = key.parse::<VerifierKey>() else { return Ok(None) };
    let Some((note, Some(Checkpoint { size, .. }))) = Checkpoint::newest(dir, &key)? else {
        return Ok(None);
    };
    if size <= old {
        return Ok(None);
    }
    let tiles = Tiles::new(dir);
    let proof = merkle::consistency(old, size);
    let proof: Option<Vec<_>> = proof.iter().map(|range| tiles.subtree(range, size)).collect();
    let Some(proof) = proof else { return Ok(None) };
    let hashes: String = proof.iter().map(|hash| format!("{}\n", STANDARD.encode(hash))).collect();
    Ok(Some(Submission { body: format!("old {old}\n{hashes}\n{note}"), size, note }))
}

impl Submission {
    /// The checkpoint itself, with all signatures that it has.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// The checkpoint with the lines that this witness answered; none when they are not its signature.
    pub fn cosigned(&self, answer: &str, key: &WitnessKey) -> Option<Submission> {
        let (text, _) = note::split(&self.note)?;
        let lines = answer.split('\n').filter(|line| key.verifies(text, line).is_some());
        let lines: String = lines.take(1).map(|line| format!("{line}\n")).collect();
        let note = format!("{}{lines}", self.note);
        (!lines.is_empty()).then(|| Submission { note, ..self.clone() })
    }

    /// Keeps the checkpoint with all cosignatures beside the journal.
    pub fn keep(&self, dir: &Path) -> Result<(), AuditFault> {
        let path = dir.join(FILE);
        files::replace(&path, self.note.as_bytes(), true).map_err(files::at(&path))
    }
}

/// The newest cosigned checkpoint of the journal in `dir`: the whole note.
pub fn cosigned(dir: &Path) -> Result<Option<String>, AuditFault> {
    let path = dir.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(note) => Ok(Some(note)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(files::at(&path)(error)),
    }
}

/// The size that a witness knows, as it says when it expected another one.
pub fn known_size(answer: &str) -> Option<u64> {
    checkpoint::decimal(answer.trim_end_matches('\n'))
}
