//! Replays a target's corpus on any toolchain: each seed, and at every `step` bytes each of `others` in a byte's place,
//! one bit of it turned, and the seed cut there. Shared by the tests of crates whose targets stand alone.

use std::path::Path;

pub fn replay(name: &str, step: usize, others: &[u8], target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let seeds = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{error}"));
    for seed in seeds {
        let path = seed.unwrap_or_else(|error| panic!("{error}")).path();
        let input = std::fs::read(path).unwrap_or_else(|error| panic!("{error}"));
        target(&input);
        for at in (0..input.len()).step_by(step) {
            for with in others.iter().copied().chain([input[at] ^ 1]) {
                let mut changed = input.clone();
                changed[at] = with;
                target(&changed);
            }
            target(&input[..at]);
            target(&input[at..]);
        }
    }
}
