//! Replays the fuzzing corpus, with every byte changed in turn, through the fuzz target.

#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/server_metadata.rs"]
mod server_metadata;

#[test]
fn metadata_of_servers() {
    replay::replay("server_metadata", 1, b"\"{/", server_metadata::target);
}
