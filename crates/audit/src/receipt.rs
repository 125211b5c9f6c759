//! A record with the proof that it is in the log, in the form of C2SP tlog-proof.

use std::convert::Infallible;
use std::ops::Range;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, decimal};
use crate::lines::{self, Lines};
use crate::merkle::{self, Hash, Tree};
use crate::note::VerifierKey;
use crate::tile::Tiles;
use crate::{AuditFault, files};

const HEAD: &str = "c2sp.org/tlog-proof@v1";
/// A proof in a tree of 2^64 leaves.
const PROOF: usize = 64;

/// Why there is no receipt.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProveFault {
    /// There is no such record.
    #[error("there is no record {0}")]
    Missing(u64),
    /// It is not yet under a checkpoint.
    #[error("record {seq} is not signed yet: the newest checkpoint has {size}")]
    Pending {
        /// The record.
        seq: u64,
        /// How many are signed.
        size: u64,
    },
    /// It was removed, as `[audit] keep` says.
    #[error("record {0} was removed; receipts that were made before stay good")]
    Pruned(u64),
    /// The records don't lead to the checkpoint.
    #[error("the records are not those that were signed: verify the journal")]
    Tampered,
    /// A file could not be read.
    #[error(transparent)]
    Unreadable(#[from] AuditFault),
}

/// Why a receipt proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckFault {
    /// The checkpoint is not signed by the key.
    #[error("the checkpoint is not signed by this key")]
    Checkpoint,
    /// It is no receipt.
    #[error("not a receipt of the form {HEAD}")]
    Form,
    /// The record, its place or the proof is another's.
    #[error("the record is not in the log that was signed, or not at this place")]
    Proof,
}

/// What a receipt proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The record, as it is in the journal.
    pub record: String,
    /// Its sequence number.
    pub seq: u64,
    /// The log that it is in.
    pub checkpoint: Checkpoint,
}

/// A receipt for a record of the journal in `dir`: self-contained text, to be checked with
/// the public key alone.
pub fn prove(dir: &Path, seq: u64) -> Result<String, ProveFault> {
    let path = dir.join("audit.pub");
    let key = std::fs::read_to_string(&path).map_err(files::at(&path))?;
    let key: VerifierKey = key.parse().map_err(|_| ProveFault::Tampered)?;
    let (note, Some(signed)) = Checkpoint::newest(dir, &key)?.ok_or(ProveFault::Missing(seq))?
    else {
        return Err(ProveFault::Tampered);
    };
    let index = seq.checked_sub(1).ok_or(ProveFault::Missing(seq))?;
    if seq < files::first(dir)? {
        return Err(ProveFault::Pruned(seq));
    }
    let mut journal = Lines::from(dir, seq)?;
    let record = journal.next()?.ok_or(ProveFault::Missing(seq))?;
    if index >= signed.size {
        return Err(ProveFault::Pending { seq, size: signed.size });
    }
    let leaf = merkle::leaf(record);
    let path = merkle::path(index, signed.size);
    let fits = |proof: &Vec<Hash>| {
        merkle::proven_root(leaf, index, signed.size, proof) == Some(signed.root)
    };
    let tiles = Tiles::new(dir);
    let proof: Option<Vec<Hash>> =
        path.iter().map(|range| tiles.subtree(range, signed.size)).collect();
    let proof = match proof.filter(&fits) {
        Some(proof) => proof,
        // Tiles are derived: the records themselves have the say.
        None => Some(recomputed(dir, &path, &tiles, signed.size)?)
            .filter(&fits)
            .ok_or(ProveFault::Tampered)?,
    };
    let mut text = format!("{HEAD}\nextra {}\nindex {index}\n", STANDARD.encode(record));
    for hash in &proof {
        text.push_str(&STANDARD.encode(hash));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&note);
    Ok(text)
}

/// The roots of these subtrees, from all records, and from the tiles for what was removed.
fn recomputed(
    dir: &Path,
    path: &[Range<u64>],
    tiles: &Tiles,
    size: u64,
) -> Result<Vec<Hash>, AuditFault> {
    let mut trees = vec![Tree::default(); path.len()];
    let mut add = |index: u64, leaf: Hash| {
        let subtree = path.iter().position(|range| range.contains(&index));
        if let Some(tree) = subtree.and_then(|at| trees.get_mut(at)) {
            // It can't fail.
            let _ = tree.push(leaf, |_| Ok::<_, Infallible>(()));
        }
    };
    let removed = files::first(dir)? - 1;
    (0..removed).zip(tiles.leaves(size)).for_each(|(index, leaf)| add(index, leaf));
    let mut lines = Lines::from(dir, 0)?;
    let mut index = removed;
    while let Some(line) = lines.next()? {
        add(index, merkle::leaf(line));
        index += 1;
    }
    Ok(trees.iter().map(Tree::root).collect())
}

/// Checks a receipt with nothing but the key.
pub fn check(receipt: &str, key: &VerifierKey) -> Result<Proven, CheckFault> {
    let (record, index, proof, note) = parse(receipt).ok_or(CheckFault::Form)?;
    let signed = Checkpoint::open(note, key).ok_or(CheckFault::Checkpoint)?;
    let root = merkle::proven_root(merkle::leaf(&record), index, signed.size, &proof);
    if root != Some(signed.root) || lines::seq(&record) != index.checked_add(1) {
        return Err(CheckFault::Proof);
    }
    let record = String::from_utf8(record).map_err(|_| CheckFault::Form)?;
    Ok(Proven { record, seq: index + 1, checkpoint: signed })
}

fn parse(receipt: &str) -> Option<(Vec<u8>, u64, Vec<Hash>, &str)> {
    let (proof, note) = receipt.split_once("\n\n")?;
    let mut lines = proof.split('\n');
    if lines.next()? != HEAD {
        return None;
    }
    let record = STANDARD.decode(lines.next()?.strip_prefix("extra ")?).ok()?;
    let index = decimal(lines.next()?.strip_prefix("index ")?)?;
    let hashes = lines.take(PROOF + 1).map(|line| STANDARD.decode(line).ok()?.try_into().ok());
    Some((record, index, hashes.collect::<Option<_>>()?, note))
}
