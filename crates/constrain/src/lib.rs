//! Outputs of a form: a JSON schema, a regular expression or one of a list of texts.
//!
//! A [`Form`] says what an output must look like, a [`Vocabulary`] which bytes each token stands for. Together they make a [`Formed`],
//! the [`Constraint`](luthier_generate::Constraint) that a `Generator` asks before every token, under every search. The work is done by
//! `llguidance`, which walks a trie of the vocabulary beside an automaton of the form. Over the 151,646 tokens of Qwen2 a form took 0.4 s to
//! make and a step 0.2 to 2 ms, 5 ms at worst (one core, development profile); over the 32,000 of Llama 2 a tenth of that. It is kept by the guidance project, serves larger servers too, and brings three crates of its own kind with it
//! (`toktrie`, `derivre`, `strum`); a JSON schema in full is far more than this project would write itself.
//!
//! The form is that of the new text: what stands in the prompt does not count. A token that only begins a character is allowed where the
//! character is.

#![forbid(unsafe_code)]

mod error;
mod form;
mod formed;
mod vocabulary;

pub use error::ConstrainError;
pub use form::Form;
pub use formed::Formed;
pub use vocabulary::{Vocabulary, token_bytes};
