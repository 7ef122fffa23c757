//! Broken tokenizer files are refused or read, without a panic of ours, without a request for memory that the file does not
//! account for, and in time.
//!
//! Runs some hundred mutations of each kind of file; `LUTHIER_FUZZ_SECONDS=600 cargo test -p luthier-text --test tokenizer_fuzz` as
//! many as that time allows.

use std::fs;
use std::panic;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use luthier_fixtures::{LargeAllocations, announce, largest_allocation, repository};
use luthier_text::{TextError, Tokenizer};

#[global_allocator]
static ALLOCATOR: LargeAllocations = LargeAllocations;

/// What the `tokenizers` crate asks for whatever the file: its memory of ten thousand words, and the tables of patterns.
const FIXED: usize = 4 << 20;

/// A small generator of numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound.max(1)
    }
}

/// Pieces of files that have broken readers before.
const WORDS: [&[u8]; 26] = [
    b"4294967295",
    b"18446744073709551615",
    b"-1",
    b"0",
    b"1e999",
    b"null",
    b"true",
    b"\"\"",
    b"{}",
    b"[]",
    b"[[[[[[[[[[",
    b"\"\\u0000\"",
    b"\"\\ud800\"",
    b"(?:a*)*b",
    b"(((((((((",
    b".{1000}",
    b"\\p{L}{0,999}",
    b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
    b"\xFF\xFF\xFF\x7F",
    b"\x80\x80\x80\x80\x08",
    b"\x00\x00\x00\x80",
    b"\xE2\x96\x81",
    b"<0x0A>",
    b" ",
    b"\n",
    b"A",
];

fn mutated(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let longest = if random.below(4) == 0 { 400 } else { 8 };
        let end = (at + 1 + random.below(longest)).min(bytes.len());
        let at = at.min(end);
        match random.below(8) {
            0 if at < end => bytes[at] ^= 1 << random.below(8),
            1 if at < end => bytes[at] = random.below(256) as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            // A whole value of JSON for another.
            5 => {
                let is_edge = |byte: &u8| b",:[]{}".contains(byte);
                let from = bytes[..at].iter().rposition(is_edge).map_or(0, |i| i + 1);
                let to = at + bytes[at..].iter().position(is_edge).unwrap_or(0);
                let word = WORDS[random.below(WORDS.len())];
                bytes.splice(from..to.max(from), word.iter().copied());
            }
            6 => {
                let word = WORDS[random.below(WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
            _ => {
                let word = WORDS[random.below(WORDS.len())];
                let end = (at + word.len()).min(bytes.len());
                bytes.splice(at..end, word.iter().copied());
            }
        }
    }
    bytes
}

/// Reads a file and uses what came out.
fn try_out(path: &Path) -> Result<(), TextError> {
    let tokenizer = Tokenizer::from_model(path)?;
    for text in ["", "the lamp 燈\n\n  12", "<s>a</s>\u{301}é 🙂\u{0}"] {
        let ids = tokenizer.encode(text, true)?;
        tokenizer.encode_with_offsets(text)?;
        tokenizer.encode_ordinary(text)?;
        let _ = tokenizer.decode(&ids, true);
    }
    let _ = tokenizer.decode(&[0, 1, 5, 300, u32::MAX], false);
    Ok(())
}

#[test]
fn broken_tokenizer_files_are_refused_without_a_panic_or_large_requests() {
    let fixtures = repository().join("fixtures");
    let files = [
        ("tokenizer/tokenizer.json", "tokenizer.json"),
        ("tokenizer-bos/tokenizer.json", "tokenizer.json"),
        ("sentencepiece-unigram/tokenizer.model", "tokenizer.model"),
        ("sentencepiece-bpe/tokenizer.model", "tokenizer.model"),
        ("tiktoken/tokenizer.model", "tokenizer.model"),
    ];
    let mut originals: Vec<(String, &str, Vec<u8>)> =
        files.map(|(path, name)| (path.to_owned(), name, fs::read(fixtures.join(path)).unwrap())).into();
    // The unigram model as the tokenizer.json that it becomes, and a file of llama2.c.
    let saved = tempfile::tempdir().unwrap();
    Tokenizer::from_dir(fixtures.join("sentencepiece-unigram")).unwrap().save(saved.path(), None).unwrap();
    let json = fs::read(saved.path().join("tokenizer.json")).unwrap();
    originals.push(("sentencepiece-unigram as tokenizer.json".to_owned(), "tokenizer.json", json));
    originals.push(("tokenizer.bin".to_owned(), "tokenizer.bin", llama2c()));

    let seconds = std::env::var("LUTHIER_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let started = Instant::now();
    let goes_on = |round: usize| match seconds {
        Some(seconds) => started.elapsed() < Duration::from_secs(seconds),
        None => round < 400,
    };
    // A panic within the `tokenizers` crate becomes an error; one that is ours must not happen even where it would be caught.
    static OURS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    static THEIRS: Mutex<usize> = Mutex::new(0);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        if place.contains("crates/text") {
            OURS.lock().unwrap().push(info.to_string());
        } else {
            *THEIRS.lock().unwrap() += 1;
        }
    }));
    let folder = tempfile::tempdir().unwrap();
    let (mut tries, mut read, mut largest) = (0, 0, 0);
    let mut fault = None;
    let mut round = 0;
    'rounds: while goes_on(round) {
        for (i, (origin, name, original)) in originals.iter().enumerate() {
            let seed = (round * originals.len() + i + 1) as u64;
            let bytes = mutated(original, &mut Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
            let path = folder.path().join(name);
            fs::write(&path, &bytes).unwrap();
            let begun = Instant::now();
            let (size, result) = largest_allocation(|| panic::catch_unwind(|| try_out(&path)));
            fs::remove_file(&path).unwrap();
            tries += 1;
            largest = largest.max(size);
            let outcome = match &result {
                Err(_) => Some("panicked".to_owned()),
                Ok(_) if size > 4 * bytes.len() + FIXED => {
                    Some(format!("asked for {size} bytes at once, having {}", bytes.len()))
                }
                Ok(_) if begun.elapsed() > Duration::from_secs(10) => Some(format!("took {:?}", begun.elapsed())),
                Ok(result) => {
                    read += usize::from(result.is_ok());
                    None
                }
            };
            if let Some(outcome) = outcome {
                fault = Some(format!("{origin}, seed {seed}: {outcome}"));
                break 'rounds;
            }
        }
        round += 1;
    }
    panic::set_hook(hook);
    announce(&format!(
        "{tries} broken tokenizer files: {read} still read, {} made the tokenizers crate panic, largest request {largest} bytes, {:?}",
        THEIRS.lock().unwrap(),
        started.elapsed()
    ));
    assert_eq!(fault, None);
    assert_eq!(*OURS.lock().unwrap(), Vec::<String>::new());
}

/// A small `tokenizer.bin` of llama2.c.
fn llama2c() -> Vec<u8> {
    let special = ["<unk>", "\n<s>\n", "\n</s>\n"].map(String::from).into_iter();
    let bytes = (0..=255u8).map(|byte| format!("<0x{byte:02X}>"));
    let words = [" ", "a", "b", " a", "ab", " ab"].map(String::from).into_iter();
    let mut file = 6i32.to_le_bytes().to_vec();
    for (i, text) in special.chain(bytes).chain(words).enumerate() {
        file.extend((-(i as f32)).to_le_bytes());
        file.extend((text.len() as i32).to_le_bytes());
        file.extend(text.bytes());
    }
    file
}
