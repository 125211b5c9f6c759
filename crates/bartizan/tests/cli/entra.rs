//! The configuration in docs/entra.md is one that the gateway takes.

use std::fs;

use crate::home::{Home, repository};

#[test]
fn the_documented_configuration_is_right() {
    let page = fs::read_to_string(repository("docs/entra.md")).unwrap();
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (configuration, _) = rest.split_once("```").unwrap();
    let ran = Home::with(configuration).run(&["check"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}
