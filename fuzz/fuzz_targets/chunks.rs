#![no_main]

#[path = "../bounded.rs"]
mod bounded;

libfuzzer_sys::fuzz_target!(|data: &[u8]| netabase::fuzzing::chunks(data));
