//! How fast data is read, cleaned and searched for near duplicates. BENCHMARKS.md has the figures.
//!
//! ```sh
//! cargo run --release -p luthier-corpus --example corpus -- rows ../shared/data/stanford-alpaca/alpaca_data.json
//! cargo run --release -p luthier-corpus --example corpus -- wet ../shared/data/drcd/DRCD_dev.json ../shared/data/stanford-alpaca/alpaca_data.json
//! cargo run --release -p luthier-corpus --example corpus -- near 1000000
//! ```

#![allow(clippy::print_stdout, reason = "prints its figures")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use luthier_corpus::build::{Collected, Duplicates, Pipeline, Progress, Sides};
use luthier_corpus::clean::{
    Cleaning, ControlCharacters, KeepScript, Language, Languages, Length, Mojibake, Over, Script, Step,
};
use luthier_corpus::duplicates::{Near, NearOptions};
use luthier_corpus::{Document, Source};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["rows", file] => rows(Path::new(file)),
        ["wet", files @ ..] if !files.is_empty() => wet(files),
        ["near", count] => near(count.parse()?),
        _ => Err("give one of: rows FILE, wet FILE..., near COUNT".into()),
    }
}

/// A file of rows, read, cleaned, searched for exact and near duplicates and written again.
fn rows(file: &Path) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let pipeline = Pipeline {
        name: "rows".into(),
        about: None,
        sources: vec![Collected {
            source: Source::new(file),
            name: "rows".into(),
            commit: None,
            licence: None,
            about: None,
        }],
        steps: vec![
            Box::new(ControlCharacters::default()),
            Box::new(Mojibake::default()),
            Box::new(Languages::keeping(Vec::new())),
            Box::new(Length { least: 5, most: 100_000, over: Over::AllText }),
        ],
        duplicates: Duplicates { exact: true, near: Some(NearOptions::default()), over: Over::AllText },
        sides: Sides::new(0.05, None, 1)?,
        apart: None,
        phrasings: Vec::new(),
        cuts: Vec::new(),
        choice: None,
        seed: 1,
        recipe: None,
    };
    let begin = Instant::now();
    let mut stages = Vec::new();
    let mut watch = |progress: Progress<'_>| {
        if let Progress::Compare(_) = progress {
            stages.push(begin.elapsed().as_secs_f64());
        }
    };
    let ledger = pipeline.build(&folder.path().join("out"), &mut watch)?;
    let seconds = begin.elapsed().as_secs_f64();
    println!("{}", ledger.summary());
    println!("{seconds:.2} s; read and cleaned after {:.2} s", stages.first().copied().unwrap_or(0.0));
    Ok(())
}

/// Texts of files as one WET of 256 MiB, through the filters of language and script.
fn wet(files: &[&str]) -> Result<(), Failure> {
    const BYTES: u64 = 256 << 20;
    let mut texts: Vec<String> = Vec::new();
    for file in files {
        let documents = Source::new(file).documents()?.flatten();
        let all: Vec<String> = documents.map(|document| Over::AllText.joined(&document.fields).into_owned()).collect();
        // Pages have a few thousand characters.
        texts.extend(all.chunks(8).map(|rows| rows.join("\n")));
    }
    let folder = tempfile::tempdir()?;
    let path: PathBuf = folder.path().join("pages.warc.wet");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&path)?);
    let mut written = 0;
    for (i, text) in texts.iter().cycle().enumerate() {
        write!(
            out,
            "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://example.org/{i}\r\nWARC-Date: 2024-05-18T01:58:10Z\r\n\
             WARC-Record-ID: <urn:uuid:{i}>\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}\r\n\r\n",
            text.len()
        )?;
        written += text.len() as u64 + 200;
        if written > BYTES {
            break;
        }
    }
    out.flush()?;
    let bytes = std::fs::metadata(&path)?.len();
    let steps: Vec<Box<dyn Step>> = vec![
        Box::new(Languages::keeping(vec![Language::CHINESE])),
        Box::new(KeepScript { script: Script::Traditional, least: 0.9, keep_unknown: true, over: Over::AllText }),
    ];
    let mut cleaning = Cleaning::new(steps);
    let begin = Instant::now();
    let (mut kept, mut all) = (0usize, 0usize);
    let mut documents = Source::new(&path).documents()?;
    loop {
        let batch: Vec<Document> = documents.by_ref().flatten().take(2048).collect();
        if batch.is_empty() {
            break;
        }
        all += batch.len();
        kept += cleaning.clean(batch).iter().filter(|result| result.is_ok()).count();
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{kept} of {all} pages are in Traditional Chinese; {:.1} MB/s", bytes as f64 / 1e6 / seconds);
    Ok(())
}

/// Generated rows, one in ten a copy with some words changed.
fn near(count: usize) -> Result<(), Failure> {
    let mut state = 1u64;
    let mut number = move |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % bound
    };
    let words: Vec<String> =
        (0..20_000).map(|i| format!("{}{}", ["ka", "ro", "mi", "ten", "sul"][i % 5], i * 7919 % 99_991)).collect();
    let mut rows: Vec<String> = Vec::with_capacity(count);
    for i in 0..count {
        let row = if i % 10 == 9 {
            let mut copy: Vec<&str> = rows[number(rows.len())].split(' ').collect();
            for _ in 0..2 {
                let at = number(copy.len());
                copy[at] = &words[number(words.len())];
            }
            copy.join(" ")
        } else {
            (0..40).map(|_| words[number(words.len())].as_str()).collect::<Vec<_>>().join(" ")
        };
        rows.push(row);
    }
    let bytes: usize = rows.iter().map(String::len).sum();
    let begin = Instant::now();
    let mut near = Near::new(NearOptions::default())?;
    rows.chunks(8192).for_each(|batch| near.add(batch));
    let signed = begin.elapsed().as_secs_f64();
    let found = near.finish(|i| Ok::<_, std::convert::Infallible>(rows[i].as_str()))?;
    let seconds = begin.elapsed().as_secs_f64();
    let found = found.iter().flatten().count();
    println!(
        "{count} rows, {:.0} MB: {found} near duplicates in {seconds:.1} s, signatures in {signed:.1} s",
        bytes as f64 / 1e6
    );
    Ok(())
}
