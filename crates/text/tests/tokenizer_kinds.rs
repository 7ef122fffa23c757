//! Every kind of tokenizer file gives the ids of the implementation that it comes from.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use luthier_fixtures::{ids, json, repository, shared_for};
use luthier_gguf::{Gguf, TokenType, Vocabulary};
use luthier_text::{NewToken, TextError, Tokenizer};
use serde_json::Value;

/// A folder with these files, under these names.
fn folder(files: &[(&Path, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (from, name) in files {
        fs::copy(from, folder.path().join(name)).unwrap();
    }
    folder
}

/// `encode[]` of a fixture: `text`, `ids` as text alone, `decoded`.
fn check_fixture(name: &str) -> Tokenizer {
    let dir = repository().join("fixtures").join(name);
    let tokenizer = Tokenizer::from_dir(&dir).unwrap();
    let golden = json(&dir.join("golden.json"));
    let cases = golden["encode"].as_array().unwrap();
    assert!(cases.len() > 20, "{name}");
    for case in cases {
        let (text, expected) = (case["text"].as_str().unwrap(), ids(&case["ids"]));
        assert_eq!(tokenizer.encode_ordinary(text).unwrap(), expected, "{name}: {text:?}");
        // SentencePiece writes ⁇ for what is unknown; transformers, as with all special tokens, what is asked for.
        let decoded = case["decoded"].as_str().unwrap();
        if !decoded.contains('⁇') {
            assert_eq!(tokenizer.decode(&expected, true), decoded, "{name}: {text:?}");
        }
    }
    assert_eq!(tokenizer.vocab_size() as u64, golden["vocab_size"].as_u64().unwrap(), "{name}");
    tokenizer
}

#[test]
fn a_sentencepiece_unigram_model_gives_its_own_ids() {
    let tokenizer = check_fixture("sentencepiece-unigram");
    assert_eq!(tokenizer.eos().unwrap().text, "</s>");
    assert_eq!(tokenizer.leading_bos(), None);
    let call = tokenizer.token_id("<tool>").unwrap();
    assert!(tokenizer.encode("a<tool>b", false).unwrap().contains(&call));
    assert!(!tokenizer.is_special(call), "a piece that a user defined is ordinary text");
}

#[test]
fn a_sentencepiece_bpe_model_gives_its_own_ids_and_begins_every_text() {
    let tokenizer = check_fixture("sentencepiece-bpe");
    assert_eq!(tokenizer.leading_bos(), tokenizer.token_id("<s>"));
    assert_eq!((tokenizer.bos().unwrap().id, tokenizer.eos().unwrap().id, tokenizer.unk().unwrap().id), (1, 2, 0));
    let text = "貓🙂";
    let ids = tokenizer.encode(text, true).unwrap();
    assert_eq!(tokenizer.decode(&ids, true), text, "what has no piece is written as bytes");
}

#[test]
fn a_list_of_ranks_gives_the_ids_of_tiktoken() {
    let tokenizer = check_fixture("tiktoken");
    let first = tokenizer.bos().unwrap().id;
    assert_eq!(tokenizer.leading_bos(), Some(first));
    assert_eq!(tokenizer.token_id("<|eot_id|>"), Some(first + 9));
    assert!(tokenizer.is_special(first + 255) && tokenizer.vocab_size() as u32 == first + 256);
}

#[test]
fn what_came_from_a_model_file_is_saved_as_tokenizer_json_and_read_back_the_same() {
    for name in ["sentencepiece-unigram", "sentencepiece-bpe", "tiktoken"] {
        let dir = repository().join("fixtures").join(name);
        let tokenizer = Tokenizer::from_dir(&dir).unwrap();
        let saved = tempfile::tempdir().unwrap();
        tokenizer.save(saved.path(), None).unwrap();
        let again = Tokenizer::from_dir(saved.path()).unwrap();
        for text in ["", "a", "  two  spaces ", "貓在家。\n\n", "<s>x</s> <tool>"] {
            assert_eq!(again.encode(text, true).unwrap(), tokenizer.encode(text, true).unwrap(), "{name}: {text:?}");
            assert_eq!(again.encode_with_offsets(text).unwrap(), tokenizer.encode_with_offsets(text).unwrap());
        }
        assert_eq!(
            (again.bos(), again.eos(), again.unk()),
            (tokenizer.bos(), tokenizer.eos(), tokenizer.unk()),
            "{name}"
        );
    }
}

#[test]
fn added_tokens_follow_the_vocabulary_and_are_found_everywhere() {
    let saved = tempfile::tempdir().unwrap();
    for name in ["sentencepiece-unigram", "sentencepiece-bpe", "tiktoken", "tokenizer"] {
        let mut tokenizer = Tokenizer::from_dir(repository().join("fixtures").join(name)).unwrap();
        let rows = tokenizer.vocab_size();
        tokenizer.check_embedding(rows).unwrap();
        let known = tokenizer.token_text(tokenizer.eos().unwrap().id).unwrap();
        let new = [NewToken::special("<|call|>"), NewToken::ordinary("燈會"), NewToken::special(&known)];
        let ids = tokenizer.add_tokens(&new).unwrap();
        assert_eq!(ids[..2], [rows as u32, rows as u32 + 1], "{name}");
        assert_eq!(ids[2], tokenizer.eos().unwrap().id);
        assert_eq!(tokenizer.ids_beyond(rows), ids[..2]);
        assert!(tokenizer.is_special(ids[0]) && !tokenizer.is_special(ids[1]));
        let encoded = tokenizer.encode("x<|call|>看燈會看", false).unwrap();
        assert!(encoded.contains(&ids[0]) && encoded.contains(&ids[1]), "{name}: {encoded:?}");
        let message = tokenizer.check_embedding(rows).unwrap_err().to_string();
        assert!(message.contains("<|call|>") && message.contains(&format!("{rows} rows")), "{message}");
        tokenizer.save(saved.path(), None).unwrap();
        let again = Tokenizer::from_dir(saved.path()).unwrap();
        assert_eq!(again.vocab_size(), rows + 2);
        assert_eq!(
            again.encode("x<|call|>看燈會看", true).unwrap(),
            tokenizer.encode("x<|call|>看燈會看", true).unwrap()
        );
        assert_eq!(again.token_id("燈會"), Some(ids[1]));
    }
}

#[test]
fn tokens_that_cannot_be_added_leave_the_tokenizer_as_it_was() {
    let mut tokenizer = Tokenizer::from_dir(repository().join("fixtures/tokenizer")).unwrap();
    let before = tokenizer.vocab_size();
    for (tokens, named) in [(vec![NewToken::special("")], "empty"), (vec![NewToken::special("a!b"); 2], "twice")] {
        let error = tokenizer.add_tokens(&tokens).unwrap_err();
        assert!(matches!(error, TextError::NewToken { .. }) && error.to_string().contains(named), "{error}");
        assert_eq!(tokenizer.vocab_size(), before);
    }
}

#[test]
fn a_class_that_gives_pieces_other_ids_is_refused() {
    let dir = repository().join("fixtures/sentencepiece-unigram");
    let folder = folder(&[(&dir.join("tokenizer.model"), "tokenizer.model")]);
    fs::write(folder.path().join("tokenizer_config.json"), r#"{"tokenizer_class": "XLMRobertaTokenizer"}"#).unwrap();
    let message = Tokenizer::from_dir(folder.path()).unwrap_err().to_string();
    assert!(message.contains("XLMRobertaTokenizer") && message.contains("LlamaTokenizer"), "{message}");
}

#[test]
fn each_class_gives_the_ids_of_the_fast_tokenizer_that_transformers_makes_of_the_file() {
    for name in ["sentencepiece-unigram", "sentencepiece-bpe"] {
        let dir = repository().join("fixtures").join(name);
        let golden = json(&dir.join("golden.json"));
        let texts: Vec<&str> =
            golden["encode"].as_array().unwrap().iter().map(|case| case["text"].as_str().unwrap()).collect();
        for class in golden["transformers"].as_array().unwrap() {
            let folder = folder(&[(&dir.join("tokenizer.model"), "tokenizer.model")]);
            fs::write(folder.path().join("tokenizer_config.json"), class["config"].to_string()).unwrap();
            let tokenizer = Tokenizer::from_dir(folder.path()).unwrap();
            for (text, expected) in texts.iter().zip(class["ids"].as_array().unwrap()) {
                assert_eq!(tokenizer.encode(text, true).unwrap(), ids(expected), "{}: {text:?}", class["config"]);
            }
            assert_eq!(tokenizer.vocab_size() as u64, class["vocab_size"].as_u64().unwrap());
        }
    }
}

#[test]
fn classes_put_their_tokens_around_a_text() {
    let dir = repository().join("fixtures");
    let with = |model: &str, config: &str| {
        let folder = folder(&[(&dir.join(model).join("tokenizer.model"), "tokenizer.model")]);
        fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
        Tokenizer::from_dir(folder.path()).unwrap()
    };
    let llama = with("sentencepiece-bpe", r#"{"tokenizer_class": "LlamaTokenizer", "add_eos_token": true}"#);
    let ids = llama.encode("a", true).unwrap();
    assert_eq!((ids[0], *ids.last().unwrap()), (1, 2));
    // Behind a special token, legacy puts a space and the newer way none.
    let legacy = with("sentencepiece-bpe", r#"{"tokenizer_class": "LlamaTokenizer"}"#);
    let newer = with("sentencepiece-bpe", r#"{"tokenizer_class": "LlamaTokenizer", "legacy": false}"#);
    let texts = |t: &Tokenizer| -> Vec<String> {
        t.encode("<s>a", false).unwrap().into_iter().map(|id| t.token_text(id).unwrap()).collect()
    };
    assert_eq!((&*texts(&legacy)[1].replace('a', ""), &*texts(&newer)[1]), ("▁", "a"));
    let t5 = with("sentencepiece-unigram", r#"{"tokenizer_class": "T5Tokenizer", "extra_ids": 10}"#);
    let plain = with("sentencepiece-unigram", "{}");
    // And the <pad> that the file lacks.
    assert_eq!(t5.vocab_size(), plain.vocab_size() + 11);
    assert_eq!(t5.token_id("<extra_id_9>"), Some(plain.vocab_size() as u32));
    assert!(t5.encode("a", true).unwrap().ends_with(&[t5.eos().unwrap().id]));
    let gemma =
        with("sentencepiece-bpe", r#"{"tokenizer_class": "GemmaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}"#);
    assert_eq!(gemma.decode(&gemma.encode("\ta a", false).unwrap(), true), "\ta a");
    assert!(gemma.token_id("\t").is_some());
}

#[test]
fn files_beside_a_model_file_add_tokens_behind_its_vocabulary() {
    let dir = repository().join("fixtures");
    let model = dir.join("sentencepiece-bpe/tokenizer.model");
    let beside = folder(&[(&model, "tokenizer.model")]);
    let rows = Tokenizer::from_dir(beside.path()).unwrap().vocab_size();
    fs::write(beside.path().join("added_tokens.json"), format!(r#"{{"[燈]": {}, "[PAD]": {rows}}}"#, rows + 1))
        .unwrap();
    fs::write(beside.path().join("special_tokens_map.json"), r#"{"pad_token": "[PAD]", "eos_token": "</s>"}"#).unwrap();
    let tokenizer = Tokenizer::from_dir(beside.path()).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.pad().unwrap().id), (rows + 2, rows as u32));
    assert_eq!(tokenizer.encode("[燈]", false).unwrap(), [rows as u32 + 1]);

    let ranks = folder(&[(&dir.join("tiktoken/tokenizer.model"), "tokenizer.model")]);
    let rows = Tokenizer::from_dir(ranks.path()).unwrap().vocab_size() - 256;
    let token = |text: &str| serde_json::json!({"content": text, "special": true});
    let config = serde_json::json!({
        "added_tokens_decoder": {rows.to_string(): token("<|end|>"), (rows + 1).to_string(): token("<|begin|>")},
        "bos_token": "<|begin|>", "eos_token": "<|end|>",
    });
    fs::write(ranks.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    let tokenizer = Tokenizer::from_dir(ranks.path()).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.leading_bos()), (rows + 2, Some(rows as u32 + 1)));
    assert_eq!(tokenizer.encode("<|end|>", true).unwrap(), [rows as u32 + 1, rows as u32]);

    // Llama 3.1 ends messages with a token that Llama 3 had reserved.
    let ranks = folder(&[(&dir.join("tiktoken/tokenizer.model"), "tokenizer.model")]);
    let ends = serde_json::json!({"eos_token_id": [rows + 9, rows + 8]});
    fs::write(ranks.path().join("config.json"), ends.to_string()).unwrap();
    let tokenizer = Tokenizer::from_dir(ranks.path()).unwrap();
    assert_eq!(tokenizer.eos().unwrap().text, "<|eot_id|>");
    assert_eq!(tokenizer.token_id("<|eom_id|>"), Some(rows as u32 + 8));
}

/// Texts and ids of golden_ids.json under the key that begins so; which texts its own decoder restores.
fn golden(file: &Value, key: &str) -> Vec<(String, Vec<u32>, Option<bool>)> {
    let starts = |object: &Value| {
        object.as_object().unwrap().iter().find(|(name, _)| name.starts_with(key)).map(|(_, value)| value.clone())
    };
    let restored = starts(&file["decoded_ok"]);
    let expected = starts(&file["ids"]).unwrap();
    file["texts"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .map(|(i, text)| {
            let restored = restored.as_ref().and_then(|all| all[i].as_bool());
            (text.as_str().unwrap().to_owned(), ids(&expected[i]), restored)
        })
        .collect()
}

#[test]
fn real_model_files_give_the_golden_ids() {
    let what = "golden token ids of three SentencePiece models and one of tiktoken";
    let Some(shared) = shared_for("models/tokenizers", what) else { return };
    let file = json(&shared.join("golden_ids.json"));
    let cases = [
        ("llama2/tokenizer.model", 32_000),
        ("chinese-llama-sp/chinese_sp.model", 20_000),
        ("sentencepiece-test/test_model.model", 1_000),
        ("llama3/tokenizer.model", 128_256),
    ];
    for (path, size) in cases {
        let alone = folder(&[(&shared.join(path), "tokenizer.model")]);
        let tokenizer = Tokenizer::from_dir(alone.path()).unwrap();
        assert_eq!(tokenizer.vocab_size(), size, "{path}");
        let golden = golden(&file, path);
        assert_eq!(golden.len(), 79);
        for (text, expected, restored) in golden {
            assert_eq!(tokenizer.encode_ordinary(&text).unwrap(), expected, "{path}: {text:?}");
            if !text.contains("<s>") {
                assert_eq!(tokenizer.encode(&text, false).unwrap(), expected, "{path}: {text:?}");
            }
            if restored == Some(true) {
                assert_eq!(tokenizer.decode(&expected, true), text, "{path}");
            }
        }
    }
}

#[test]
fn the_bin_of_llama2_c_gives_the_ids_of_its_tokenizer_json() {
    let what = "tokenizer.bin and tok512.bin of llama2.c against the same as tokenizer.json";
    let Some(models) = shared_for("models", what) else { return };
    let file = json(&models.join("tokenizers/golden_ids.json"));
    let stories = models.join("stories260K");
    let small = (Tokenizer::from_model(stories.join("stories260K.bin")), Tokenizer::from_dir(stories.join("hf")));
    let alone = folder(&[(&models.join("tokenizers/llama2/tokenizer.bin"), "tokenizer.bin")]);
    let llama2 = (Tokenizer::from_dir(alone.path()), Tokenizer::from_dir(models.join("tokenizers/llama2")));
    for (bin, json) in [small, llama2] {
        let (bin, json) = (bin.unwrap(), json.unwrap());
        assert_eq!(bin.vocab_size(), json.vocab_size());
        for text in file["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()) {
            assert_eq!(bin.encode(text, true).unwrap(), json.encode(text, true).unwrap(), "{text:?}");
        }
    }
}

/// The 46 texts of the vocabulary tests of llama.cpp with their ids.
fn vocabulary_tests(folder: &Path, name: &str) -> Vec<(String, Vec<u32>)> {
    let texts = fs::read_to_string(folder.join(format!("ggml-vocab-{name}.gguf.inp"))).unwrap();
    let expected = fs::read_to_string(folder.join(format!("ggml-vocab-{name}.gguf.out"))).unwrap();
    let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
    let (last, texts) = texts.split_last().unwrap();
    assert_eq!(*last, "");
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(texts.len(), expected.len());
    let ids = |line: &str| line.split_whitespace().map(|id| id.parse().unwrap()).collect();
    texts.iter().zip(expected).map(|(text, line)| ((*text).to_owned(), ids(line))).collect()
}

#[test]
fn vocabularies_of_gguf_files_and_of_folders_pass_the_vocabulary_tests_of_llama_cpp() {
    let what = "vocabulary tests of llama.cpp";
    let Some(shared) = shared_for("models", what) else { return };
    let (tests, folders) = (shared.join("ggml-vocab"), shared.join("tokenizers"));
    let alone = |path: &str| folder(&[(&folders.join(path), "tokenizer.model")]);
    let (llama2, llama3) = (alone("llama2/tokenizer.model"), alone("llama3/tokenizer.model"));
    let cases = [
        ("llama-spm", Tokenizer::from_model(tests.join("ggml-vocab-llama-spm.gguf"))),
        ("llama-spm", Tokenizer::from_dir(llama2.path())),
        ("llama-spm", Tokenizer::from_dir(folders.join("llama2"))),
        ("gpt-2", Tokenizer::from_model(tests.join("ggml-vocab-gpt-2.gguf"))),
        ("gpt-2", Tokenizer::from_dir(folders.join("gpt2"))),
        ("qwen2", Tokenizer::from_dir(folders.join("qwen2"))),
        ("deepseek-r1-qwen", Tokenizer::from_dir(folders.join("qwen2"))),
        ("llama-bpe", Tokenizer::from_dir(llama3.path())),
    ];
    for (name, tokenizer) in cases {
        let tokenizer = tokenizer.unwrap();
        for (text, expected) in vocabulary_tests(&tests, name) {
            assert_eq!(tokenizer.encode(&text, false).unwrap(), expected, "{name}: {text:?}");
            if name != "llama-spm" {
                assert_eq!(tokenizer.decode(&expected, false), text, "{name}");
            }
        }
    }
}

/// SentencePiece's BPE as its paper and llama.cpp's `llm_tokenizer_spm` have it: of all neighbours that make a piece, join the pair of
/// the best score, the first of equal ones; what is left and no piece becomes bytes.
fn plain_sentencepiece(vocabulary: &Vocabulary, text: &str) -> Vec<u32> {
    let normal = |id: usize| !matches!(vocabulary.token_types[id], TokenType::Control | TokenType::Unknown);
    let pieces: HashMap<&str, usize> = vocabulary
        .tokens
        .iter()
        .enumerate()
        .filter(|(id, _)| normal(*id))
        .map(|(id, text)| (text.as_str(), id))
        .collect();
    let text = if text.is_empty() { String::new() } else { format!("▁{}", text.replace(' ', "▁")) };
    let mut symbols: Vec<String> = text.chars().map(String::from).collect();
    loop {
        let scored = symbols.windows(2).enumerate().filter_map(|(at, pair)| {
            let id = *pieces.get(pair.concat().as_str())?;
            Some((vocabulary.scores[id], at))
        });
        let best = scored.fold(None, |best: Option<(f32, usize)>, next| match best {
            Some(best) if best.0 >= next.0 => Some(best),
            _ => Some(next),
        });
        let Some((_, at)) = best else { break };
        let right = symbols.remove(at + 1);
        symbols[at].push_str(&right);
    }
    let id = |text: &str| pieces.get(text).map(|id| *id as u32);
    symbols
        .iter()
        .flat_map(|symbol| match id(symbol) {
            Some(id) => vec![id],
            None => symbol.bytes().map(|byte| id(&format!("<0x{byte:02X}>")).unwrap()).collect(),
        })
        .collect()
}

#[test]
fn merges_derived_from_scores_join_as_sentencepiece_joins() {
    let what = "SentencePiece's own order of merges on the vocabularies of llama and baichuan";
    let Some(shared) = shared_for("models", what) else { return };
    let file = json(&shared.join("tokenizers/golden_ids.json"));
    let mut texts: Vec<String> =
        file["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    texts.extend(vocabulary_tests(&shared.join("ggml-vocab"), "llama-spm").into_iter().map(|(text, _)| text));
    for name in ["llama-spm", "baichuan"] {
        let path = shared.join(format!("ggml-vocab/ggml-vocab-{name}.gguf"));
        let vocabulary = Vocabulary::of(&Gguf::open(&path).unwrap()).unwrap();
        let tokenizer = Tokenizer::from_gguf(&vocabulary, &path).unwrap();
        assert_eq!(tokenizer.vocab_size(), vocabulary.tokens.len());
        for text in &texts {
            let expected = plain_sentencepiece(&vocabulary, text);
            assert_eq!(tokenizer.encode_ordinary(text).unwrap(), expected, "{name}: {text:?}");
        }
    }
}

#[test]
fn a_gguf_vocabulary_names_its_special_tokens_and_what_is_not_known_is_told() {
    let tokens = ["a", "b", "ab", "<|end|>"].map(String::from).to_vec();
    let types = [TokenType::Normal, TokenType::Normal, TokenType::Normal, TokenType::Control].to_vec();
    let mut vocabulary = Vocabulary { model: "gpt2".into(), pre: Some("qwen2".into()), tokens, ..empty() };
    vocabulary.token_types = types;
    vocabulary.merges = vec!["a b".into()];
    vocabulary.eos = Some(3);
    vocabulary.chat_template = Some("{{ messages[0].content }}".into());
    let tokenizer = Tokenizer::from_gguf(&vocabulary, "m.gguf").unwrap();
    assert_eq!(tokenizer.encode("aba<|end|>", true).unwrap(), [2, 0, 3]);
    assert_eq!(tokenizer.eos().unwrap().text, "<|end|>");
    assert_eq!(tokenizer.config()["chat_template"], "{{ messages[0].content }}");
    let refusal = |vocabulary: &Vocabulary| Tokenizer::from_gguf(vocabulary, "m.gguf").unwrap_err().to_string();
    vocabulary.pre = Some("new-pre".into());
    assert!(refusal(&vocabulary).contains("new-pre") && refusal(&vocabulary).contains("llama-bpe"));
    vocabulary.model = "bert".into();
    assert!(refusal(&vocabulary).contains("\"bert\""));
    vocabulary.model = "gpt2".into();
    vocabulary.pre = None;
    vocabulary.merges = vec!["a c".into()];
    assert!(refusal(&vocabulary).contains("out of vocabulary"), "{}", refusal(&vocabulary));
    vocabulary.tokens[1] = "a".into();
    assert!(refusal(&vocabulary).contains("stands twice"));
}

fn empty() -> Vocabulary {
    Vocabulary {
        model: String::new(),
        pre: None,
        tokens: Vec::new(),
        scores: Vec::new(),
        token_types: Vec::new(),
        merges: Vec::new(),
        bos: None,
        eos: None,
        eot: None,
        eom: None,
        unk: None,
        pad: None,
        sep: None,
        mask: None,
        add_bos: None,
        add_eos: None,
        add_space_prefix: None,
        remove_extra_whitespaces: None,
        chat_template: None,
        named_chat_templates: Vec::new(),
    }
}
