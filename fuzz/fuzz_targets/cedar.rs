#![no_main]

#[path = "../src/cedar.rs"]
mod cedar;

libfuzzer_sys::fuzz_target!(|data: &[u8]| cedar::target(data));
