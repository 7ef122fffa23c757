//! Vocabularies of llama.cpp's own test files, and what is wrong with others.

mod raw;

use luthier_fixtures::shared;
use luthier_gguf::{Gguf, TokenType, Vocabulary};
use raw::{Raw, text, u32s, u64s};

fn of(name: &str) -> Option<Vocabulary> {
    let path = shared(&format!("models/ggml-vocab/ggml-vocab-{name}.gguf"))?;
    Some(Vocabulary::of(&Gguf::open(&path).unwrap()).unwrap())
}

#[test]
fn the_vocabulary_of_llama_2_is_sentencepiece() {
    let Some(vocabulary) = of("llama-spm") else { return };
    assert_eq!(vocabulary.model, "llama");
    assert_eq!(vocabulary.tokens.len(), 32_000);
    assert_eq!(vocabulary.tokens[..3], ["<unk>", "<s>", "</s>"]);
    assert_eq!(vocabulary.tokens[3], "<0x00>");
    assert_eq!(vocabulary.tokens[263], "▁a");
    assert_eq!(
        vocabulary.token_types[..4],
        [TokenType::Unknown, TokenType::Control, TokenType::Control, TokenType::Byte]
    );
    assert_eq!(vocabulary.token_types[263], TokenType::Normal);
    assert_eq!(vocabulary.scores.len(), 32_000);
    assert!(vocabulary.scores[300] > vocabulary.scores[301], "pieces are sorted by their scores");
    assert!(vocabulary.merges.is_empty());
    assert_eq!((vocabulary.bos, vocabulary.eos, vocabulary.unk), (Some(1), Some(2), Some(0)));
}

#[test]
fn the_vocabulary_of_gpt_2_is_byte_level_bpe() {
    let Some(vocabulary) = of("gpt-2") else { return };
    assert_eq!((vocabulary.model.as_str(), vocabulary.pre.as_deref()), ("gpt2", Some("gpt-2")));
    assert_eq!((vocabulary.tokens.len(), vocabulary.merges.len()), (50_257, 50_000));
    assert_eq!(vocabulary.merges[0], "Ġ t");
    assert_eq!(vocabulary.tokens[50_256], "<|endoftext|>");
    assert_eq!(vocabulary.token_types[50_256], TokenType::Control);
    assert_eq!((vocabulary.bos, vocabulary.eos), (Some(50_256), Some(50_256)));
    assert!(vocabulary.scores.is_empty());
    assert!(!vocabulary.defaults().add_bos && !vocabulary.defaults().add_space_prefix);
}

#[test]
fn the_vocabulary_of_baichuan_is_sentencepiece_with_a_pad_token() {
    let Some(vocabulary) = of("baichuan") else { return };
    assert_eq!((vocabulary.model.as_str(), vocabulary.tokens.len()), ("llama", 64_000));
    assert_eq!(vocabulary.pad, Some(0));
    assert_eq!(vocabulary.token_types.len(), 64_000);
    assert!(vocabulary.defaults().add_bos && vocabulary.defaults().add_space_prefix);
}

/// A file with two tokens.
fn tiny() -> Raw {
    let tokens = [u32s(&[8]), u64s(&[2]), text("a"), text("b")].concat();
    Raw::default().entry("tokenizer.ggml.model", 8, &text("gpt2")).entry("tokenizer.ggml.tokens", 9, &tokens)
}

#[test]
fn what_the_file_does_not_say_is_left_open() {
    let vocabulary = Vocabulary::of(&tiny().open()).unwrap();
    let due =
        Vocabulary { model: "gpt2".to_owned(), tokens: vec!["a".to_owned(), "b".to_owned()], ..Vocabulary::default() };
    assert_eq!(vocabulary, due);
}

#[test]
fn what_llama_cpp_does_by_itself_depends_on_the_kind() {
    let of = |model: &str, pre: Option<&str>| {
        let (model, pre) = (model.to_owned(), pre.map(str::to_owned));
        Vocabulary { model, pre, ..Vocabulary::default() }.defaults()
    };
    assert!(of("gpt2", Some("llama-bpe")).add_bos && !of("gpt2", Some("qwen2")).add_bos && !of("gpt2", None).add_bos);
    assert_eq!(of("llama", None).eos, Some(2));
    assert!(of("t5", None).add_eos);
}

#[test]
fn a_special_token_that_is_not_there_is_none() {
    let file = tiny()
        .entry("tokenizer.ggml.bos_token_id", 4, &u32s(&[1]))
        .entry("tokenizer.ggml.eos_token_id", 4, &u32s(&[2]))
        .entry("tokenizer.ggml.padding_token_id", 5, &(-1i32).to_le_bytes())
        .open();
    let vocabulary = Vocabulary::of(&file).unwrap();
    assert_eq!((vocabulary.bos, vocabulary.eos, vocabulary.pad), (Some(1), None, None));
}

#[test]
fn a_wrong_vocabulary_is_refused_by_the_name_of_its_key() {
    let error = |raw: Raw| Vocabulary::of(&raw.open()).expect_err("a wrong vocabulary").to_string();
    let no_model = error(Raw::default());
    assert!(no_model.contains("\"tokenizer.ggml.model\" is missing"), "{no_model}");
    let short = error(tiny().entry("tokenizer.ggml.scores", 9, &[u32s(&[6]), u64s(&[1]), vec![0; 4]].concat()));
    assert!(short.contains("\"tokenizer.ggml.scores\" has 1 entries for 2 tokens"), "{short}");
    let kind = error(tiny().entry("tokenizer.ggml.token_type", 9, &[u32s(&[5]), u64s(&[2]), u32s(&[1, 9])].concat()));
    assert!(kind.contains("must hold a number from 0 to 6 at 1"), "{kind}");
    let latin = [u32s(&[8]), u64s(&[1]), u64s(&[1]), vec![0xE9]].concat();
    let latin =
        error(Raw::default().entry("tokenizer.ggml.model", 8, &text("gpt2")).entry("tokenizer.ggml.tokens", 9, &latin));
    assert!(latin.contains("not UTF-8 at 0: \\xe9"), "{latin}");
    let flag = error(tiny().entry("tokenizer.ggml.add_bos_token", 4, &u32s(&[1])));
    assert!(flag.contains("must be true or false"), "{flag}");
    let named = error(tiny().entry("tokenizer.chat_templates", 9, &[u32s(&[8]), u64s(&[1]), text("tool")].concat()));
    assert!(named.contains("\"tokenizer.chat_template.tool\" is missing"), "{named}");
}
