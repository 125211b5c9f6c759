//! Witnesses sign what grew, and nothing else.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test"))]

use std::path::Path;
use std::time::Duration;

use audit::{Journal, Kind, Options, Record, WitnessKey, cosigned, known_size, submission};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ct_merkle::{ConsistencyProof, RootHash};
use sha2::Sha256;

const NAME: &str = "witness.example/w1";

/// A witness of its own make, over another implementation's proofs.
struct Witness {
    pair: Ed25519KeyPair,
    size: u64,
    root: Vec<u8>,
}

impl Witness {
    fn new() -> Witness {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
        Witness { pair, size: 0, root: Vec::new() }
    }

    fn typed(&self) -> Vec<u8> {
        [&[4], self.pair.public_key().as_ref()].concat()
    }

    fn id(&self) -> [u8; 4] {
        let named = [NAME.as_bytes(), b"\n", &self.typed()].concat();
        digest(&SHA256, &named).as_ref()[..4].try_into().unwrap()
    }

    fn key(&self) -> WitnessKey {
        let id = u32::from_be_bytes(self.id());
        format!("{NAME}+{id:08x}+{}", STANDARD.encode(self.typed())).parse().unwrap()
    }

    /// `add-checkpoint`: the status and the body.
    fn add(&mut self, body: &str) -> (u16, String) {
        let (proof, note) = body.split_once("\n\n").unwrap();
        let mut lines = proof.split('\n');
        let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
        if old != self.size {
            return (409, format!("{}\n", self.size));
        }
        let hashes: Vec<u8> = lines.flat_map(|line| STANDARD.decode(line).unwrap()).collect();
        let text = &note[..note.find("\n\n").unwrap() + 1];
        let parts: Vec<&str> = text.split('\n').collect();
        let size: u64 = parts[1].parse().unwrap();
        let root = STANDARD.decode(parts[2]).unwrap();
        if old > 0 {
            let hash = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).unwrap().into();
            let before = RootHash::<Sha256>::new(hash(&self.root), old);
            let after = RootHash::<Sha256>::new(hash(&root), size);
            let proof = ConsistencyProof::<Sha256>::try_from_bytes(hashes).unwrap();
            if after.verify_consistency(&before, &proof).is_err() {
                return (422, String::new());
            }
        }
        (self.size, self.root) = (size, root);
        let time = 1_795_694_400_u64;
        let signature = self.pair.sign(format!("cosignature/v1\ntime {time}\n{text}").as_bytes());
        let whole = [&self.id()[..], &time.to_be_bytes(), signature.as_ref()].concat();
        (200, format!("\u{2014} {NAME} {}\n", STANDARD.encode(whole)))
    }
}

async fn grow(dir: &Path, count: usize) {
    let options =
        Options { checkpoint_every: Duration::from_millis(5), fsync: false, ..Options::default() };
    let journal = Journal::open(dir, options).unwrap();
    for _ in 0..count {
        journal.append(&Record { kind: Kind::Refusal, ..Record::default() }).await.unwrap();
    }
    journal.close().unwrap();
}

#[tokio::test]
async fn a_witness_follows_the_log_and_its_signature_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut witness = Witness::new();
    let key = witness.key();
    let mut old = 0;
    for count in [1, 2, 250, 6, 300, 1, 700] {
        grow(dir.path(), count).await;
        let sent = submission(dir.path(), old).unwrap().unwrap();
        let (status, answer) = witness.add(&sent.body);
        assert_eq!(status, 200, "{old} to {}", sent.size);
        sent.cosigned(&answer, &key).unwrap().keep(dir.path()).unwrap();
        old = sent.size;
        let note = cosigned(dir.path()).unwrap().unwrap();
        assert_eq!(key.signed(&note), Some(1_795_694_400));
        assert_eq!(key.signed(&note.replacen(&old.to_string(), "1", 1)), None);
        // The log's own key opens it as before.
        let own = std::fs::read_to_string(dir.path().join("audit.pub")).unwrap().parse().unwrap();
        assert_eq!(audit::Checkpoint::open(&note, &own).unwrap().size, old);
    }
    assert_eq!(submission(dir.path(), old).unwrap(), None);
    // A witness that knows more or less says what it knows.
    let sent = submission(dir.path(), 3).unwrap().unwrap();
    let (status, answer) = witness.add(&sent.body);
    assert_eq!((status, known_size(&answer)), (409, Some(old)));
    // A log that was begun anew does not continue the old one.
    let other = tempfile::tempdir().unwrap();
    grow(other.path(), 2000).await;
    let forked = submission(other.path(), old).unwrap().unwrap();
    assert_eq!(witness.add(&forked.body).0, 422);
    assert_eq!(forked.cosigned("\u{2014} witness.example/w1 AAAA\n", &key), None);
}
