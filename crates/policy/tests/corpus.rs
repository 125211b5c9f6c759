//! Replays the fuzzing corpus, changed here and there, through the fuzz targets.

#[path = "../../../fuzz/src/cedar.rs"]
mod cedar;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/roles.rs"]
mod roles;

use replay::replay;

#[test]
fn policies_in_cedar() {
    replay("cedar", 11, b"\"}", cedar::target);
}

#[test]
fn roles_as_configured() {
    replay("roles", 7, b"\"\n*", roles::target);
}
