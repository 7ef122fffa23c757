//! What the golden tests compute, and how they compare it with the reference's numbers.

#![allow(dead_code, reason = "each test binary uses a part")]

use luthier_engine::{Grads, Layout, Tape};
use luthier_model::Model;

/// The largest difference from the golden numbers, or the first that is beyond the tolerance.
pub(crate) fn nearness(what: &str, ours: &[f32], golden: &[f64], tolerance: f64) -> Result<f64, String> {
    if ours.len() != golden.len() {
        return Err(format!("{what}: {} numbers, golden has {}", ours.len(), golden.len()));
    }
    let mut largest = 0.0f64;
    for (i, (&a, &b)) in ours.iter().zip(golden).enumerate() {
        let difference = (f64::from(a) - b).abs();
        // A NaN is not near either.
        if difference.is_nan() || difference > tolerance {
            return Err(format!("{what}[{i}]: {a}, golden {b}"));
        }
        largest = largest.max(difference);
    }
    Ok(largest)
}

#[track_caller]
pub(crate) fn assert_close(what: &str, ours: &[f32], golden: &[f64], tolerance: f64) {
    nearness(what, ours, golden, tolerance).unwrap_or_else(|why| panic!("{why}"));
}

/// Logits `[n][V]` of texts packed side by side: of the rows that are wanted, all when `None`.
pub(crate) fn packed_logits(model: &Model, texts: &[Vec<u32>], wanted: Option<&[u32]>) -> Vec<Vec<f32>> {
    let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
    let tokens = texts.concat();
    let mut tape = Tape::inference(model.device(), &model.params);
    let hidden = model.forward(&mut tape, &tokens, &Layout::packed(&lengths), wanted).unwrap();
    let rows = wanted.map_or(tokens.len(), <[u32]>::len);
    let flat = tape.logits(&hidden, model.head(), 0..rows).to_vec();
    flat.chunks(model.config.vocab_size).map(<[f32]>::to_vec).collect()
}

/// Logits `[N][V]` of one text.
pub(crate) fn logits(model: &Model, tokens: &[u32]) -> Vec<Vec<f32>> {
    packed_logits(model, &[tokens.to_vec()], None)
}

/// Mean loss over the labelled tokens of packed rows, and the gradients, as training computes them.
pub(crate) fn loss_and_gradients(model: &Model, rows: &[(Vec<u32>, Vec<i64>)]) -> (f64, usize, Grads) {
    let lengths: Vec<usize> = rows.iter().map(|(tokens, _)| tokens.len()).collect();
    let tokens: Vec<u32> = rows.iter().flat_map(|(tokens, _)| tokens.clone()).collect();
    let (mut wanted, mut labels, mut start) = (Vec::new(), Vec::new(), 0);
    for (tokens, row_labels) in rows {
        for (i, &label) in row_labels.iter().enumerate().skip(1) {
            if label >= 0 {
                wanted.push((start + i - 1) as u32);
                labels.push(label as u32);
            }
        }
        start += tokens.len();
    }
    let mut grads = Grads::zeros(model.device(), &model.params);
    let mut tape = Tape::training(model.device(), &model.params);
    let hidden = model.forward(&mut tape, &tokens, &Layout::packed(&lengths), Some(&wanted)).unwrap();
    let scale = 1.0 / labels.len() as f32;
    let nll = tape.backward_head_loss(&hidden, model.head(), &labels, scale, &mut grads);
    let mean = nll.iter().map(|&loss| f64::from(loss)).sum::<f64>() / labels.len() as f64;
    (mean, labels.len(), grads)
}

/// The gradient of every trained parameter: name, L2 norm, the first eight numbers.
pub(crate) fn norms(model: &Model, grads: &Grads) -> Vec<(String, f64, Vec<f32>)> {
    let device = model.device();
    let mut list = Vec::new();
    for (id, param) in model.params.trainable() {
        let norm = device.sum_of_squares(grads.view(&model.params, id).unwrap()).sqrt();
        let mut first = device.download(grads.view(&model.params, id).unwrap());
        first.truncate(8);
        list.push((param.name.clone(), norm, first));
    }
    list
}
