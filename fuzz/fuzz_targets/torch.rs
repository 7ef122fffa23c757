#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| luthier_fuzz::read_weights(bytes, "bin"));
