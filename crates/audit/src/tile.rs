//! The tree on the disk, in the layout of C2SP tlog-tiles: `tile/<level>/<index>[.p/<width>]`.
//!
//! Tiles are derived from the journal and made again from it, so none is ever synced.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::files;
use crate::merkle::{self, Hash, TILE, Tile};

/// The folder of the tiles.
pub(crate) struct Tiles {
    dir: PathBuf,
}

impl Tiles {
    pub(crate) fn new(journal: &Path) -> Tiles {
        Tiles { dir: journal.join("tile") }
    }

    /// A tile's file; a partial one's when it has a width.
    pub(crate) fn path(&self, level: usize, index: u64, width: Option<usize>) -> PathBuf {
        let mut path = self.dir.join(level.to_string());
        let last = format!("{:03}", index % 1000);
        let mut groups = Vec::new();
        let mut rest = index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        path.extend(groups.iter().rev());
        match width {
            None => path.join(last),
            Some(width) => path.join(format!("{last}.p")).join(width.to_string()),
        }
    }

    /// Writes a tile, unless it is a partial one that is there. A full one replaces its parts.
    pub(crate) fn write(&self, tile: &Tile<'_>) -> io::Result<()> {
        let width = Some(tile.hashes.len()).filter(|width| *width < TILE);
        let path = self.path(tile.level, tile.index, width);
        let bytes = tile.hashes.as_flattened();
        if width.is_some() && path.metadata().is_ok_and(|found| found.len() == bytes.len() as u64) {
            return Ok(());
        }
        match files::replace(&path, bytes, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                files::make_dir(path.parent().unwrap_or(&self.dir))?;
                files::replace(&path, bytes, false)?;
            }
            written => written?,
        }
        if width.is_none() {
            // At most tidiness fails here.
            let _ = std::fs::remove_dir_all(path.with_extension("p"));
        }
        Ok(())
    }

    /// Makes the hashes of the first records durable.
    pub(crate) fn sync(&self, records: u64) -> io::Result<()> {
        for index in 0..records.div_ceil(TILE as u64) {
            File::open(self.path(0, index, None))?.sync_all()?;
        }
        Ok(())
    }

    /// Whether a full tile has the right length.
    pub(crate) fn is_whole(&self, level: usize, index: u64) -> bool {
        let length = (TILE * size_of::<Hash>()) as u64;
        self.path(level, index, None).metadata().is_ok_and(|found| found.len() == length)
    }

    /// The first `width` hashes of a tile, from its full or from its partial file. None when
    /// neither is there or has the right length.
    pub(crate) fn read(&self, level: usize, index: u64, width: usize) -> Option<Vec<Hash>> {
        let full = || parse(&std::fs::read(self.path(level, index, None)).ok()?, TILE);
        let part = || parse(&std::fs::read(self.path(level, index, Some(width))).ok()?, width);
        // The full one may come, and its part go, between two looks.
        let mut hashes = full().or_else(part).or_else(full)?;
        hashes.truncate(width);
        Some(hashes)
    }

    /// The tile at this place in a tree of this size.
    fn at(&self, level: usize, index: u64, size: u64) -> Option<Vec<Hash>> {
        let nodes = size >> (8 * level);
        let width = (nodes - (index * TILE as u64).min(nodes)).min(TILE as u64);
        self.read(level, index, width as usize)
    }

    /// The leaf hashes of a tree of this size, in order; they end early where a tile is missing.
    pub(crate) fn leaves(&self, size: u64) -> impl Iterator<Item = Hash> + use<> {
        let own = Tiles { dir: self.dir.clone() };
        let tiles = (0..size.div_ceil(TILE as u64)).map_while(move |at| own.at(0, at, size));
        tiles.flatten()
    }

    /// One leaf hash of a tree of this size.
    pub(crate) fn leaf(&self, at: u64, size: u64) -> Option<Hash> {
        let tile = self.at(0, at / TILE as u64, size)?;
        tile.get((at % TILE as u64) as usize).copied()
    }

    /// The root of a subtree, as [`merkle::path`] names them, of a tree of this size.
    pub(crate) fn subtree(&self, range: &Range<u64>, size: u64) -> Option<Hash> {
        let count = range.end - range.start;
        if !count.is_power_of_two() {
            let middle = range.start + merkle::split(count);
            let left = self.subtree(&(range.start..middle), size)?;
            return Some(merkle::node(&left, &self.subtree(&(middle..range.end), size)?));
        }
        let level = count.trailing_zeros() as usize / 8;
        let first = range.start >> (8 * level);
        let from = (first % TILE as u64) as usize;
        let tile = self.at(level, first / TILE as u64, size)?;
        Some(merkle::perfect(tile.get(from..from + (count >> (8 * level)) as usize)?))
    }
}

fn parse(bytes: &[u8], width: usize) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    (rest.is_empty() && hashes.len() == width).then(|| hashes.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::Tree;

    #[test]
    fn names_are_those_of_the_layout() {
        let tiles = Tiles::new(Path::new(""));
        let name = |level, index, width| tiles.path(level, index, width).display().to_string();
        assert_eq!(name(0, 0, None), "tile/0/000");
        assert_eq!(name(1, 999, Some(7)), "tile/1/999.p/7");
        assert_eq!(name(0, 1_234_067, None), "tile/0/x001/x234/067");
        assert_eq!(name(2, 1_000, Some(255)), "tile/2/x001/000.p/255");
    }

    #[test]
    fn a_tree_of_70_000_has_the_tiles_of_the_specification() {
        let dir = tempfile::tempdir().unwrap();
        let tiles = Tiles::new(dir.path());
        let mut tree = Tree::default();
        let leaves: Vec<Hash> = (0..70_000_u32).map(|at| merkle::leaf(&at.to_le_bytes())).collect();
        for leaf in &leaves {
            tree.push(*leaf, |tile| tiles.write(&tile)).unwrap();
        }
        tree.partial().for_each(|tile| tiles.write(&tile).unwrap());
        assert_eq!(std::fs::read_dir(dir.path().join("tile/0")).unwrap().count(), 274);
        for (path, hashes) in [
            ("0/272", 256),
            ("0/273.p/112", 112),
            ("1/000", 256),
            ("1/001.p/17", 17),
            ("2/000.p/1", 1),
        ] {
            let file = dir.path().join("tile").join(path);
            assert_eq!(file.metadata().unwrap().len(), hashes * 32, "{path}");
        }
        assert!(tiles.leaves(70_000).eq(leaves.iter().copied()));
        assert_eq!(tiles.leaf(69_999, 70_000), Some(leaves[69_999]));
        for index in [0, 1, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
            let proof: Vec<Hash> = merkle::path(index, 70_000)
                .iter()
                .map(|range| tiles.subtree(range, 70_000).unwrap())
                .collect();
            let root = merkle::proven_root(leaves[index as usize], index, 70_000, &proof);
            assert_eq!(root, Some(tree.root()));
        }
        // Leaves of a smaller tree are there too, and of a larger one are not.
        assert_eq!(tiles.leaves(300).count(), 300);
        assert_eq!(tiles.leaves(70_001).count(), 69_888);
        assert_eq!(tiles.leaf(70_000, 70_001), None);
    }

    #[test]
    fn files_of_another_length_are_no_tiles() {
        let dir = tempfile::tempdir().unwrap();
        let tiles = Tiles::new(dir.path());
        let mut tree = Tree::default();
        for at in 0..300_u32 {
            tree.push(merkle::leaf(&at.to_le_bytes()), |tile| tiles.write(&tile)).unwrap();
        }
        let path = tiles.path(0, 0, None);
        for length in [0, 1, 31, 32, 8191, 8193] {
            std::fs::write(&path, vec![0; length]).unwrap();
            assert_eq!(tiles.leaf(0, 300), None);
        }
    }
}
