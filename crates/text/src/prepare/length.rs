//! Rows longer than `max_length`.

use super::{Booked, Rendered};
use crate::error::TextError;
use crate::ledger::{Outcome, Reason};
use crate::options::{DataOptions, Overlong, Part};
use crate::render::Renderer;

/// Labelled tokens of the training side: all, and those that `max_length` took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Losses {
    pub(super) answer_tokens: usize,
    pub(super) answer_tokens_lost: usize,
}

/// The error of `overlong = "refuse"`, when a row is too long.
pub(super) fn refuse(options: &DataOptions, booked: &[Booked]) -> Result<(), TextError> {
    let long: Vec<&Booked> =
        booked.iter().filter(|row| row.open().is_some() && row.tokens > options.max_length).collect();
    let Some(longest) = long.iter().max_by_key(|row| row.tokens) else { return Ok(()) };
    Err(TextError::Overlong {
        rows: long.len(),
        longest: longest.tokens,
        at: longest.place(),
        max_length: options.max_length,
    })
}

/// Applies the policy to every open row.
pub(super) fn apply(options: &DataOptions, renderer: &Renderer<'_>, booked: &mut [Booked]) -> Losses {
    let mut losses = Losses::default();
    for row in booked {
        let tokens = row.tokens;
        let Some(rendered) = row.open_mut() else { continue };
        let before = rendered.example.labelled_tokens();
        let train = rendered.part == Part::Train;
        let mut after = before;
        let mut gone = None;
        let mut lost = 0;
        if tokens > options.max_length {
            if options.overlong == Overlong::Drop {
                gone =
                    Some(("longer than max_length", format!("{tokens} tokens, max_length is {}", options.max_length)));
            } else {
                lost = tokens - options.max_length;
                cut(options, renderer, rendered);
                after = rendered.example.labelled_tokens();
            }
        }
        if gone.is_none() && after == 0 {
            let detail = if lost > 0 {
                format!("{lost} tokens were cut and no labelled token is left")
            } else {
                "no token carries a label".into()
            };
            gone = Some(("no labelled token left", detail));
        }
        if train {
            losses.answer_tokens += before;
            losses.answer_tokens_lost += if gone.is_some() { before } else { before - after };
        }
        row.tokens_lost = lost;
        if let Some((label, detail)) = gone {
            row.tokens_lost = tokens;
            row.leave(Outcome::Dropped, label, detail);
        }
    }
    losses
}

/// Shortens a row to `max_length`, and its prompt with it, so that the prompt stays the beginning of the row.
fn cut(options: &DataOptions, renderer: &Renderer<'_>, rendered: &mut Rendered) {
    let tokenizer = renderer.tokenizer();
    let example = &mut rendered.example;
    let excess = example.tokens.len() - options.max_length;
    let bos = usize::from(tokenizer.bos().is_some_and(|bos| example.tokens.first() == Some(&bos.id)));
    let mut from_prompt = 0;
    if options.overlong == Overlong::TruncatePrompt {
        // At least one token must stand before the answer, or nothing predicts its first.
        let keep = bos.max(1);
        from_prompt = excess.min(example.prompt_len.saturating_sub(keep));
        let range = if bos == 1 { 1..1 + from_prompt } else { 0..from_prompt };
        example.tokens.drain(range.clone());
        example.labelled.drain(range.clone());
        example.prompt_len -= from_prompt;
        if rendered.part == Part::Test {
            rendered.served.tokens.drain(range);
        }
        example.labelled[0] = false;
    }
    let from_end = excess - from_prompt;
    example.tokens.truncate(options.max_length);
    example.labelled.truncate(options.max_length);
    example.prompt_len = example.prompt_len.min(example.tokens.len());
    example.text = tokenizer.decode(&example.tokens, false);
    if rendered.served.tokens.len() > options.max_length || from_prompt > 0 {
        rendered.served.tokens.truncate(options.max_length);
        rendered.served.text = tokenizer.decode(&rendered.served.tokens, false);
    }
    rendered.cut = Some(match (from_prompt, from_end) {
        (cut, 0) => Reason { label: "prompt cut", detail: format!("{cut} tokens cut from the prompt's beginning") },
        (0, cut) => Reason { label: "end cut", detail: format!("{cut} tokens cut from the end") },
        (prompt, end) => Reason {
            label: "prompt and end cut",
            detail: format!("{prompt} tokens cut from the prompt's beginning and {end} from the end"),
        },
    });
}
