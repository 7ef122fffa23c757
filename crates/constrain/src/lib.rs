//! Outputs of a form: a JSON schema, a regular expression or one of a list of texts.
//!
//! A [`Form`] says what an output must look like, a [`Vocabulary`] which bytes each token stands for. Together they make a [`Formed`],
//! the [`Constraint`](luthier_generate::Constraint) that a `Generator` asks before every token, under every search. The work is done by
//! `llguidance`, which walks a trie of the vocabulary beside an automaton of the form, so that a step costs far less than a pass over
//! the smallest model. It is kept by the guidance project, serves larger servers too, and brings three crates of its own kind with it
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
pub use vocabulary::Vocabulary;
