//! How long rows of instructions take to become tokens: by the `tokenizers` crate, by ours, and rendered with labels.
//!
//!     cargo run --release -p luthier-text --example tokenise_rows -- FOLDER ROWS.json
//!
//! FOLDER: a model's tokenizer (its chat template, or Alpaca's, writes the rows); ROWS.json: `instruction`, `input`, `output`.

#![allow(clippy::print_stdout, reason = "says what it measured")]

use std::time::Instant;

use luthier_text::{Content, Message, Renderer, Source, Template, Tokenizer, TrainOn, read_rows};
use rayon::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [_, folder, rows] = &std::env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: tokenise_rows FOLDER ROWS.json".into());
    };
    let begun = Instant::now();
    let tokenizer = Tokenizer::from_dir(folder)?;
    println!("read the tokenizer in {:.2?}", begun.elapsed());
    let template = Template::choose("model", folder, &tokenizer)?.template;
    let conversations: Vec<Vec<Message>> = read_rows(&Source::new(rows), 0, None)?
        .into_iter()
        .flatten()
        .filter_map(|row| match row.content {
            Content::Conversation(messages) => Some(messages),
            Content::Text(_) => None,
        })
        .collect();
    let texts: Vec<String> =
        conversations.par_iter().map(|messages| template.render(messages, false)).collect::<Result<_, _>>()?;
    let bytes: usize = texts.iter().map(String::len).sum();
    println!("{} rows, {bytes} bytes, {} threads", texts.len(), rayon::current_num_threads());

    let begun = Instant::now();
    let first = tokenizer.encode("x", false)?;
    println!("made ready in {:.2?} ({first:?})", begun.elapsed());
    let begun = Instant::now();
    let ids = tokenizer.encode_batch(&texts, false)?;
    let tokens: usize = ids.iter().map(Vec::len).sum();
    println!("encode: {:.2?}, {tokens} tokens", begun.elapsed());
    let begun = Instant::now();
    let renderer = Renderer::new(&tokenizer, &template);
    let examples: Vec<_> = conversations
        .par_iter()
        .map(|messages| renderer.render_example(messages, TrainOn::Answers))
        .collect::<Result<_, _>>()?;
    let labelled: usize = examples.iter().map(luthier_text::Example::labelled_tokens).sum();
    println!("render, encode with offsets, label: {:.2?}, {labelled} labelled", begun.elapsed());

    let saved = tempfile::tempdir()?;
    tokenizer.save(saved.path(), None)?;
    let crates = tokenizers::Tokenizer::from_file(saved.path().join("tokenizer.json")).map_err(|e| e.to_string())?;
    let by_crate = |offsets: bool| -> Result<usize, String> {
        let encode = |text: &String| {
            let encoding =
                if offsets { crates.encode(text.as_str(), false) } else { crates.encode_fast(text.as_str(), false) };
            encoding.map(|encoding| encoding.len()).map_err(|e| e.to_string())
        };
        texts.par_iter().map(encode).sum()
    };
    for offsets in [false, true] {
        let begun = Instant::now();
        let tokens = by_crate(offsets)?;
        println!("the crate, offsets {offsets}: {:.2?}, {tokens} tokens", begun.elapsed());
    }
    Ok(())
}
