#![no_main]

#[path = "../src/jwks.rs"]
mod jwks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| jwks::target(data));
