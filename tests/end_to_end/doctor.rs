//! `luthier doctor` says what it found and measured.

use crate::command::luthier;

#[test]
fn the_machine_is_named_and_its_rates_are_measured() {
    let found = &luthier(&["doctor", "--json"]).succeeds().json_lines()[0];
    assert_eq!(found["version"], env!("CARGO_PKG_VERSION"));
    assert!(!found["cpu"].as_str().unwrap().is_empty() && !found["instruction_set"].as_str().unwrap().is_empty());
    assert!(found["cores"].as_u64().unwrap() >= 1);
    for rate in ["product_gflops", "read_gb_per_second"] {
        let rate = found[rate].as_f64().unwrap();
        assert!(rate > 0.0 && rate.is_finite());
    }
    assert_eq!(found["gpu"], "no GPU support in this version");
    assert!(found["cache"]["writable"].is_boolean() && found["pocket"]["embedded_bytes"].is_u64());
}

#[test]
fn the_number_of_threads_can_be_chosen_and_is_shown() {
    let screen = luthier(&["doctor", "--threads", "1"]).succeeds().stdout;
    assert!(screen.contains("of which 1 in use"), "{screen}");
    luthier(&["doctor", "--threads", "0"]).refuses(&["--threads"]);
}
