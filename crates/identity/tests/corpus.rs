//! Replays the fuzzing corpus, with every byte changed in turn, through the fuzz targets.

#[path = "../../../fuzz/src/jwks.rs"]
mod jwks;
#[path = "../../../fuzz/src/registration.rs"]
mod registration;
#[path = "../../../fuzz/src/token.rs"]
mod token;

use std::path::Path;

fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let seeds = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{error}"));
    for seed in seeds {
        let path = seed.unwrap_or_else(|error| panic!("{error}")).path();
        let input = std::fs::read(path).unwrap_or_else(|error| panic!("{error}"));
        target(&input);
        for at in 0..input.len() {
            for with in [b'"', b'{', b'.', b'0', input[at] ^ 1] {
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
fn key_sets_and_metadata() {
    replay("jwks", jwks::target);
}

#[test]
fn tokens() {
    replay("token", token::target);
}

#[test]
fn registrations_and_queries() {
    replay("registration", registration::target);
}
