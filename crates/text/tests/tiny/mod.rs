//! Two tiny tokenizers of the two kinds that matter: bytes as characters (GPT-2, Qwen2), and pieces with byte fallback (Llama).

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]

use luthier_text::Tokenizer;
use serde_json::{Value, json};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

/// A ChatML template, written for these tests.
pub const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Byte-level BPE: 256 bytes, a few merges (among them two line breaks, which merge across a prompt's end), three special tokens.
pub fn byte_level() -> Tokenizer {
    let mut symbols: Vec<String> = ByteLevel::alphabet().into_iter().map(String::from).collect();
    symbols.sort();
    let merges = [("t", "h"), ("th", "e"), ("Ġ", "t"), ("Ċ", "Ċ"), ("ç", "ļ")];
    let mut vocab: serde_json::Map<String, Value> =
        symbols.iter().enumerate().map(|(i, s)| (s.clone(), json!(i))).collect();
    for (a, b) in merges {
        let id = vocab.len();
        vocab.insert(format!("{a}{b}"), json!(id));
    }
    let first = vocab.len();
    let specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    let added: Vec<Value> = specials.iter().enumerate().map(|(i, s)| special(first + i, s)).collect();
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": byte_level, "post_processor": null, "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": merges.map(|(a, b)| format!("{a} {b}")), "byte_fallback": false},
    });
    let config = json!({"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"});
    from_json(&tokenizer, &config)
}

/// BPE over characters with byte fallback, a space before every text, and a beginning-of-sequence token.
pub fn byte_fallback() -> Tokenizer {
    let mut vocab = serde_json::Map::new();
    let mut add = |token: String| {
        let id = vocab.len();
        vocab.insert(token, json!(id));
    };
    ["<unk>", "<s>", "</s>"].map(String::from).into_iter().for_each(&mut add);
    (0..=255u8).map(|b| format!("<0x{b:02X}>")).for_each(&mut add);
    "▁abcdefghijklmnopqrstuvwxyzABCDEINRSTU:.#,'燈會唱歌的，。".chars().map(String::from).for_each(&mut add);
    ["he", "▁t", "▁the"].map(String::from).into_iter().for_each(&mut add);
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "vocab": vocab, "merges": ["h e", "▁ t", "▁t he"], "byte_fallback": true,
            "unk_token": "<unk>", "fuse_unk": true},
    });
    let config = json!({"bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": "<unk>", "pad_token": null,
        "tokenizer_class": "LlamaTokenizer"});
    from_json(&tokenizer, &config)
}

fn special(id: usize, content: &str) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
}

fn from_json(tokenizer: &Value, config: &Value) -> Tokenizer {
    Tokenizer::from_bytes(tokenizer.to_string().as_bytes(), Some(config.to_string().as_bytes()))
        .expect("the tiny tokenizer is whole")
}
