//! Replays the fuzzing corpora, with bytes of them changed and cut off, through the fuzz targets.
#![allow(clippy::unwrap_used, reason = "a broken property is a panic")]

#[path = "../../../fuzz/src/leak.rs"]
mod leak;
#[path = "../../../fuzz/src/reference.rs"]
mod reference;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/server_metadata.rs"]
mod server_metadata;

#[test]
fn metadata_of_servers() {
    replay::replay("server_metadata", 1, b"\"{/", server_metadata::target);
}

#[test]
fn references() {
    replay::replay("reference", 1, b"${}:/#\0 a", reference::target);
}

#[test]
fn values_in_streams() {
    replay::replay("leak", 7, b"\\u0 \n", leak::target);
}
