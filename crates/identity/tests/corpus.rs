//! Replays the fuzzing corpus, with every byte changed in turn, through the fuzz targets.

#[path = "../../../fuzz/src/jwks.rs"]
mod jwks;
#[path = "../../../fuzz/src/registration.rs"]
mod registration;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/token.rs"]
mod token;

use replay::replay;

/// What a byte is changed into.
const OTHERS: &[u8] = b"\"{.0";

#[test]
fn key_sets_and_metadata() {
    replay("jwks", 1, OTHERS, jwks::target);
}

#[test]
fn tokens() {
    replay("token", 1, OTHERS, token::target);
}

#[test]
fn registrations_and_queries() {
    replay("registration", 1, OTHERS, registration::target);
}
