#![no_main]

#[path = "../src/registration.rs"]
mod registration;

libfuzzer_sys::fuzz_target!(|data: &[u8]| registration::target(data));
