//! Decoding: one step loop, logits processors, and every search of transformers that needs one model.
//!
//! # Which transformers
//!
//! Everything is that of 4.46.3, whose outputs are the golden numbers of the tests. `beam_length: total` is the rule that 4.35 and before
//! divide a beam's score by. What 4.57.1 does otherwise, by its source and by the same 128 calls:
//!
//! - Beam search with `early_stopping: false` holds the best beam that is still open against the worst finished one, where 4.46.3 takes
//!   the best candidate of the step, ended ones among them. 8 of 120 lists of beams differ, and one best hypothesis.
//! - Behind a finished beam stands `pad_token_id or eos_token_id`, so that a padding token of 0 becomes the end-of-sequence token. What is
//!   returned here has no padding.
//! - Diverse beams, contrastive search, DoLa and `force_words_ids` moved out of the library to code that is fetched; here the first two stay.
//! - Prompt lookup drafts nothing that a processor forbids, and goes on looking where that leaves nothing. It changes speed alone.
//! - A watermark comes behind all other processors; there is none here.
//!
//! Where 4.46.3 does what nobody can want, this crate does not follow: `encoder_repetition_penalty` counts for every beam instead of the first
//! alone; an end-of-sequence token that is forbidden stays so when `exponential_decay_length_penalty` would make it not a number; guidance
//! with beams, whose second text would be that of another beam, is an error; contrastive search never takes a forbidden token. A draw
//! comes from a generator of this crate: the same distribution, other numbers.
//!
//! # How it works
//!
//! Parameters travel one way: [`GenerationOptions`] (what was typed, under transformers' names) are merged and resolved into
//! [`Resolved`] (checked, every default written out). A [`Generator`] then feeds prompts to a [`StepModel`] and returns a
//! [`Completion`] for each. Tokens equal those of transformers 4.46.3 `generate`, whatever else is in the batch.
//!
//! | room | what is there |
//! |---|---|
//! | `options`, `unlisted`, `resolve`, `check`, `warning` | parameters: parsed, completed, refused, without effect |
//! | `chain`, `processor`, `warper` | what happens to the scores, in transformers' order |
//! | `generator`, `job` | the step loop and one prompt in it |
//! | `line`, `lookup` | greedy and sampling, with guidance, and drafts that make them faster |
//! | `groups`, `beam`, `hypotheses` | beam search, beam sampling and diverse beams |
//! | `contrastive` | contrastive search |
//! | `constraint` | output that must have a form |
//! | `trace`, `watch` | what happened, written down by the searches themselves |
//! | `end`, `stop`, `stream` | how an output ends; stop strings; text as it grows |
//! | `session` | the project's decoder as a [`StepModel`] |
//!
//! ```
//! use luthier_generate::{Feed, GenerationOptions, Generator, ModelError, SequenceId, StepModel};
//!
//! /// Counts upwards, whatever the prompt: the next id is always the most probable one.
//! struct Counter;
//! impl StepModel for Counter {
//!     fn vocab_size(&self) -> usize { 10 }
//!     fn max_positions(&self) -> usize { 100 }
//!     fn start(&mut self) -> SequenceId { SequenceId(0) }
//!     fn fork(&mut self, from: SequenceId) -> SequenceId { from }
//!     fn free(&mut self, _: SequenceId) {}
//!     fn step(&mut self, feeds: &[Feed<'_>]) -> Result<Vec<f32>, ModelError> {
//!         let row = |last: u32| (0..10).map(move |id| if id == (last + 1) % 10 { 5.0 } else { 0.0 });
//!         Ok(feeds.iter().filter_map(|feed| feed.tokens.last()).flat_map(|&last| row(last)).collect())
//!     }
//! }
//!
//! let options = GenerationOptions { max_new_tokens: Some(8), eos_token_id: Some(vec![7]), ..Default::default() };
//! let options = options.resolve()?;
//! let completions = Generator::new(&options).generate(&mut Counter, &[vec![3], vec![8, 0]])?;
//! assert_eq!(completions[0].outputs[0].tokens, [4, 5, 6]);
//! assert_eq!(completions[1].outputs[0].tokens_with_eos(), [1, 2, 3, 4, 5, 6, 7]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod beam;
mod chain;
mod check;
mod constraint;
mod contrastive;
mod end;
mod error;
mod generator;
mod groups;
mod hypotheses;
mod job;
mod line;
mod lookup;
mod options;
mod output;
pub mod processor;
mod random;
mod resolve;
mod session;
pub mod softmax;
mod step;
mod stop;
mod stream;
mod trace;
mod unlisted;
mod warning;
pub mod warper;
mod watch;

pub use chain::Chain;
pub use constraint::{Constraint, Matcher};
pub use error::{GenerateError, OptionsError};
pub use generator::{DEFAULT_MAX_BATCH, Generator};
pub use options::{BeamLength, EarlyStopping, GenerationOptions, PARAMETERS};
pub use output::{Completion, Decode, FinishReason, Output};
pub use random::RandomStream;
pub use resolve::{DEFAULT_MAX_LENGTH, DEFAULT_SEED, Limits, Resolved};
pub use step::{Feed, ModelError, SequenceId, StepModel, Stepped, Wanted};
pub use stop::StopStrings;
pub use stream::TextStream;
pub use trace::{BeamStep, BeamTrace, Choice, Continuation, Fate, GroupEnd, GroupTrace, HypothesisTrace, Trace};
pub use unlisted::{NOT_BUILT, WITHOUT_MEANING};
pub use warning::Warning;
pub use watch::{Applied, Scored, Scoring, Spread};
