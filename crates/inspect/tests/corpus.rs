//! Replays the fuzzing corpus, with bytes of it changed and cut off, through the fuzz targets.

#[path = "../../../fuzz/src/rules.rs"]
mod rules;
#[path = "../../../fuzz/src/scan.rs"]
mod scan;

use std::path::Path;

fn replay(name: &str, step: usize, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let seeds = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{error}"));
    for seed in seeds {
        let path = seed.unwrap_or_else(|error| panic!("{error}")).path();
        let input = std::fs::read(path).unwrap_or_else(|error| panic!("{error}"));
        target(&input);
        for at in (0..input.len()).step_by(step) {
            for with in [b'"', b' ', b'\\', 0xe2, input[at] ^ 1] {
                let mut changed = input.clone();
                changed[at] = with;
                target(&changed);
            }
            target(&input[..at]);
            target(&input[at..]);
        }
    }
}

#[test]
fn texts_in_pieces() {
    replay("scan", 3, scan::target);
}

#[test]
fn files_of_rules() {
    replay("rules", 7, rules::target);
}
