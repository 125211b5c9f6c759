#![no_main]

#[path = "../src/reference.rs"]
mod reference;

libfuzzer_sys::fuzz_target!(|data: &[u8]| reference::target(data));
