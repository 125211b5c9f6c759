#![no_main]

#[path = "../src/cedar.rs"]
mod cedar;
#[path = "../src/roles.rs"]
mod roles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| roles::target(data));
