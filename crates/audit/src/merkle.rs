//! The Merkle tree of RFC 6962 and RFC 9162 with SHA-256, grown at its right edge.

use std::ops::Range;

use aws_lc_rs::digest::{SHA256, digest};

/// A leaf's or node's hash.
pub(crate) type Hash = [u8; 32];

/// Hashes in a full tile.
pub(crate) const TILE: usize = 256;
/// A tile spans this many levels of the tree.
const TILE_BITS: usize = 8;

/// What stands before a record where it is hashed.
pub(crate) const LEAF: u8 = 0;

/// A record's leaf hash.
pub(crate) fn leaf(record: &[u8]) -> Hash {
    // In one piece: a context of its own costs more than the copy.
    let mut bytes = Vec::with_capacity(record.len() + 1);
    bytes.push(LEAF);
    bytes.extend_from_slice(record);
    hashed(&bytes)
}

/// The hash of bytes that begin with [`LEAF`].
pub(crate) fn hashed(bytes: &[u8]) -> Hash {
    hash(digest(&SHA256, bytes).as_ref())
}

/// The hash of two neighbours.
pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    hash(digest(&SHA256, &bytes).as_ref())
}

/// The root of a tree without leaves.
pub(crate) fn empty() -> Hash {
    hash(digest(&SHA256, b"").as_ref())
}

fn hash(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(bytes);
    hash
}

/// The root over hashes whose number is a power of two.
pub(crate) fn perfect(hashes: &[Hash]) -> Hash {
    let mut hashes = hashes.to_vec();
    while hashes.len() > 1 {
        hashes = hashes.chunks_exact(2).map(|pair| node(&pair[0], &pair[1])).collect();
    }
    hashes.first().copied().unwrap_or_else(empty)
}

/// A tile as it is in a tree: which one, and its hashes.
pub(crate) struct Tile<'a> {
    pub(crate) level: usize,
    pub(crate) index: u64,
    pub(crate) hashes: &'a [Hash],
}

/// A tree of which only the right edge is kept: the unfinished tile of each level.
#[derive(Clone, Default)]
pub(crate) struct Tree {
    size: u64,
    edge: Vec<Vec<Hash>>,
}

impl Tree {
    /// A tree whose size is a multiple of 256, from the unfinished tiles of its upper levels.
    /// Gives none when they are not what a tree of this size has.
    pub(crate) fn from_edge(size: u64, upper: Vec<Vec<Hash>>) -> Option<Tree> {
        let widths = (1..).zip(&upper).all(|(level, hashes)| hashes.len() == width(size, level));
        let whole = width(size, 0) == 0 && levels(size) <= upper.len() + 1;
        let edge = std::iter::once(Vec::new()).chain(upper).collect();
        (widths && whole).then_some(Tree { size, edge })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf, and hands out each tile that it fills.
    pub(crate) fn push<E>(
        &mut self,
        leaf: Hash,
        mut full: impl FnMut(Tile<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            if self.edge.len() == level {
                self.edge.push(Vec::with_capacity(TILE));
            }
            let hashes = &mut self.edge[level];
            hashes.push(hash);
            if hashes.len() < TILE {
                break;
            }
            let index = (self.size >> (TILE_BITS * (level + 1))) - 1;
            full(Tile { level, index, hashes })?;
            hash = perfect(hashes);
            hashes.clear();
        }
        Ok(())
    }

    /// The unfinished tiles.
    pub(crate) fn partial(&self) -> impl Iterator<Item = Tile<'_>> {
        let tiles = self.edge.iter().enumerate().map(|(level, hashes)| {
            let index = self.size >> (TILE_BITS * (level + 1));
            Tile { level, index, hashes }
        });
        tiles.filter(|tile| !tile.hashes.is_empty())
    }

    /// The tree's root.
    pub(crate) fn root(&self) -> Hash {
        let mut root = None;
        for level in &self.edge {
            let mut rest = &level[..];
            // Perfect subtrees from the right, that is from the smallest.
            while !rest.is_empty() {
                let (before, last) = rest.split_at(rest.len() - (1 << rest.len().trailing_zeros()));
                let left = perfect(last);
                root = Some(root.map_or(left, |right| node(&left, &right)));
                rest = before;
            }
        }
        root.unwrap_or_else(empty)
    }
}

/// How many hashes the unfinished tile of this level has in a tree of this size.
pub(crate) fn width(size: u64, level: usize) -> usize {
    let nodes = u32::try_from(TILE_BITS * level).ok().and_then(|bits| size.checked_shr(bits));
    (nodes.unwrap_or(0) % TILE as u64) as usize
}

/// How many levels of tiles a tree of this size has.
pub(crate) fn levels(size: u64) -> usize {
    (u64::BITS - size.leading_zeros()).div_ceil(TILE_BITS as u32) as usize
}

/// The subtrees whose roots prove that the leaf at `index` is in a tree of this size, from
/// the leaf's sibling upwards.
pub(crate) fn path(index: u64, size: u64) -> Vec<Range<u64>> {
    let mut path = Vec::new();
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(middle..high);
            high = middle;
        } else {
            path.push(low..middle);
            low = middle;
        }
    }
    path.reverse();
    path
}

/// The subtrees whose roots prove that a tree of `new` leaves continues the one of `old` (RFC 9162, 2.1.4.1).
pub(crate) fn consistency(old: u64, new: u64) -> Vec<Range<u64>> {
    let mut path = Vec::new();
    if old == 0 || old >= new {
        return path;
    }
    let (mut low, mut high) = (0, new);
    while old != high {
        let middle = low + split(high - low);
        if old <= middle {
            path.push(middle..high);
            high = middle;
        } else {
            path.push(low..middle);
            low = middle;
        }
    }
    // The old tree itself its verifier knows.
    if low > 0 {
        path.push(low..high);
    }
    path.reverse();
    path
}

/// The largest power of two below `count`, which is at least 2.
pub(crate) fn split(count: u64) -> u64 {
    1 << (u64::BITS - 1 - (count - 1).leading_zeros())
}

/// The root that a proof leads to (RFC 9162, 2.1.3.2), if it has the right length.
pub(crate) fn proven_root(leaf: Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
    let (mut at, mut last) = (index, size.checked_sub(1)?);
    let mut root = leaf;
    for hash in proof {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = node(hash, &root);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            root = node(&root, hash);
        }
        at >>= 1;
        last >>= 1;
    }
    (index < size && last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;

    use super::*;

    /// As RFC 6962 defines it.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty(),
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(split(leaves.len() as u64) as usize);
                node(&naive(left), &naive(right))
            }
        }
    }

    fn tree(leaves: &[Hash]) -> Tree {
        let mut tree = Tree::default();
        for leaf in leaves {
            tree.push(*leaf, |_| Ok::<_, Infallible>(())).unwrap();
        }
        tree
    }

    fn hex(hash: Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn known_roots() {
        // The tree of the reference implementation of RFC 6962.
        let records: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let leaves: Vec<Hash> = records.iter().map(|record| leaf(record)).collect();
        for (size, root) in roots.iter().enumerate() {
            assert_eq!(hex(tree(&leaves[..size]).root()), *root);
        }
        let proof = [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ];
        let found = path(5, 8)
            .into_iter()
            .map(|range| hex(naive(&leaves[range.start as usize..range.end as usize])));
        assert_eq!(found.collect::<Vec<_>>(), proof);
    }

    #[test]
    fn every_size_agrees_with_the_definition_and_tiles_carry_on() {
        let leaves: Vec<Hash> = (0..1100_u32).map(|at| leaf(&at.to_le_bytes())).collect();
        let mut tree = Tree::default();
        for (size, leaf) in (1..).zip(&leaves) {
            tree.push(*leaf, |tile| {
                assert_eq!(tile.hashes.len(), TILE);
                Ok::<_, Infallible>(())
            })
            .unwrap();
            assert_eq!(tree.root(), naive(&leaves[..size]));
            assert!(tree.partial().all(|tile| tile.hashes.len() == width(size as u64, tile.level)));
            if size % TILE == 0 {
                let upper = tree.edge[1..].to_vec();
                assert_eq!(Tree::from_edge(size as u64, upper).unwrap().root(), tree.root());
            }
        }
        assert!(Tree::from_edge(512, vec![vec![leaves[0]]]).is_none());
        assert!(Tree::from_edge(512, vec![]).is_none());
    }

    proptest! {
        #[test]
        fn another_implementation_agrees(count in 1_usize..700, pick in any::<usize>()) {
            let records: Vec<Vec<u8>> = (0..count).map(|at| vec![at as u8; at % 90]).collect();
            let mut oracle = MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
            records.iter().for_each(|record| oracle.push(record.clone()));
            let leaves: Vec<Hash> = records.iter().map(|record| leaf(record)).collect();
            let root = tree(&leaves).root();
            let theirs = oracle.root();
            prop_assert_eq!(&root[..], &theirs.as_bytes()[..]);

            let index = pick % count;
            let proof: Vec<Hash> = path(index as u64, count as u64)
                .into_iter()
                .map(|range| naive(&leaves[range.start as usize..range.end as usize]))
                .collect();
            let theirs = oracle.prove_inclusion(index);
            prop_assert_eq!(proof.concat(), theirs.as_bytes());
            let size = count as u64;
            let proven = |at: u64, proof: &[Hash]| proven_root(leaves[index], at, size, proof);
            prop_assert_eq!(proven(index as u64, &proof), Some(root));
            prop_assert_eq!(proven(size, &proof), None);
            prop_assert_ne!(proven((index as u64 + 1) % size, &proof), Some(root).filter(|_| size > 1));
            if let Some((_, short)) = proof.split_last() {
                prop_assert_eq!(proven(index as u64, short), None);
            }
            prop_assert_eq!(proven(index as u64, &[&proof[..], &[root]].concat()), None);
        }
    }
}
