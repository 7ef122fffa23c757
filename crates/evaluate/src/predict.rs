//! Answers to held-out prompts.

use std::collections::BTreeMap;

use luthier_generate::{FinishReason, Generator};
use luthier_model::{Model, Session};
use luthier_text::{TestRow, Tokenizer};
use serde::{Deserialize, Serialize};

use crate::{EvaluateError, Strategy};

/// One answer of one model: a line of `predictions/{system}.{strategy}.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Position of the held-out row, from 0; the same in all files.
    pub row: usize,
    /// File the row came from.
    pub source: String,
    /// Its line, or its position in a JSON array.
    pub line: usize,
    /// What the model was given.
    pub prompt: String,
    /// The answer of the data.
    pub reference: String,
    /// The answer of the model: special tokens left out, white space around it taken away.
    pub output: String,
    /// The new tokens as generated, without the one that ended them.
    pub tokens: Vec<u32>,
    /// Why the answer ends where it does.
    pub finish_reason: FinishReason,
    /// Sum of the tokens' log-probabilities; with beams, the sum divided by a power of the length. `None` when it is not finite.
    pub score: Option<f32>,
    /// The value of each metric on this row alone.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
}

/// Answers every row that has a prompt (plain text has none), in the order of the rows; `metrics` stay empty.
///
/// `batch` prompts are under way together, which changes no answer. Draws depend on the strategy's seed, else on `seed`, and on the
/// prompt, not on the other rows. `progress` is called with the number of rows done so far.
///
/// # Errors
/// [`EvaluateError::PromptTooLong`] before anything is computed; [`EvaluateError::Generate`].
pub fn predict(
    model: &Model,
    tokenizer: &Tokenizer,
    rows: &[TestRow],
    strategy: &Strategy,
    batch: usize,
    seed: u64,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Prediction>, EvaluateError> {
    let failed = |source| EvaluateError::Generate { strategy: strategy.name.clone(), source };
    let asked: Vec<(usize, &TestRow)> = rows.iter().enumerate().filter(|(_, row)| !row.prompt.is_empty()).collect();
    check_lengths(model, &asked)?;
    let mut options = strategy.options.clone();
    options.seed = options.seed.or(Some(seed));
    let resolved = options.resolve().map_err(|error| failed(error.into()))?;
    let prompts: Vec<Vec<u32>> = asked.iter().map(|(_, row)| row.prompt.clone()).collect();
    let decode = |ids: &[u32]| tokenizer.decode(ids, true);
    let mut done = 0;
    let mut count = |_: usize, _: &luthier_generate::Completion| {
        done += 1;
        progress(done);
    };
    let completions = Generator::new(&resolved)
        .max_batch(batch.max(1) * resolved.width())
        .decode(&decode)
        .on_completion(&mut count)
        .generate(&mut Session::new(model), &prompts)
        .map_err(failed)?;
    let answers = asked.into_iter().zip(completions).filter_map(|((row, test), completion)| {
        let output = completion.outputs.into_iter().next()?;
        Some(Prediction {
            row,
            source: test.source.clone(),
            line: test.line,
            prompt: test.prompt_text.clone(),
            reference: test.reference.clone(),
            output: output.text(&decode).trim().to_owned(),
            tokens: output.tokens,
            finish_reason: output.finish_reason,
            score: Some(output.score as f32).filter(|score| score.is_finite()),
            metrics: BTreeMap::new(),
        })
    });
    Ok(answers.collect())
}

fn check_lengths(model: &Model, rows: &[(usize, &TestRow)]) -> Result<(), EvaluateError> {
    let context = model.config.context();
    match rows.iter().find(|(_, row)| row.prompt.len() >= context) {
        None => Ok(()),
        Some((_, row)) => Err(EvaluateError::PromptTooLong {
            source_file: row.source.clone(),
            line: row.line,
            length: row.prompt.len(),
            context,
        }),
    }
}
