//! Rows laid end to end for one forward pass, and what of them is learnt.

use luthier_engine::{Grads, Layout, Recompute, Tape};
use luthier_model::{Model, ModelError};

use crate::shared_prefix::{Placed, is_worth_sharing, lay_out};

/// A row as tokens, and which of them are learnt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainingRow {
    /// At least one token.
    pub tokens: Vec<u32>,
    /// As many as tokens; the first is never learnt, as nothing predicts it.
    pub labelled: Vec<bool>,
}

impl TrainingRow {
    /// How many of its tokens are learnt.
    pub fn labels(&self) -> usize {
        self.labelled.iter().skip(1).filter(|labelled| **labelled).count()
    }
}

/// Rows packed for one forward pass: N tokens without padding; n times one of them predicts a labelled one.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// N tokens, row behind row.
    pub tokens: Vec<u32>,
    /// Where each row lies.
    pub layout: Layout,
    /// The n places whose next token is learnt; a place that rows share may stand here for each of them.
    pub wanted: Vec<u32>,
    /// Those next tokens.
    pub labels: Vec<u32>,
    /// What the backward makes again rather than keeping it; changes no bit of the result.
    pub recompute: Recompute,
}

impl Batch {
    /// Packs rows; beginnings that several have in common stand once (see `shared_prefix.rs`), where that saves a
    /// sixteenth of the tokens or more: each segment more costs attention a little.
    pub fn pack<'a>(rows: impl IntoIterator<Item = &'a TrainingRow>) -> Self {
        let rows: Vec<&TrainingRow> = rows.into_iter().collect();
        let tokens: Vec<&[u32]> = rows.iter().map(|row| row.tokens.as_slice()).collect();
        let all = tokens.iter().map(|tokens| tokens.len()).sum();
        let shared = lay_out(&tokens);
        let shares = is_worth_sharing(all, shared.tokens.len());
        Self::of(&rows, if shares { shared } else { end_to_end(&rows) })
    }

    /// Packs rows end to end, each on its own: the plain twin of [`Batch::pack`].
    pub fn pack_apart<'a>(rows: impl IntoIterator<Item = &'a TrainingRow>) -> Self {
        let rows: Vec<&TrainingRow> = rows.into_iter().collect();
        Self::of(&rows, end_to_end(&rows))
    }

    fn of(rows: &[&TrainingRow], placed: Placed) -> Self {
        let mut batch = Self { tokens: placed.tokens, layout: placed.layout, ..Self::default() };
        for (row, places) in rows.iter().zip(&placed.places) {
            for (i, &labelled) in row.labelled.iter().enumerate().skip(1) {
                if labelled {
                    batch.wanted.push(places[i - 1]);
                    batch.labels.push(row.tokens[i]);
                }
            }
        }
        batch
    }

    /// Forward and backward of `scale * sum of losses`; adds to `grads`. Returns the sum of the losses in nats.
    ///
    /// # Errors
    /// When a token is not in the model's vocabulary.
    pub fn backward(&self, model: &Model, scale: f32, dropout_seed: u64, grads: &mut Grads) -> Result<f64, ModelError> {
        let mut tape = Tape::training(model.device(), &model.params);
        tape.set_dropout_seed(Some(dropout_seed));
        tape.set_recompute(self.recompute);
        let hidden = model.forward(&mut tape, &self.tokens, &self.layout, Some(&self.wanted))?;
        Ok(sum(&tape.backward_head_loss(&hidden, model.head(), &self.labels, scale, grads)))
    }

    /// The sum of the losses in nats, without gradients or dropout.
    ///
    /// # Errors
    /// As [`Batch::backward`].
    pub fn loss(&self, model: &Model) -> Result<f64, ModelError> {
        let mut tape = Tape::inference(model.device(), &model.params);
        let hidden = model.forward(&mut tape, &self.tokens, &self.layout, Some(&self.wanted))?;
        Ok(sum(&tape.head_loss(&hidden, model.head(), &self.labels)))
    }
}

/// Row behind row, nothing shared.
fn end_to_end(rows: &[&TrainingRow]) -> Placed {
    let mut placed = Placed::default();
    for row in rows {
        let start = placed.tokens.len() as u32;
        placed.tokens.extend(&row.tokens);
        placed.places.push((start..placed.tokens.len() as u32).collect());
    }
    let lengths: Vec<usize> = rows.iter().map(|row| row.tokens.len()).collect();
    placed.layout = Layout::packed(&lengths);
    placed
}

fn sum(losses: &[f32]) -> f64 {
    losses.iter().map(|&loss| f64::from(loss)).sum()
}

/// Tokens of the longest row.
pub(crate) fn longest(rows: &[TrainingRow]) -> usize {
    rows.iter().map(|row| row.tokens.len()).max().unwrap_or(0)
}

/// Mean loss over the labelled tokens of rows, a pass of at most `micro_batch_tokens` tokens (or one row) at a time.
///
/// # Errors
/// As [`Batch::backward`].
pub fn mean_loss(model: &Model, rows: &[TrainingRow], micro_batch_tokens: usize) -> Result<f64, ModelError> {
    let (mut total, mut labels) = (0.0, 0);
    let mut start = 0;
    while start < rows.len() {
        let mut end = start + 1;
        let mut tokens = rows[start].tokens.len();
        while end < rows.len() && tokens + rows[end].tokens.len() <= micro_batch_tokens {
            tokens += rows[end].tokens.len();
            end += 1;
        }
        let rows = &rows[start..end];
        let share = model.config.keys_are_shared(longest(rows));
        let batch = if share { Batch::pack(rows) } else { Batch::pack_apart(rows) };
        labels += batch.labels.len();
        total += batch.loss(model)?;
        start = end;
    }
    Ok(total / labels.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_predicted_from_the_place_before_it_and_never_across_rows() {
        let first = TrainingRow { tokens: vec![7, 8, 9], labelled: vec![true, false, true] };
        let second = TrainingRow { tokens: vec![4, 5], labelled: vec![true, true] };
        let batch = Batch::pack_apart([&first, &second]);
        assert_eq!(batch.wanted, [1, 3]);
        assert_eq!(batch.labels, [9, 5]);
        assert_eq!(batch.layout.positions, [0, 1, 2, 0, 1]);
        assert_eq!(first.labels() + second.labels(), 2);
    }
}
