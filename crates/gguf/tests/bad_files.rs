//! Broken files are refused with what is wrong and where; none makes the reader panic or ask for memory.

mod raw;

use luthier_gguf::Vocabulary;
use raw::{Raw, open, text, u32s, u64s};

#[track_caller]
fn assert_refused(raw: &Raw, why: &str) {
    let error = raw.error();
    assert!(error.contains(why), "{error}");
}

#[test]
fn what_is_no_gguf_is_refused() {
    for bytes in [b"".as_slice(), b"GGU", b"PK\x03\x04 and so on", b"{\"a\": 1}"] {
        let error = open(bytes).unwrap_err().to_string();
        assert!(error.contains("is not a GGUF file"), "{error}");
    }
    let error = open(b"tjgg\x03\x00\x00\x00").unwrap_err().to_string();
    assert!(error.contains("from before GGUF"), "{error}");
}

#[test]
fn other_versions_are_refused() {
    assert_refused(&Raw { version: 1, ..Raw::default() }, "version 1");
    assert_refused(&Raw { version: 4, ..Raw::default() }, "GGUF of version 4; versions 2 and 3");
    assert_refused(&Raw { version: 0, ..Raw::default() }, "GGUF of version 0");
    assert_refused(&Raw { version: 3u32.swap_bytes(), ..Raw::default() }, "big-endian");
}

fn whole() -> Raw {
    Raw::default()
        .entry("general.architecture", 8, &text("llama"))
        .entry("tokenizer.ggml.model", 8, &text("gpt2"))
        .entry("tokenizer.ggml.tokens", 9, &[u32s(&[8]), u64s(&[2]), text("a"), text("b")].concat())
        .entry("nested", 9, &[u32s(&[9]), u64s(&[1]), u32s(&[4]), u64s(&[2]), u32s(&[7, 8])].concat())
        .tensor("a", &[4, 2], 0, 0)
        .tensor("b", &[32], 8, 32)
        .data(vec![1; 66])
}

#[test]
fn a_file_that_was_cut_anywhere_is_refused() {
    let bytes = whole().bytes();
    open(&bytes).unwrap();
    for length in 0..bytes.len() {
        let error = open(&bytes[..length]).expect_err("a part of a file is no file").to_string();
        assert!(error.contains("truncated") || error.contains("is not a GGUF file"), "{length}: {error}");
    }
}

#[test]
fn counts_beyond_the_file_are_refused_before_anything_is_made_for_them() {
    for count in [3, 1 << 20, 1 << 60, u64::MAX] {
        let metadata = Raw { entry_count: Some(count), ..Raw::default() };
        assert_refused(&metadata, &format!("{count} metadata entries of at least 13 bytes"));
        let tensors = Raw { tensor_count: Some(count), ..Raw::default() };
        assert_refused(&tensors, &format!("{count} tensors of at least 24 bytes"));
        let array = Raw::default().entry("a", 9, &[u32s(&[10]), u64s(&[count])].concat());
        assert_refused(&array, &format!("{count} values of metadata \"a\" of at least 8 bytes"));
    }
}

#[test]
fn texts_beyond_the_file_are_refused() {
    assert_refused(
        &Raw::default().entry("a", 8, &u64s(&[1 << 60])),
        "metadata \"a\" should take 1152921504606846976 bytes",
    );
    let bytes = [b"GGUF".to_vec(), u32s(&[3]), u64s(&[0, 1, 1 << 60, 0])].concat();
    let error = open(&bytes).unwrap_err().to_string();
    assert!(error.contains("the key of metadata entry 0 should take 1152921504606846976 bytes"), "{error}");
    assert_refused(
        &Raw::default().entry("a", 9, &[u32s(&[8]), u64s(&[2]), text("x"), u64s(&[u64::MAX])].concat()),
        "metadata \"a\" should take 18446744073709551615 bytes",
    );
}

#[test]
fn arrays_nested_without_end_are_refused() {
    let one = [u32s(&[9]), u64s(&[1])].concat();
    assert_refused(&Raw::default().entry("deep", 9, &one.repeat(100_000)), "nested more than 8 deep");
}

#[test]
fn unknown_types_are_refused_by_number() {
    assert_refused(&Raw::default().entry("a", 13, &[0; 8]), "metadata \"a\" has a value of type 13, which is unknown");
    assert_refused(
        &Raw::default().entry("a", 9, &[u32s(&[77]), u64s(&[0])].concat()),
        "the values of metadata \"a\" has a value of type 77",
    );
    assert_refused(&Raw::default().tensor("t", &[1], 999, 0).data(vec![0; 4]), "tensor \"t\" is of type 999");
    assert_refused(&Raw::default().tensor("t", &[32], 31, 0).data(vec![0; 18]), "Q4_0_4_4");
}

#[test]
fn a_bool_is_0_or_1() {
    assert_refused(&Raw::default().entry("a", 7, &[2]), "metadata \"a\" is a bool of the byte 2");
    assert_refused(&Raw::default().entry("a", 9, &[u32s(&[7]), u64s(&[2]), vec![1, 255]].concat()), "the byte 255");
}

#[test]
fn names_are_utf_8_and_there_once() {
    let mut bytes = Raw::default().entry("key", 4, &u32s(&[1])).bytes();
    bytes[32] = 0xFF;
    let error = open(&bytes).unwrap_err().to_string();
    assert!(error.contains("the key of metadata entry 0 is not UTF-8: \\xffey"), "{error}");
    assert_refused(
        &Raw::default().entry("a", 0, &[1]).entry("b", 0, &[1]).entry("a", 0, &[2]),
        "metadata \"a\" is there twice",
    );
    assert_refused(
        &Raw::default().tensor("t", &[1], 0, 0).tensor("t", &[1], 0, 32).data(vec![0; 36]),
        "tensor \"t\" is there twice",
    );
}

#[test]
fn shapes_that_overflow_are_refused() {
    for sizes in [[1 << 32, 1 << 32, 1 << 32, 1].as_slice(), &[u64::MAX], &[1 << 40, 1 << 40, 0], &[1 << 61, 4]] {
        let error = Raw::default().tensor("t", sizes, 0, 0).error();
        assert!(error.contains("can be counted") || error.contains("begins at"), "{sizes:?}: {error}");
    }
    assert_refused(&Raw::default().tensor("t", &[1 << 62], 0, 0), "more bytes than can be counted");
    assert_refused(&Raw::default().tensor("t", &[1, 1, 1, 1, 1], 0, 0), "has 5 dimensions");
    let mut bytes = Raw::default().tensor("t", &[1], 0, 0).bytes();
    bytes[33..37].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = open(&bytes).unwrap_err().to_string();
    assert!(error.contains("has 4294967295 dimensions"), "{error}");
    assert_refused(
        &Raw::default().tensor("t", &[33, 2], 8, 0).data(vec![0; 100]),
        "blocks hold 32 numbers, and its rows have 33",
    );
}

#[test]
fn tensors_lie_in_the_file_and_not_over_each_other() {
    let two =
        |offset: u64| Raw::default().tensor("one", &[16], 0, 0).tensor("two", &[16], 0, offset).data(vec![0; 128]);
    two(64).open();
    assert_refused(&two(32), "the bytes of tensors \"one\" and \"two\" overlap");
    assert_refused(&two(65), "no multiple of the alignment 32");
    assert_refused(&two(96), "tensor \"two\" (number 1) should end at byte");
    assert_refused(&two(1 << 62), "tensor \"two\" (number 1) should end at byte");
    assert_refused(&two(u64::MAX - 31), "begins at byte 18446744073709551584");
}

#[test]
fn an_alignment_is_a_power_of_two() {
    let with = |kind: u32, value: &[u8]| Raw::default().entry("general.alignment", kind, value);
    for wrong in [with(4, &u32s(&[0])), with(4, &u32s(&[24])), with(8, &text("32")), with(10, &u64s(&[1 << 40]))] {
        assert_refused(&wrong, "\"general.alignment\" must be a power of two");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = luthier_gguf::Gguf::open(std::path::Path::new("no/such/model.gguf")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read no/such/model.gguf: "), "{error}");
}

#[test]
fn a_file_without_a_vocabulary_opens() {
    let file = Raw::default().entry("general.architecture", 8, &text("llama")).open();
    assert!(Vocabulary::of(&file).is_err());
    let file = Raw::default().entry("tokenizer.ggml.model", 8, &text("none")).open();
    assert!(Vocabulary::of(&file).unwrap().tokens.is_empty());
}
