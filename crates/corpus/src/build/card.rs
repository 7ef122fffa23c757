//! The data card: what a data set is made of and how, in Markdown. It says nothing of the time or the machine, so that the same recipe
//! gives the same card.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::ledger::{BuildLedger, Outcome};
use super::measure::{Measures, SideMeasure};
use super::pipeline::{Collected, Pipeline};
use crate::error::CorpusError;

/// So many files of a source are listed one by one.
const LISTED: usize = 20;

/// The card of a data set that was built.
///
/// # Errors
/// When a source's file cannot be read again for its hash.
pub(super) fn card(pipeline: &Pipeline, ledger: &BuildLedger, measures: &Measures) -> Result<String, CorpusError> {
    let mut card = format!("# {}\n\n", pipeline.name);
    if let Some(about) = &pipeline.about {
        line(&mut card, &format!("{}\n", about.trim()));
    }
    line(&mut card, &format!("{}.\n", ledger.summary()));
    sides(&mut card, measures);
    line(&mut card, "\n## Sources\n");
    sources(&mut card, &pipeline.sources, ledger);
    let against = pipeline.apart.iter().flat_map(|apart| &apart.against);
    commits(&mut card, pipeline.sources.iter().chain(against));
    files(&mut card, &pipeline.sources)?;
    cleaning(&mut card, ledger);
    fates(&mut card, ledger);
    phrasings(&mut card, pipeline, measures);
    if let Some(example) = &measures.example {
        line(&mut card, &format!("\n## A row\n\n```json\n{example}\n```"));
    }
    line(&mut card, "\n## To make it again\n");
    line(&mut card, "`luthier build recipe.toml --out FOLDER` gives the same bytes from the same sources.");
    if let Some(recipe) = &pipeline.recipe {
        line(&mut card, &format!("\n~~~toml\n{}\n~~~", recipe.trim_end()));
    }
    Ok(card)
}

fn line(card: &mut String, text: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(card, "{text}");
}

fn sides(card: &mut String, measures: &Measures) {
    line(
        card,
        "| side | file | rows | prompt, characters in the mean | longest | output, characters in the mean | longest |",
    );
    line(card, "|---|---|---:|---:|---:|---:|---:|");
    for (side, measure) in [("train", &measures.train), ("test", &measures.test)] {
        let SideMeasure { rows, prompts, outputs } = measure;
        let mean = |all: u64| all as f64 / (*rows).max(1) as f64;
        let (prompt, output) = (mean(prompts.all), mean(outputs.all));
        line(
            card,
            &format!(
                "| {side} | {side}.jsonl | {rows} | {prompt:.1} | {} | {output:.1} | {} |",
                prompts.longest, outputs.longest
            ),
        );
    }
}

fn sources(card: &mut String, sources: &[Collected], ledger: &BuildLedger) {
    line(card, "| source | licence as stated | records | documents | faults | passed over |");
    line(card, "|---|---|---:|---:|---|---|");
    for (source, counted) in sources.iter().zip(&ledger.sources) {
        let tally = &counted.tally;
        let licence = source.licence.as_deref().unwrap_or("not stated");
        line(
            card,
            &format!(
                "| `{}` | {} | {} | {} | {} | {} |",
                source.name,
                cell(licence),
                tally.records,
                counts(&tally.documents),
                counts(&tally.faults),
                counts(&tally.passed_over)
            ),
        );
    }
    for source in sources {
        if let Some(about) = &source.about {
            line(card, &format!("\n`{}`: {}", source.name, about.trim()));
        }
    }
}

/// The data sets of the Hub, those that training rows are only compared with among them.
fn commits<'c>(card: &mut String, sources: impl Iterator<Item = &'c Collected>) {
    for source in sources {
        if let Some(commit) = &source.commit {
            let id = source.name.split('@').next().unwrap_or(&source.name);
            line(
                card,
                &format!(
                    "\n`{}` is a data set of the Hugging Face Hub, taken at the commit `{commit}`; `dataset = \"{id}@{commit}\"` takes the \
                     same files again.",
                    source.name
                ),
            );
        }
    }
}

fn files(card: &mut String, sources: &[Collected]) -> Result<(), CorpusError> {
    line(card, "\n| file | bytes | SHA-256 |\n|---|---:|---|");
    for source in sources {
        let files = source.source.files()?;
        for file in files.iter().take(LISTED) {
            let within = file.strip_prefix(&source.source.path).unwrap_or(file).to_string_lossy();
            let name = if within.is_empty() { source.name.clone() } else { format!("{}/{within}", source.name) };
            let bytes = std::fs::metadata(file).map_err(CorpusError::read(file))?.len();
            let hash = luthier_files::sha256_of_file(file).map_err(CorpusError::read(file))?;
            line(card, &format!("| `{name}` | {bytes} | `{hash}` |"));
        }
        if files.len() > LISTED {
            line(card, &format!("| and {} more of `{}` | | |", files.len() - LISTED, source.name));
        }
    }
    Ok(())
}

fn cleaning(card: &mut String, ledger: &BuildLedger) {
    if ledger.steps.is_empty() {
        return;
    }
    line(card, "\n## Cleaning\n\n| step | documents in | changed | dropped |\n|---|---:|---|---|");
    for step in &ledger.steps {
        line(
            card,
            &format!("| {} | {} | {} | {} |", step.step, step.seen, counts(&step.changed), counts(&step.dropped)),
        );
    }
}

fn fates(card: &mut String, ledger: &BuildLedger) {
    line(card, "\n## What became of every record\n\n| outcome | records | why |\n|---|---:|---|");
    for outcome in Outcome::ALL.into_iter().filter(|outcome| ledger.count(*outcome) > 0) {
        let why = ledger.reasons.get(&outcome).map_or(String::new(), counts);
        line(card, &format!("| {} | {} | {why} |", outcome.name(), ledger.count(outcome)));
    }
    let ended: u64 = ledger.outcomes.values().sum();
    line(card, &format!("| **sum** | {ended} | |"));
}

fn phrasings(card: &mut String, pipeline: &Pipeline, measures: &Measures) {
    if pipeline.phrasings.is_empty() {
        return;
    }
    line(card, "\n## Phrasings\n\n| | rows | instruction |\n|---:|---:|---|");
    for (i, (phrasing, rows)) in pipeline.phrasings.iter().zip(&measures.phrasings).enumerate() {
        line(card, &format!("| {} | {rows} | {} |", i + 1, cell(&phrasing.instruction)));
    }
}

/// `12 alpaca, 3 text`.
fn counts(counts: &BTreeMap<&'static str, u64>) -> String {
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

/// A text inside a table.
fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', " ")
}
