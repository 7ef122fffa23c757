//! Tokenizers as model folders hold them, and text streamed out of tokens.

mod tiny;

use std::fs;

use luthier_text::{StreamDecoder, Template, TextError, Tokenizer};
use proptest::prelude::*;

fn stream(tokenizer: &Tokenizer, ids: &[u32], skip_special: bool) -> (Vec<String>, String) {
    let mut decoder = StreamDecoder::new(tokenizer, skip_special);
    let mut pieces: Vec<String> = ids.iter().filter_map(|id| decoder.push(*id)).collect();
    pieces.extend(decoder.finish());
    let joined = pieces.concat();
    (pieces, joined)
}

#[test]
fn a_chinese_character_is_streamed_whole() {
    let tokenizer = tiny::byte_level();
    let text = "燈會唱歌，the 端。";
    let ids = tokenizer.encode(text, false).unwrap();
    assert!(ids.len() > text.chars().count(), "the tiny vocabulary splits characters into bytes");
    let (pieces, joined) = stream(&tokenizer, &ids, true);
    assert_eq!(joined, text);
    assert!(pieces.iter().all(|p| !p.contains('\u{FFFD}')), "{pieces:?}");
    assert!(pieces.len() >= 9, "characters come one by one: {pieces:?}");
}

#[test]
fn byte_fallback_pieces_keep_the_space_that_only_a_texts_beginning_loses() {
    let tokenizer = tiny::byte_fallback();
    let text = "the 燈 貓狗 the the";
    let ids = tokenizer.encode(text, true).unwrap();
    assert_eq!(ids[0], 1, "one beginning-of-sequence token");
    assert_eq!(tokenizer.decode(&ids, true), text);
    assert_eq!(stream(&tokenizer, &ids, true).1, text);
    assert_eq!(stream(&tokenizer, &ids, false).1, tokenizer.decode(&ids, false));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn streamed_pieces_joined_equal_decode_of_all_byte_level(ids in prop::collection::vec(0u32..270, 0..60), skip in any::<bool>()) {
        let tokenizer = tiny::byte_level();
        prop_assert_eq!(stream(&tokenizer, &ids, skip).1, tokenizer.decode(&ids, skip));
    }

    #[test]
    fn streamed_pieces_joined_equal_decode_of_all_byte_fallback(ids in prop::collection::vec(0u32..330, 0..60), skip in any::<bool>()) {
        let tokenizer = tiny::byte_fallback();
        prop_assert_eq!(stream(&tokenizer, &ids, skip).1, tokenizer.decode(&ids, skip));
    }

    #[test]
    fn text_comes_back_and_offsets_cover_it(text in "[a-z 燈會唱歌，。\n貓😀]{0,40}") {
        let tokenizer = tiny::byte_level();
        let encoded = tokenizer.encode_with_offsets(&text).unwrap();
        prop_assert_eq!(tokenizer.decode(&encoded.ids, false), text.clone());
        let mut covered = 0;
        for (start, end) in encoded.offsets {
            prop_assert!(start <= end && end <= text.len() && start <= covered.max(start));
            prop_assert!(text.is_char_boundary(start) && text.is_char_boundary(end));
            covered = covered.max(end);
        }
        prop_assert_eq!(covered, text.len());
    }
}

#[test]
fn a_saved_tokenizer_reads_back_the_same_with_its_template() {
    let folder = tempfile::tempdir().unwrap();
    for tokenizer in [tiny::byte_level(), tiny::byte_fallback()] {
        tokenizer.save(folder.path(), Some(tiny::CHATML)).unwrap();
        let again = Tokenizer::from_dir(folder.path()).unwrap();
        let text = "the 燈會\n\nthe 貓";
        assert_eq!(again.encode(text, true).unwrap(), tokenizer.encode(text, true).unwrap());
        assert_eq!(
            (again.bos(), again.eos(), again.pad(), again.unk()),
            (tokenizer.bos(), tokenizer.eos(), tokenizer.pad(), tokenizer.unk())
        );
        assert_eq!(again.vocab_size(), tokenizer.vocab_size());
        assert_eq!(Template::of_model(folder.path(), &again).unwrap().unwrap().source(), tiny::CHATML);
    }
}

#[test]
fn batches_keep_their_order() {
    let tokenizer = tiny::byte_level();
    let texts: Vec<String> = (0..500).map(|i| format!("the {i}")).collect();
    let batch = tokenizer.encode_batch(&texts, false).unwrap();
    for (text, ids) in texts.iter().zip(batch) {
        assert_eq!(tokenizer.decode(&ids, false), *text);
    }
}

#[test]
fn missing_and_broken_tokenizers_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let message = Tokenizer::from_dir(folder.path()).unwrap_err().to_string();
    assert!(message.contains("has no tokenizer") && message.contains("tokenizer.json"), "{message}");
    fs::write(folder.path().join("tokenizer.json"), "{\"version\": ").unwrap();
    let message = Tokenizer::from_dir(folder.path()).unwrap_err().to_string();
    assert!(message.contains("tokenizer.json") && message.contains("not a tokenizer"), "{message}");
    tiny::byte_level().save(folder.path(), None).unwrap();
    fs::write(folder.path().join("tokenizer_config.json"), r#"{"eos_token": "<gone>"}"#).unwrap();
    let message = Tokenizer::from_dir(folder.path()).unwrap_err().to_string();
    assert!(message.contains("eos_token") && message.contains("<gone>"), "{message}");
}

#[test]
fn a_class_that_two_files_do_not_determine_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("vocab.json"), r#"{"a": 0}"#).unwrap();
    fs::write(folder.path().join("merges.txt"), "#version: 0.2\n").unwrap();
    fs::write(folder.path().join("tokenizer_config.json"), r#"{"tokenizer_class": "RobertaTokenizer"}"#).unwrap();
    let error = Tokenizer::from_dir(folder.path()).unwrap_err();
    assert!(matches!(error, TextError::TokenizerClass { .. }));
    assert!(error.to_string().contains("RobertaTokenizer") && error.to_string().contains("Qwen2Tokenizer"));
}

#[test]
fn tokens_listed_in_the_config_alone_are_added_under_their_ids() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = tiny::byte_level();
    tokenizer.save(folder.path(), None).unwrap();
    let next = tokenizer.vocab_size();
    let write = |id: usize| {
        let config =
            serde_json::json!({"added_tokens_decoder": {id.to_string(): {"content": "<|extra|>", "special": true}}});
        fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    };
    write(next);
    let with = Tokenizer::from_dir(folder.path()).unwrap();
    assert_eq!(with.encode("<|extra|>", false).unwrap(), vec![next as u32]);
    assert_eq!(with.vocab_size(), next + 1);
    write(next + 5);
    let message = Tokenizer::from_dir(folder.path()).unwrap_err().to_string();
    assert!(message.contains("<|extra|>"), "{message}");
}

#[test]
fn real_tokenizers_give_the_golden_ids() {
    let what = "golden token ids (golden_ids.json) of llama2, gpt2, minimind and qwen2";
    let Some(folder) = luthier_fixtures::shared_for("models/tokenizers", what) else { return };
    let golden = luthier_fixtures::json(&folder.join("golden_ids.json"));
    let texts: Vec<&str> = golden["texts"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    let cases = [
        ("llama2/tokenizer.json", "llama2", true),
        ("gpt2", "gpt2", false),
        ("minimind", "minimind", false),
        ("qwen2", "qwen2", false),
    ];
    for (key, name, add_special) in cases {
        let tokenizer = Tokenizer::from_dir(folder.join(name)).unwrap();
        let (_, ids) = golden["ids"].as_object().unwrap().iter().find(|(k, _)| k.starts_with(key)).unwrap();
        let ids: Vec<Vec<u32>> = serde_json::from_value(ids.clone()).unwrap();
        assert_eq!(ids.len(), texts.len());
        for (text, expected) in texts.iter().zip(&ids) {
            assert_eq!(&tokenizer.encode(text, add_special).unwrap(), expected, "{name}: {text:?}");
            assert_eq!(stream(&tokenizer, expected, true).1, tokenizer.decode(expected, true), "{name}: {text:?}");
        }
        eprintln!("{name}: {} texts equal, vocabulary {}", texts.len(), tokenizer.vocab_size());
    }
    assert_eq!(Tokenizer::from_dir(folder.join("qwen2")).unwrap().vocab_size(), 151_646);
}
