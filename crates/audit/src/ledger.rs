//! The writer's side of the tree: leaves, tiles, and a signed checkpoint now and then.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::checkpoint::{self, Checkpoint};
use crate::lines::Lines;
use crate::merkle::{self, Tree};
use crate::note::Signer;
use crate::tile::Tiles;
use crate::{AuditFault, files};

/// The tree of an open journal.
pub(crate) struct Ledger {
    dir: PathBuf,
    signer: Signer,
    tiles: Tiles,
    tree: Tree,
    /// The newest checkpoint.
    signed: Option<Checkpoint>,
    every: Duration,
    last: Instant,
}

impl Ledger {
    /// Reads key and newest checkpoint; a log that has one, but no key for it, is not gone on with.
    pub(crate) fn open(dir: &Path, every: Duration) -> Result<Ledger, AuditFault> {
        let path = dir.join(checkpoint::FILE);
        let last = checkpoint::mend(dir)?;
        let signer = Signer::open(dir, !path.exists() && last.is_none())?;
        let tampered = || AuditFault::Tampered(dir.into());
        let signed = match Checkpoint::newest(dir, signer.key())? {
            None => None,
            Some((_, signed)) => Some(signed.ok_or_else(tampered)?),
        };
        let in_history = match &last {
            None => None,
            Some(note) => Some(Checkpoint::open(note, signer.key()).ok_or_else(tampered)?),
        };
        // A crash may have come between the two.
        let ahead = in_history.filter(|last| signed.is_none_or(|signed| signed.size < last.size));
        if let Some(note) = last.filter(|_| ahead.is_some()) {
            files::replace(&path, note.as_bytes(), true).map_err(files::at(&path))?;
        }
        let signed = ahead.or(signed);
        Ok(Ledger {
            dir: dir.into(),
            signer,
            tiles: Tiles::new(dir),
            tree: Tree::default(),
            signed,
            every,
            last: Instant::now(),
        })
    }

    /// The log's name.
    pub(crate) fn origin(&self) -> &str {
        self.signer.key().name()
    }

    /// How many records are under a signature.
    pub(crate) fn signed(&self) -> u64 {
        self.signed.map_or(0, |signed| signed.size)
    }

    /// Takes up the tree where the tiles end, or makes it again where they don't lead to what
    /// was signed. Everything in the journal is durable when this is called.
    pub(crate) fn recover(&mut self) -> Result<(), AuditFault> {
        let recent = self.recent()?;
        let from = if self.has_tiles(recent) { self.signed() } else { recent };
        self.tree = self.resumed(from).unwrap_or_default();
        if !self.catch_up()? {
            self.tree = Tree::default();
            if !self.catch_up()? {
                return Err(AuditFault::Tampered(self.dir.clone()));
            }
        }
        self.checkpoint().map_err(files::at(&self.dir))
    }

    /// Tiles are not synced, so a loss of power may take those of the last seconds. They are looked for
    /// from the records of the last two files on; what is older was written long ago.
    fn recent(&self) -> Result<u64, AuditFault> {
        let files = files::list(&self.dir)?;
        let first = files.iter().rev().nth(1).or(files.first()).map_or(1, |(first, _)| *first);
        Ok(first.saturating_sub(1).min(self.signed()))
    }

    /// Whether all tiles of the signed tree are there whose hashes are of records behind this one.
    fn has_tiles(&self, recent: u64) -> bool {
        let size = self.signed();
        (0..merkle::levels(size)).all(|level| {
            let (first, end) = (recent >> (8 * (level + 1)), size >> (8 * (level + 1)));
            let full = (first..end).all(|index| self.tiles.is_whole(level, index));
            let width = merkle::width(size, level);
            full && (width == 0 || self.tiles.read(level, end, width).is_some())
        })
    }

    /// The tree of whole tiles below this size. What the tiles say is believed only once it leads
    /// to the signed root.
    fn resumed(&self, size: u64) -> Option<Tree> {
        self.signed?;
        let size = size - size % merkle::TILE as u64;
        let upper = (1..merkle::levels(size)).map(|level| match merkle::width(size, level) {
            0 => Some(Vec::new()),
            width => self.tiles.read(level, size >> (8 * (level + 1)), width),
        });
        Tree::from_edge(size, upper.collect::<Option<_>>()?)
    }

    /// Adds what the journal has more. Whether the signed root was met on the way.
    fn catch_up(&mut self) -> Result<bool, AuditFault> {
        // Of records that were removed the tiles have the hashes.
        let removed = files::first(&self.dir)? - 1;
        let leaves = self.tiles.leaves(self.signed());
        for leaf in leaves.take(removed as usize).skip(self.tree.size() as usize) {
            self.tree.push(leaf, |_| Ok(())).map_err(files::at(&self.dir))?;
        }
        let mut lines = Lines::from(&self.dir, self.tree.size() + 1)?;
        let mut met = self.signed.is_none_or(|signed| signed.size == 0);
        while lines.next()?.is_some() {
            let tiles = &self.tiles;
            let pushed = self.tree.push(lines.leaf(), |tile| tiles.write(&tile));
            pushed.map_err(files::at(&self.dir))?;
            if let Some(signed) = self.signed.filter(|signed| signed.size == self.tree.size()) {
                met = signed.root == self.tree.root();
                if !met {
                    return Ok(false);
                }
            }
        }
        // The journal may end with the last tile.
        let signed = self.signed.filter(|signed| !met && signed.size == self.tree.size());
        Ok(met || signed.is_some_and(|signed| signed.root == self.tree.root()))
    }

    /// Adds the records of a batch.
    pub(crate) fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        let (mut from, mut leaf) = (0, Vec::new());
        for end in memchr::memchr_iter(b'\n', batch) {
            let tiles = &self.tiles;
            leaf.clear();
            leaf.push(merkle::LEAF);
            leaf.extend_from_slice(&batch[from..end]);
            self.tree.push(merkle::hashed(&leaf), |tile| tiles.write(&tile))?;
            from = end + 1;
        }
        Ok(())
    }

    /// When the next checkpoint is to be signed, if anything is new.
    pub(crate) fn due(&self) -> Option<Instant> {
        (self.signed() < self.tree.size()).then(|| self.last + self.every)
    }

    /// Signs what is new; all of it is durable when this is called.
    pub(crate) fn checkpoint(&mut self) -> io::Result<()> {
        self.last = Instant::now();
        for tile in self.tree.partial() {
            self.tiles.write(&tile)?;
        }
        if self.signed.is_some_and(|signed| signed.size == self.tree.size()) {
            return Ok(());
        }
        let checkpoint = Checkpoint { size: self.tree.size(), root: self.tree.root() };
        let note = self.signer.sign(&checkpoint.text(self.signer.key().name()));
        checkpoint::write(&self.dir, &note, checkpoint.size)?;
        self.signed = Some(checkpoint);
        Ok(())
    }
}
