//! Which record it was: the tiles still know the hash that each had when they lead to a signed
//! root.

use std::collections::VecDeque;
use std::path::Path;

use crate::checkpoint::Checkpoint;
use crate::lines::{self, Lines, Place};
use crate::merkle::{self, Hash, Tree};
use crate::tile::Tiles;
use crate::verify::Signed;
use crate::{AuditFault, Tampered, files};

/// How far a record that is out of place is looked for.
const WINDOW: usize = 1024;

/// Names the first record that is not as it was signed. `failed` is the first checkpoint that
/// does not fit, `after` the size up to which all do, `seen` what the single pass noticed.
pub(crate) fn first(
    dir: &Path,
    after: u64,
    failed: &Signed,
    newest: Checkpoint,
    records: u64,
    seen: Option<Tampered>,
) -> Tampered {
    let tiles = Tiles::new(dir);
    let Signed { checkpoint: failed, place } = failed;
    let trusted = [newest, *failed].into_iter().find(|checkpoint| leads_to(&tiles, checkpoint));
    if let Some(checkpoint) = trusted {
        match compare(dir, &tiles, checkpoint) {
            Ok(Some(named)) => return named,
            // The records are those of another checkpoint of the same key.
            Ok(None) if records >= failed.size && checkpoint != *failed => {
                return Tampered::Forked { size: failed.size, after, place: place.clone() };
            }
            Ok(None) => {}
            Err(fault) => return Tampered::Unreadable(fault),
        }
    }
    match seen {
        Some(order @ (Tampered::Deleted { .. } | Tampered::Inserted { .. })) => order,
        Some(Tampered::Changed { seq, place, .. }) => Tampered::Changed { seq, last: seq, place },
        _ if records < failed.size => {
            Tampered::Truncated { seq: records + 1, signed: newest.size.max(failed.size) }
        }
        _ => {
            let place = place_of(dir, after + 1);
            Tampered::Changed { seq: after + 1, last: failed.size, place }
        }
    }
}

fn place_of(dir: &Path, seq: u64) -> Place {
    let mut lines = Lines::from(dir, seq).ok();
    let place = lines.as_mut().map(|lines| {
        let _ = lines.next();
        lines.place()
    });
    place.unwrap_or_else(|| Place { file: dir.into(), line: 0 })
}

/// Whether the leaves in the tiles are those that were signed.
fn leads_to(tiles: &Tiles, checkpoint: &Checkpoint) -> bool {
    let mut tree = Tree::default();
    for leaf in tiles.leaves(checkpoint.size) {
        // It can't fail.
        let _ = tree.push(leaf, |_| Ok::<_, std::convert::Infallible>(()));
    }
    tree.size() == checkpoint.size && tree.root() == checkpoint.root
}

/// A line: its hash, its number as it says, and where it is.
struct Found {
    hash: Hash,
    seq: Option<u64>,
    place: Place,
}

fn found(lines: &mut Lines) -> Result<Option<Found>, AuditFault> {
    let Some(line) = lines.next()? else { return Ok(None) };
    let (hash, seq) = (merkle::leaf(line), lines::seq(line));
    Ok(Some(Found { hash, seq, place: lines.place() }))
}

fn compare(dir: &Path, tiles: &Tiles, signed: Checkpoint) -> Result<Option<Tampered>, AuditFault> {
    let mut lines = Lines::from(dir, 0)?;
    let first = files::first(dir)?;
    let mut leaves = tiles.leaves(signed.size).skip(first as usize - 1);
    for seq in first..=signed.size {
        let Some(leaf) = leaves.next() else { return Ok(None) };
        let Some(line) = found(&mut lines)? else {
            return Ok(Some(Tampered::Truncated { seq, signed: signed.size }));
        };
        if line.hash == leaf {
            continue;
        }
        // A genuine record, but another one?
        let theirs = line.seq.filter(|theirs| {
            let at = theirs.wrapping_sub(1);
            at < signed.size && tiles.leaf(at, signed.size) == Some(line.hash)
        });
        let mut window = VecDeque::new();
        while window.len() < WINDOW
            && let Some(line) = found(&mut lines)?
        {
            window.push_back(line.hash);
        }
        let displaced = window.contains(&leaf);
        let place = line.place;
        return Ok(Some(match (theirs, displaced) {
            (Some(theirs), _) if theirs < seq => Tampered::Inserted { seq, place },
            (Some(_), true) => Tampered::Reordered { seq, place },
            (Some(_), false) => Tampered::Deleted { seq, place },
            (None, true) => Tampered::Inserted { seq, place },
            (None, false) => Tampered::Changed { seq, last: seq, place },
        }));
    }
    Ok(None)
}
