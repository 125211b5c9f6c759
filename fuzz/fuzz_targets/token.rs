#![no_main]

#[path = "../src/token.rs"]
mod token;

libfuzzer_sys::fuzz_target!(|data: &[u8]| token::target(data));
