#![no_main]

#[path = "../src/server_metadata.rs"]
mod server_metadata;

libfuzzer_sys::fuzz_target!(|data: &[u8]| server_metadata::target(data));
