//! Replays the fuzzing corpus, with bytes of it changed and cut off, through the fuzz targets.

#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/rules.rs"]
mod rules;
#[path = "../../../fuzz/src/scan.rs"]
mod scan;

use replay::replay;

/// What a byte is changed into.
const OTHERS: &[u8] = b"\" \\\xe2";

#[test]
fn texts_in_pieces() {
    replay("scan", 3, OTHERS, scan::target);
}

#[test]
fn files_of_rules() {
    replay("rules", 7, OTHERS, rules::target);
}
