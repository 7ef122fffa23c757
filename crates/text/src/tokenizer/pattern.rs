//! How byte-level tokenizers cut a text before merging: the patterns by the names that files give them.

use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

/// Of GPT-2 (openai/gpt-2, `encoder.py`).
pub(super) const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// Of Qwen2 (transformers, `convert_slow_tokenizer.py`, Qwen2Converter).
pub(super) const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Of Llama 3 (transformers, `convert_slow_tokenizer.py`, TikTokenConverter).
pub(super) const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// GPT-2's without its last branch: behind other cuts what no branch takes is a piece anyway.
const GPT2_INNER: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";

const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const SEED_CODER: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Han, kana and hangul in one stretch, as DeepSeek's first tokenizers cut them.
const DEEPSEEK_CJK: &str = "[一-龥ࠀ-一가-퟿]+";

/// Letters of the cased scripts, as DeepSeek LLM's tokenizer lists them. Those that composing would change are written as numbers.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ\x{1F5F}-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌ\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-\x{212D}ℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+";

const DEEPSEEK3_WORDS: &str = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const BLOOM: &str = " ?[^(\\s|.,!?…。，、।۔،)]+";

/// What belongs to a value of `tokenizer.ggml.pre`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    /// Patterns, each applied to what the ones before have cut.
    pub(super) patterns: &'static [&'static str],
    /// A piece that is a token as it stands is not merged.
    pub(super) ignore_merges: bool,
    /// The beginning of a sequence is put before every text unless the file says otherwise.
    pub(super) add_bos: bool,
    /// Text is composed (NFC) first, as the model's own tokenizer does.
    pub(super) nfc: bool,
}

/// The names that are known, for messages.
pub(super) const NAMES: &str = "default, gpt-2, phi-2, mpt, olmo, jais, exaone4, trillion, llama-bpe, llama3, falcon3, dbrx, smaug-bpe, \
    glm4, chatglm-bpe, qwen2, qwen35, deepseek-r1-qwen, megrez, hunyuan, stablelm2, deepseek-llm, deepseek-coder, deepseek-v3, \
    falcon, starcoder, refact, command-r, smollm, codeshell, exaone, minerva-7b, tekken, gpt-4o, llama4, seed-coder, bloom, \
    gpt3-finnish, poro-chat, viking";

/// The patterns of a GGUF file by its `tokenizer.ggml.pre` (llama.cpp, `llama-vocab.cpp`); `None` for an unknown name.
pub(super) fn named(pre: &str) -> Option<Named> {
    let plain = |patterns| Named { patterns, ignore_merges: false, add_bos: false, nfc: false };
    Some(match pre {
        // A file from before the key, or whose maker did not know; older than the single patterns, and coarser.
        "" | "default" => plain(&[r"[\p{P}\$\+<=>\^~\|]+", GPT2_INNER, r"\p{N}+", "[0-9][0-9][0-9]"]),
        "gpt-2" | "phi-2" | "jina-es" | "jina-de" | "jina-v2-es" | "jina-v2-de" | "gigachat" | "a.x-4.0" | "mellum"
        | "modern-bert" | "mpt" | "olmo" | "jais" | "exaone4" | "trillion" | "granite-docling" => plain(&[GPT2]),
        "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral" | "midm-2.0" | "lfm2" => {
            Named { ignore_merges: true, add_bos: true, ..plain(&[LLAMA3]) }
        }
        "dbrx" | "smaug-bpe" | "glm4" | "chatglm-bpe" => plain(&[LLAMA3]),
        "qwen2" => Named { nfc: true, ..plain(&[QWEN2]) },
        "deepseek-r1-qwen" | "kormo" | "f2llmv2" | "stablelm2" | "megrez" | "hunyuan" | "solar-open" | "grok-2" => {
            plain(&[QWEN2])
        }
        "qwen35" => Named { nfc: true, ..plain(&[QWEN35]) },
        "deepseek-llm" => {
            plain(&["[\r\n]", DEEPSEEK_LETTERS, r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", DEEPSEEK_CJK, r"\p{N}+"])
        }
        "deepseek-coder" => plain(&["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_CJK, r"\p{N}"]),
        "deepseek-v3" | "hunyuan-dense" => plain(&[r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3_WORDS]),
        "falcon" => plain(&[r"[\p{P}\$\+<=>\^~\|`]+", GPT2_INNER, "[0-9][0-9][0-9]"]),
        "starcoder" | "refact" | "command-r" | "smollm" | "codeshell" | "exaone" | "minerva-7b" => {
            plain(&[r"\p{N}", GPT2_INNER])
        }
        "tekken" => Named { ignore_merges: true, add_bos: true, ..plain(&[TEKKEN]) },
        "gpt-4o" | "llama4" | "kanana2" => plain(&[GPT4O]),
        "seed-coder" => plain(&[SEED_CODER]),
        "bloom" | "gpt3-finnish" | "poro-chat" => plain(&[BLOOM]),
        "viking" => plain(&[BLOOM, r"\p{N}"]),
        _ => return None,
    })
}

/// Cuts text by these patterns in turn and writes the pieces as byte characters.
pub(super) fn pre_tokenizer(patterns: &[&str]) -> tokenizers::Result<Sequence> {
    let split = |pattern: &&str| {
        let pattern = SplitPattern::Regex((*pattern).to_owned());
        Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map(PreTokenizerWrapper::Split)
    };
    let mut steps = patterns.iter().map(split).collect::<tokenizers::Result<Vec<_>>>()?;
    steps.push(PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, false)));
    Ok(Sequence::new(steps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_told_is_known_and_its_patterns_compile() {
        for name in NAMES.split(", ") {
            let known = named(name).unwrap_or_else(|| panic!("{name}"));
            pre_tokenizer(known.patterns).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert_eq!(named("no-such-pre"), None);
    }
}
