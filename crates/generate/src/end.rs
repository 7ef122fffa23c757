//! How an output comes to its end, token by token; beams have rules of their own.

use std::ops::ControlFlow;

use crate::job::Context;
use crate::output::{FinishReason, Output};

/// Why an output ended, and with what.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    reason: FinishReason,
    eos: Option<u32>,
    stop_string: Option<String>,
}

impl End {
    fn of(reason: FinishReason) -> Self {
        Self { reason, eos: None, stop_string: None }
    }
}

/// Adds a chosen token to the history and tells the listener, unless it is an end of sequence; says whether the output ends with it.
/// `copy` is the number of the output among those of its prompt.
pub(crate) fn end_with(token: u32, history: &mut Vec<u32>, copy: usize, context: &mut Context<'_, '_>) -> Option<End> {
    if context.options.eos_token_id.contains(&token) {
        return Some(End { eos: Some(token), ..End::of(FinishReason::Stop) });
    }
    history.push(token);
    let row = context.prompt * context.options.num_return_sequences + copy;
    let flow = context.on_token.as_mut().map_or(ControlFlow::Continue(()), |listen| listen(row, token));
    if let Some(stop) = context.stop.and_then(|stop| stop.completed_by_last(history)) {
        return Some(End { stop_string: Some(stop.to_owned()), ..End::of(FinishReason::Stop) });
    }
    if history.len() >= context.limits.max_length {
        return Some(End::of(FinishReason::Length));
    }
    (context.late || flow.is_break()).then(|| End::of(FinishReason::Interrupted))
}

/// The output of a history that begins with a prompt of so many tokens.
pub(crate) fn output(history: &[u32], prompt_len: usize, logprobs: Vec<f32>, end: Option<End>) -> Output {
    let end = end.unwrap_or_else(|| End::of(FinishReason::Interrupted));
    Output {
        tokens: history[prompt_len..].to_vec(),
        eos: end.eos,
        stop_string: end.stop_string,
        score: logprobs.iter().map(|&l| f64::from(l)).sum(),
        finish_reason: end.reason,
        token_logprobs: logprobs,
    }
}
