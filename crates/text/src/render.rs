//! From a conversation to tokens with labels: the one way that training, evaluation, chat and the server share.
//!
//! Which part of the text is an answer is found by rendering prefixes: the conversation up to the answer with the generation
//! prompt, against the conversation with the answer. The whole text is tokenised once. Where the prompt's own tokens are not the
//! beginning of the row's tokens (a merge across the boundary), the row is tokenised in two pieces there, so that the model is
//! trained behind exactly the tokens it will be given.

mod spans;

use crate::error::TextError;
use crate::options::TrainOn;
use crate::rows::{Message, Role};
use crate::template::Template;
use crate::tokenizer::{Encoded, Tokenizer};
use spans::{AnswerSpan, RenderedRow};

/// A prompt as the model receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptTokens {
    /// Token ids, `[N]`.
    pub tokens: Vec<u32>,
    /// The text they stand for; a leading beginning-of-sequence token that the tokenizer adds is not in it.
    pub text: String,
}

/// A row as the model is trained on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Token ids, `[N]`.
    pub tokens: Vec<u32>,
    /// Whether each token is to be predicted from those before it, `[N]`; never true for the first.
    pub labelled: Vec<bool>,
    /// The text as rendered; of a truncated row, the text of the tokens left.
    pub text: String,
    /// Tokens of the last answer's prompt, a leading beginning-of-sequence token included; 0 for plain text.
    pub prompt_len: usize,
    /// Boundaries where the row was tokenised in pieces to keep the prompt's tokens.
    pub resplit: usize,
    /// Whether the template writes the finished conversation otherwise than the prompt, so that the answer was put behind the prompt.
    pub restated: bool,
    /// Earlier answers without labels, because the template writes their prompt otherwise in the finished conversation.
    pub unlabelled_answers: usize,
    /// Whether the last answer is followed by a special token that ends it.
    pub ended: bool,
}

impl Example {
    /// How many tokens carry a label.
    #[must_use]
    pub fn labelled_tokens(&self) -> usize {
        self.labelled.iter().filter(|labelled| **labelled).count()
    }
}

/// Renders and tokenises conversations with one tokenizer and one template.
#[derive(Debug, Clone, Copy)]
pub struct Renderer<'a> {
    tokenizer: &'a Tokenizer,
    template: &'a Template,
}

impl<'a> Renderer<'a> {
    /// A renderer over a model's tokenizer and template.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, template: &'a Template) -> Self {
        Renderer { tokenizer, template }
    }

    /// The tokens that the model is given to answer `messages`.
    ///
    /// # Errors
    /// The template's refusal, or the tokenizer's.
    pub fn render_prompt(&self, messages: &[Message]) -> Result<PromptTokens, TextError> {
        let text = self.template.render(messages, true)?;
        let mut tokens: Vec<u32> = self.leading_bos(&text).into_iter().collect();
        tokens.extend(self.tokenizer.encode(&text, false)?);
        Ok(PromptTokens { tokens, text })
    }

    /// The tokens and labels of a conversation. [`Renderer::render_prompt`] of the messages before the last answer gives the first
    /// [`Example::prompt_len`] tokens.
    ///
    /// # Errors
    /// The template's refusal, or the tokenizer's, or a template that does not write the answer.
    pub fn render_example(&self, messages: &[Message], train_on: TrainOn) -> Result<Example, TextError> {
        let row = spans::render(self.template, messages)?;
        let last = row.answers.len() - 1;
        let wanted = match train_on {
            TrainOn::Answers => &row.answers[..],
            TrainOn::LastAnswer | TrainOn::Completion | TrainOn::All => &row.answers[last..],
        };
        let tokens = self.tokenise(&row, wanted)?;
        let mut labelled = vec![false; tokens.encoded.ids.len()];
        let mut ended = false;
        for (span, prompt_len) in wanted.iter().zip(&tokens.prompt_lens) {
            ended = self.label(&mut labelled, &tokens.encoded, span, *prompt_len);
        }
        let prompt_len = tokens.prompt_lens.last().copied().unwrap_or(0);
        match train_on {
            TrainOn::Answers | TrainOn::LastAnswer => {}
            TrainOn::Completion => labelled[prompt_len..].fill(true),
            TrainOn::All => labelled.fill(true),
        }
        if let Some(first) = labelled.first_mut() {
            *first = false;
        }
        Ok(Example {
            tokens: tokens.encoded.ids,
            labelled,
            prompt_len,
            text: row.text,
            resplit: tokens.resplit,
            restated: row.restated,
            unlabelled_answers: if train_on == TrainOn::Answers { row.lost_answers } else { 0 },
            ended,
        })
    }

    /// The tokens of a plain text: the beginning-of-sequence token where the tokenizer puts one, the text, the end-of-sequence
    /// token; every token but the first is labelled.
    ///
    /// # Errors
    /// When the tokenizer names no end-of-sequence token, or cannot represent the text.
    pub fn text_example(&self, text: &str) -> Result<Example, TextError> {
        let eos = self.tokenizer.eos().ok_or_else(|| TextError::NoEos { wanted_by: "a row of plain text".into() })?;
        let mut tokens: Vec<u32> = self.leading_bos(text).into_iter().collect();
        tokens.extend(self.tokenizer.encode(text, false)?);
        tokens.push(eos.id);
        let mut labelled = vec![true; tokens.len()];
        labelled[0] = false;
        Ok(Example {
            tokens,
            labelled,
            text: format!("{text}{}", eos.text),
            prompt_len: 0,
            resplit: 0,
            restated: false,
            unlabelled_answers: 0,
            ended: true,
        })
    }

    /// The tokenizer in use.
    #[must_use]
    pub fn tokenizer(&self) -> &'a Tokenizer {
        self.tokenizer
    }

    /// The template in use.
    #[must_use]
    pub fn template(&self) -> &'a Template {
        self.template
    }

    /// Exactly one beginning-of-sequence token: a template may write it; where it does not, the tokenizer's habit counts.
    fn leading_bos(&self, text: &str) -> Option<u32> {
        let bos = self.tokenizer.bos()?;
        self.tokenizer.leading_bos().filter(|_| !text.starts_with(&bos.text))
    }

    fn tokenise(&self, row: &RenderedRow, wanted: &[AnswerSpan]) -> Result<TokenisedRow, TextError> {
        let text = row.text.as_str();
        let whole = self.tokenizer.encode_with_offsets(text)?;
        let mut prompts = Vec::with_capacity(wanted.len());
        let mut cuts = Vec::new();
        for span in wanted {
            let prompt_len = self.prompt_in(&whole, text, span.start)?;
            if prompt_len.is_none() {
                cuts.push(span.start);
            }
            prompts.push(prompt_len.unwrap_or(0));
        }
        let mut encoded = whole;
        if !cuts.is_empty() {
            encoded = self.in_pieces(text, &cuts)?;
            for (span, length) in wanted.iter().zip(&mut prompts) {
                *length = encoded.offsets.partition_point(|(start, _)| *start < span.start);
            }
        }
        if let Some(bos) = self.leading_bos(text) {
            encoded.ids.insert(0, bos);
            encoded.offsets.insert(0, (0, 0));
            prompts.iter_mut().for_each(|length| *length += 1);
        }
        Ok(TokenisedRow { encoded, prompt_lens: prompts, resplit: cuts.len() })
    }

    /// How many tokens the prompt `text[..end]` has, if they are the beginning of the whole text's tokens. Text behind a border
    /// token is tokenised by itself, so only what follows the last one needs to be compared.
    fn prompt_in(&self, whole: &Encoded, text: &str, end: usize) -> Result<Option<usize>, TextError> {
        let before = whole.offsets.partition_point(|(_, to)| *to <= end);
        let border = (0..before).rev().find(|i| self.tokenizer.is_border(whole.ids[*i])).unwrap_or(0);
        let from = if border == 0 { 0 } else { whole.offsets[border].0 };
        let tail = self.tokenizer.encode(&text[from..end], false)?;
        Ok(whole.ids[border..].starts_with(&tail).then_some(border + tail.len()))
    }

    fn in_pieces(&self, text: &str, cuts: &[usize]) -> Result<Encoded, TextError> {
        let mut encoded = self.tokenizer.encode_with_offsets(&text[..cuts[0]])?;
        for (i, &start) in cuts.iter().enumerate() {
            let end = cuts.get(i + 1).copied().unwrap_or(text.len());
            let piece = self.tokenizer.encode_continuation(&text[start..end])?;
            encoded.ids.extend(piece.ids);
            encoded.offsets.extend(piece.offsets.into_iter().map(|(from, to)| (from + start, to + start)));
        }
        Ok(encoded)
    }

    /// Labels an answer's tokens and the special token that ends it; says whether there was one.
    fn label(&self, labelled: &mut [bool], encoded: &Encoded, span: &AnswerSpan, prompt_len: usize) -> bool {
        let inside = |i: &usize| encoded.offsets[*i].0 < span.end;
        let ends_turn =
            |i: &usize| encoded.offsets[*i].0 >= span.content_end && self.tokenizer.is_special(encoded.ids[*i]);
        let end_of_turn = (prompt_len..encoded.ids.len()).take_while(inside).find(ends_turn);
        match end_of_turn {
            Some(end) => labelled[prompt_len..=end].fill(true),
            None => {
                for (label, (start, _)) in labelled.iter_mut().zip(&encoded.offsets).skip(prompt_len) {
                    *label = *start < span.content_end;
                }
            }
        }
        end_of_turn.is_some()
    }
}

struct TokenisedRow {
    encoded: Encoded,
    prompt_lens: Vec<usize>,
    resplit: usize,
}

/// The messages before the last answer, and that answer.
pub(crate) fn prompt_and_answer(messages: &[Message]) -> (&[Message], &str) {
    match messages.split_last() {
        Some((last, before)) if last.role == Role::Assistant => (before, &last.content),
        _ => (messages, ""),
    }
}
