//! Whether a journal is what was signed.

use std::path::{Path, PathBuf};

use crate::checkpoint::{self, Checkpoint};
use crate::lines::{self, Lines, Place};
use crate::merkle::{self, Tile, Tree};
use crate::note::VerifierKey;
use crate::tile::Tiles;
use crate::{AuditFault, Entry, diagnose, files, hashed};

/// A journal that is what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Records under the newest checkpoint.
    pub size: u64,
    /// The root it signs.
    pub root: [u8; 32],
    /// All records; those above `size` are in order, but not yet signed.
    pub records: u64,
    /// How many checkpoints were signed by the key and agree with the records.
    pub checkpoints: u64,
    /// The records up to this one were removed, as a signed record says. Their hashes are in the tree.
    pub pruned: Option<Pruned>,
}

/// Records that were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// The last of them.
    pub last: u64,
    /// The record that says so.
    pub by: u64,
}

/// What is not as it was signed: the first of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Tampered {
    /// A record's bytes are not those that were signed.
    #[error("record {seq}{} was changed: {}", through(*seq, *last), at(place))]
    Changed {
        /// Which record, or the first that may be it.
        seq: u64,
        /// The last that may be it: the same, when the tiles tell.
        last: u64,
        /// Where it is.
        place: Place,
    },
    /// A checkpoint was not signed by the key.
    #[error("a checkpoint that the key did not sign: {}", at(.0))]
    Checkpoint(Place),
    /// A record is missing.
    #[error("record {seq} was deleted: {} is not it", at(place))]
    Deleted {
        /// Which record.
        seq: u64,
        /// Where it should be.
        place: Place,
    },
    /// Signed checkpoints contradict each other: the log was rewritten, or there are two.
    #[error(
        "the log was forked: its checkpoint of size {size} contradicts the others: {}",
        at(place)
    )]
    Forked {
        /// The size of the one that does not fit.
        size: u64,
        /// The checkpoints agree up to this size.
        after: u64,
        /// Where it is.
        place: Place,
    },
    /// A line that was never signed stands where a record should.
    #[error("a line was inserted before record {seq}: {}", at(place))]
    Inserted {
        /// The record that should stand there.
        seq: u64,
        /// Where the line is.
        place: Place,
    },
    /// A record stands in another's place.
    #[error("record {seq} was moved: {} is not it", at(place))]
    Reordered {
        /// Which record.
        seq: u64,
        /// Where it should be.
        place: Place,
    },
    /// A tile is not what the records make: it may be removed, it is derived from them.
    #[error("{}: not the tile that the records make", .0.display())]
    Tile(PathBuf),
    /// The journal ends too early.
    #[error(
        "the log was truncated: {signed} records were signed, record {seq} and all behind it are missing"
    )]
    Truncated {
        /// The first record that is missing.
        seq: u64,
        /// How many were signed.
        signed: u64,
    },
    /// A file could not be read.
    #[error(transparent)]
    Unreadable(#[from] AuditFault),
    /// There is no checkpoint, or its history is gone.
    #[error("{}: there is no signed checkpoint", .0.display())]
    Unsigned(PathBuf),
}

fn at(place: &Place) -> String {
    format!("{}, line {}", place.file.display(), place.line)
}

fn through(seq: u64, last: u64) -> String {
    if seq == last { String::new() } else { format!(" (or one up to {last})") }
}

/// A checkpoint and where it was found.
pub(crate) struct Signed {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) place: Place,
}

/// Checks all of a journal against the key: every record, every checkpoint, every tile. Reads
/// only. When it is copied first, `checkpoint` and `checkpoints.log` have to go before the rest.
pub fn verify(dir: &Path, key: &VerifierKey) -> Result<Verified, Tampered> {
    verify_with(dir, key, &[])
}

/// The same, with checkpoints that were kept elsewhere: they show when the log was put back
/// to an earlier state with all of its files.
pub fn verify_with(
    dir: &Path,
    key: &VerifierKey,
    kept: &[Checkpoint],
) -> Result<Verified, Tampered> {
    let (signed, newest) = signed(dir, key, kept)?;
    let mut pass = Pass::new(dir, &signed, newest);
    pass.run()?;
    if pass.contradicted.is_none() && pass.next == signed.len() {
        pass.fault.map_or(Ok(()), Err)?;
        let records = pass.tree.size();
        let checkpoints = signed.len() as u64;
        let (size, root, pruned) = (newest.size, newest.root, pass.pruned);
        return Ok(Verified { size, root, records, checkpoints, pruned });
    }
    // The first that does not fit, and the last that did before it.
    let first = pass.contradicted.unwrap_or(pass.next);
    let after = first.checked_sub(1).map_or(0, |before| signed[before].checkpoint.size);
    if pass.met_later {
        let Signed { checkpoint, place } = &signed[first];
        return Err(Tampered::Forked { size: checkpoint.size, after, place: place.clone() });
    }
    Err(diagnose::first(dir, after, &signed[first], newest, pass.tree.size(), pass.fault))
}

/// All checkpoints, by size, each signed by the key, and the newest that the journal has itself.
fn signed(
    dir: &Path,
    key: &VerifierKey,
    kept: &[Checkpoint],
) -> Result<(Vec<Signed>, Checkpoint), Tampered> {
    let newest = dir.join(checkpoint::FILE);
    let (note, opened) =
        Checkpoint::newest(dir, key)?.ok_or_else(|| Tampered::Unsigned(newest.clone()))?;
    let place = Place { file: newest, line: 1 };
    let newest = opened.ok_or_else(|| Tampered::Checkpoint(place.clone()))?;
    let mut found = false;
    let mut signed: Vec<Signed> = Vec::new();
    let histories = checkpoint::histories(dir)?;
    for path in &histories {
        let bytes = std::fs::read(path).map_err(files::at(path))?;
        let text = String::from_utf8_lossy(&bytes);
        for (line, text) in checkpoint::notes(&text).0 {
            let place = Place { file: path.clone(), line };
            let checkpoint = Checkpoint::open(text, key);
            let checkpoint = checkpoint.ok_or_else(|| Tampered::Checkpoint(place.clone()))?;
            found |= text == note;
            // They are written with growing size, or after a crash the last one again.
            if let Some(before) = signed.last().map(|before| before.checkpoint) {
                if before == checkpoint {
                    continue;
                }
                if before.size >= checkpoint.size {
                    let Checkpoint { size, .. } = checkpoint;
                    return Err(Tampered::Forked { size, after: size.min(before.size), place });
                }
            }
            signed.push(Signed { checkpoint, place });
        }
    }
    if !found {
        let history = histories.last().cloned().unwrap_or_else(|| dir.join("checkpoints.log"));
        return Err(Tampered::Unsigned(history));
    }
    // A crash may have come before it was put in the place of the newest.
    let newest = signed.last().map_or(newest, |last| last.checkpoint);
    signed.extend(kept.iter().map(|checkpoint| {
        let place = Place { file: "kept elsewhere".into(), line: checkpoint.size };
        Signed { checkpoint: *checkpoint, place }
    }));
    signed.sort_by_key(|signed| signed.checkpoint.size);
    Ok((signed, newest))
}

/// One way through all records.
struct Pass<'a> {
    dir: &'a Path,
    tiles: Tiles,
    tree: Tree,
    signed: &'a [Signed],
    newest: Checkpoint,
    /// The next checkpoint to compare.
    next: usize,
    /// The first that did not agree.
    contradicted: Option<usize>,
    /// Whether one did agree after that.
    met_later: bool,
    /// The first thing that is wrong with a line or a tile.
    fault: Option<Tampered>,
    /// What signed records say of others that were removed.
    pruned: Option<Pruned>,
}

impl Pass<'_> {
    fn new<'a>(dir: &'a Path, signed: &'a [Signed], newest: Checkpoint) -> Pass<'a> {
        Pass {
            dir,
            tiles: Tiles::new(dir),
            tree: Tree::default(),
            signed,
            newest,
            next: 0,
            contradicted: None,
            met_later: false,
            fault: None,
            pruned: None,
        }
    }

    fn run(&mut self) -> Result<(), AuditFault> {
        self.compare();
        let removed = files::first(self.dir)? - 1;
        for leaf in self.tiles.leaves(self.newest.size).take(removed as usize) {
            self.add(leaf);
            self.compare();
        }
        let mut ordered = true;
        hashed::each(Lines::from(self.dir, 0)?, |line, leaf, place| {
            let expected = self.tree.size() + 1;
            let seq = lines::seq(line);
            // What is signed needs no reading: its hash says it all.
            let read =
                expected <= self.newest.size || serde_json::from_slice::<Entry>(line).is_ok();
            if expected <= self.newest.size && is_retention(line) {
                self.pruned = said(line, expected).or(self.pruned);
            }
            self.add(leaf);
            if ordered && (seq != Some(expected) || !read) {
                ordered = false;
                self.fault = Some(out_of_order(expected, seq, place()));
            }
            self.compare();
        })?;
        if removed > self.pruned.map_or(0, |pruned| pruned.last) {
            let place = Place { file: self.dir.into(), line: 0 };
            self.fault = Some(Tampered::Deleted { seq: 1, place });
        }
        Ok(())
    }

    fn add(&mut self, leaf: merkle::Hash) {
        let Pass { tree, tiles, newest, fault, .. } = self;
        // It can't fail.
        let _ = tree.push(leaf, |tile| {
            let end = (tile.index + 1) << (8 * (tile.level + 1));
            if end <= newest.size && fault.is_none() {
                *fault = compare_tile(tiles, &tile);
            }
            Ok::<_, std::convert::Infallible>(())
        });
    }

    /// Compares every checkpoint of this size, and at the newest the unfinished tiles.
    fn compare(&mut self) {
        let size = self.tree.size();
        if self.signed.get(self.next).is_none_or(|signed| signed.checkpoint.size != size) {
            return;
        }
        let root = self.tree.root();
        while let Some(signed) = self.signed.get(self.next)
            && signed.checkpoint.size == size
        {
            match (signed.checkpoint.root == root, self.contradicted) {
                (true, Some(_)) => self.met_later = true,
                (false, None) => self.contradicted = Some(self.next),
                _ => {}
            }
            self.next += 1;
        }
        if size == self.newest.size && self.fault.is_none() {
            self.fault = self.tree.partial().find_map(|tile| compare_tile(&self.tiles, &tile));
        }
    }
}

/// Whether a line is of this kind. It begins with its number, its time (27 characters) and its kind; looked at
/// in each of millions, so not by a search.
fn is_retention(line: &[u8]) -> bool {
    let digits = line.iter().skip(7).take(20).take_while(|byte| byte.is_ascii_digit()).count();
    let kind = line.get(7 + digits + 9 + 27..).unwrap_or_default();
    kind.starts_with(b"\",\"kind\":\"retention\"")
}

fn said(line: &[u8], seq: u64) -> Option<Pruned> {
    let entry: Entry = serde_json::from_slice(line).ok()?;
    Some(Pruned { last: entry.number("pruned")?, by: seq })
}

fn compare_tile(tiles: &Tiles, tile: &Tile<'_>) -> Option<Tampered> {
    let same = tiles.read(tile.level, tile.index, tile.hashes.len());
    let width = Some(tile.hashes.len()).filter(|width| *width < merkle::TILE);
    (same.as_deref() != Some(tile.hashes))
        .then(|| Tampered::Tile(tiles.path(tile.level, tile.index, width)))
}

/// What a line with the wrong number means, going by the number alone.
fn out_of_order(expected: u64, found: Option<u64>, place: Place) -> Tampered {
    match found {
        Some(found) if found > expected => Tampered::Deleted { seq: expected, place },
        Some(found) if found < expected => Tampered::Inserted { seq: expected, place },
        _ => Tampered::Changed { seq: expected, last: expected, place },
    }
}
