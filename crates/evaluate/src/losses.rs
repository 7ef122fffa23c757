//! The loss of the reference answers, row by row.

use luthier_engine::{Layout, Tape};
use luthier_model::{Model, ModelError};
use luthier_text::{Example, TestRow};

use crate::perplexity::RowLoss;

/// The negative log-likelihood, in nats, of each row's labelled tokens (the answer and what ends it), in the order of the rows.
///
/// Rows are packed end to end up to `micro_batch_tokens` tokens a pass, at least one row; only labelled tokens meet the head.
///
/// # Errors
/// When a token is not in the model's vocabulary.
pub fn losses(model: &Model, rows: &[TestRow], micro_batch_tokens: usize) -> Result<Vec<RowLoss>, ModelError> {
    let mut losses = Vec::with_capacity(rows.len());
    let mut rest = rows;
    while !rest.is_empty() {
        let mut tokens = 0;
        let fitting = rest.iter().take_while(|row| {
            tokens += row.example.tokens.len();
            tokens <= micro_batch_tokens
        });
        let (pass, later) = rest.split_at(fitting.count().max(1));
        losses.extend(losses_of_pass(model, pass)?);
        rest = later;
    }
    Ok(losses)
}

fn losses_of_pass(model: &Model, rows: &[TestRow]) -> Result<Vec<RowLoss>, ModelError> {
    let (mut tokens, mut lengths, mut wanted, mut labels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for TestRow { example, .. } in rows {
        let start = tokens.len();
        wanted.extend(labelled(example).map(|at| (start + at - 1) as u32));
        labels.extend(labelled(example).map(|at| example.tokens[at]));
        tokens.extend(&example.tokens);
        lengths.push(example.tokens.len());
    }
    let mut nll = Vec::new();
    if !labels.is_empty() {
        let mut tape = Tape::inference(model.device(), &model.params);
        let hidden = model.forward(&mut tape, &tokens, &Layout::packed(&lengths), Some(&wanted))?;
        nll = tape.head_loss(&hidden, model.head(), &labels);
    }
    let mut nll = nll.into_iter().map(f64::from);
    Ok(rows
        .iter()
        .map(|row| {
            let tokens = labelled(&row.example).count();
            RowLoss { nll: nll.by_ref().take(tokens).sum(), tokens }
        })
        .collect())
}

/// Places of the labelled tokens; nothing predicts the first of a row.
fn labelled(example: &Example) -> impl Iterator<Item = usize> {
    example.labelled.iter().enumerate().skip(1).filter(|(_, labelled)| **labelled).map(|(at, _)| at)
}
