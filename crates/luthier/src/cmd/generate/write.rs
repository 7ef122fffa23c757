//! Results on stdout: JSON lines in the order of the rows, texts with headings, or one text as it grows.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use luthier_generate::{Completion, FinishReason, Output, Resolved};
use luthier_text::{StreamDecoder, Tokenizer};
use serde_json::{Value, json};

use super::prompts::Prompt;
use crate::cmd::{Failure, print};

/// Prompts finish in any order and are printed in the order of the rows, each as soon as those before it are out.
#[derive(Debug, Default)]
pub(super) struct InOrder {
    next: usize,
    waiting: BTreeMap<usize, String>,
    failure: Option<Failure>,
}

impl InOrder {
    pub(super) fn add(&mut self, index: usize, text: String) {
        self.waiting.insert(index, text);
        while let Some(text) = self.waiting.remove(&self.next) {
            self.next += 1;
            if self.failure.is_none() {
                self.failure = print(&text).err();
            }
        }
    }

    pub(super) fn finish(self) -> Result<(), Failure> {
        self.failure.map_or(Ok(()), Err)
    }
}

/// The new tokens as transformers' `generate` returns them: with the end-of-sequence token, which behind a beam is always the first one.
fn new_tokens(output: &Output, options: &Resolved) -> Vec<u32> {
    let first = options.eos_token_id.first().copied().filter(|_| options.num_beams > 1);
    output.tokens.iter().copied().chain(output.eos.map(|eos| first.unwrap_or(eos))).collect()
}

fn text(output: &Output, tokenizer: Option<&Tokenizer>) -> Option<String> {
    tokenizer.map(|tokenizer| output.text(&|ids| tokenizer.decode(ids, true)))
}

/// A line of `--json`.
pub(super) fn json_line(
    prompt: &Prompt,
    done: &Completion,
    options: &Resolved,
    tokenizer: Option<&Tokenizer>,
) -> String {
    let output = |output: &Output| {
        json!({
            "text": text(output, tokenizer),
            "tokens": new_tokens(output, options),
            "score": output.score,
            "finish_reason": output.finish_reason,
        })
    };
    let outputs: Vec<Value> = done.outputs.iter().map(output).collect();
    format!("{}\n", json!({ "prompt": prompt.echo, "outputs": outputs }))
}

/// The outputs of one prompt for people; `heading` names the prompt where there are several.
pub(super) fn plain(
    heading: Option<(usize, &Prompt)>,
    done: &Completion,
    options: &Resolved,
    tokenizer: Option<&Tokenizer>,
) -> String {
    let mut lines = String::new();
    if let Some((index, prompt)) = heading {
        let gap = if index == 0 { "" } else { "\n" };
        lines += &format!("{gap}=== {} {}\n", prompt.place, shortened(&prompt.echo));
    }
    for (i, output) in done.outputs.iter().enumerate() {
        if done.outputs.len() > 1 {
            let gap = if i == 0 { "" } else { "\n" };
            lines += &format!("{gap}--- output {}, score {:.4}\n", i + 1, output.score);
        }
        let ids = || new_tokens(output, options).iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        lines += &text(output, tokenizer).unwrap_or_else(ids);
        lines.push('\n');
    }
    lines
}

/// The beginning of a prompt on one line.
fn shortened(echo: &Value) -> String {
    const MOST: usize = 60;
    let text = echo.as_str().map_or_else(|| echo.to_string(), str::to_owned);
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect();
    if text.chars().count() > MOST { format!("{line}…") } else { line }
}

/// Shows one output while it grows, whole characters only.
pub(crate) struct Streamer<'t, S> {
    decoder: StreamDecoder<'t>,
    show: S,
    /// With stop strings each token waits for the next one: the last may reach beyond the stop string.
    waits: bool,
    waiting: Option<u32>,
    shown: String,
    failure: Option<Failure>,
}

impl<'t, S: FnMut(&str) -> Result<(), Failure>> Streamer<'t, S> {
    /// `show` is given piece after piece.
    pub(crate) fn new(tokenizer: &'t Tokenizer, options: &Resolved, show: S) -> Self {
        Self {
            decoder: StreamDecoder::new(tokenizer, true),
            show,
            waits: !options.stop_strings.is_empty(),
            waiting: None,
            shown: String::new(),
            failure: None,
        }
    }

    /// Hears a new token.
    pub(crate) fn push(&mut self, token: u32) -> ControlFlow<()> {
        let certain = if self.waits { self.waiting.replace(token) } else { Some(token) };
        if let Some(piece) = certain.and_then(|token| self.decoder.push(token)) {
            self.failure = (self.show)(&piece).err();
            self.shown += &piece;
        }
        if self.failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Shows what was held back.
    pub(crate) fn finish(mut self, output: &Output, tokenizer: &Tokenizer) -> Result<(), Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let whole = text(output, Some(tokenizer)).unwrap_or_default();
        (self.show)(whole.strip_prefix(&self.shown).unwrap_or_default())
    }
}

/// What a person may not expect about the ends of the outputs.
pub(super) fn note_on_length(completions: &[Completion], limit: Option<usize>) {
    let Some(limit) = limit else { return };
    let outputs = || completions.iter().flat_map(|done| &done.outputs);
    let cut = outputs().filter(|output| output.finish_reason == FinishReason::Length).count();
    if cut > 0 {
        let of = outputs().count();
        eprintln!(
            "note: {cut} of {of} outputs end at the default of {limit} new tokens; --max-new-tokens sets another"
        );
    }
}
