//! A model that answers: its template, its parameters, its cache.

use std::ops::ControlFlow;
use std::time::Instant;

use luthier_constrain::{Form, Formed};
use luthier_generate::{FinishReason, GenerateError, GenerationOptions, Generator, Output, Resolved};
use luthier_model::Session;
use luthier_text::{Message, Renderer, Template, Tokenizer};

use super::interrupt::Interrupt;
use super::kept::{INTERRUPTED, Kept};
use super::page::Page;
use crate::cmd::Failure;
use crate::cmd::generate::form;
use crate::cmd::generate::write::Streamer;
use crate::cmd::generate::{limit_is_ours, options};
use crate::open::Opened;

/// A model in a conversation.
pub(super) struct Voice<'m> {
    /// What it is called beside another one.
    pub(super) name: String,
    opened: &'m Opened,
    tokenizer: &'m Tokenizer,
    template: Template,
    formed: Option<Formed>,
    model: Kept<'m>,
}

/// What a model said, and what that took.
#[derive(Debug)]
pub(super) struct Answer {
    /// Without special tokens.
    pub(super) text: String,
    pub(super) finish_reason: FinishReason,
    /// By the user.
    pub(super) interrupted: bool,
    /// New tokens, the end-of-sequence token left out.
    pub(super) tokens: usize,
    pub(super) prompt_tokens: usize,
    /// Those of them that the cache did not have.
    pub(super) computed: usize,
    pub(super) seconds: f64,
    /// What cut it, where a limit did.
    pub(super) cut_by: Option<String>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Silence {
    /// The question, the conversation or the parameters will not do; the chat goes on.
    Refused(String),
    /// Nothing had been said when the user interrupted.
    Interrupted,
    /// The output cannot be written, or the model is broken.
    Failed(Failure),
}

impl<'m> Voice<'m> {
    /// A model under a name. It writes conversations with `like`'s template where that is given, else with its own.
    pub(super) fn new(
        name: String,
        opened: &'m Opened,
        like: Option<&Voice<'_>>,
        form: Option<&Form>,
    ) -> Result<Self, Failure> {
        let tokenizer = opened.need_tokenizer()?;
        let template = match like {
            Some(like) => Template::from_source(like.template.name(), like.template.source(), tokenizer)
                .map_err(Failure::input)?,
            None => opened.template()?,
        };
        let formed = form.map(|form| form::over(form, opened)).transpose()?;
        let model = Kept::new(Session::new(&opened.model));
        Ok(Self { name, opened, tokenizer, template, formed, model })
    }

    /// Most tokens of a conversation with its answer.
    pub(super) fn context(&self) -> usize {
        self.opened.model.config.max_position_embeddings
    }

    pub(super) fn template_name(&self) -> &str {
        self.template.name()
    }

    /// The user's parameters over those of the model's folder over the defaults; one answer is the rule here.
    pub(super) fn merged(&self, user: &GenerationOptions) -> Result<GenerationOptions, Failure> {
        let mut merged = options(user, self.opened, true)?;
        if user.num_return_sequences.is_none() {
            merged.num_return_sequences = None;
        }
        Ok(merged)
    }

    /// The same, checked against each other and against this model.
    pub(super) fn resolved(&self, user: &GenerationOptions) -> Result<Resolved, Failure> {
        let resolved = self.merged(user)?.resolve().map_err(Failure::input)?;
        if resolved.num_return_sequences != 1 {
            return Err(Failure::input(format!(
                "num_return_sequences is {}, but a conversation goes on from one answer; leave it out, or use luthier generate",
                resolved.num_return_sequences
            )));
        }
        resolved.check_vocabulary(self.opened.model.config.vocab_size).map_err(Failure::input)?;
        Ok(resolved)
    }

    /// Which of the parameters that are set come from the model's folder.
    pub(super) fn folder_gives(&self, parameter: &str) -> bool {
        self.opened.model.generation_config.as_ref().is_some_and(|json| json.contains_key(parameter))
    }

    /// The tokens of a conversation up to where the answer begins.
    pub(super) fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>, String> {
        let rendered = Renderer::new(self.tokenizer, &self.template).render_prompt(messages);
        rendered.map(|prompt| prompt.tokens).map_err(|error| error.to_string())
    }

    /// Answers a conversation, on a page where one is given: while the answer grows where the search can. `again` counts how often
    /// the same was asked before, each time with another seed.
    pub(super) fn answer(
        &mut self,
        messages: &[Message],
        user: &GenerationOptions,
        again: u64,
        mut page: Option<&mut dyn Page>,
        interrupt: &Interrupt,
    ) -> Result<Answer, Silence> {
        let prompt = self.prompt(messages).map_err(Silence::Refused)?;
        let context = self.context();
        if prompt.len() >= context {
            return Err(Silence::Refused(format!(
                "the conversation has {} tokens with this question, but the model's context is {context}; \
                 ask something shorter, or make room with /undo or /clear",
                prompt.len()
            )));
        }
        let mut resolved = self.resolved(user).map_err(|failure| Silence::Refused(failure.to_string()))?;
        resolved.seed = resolved.seed.wrapping_add(again);
        let tokenizer = self.tokenizer;
        let decode = |ids: &[u32]| tokenizer.decode(ids, true);
        let streamed = if resolved.num_beams == 1 { page.as_deref_mut() } else { None };
        let mut streamer = streamed.map(|page| Streamer::new(tokenizer, &resolved, |piece: &str| page.write(piece)));
        let mut listen = |_: usize, token: u32| {
            let flow = streamer.as_mut().map_or(ControlFlow::Continue(()), |streamer| streamer.push(token));
            if interrupt.asked() { ControlFlow::Break(()) } else { flow }
        };
        let mut generator = Generator::new(&resolved).decode(&decode).on_token(&mut listen);
        if let Some(formed) = &self.formed {
            generator = generator.constraint(formed);
        }
        let began = Instant::now();
        interrupt.begin();
        self.model.begin((resolved.num_beams > 1).then(|| interrupt.clone()));
        let prompts = [prompt];
        let generated = generator.generate(&mut self.model, &prompts);
        self.model.end();
        interrupt.end();
        let seconds = began.elapsed().as_secs_f64();
        let output = match generated {
            Ok(completions) => completions.into_iter().flat_map(|completion| completion.outputs).next(),
            Err(error) => return Err(silence(error)),
        };
        let Some(mut output) = output else {
            return Err(Silence::Refused("the form leaves nothing to answer under these parameters".into()));
        };
        let tokens = output.tokens.len();
        whole_characters(&mut output, &decode);
        let text = output.text(&decode);
        match streamer {
            Some(streamer) => streamer.finish(&output, tokenizer),
            None => page.map_or(Ok(()), |page| page.write(&text)),
        }
        .map_err(Silence::Failed)?;
        let interrupted = output.finish_reason == FinishReason::Interrupted && interrupt.asked();
        if interrupted && text.is_empty() {
            return Err(Silence::Interrupted);
        }
        Ok(Answer {
            finish_reason: output.finish_reason,
            interrupted,
            tokens,
            prompt_tokens: prompts[0].len(),
            computed: self.model.computed(),
            seconds,
            cut_by: self
                .cut_by(output.finish_reason, prompts[0].len() + tokens, &resolved, user)
                .filter(|_| !interrupted),
            text,
        })
    }

    /// Which limit an answer ran into that has so many tokens with its prompt.
    fn cut_by(
        &self,
        finish_reason: FinishReason,
        length: usize,
        resolved: &Resolved,
        user: &GenerationOptions,
    ) -> Option<String> {
        match finish_reason {
            FinishReason::Stop => return None,
            FinishReason::Interrupted => return resolved.max_time.map(|seconds| format!("max_time, {seconds}")),
            FinishReason::Length => {}
        }
        let context = self.context();
        if length >= context {
            return Some(format!("the model's context of {context}"));
        }
        Some(match resolved.max_new_tokens {
            Some(limit) if limit_is_ours(user, self.opened) => format!("the default of max_new_tokens, {limit}"),
            Some(limit) => format!("max_new_tokens, {limit}"),
            None => format!("max_length, {}", resolved.max_length),
        })
    }
}

/// Leaves out what of a character stands before the place where an answer was cut: the next prompt is to hold whole ones.
fn whole_characters(output: &mut Output, decode: &dyn Fn(&[u32]) -> String) {
    while output.finish_reason != FinishReason::Stop && decode(&output.tokens).ends_with('\u{FFFD}') {
        output.tokens.pop();
    }
}

fn silence(error: GenerateError) -> Silence {
    match error {
        GenerateError::Model(error) if error.to_string() == INTERRUPTED => Silence::Interrupted,
        GenerateError::Options(error) => {
            let message = error.to_string();
            Silence::Refused(match message.strip_prefix("prompt 0 ") {
                Some(rest) => format!("the conversation {rest}"),
                None => message,
            })
        }
        GenerateError::NothingAllowed { .. } | GenerateError::Constraint { .. } => {
            Silence::Refused(error.to_string().replace(" for prompt 0", ""))
        }
        _ => Silence::Failed(Failure::run(error)),
    }
}
