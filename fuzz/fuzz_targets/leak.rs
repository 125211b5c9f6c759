#![no_main]

#[path = "../src/leak.rs"]
mod leak;

libfuzzer_sys::fuzz_target!(|data: &[u8]| leak::target(data));
