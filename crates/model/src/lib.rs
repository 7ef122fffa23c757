//! Hugging Face folders as decoders: configuration, weights, adapters, key-value cache.
//!
//! [`Model::load`] reads `config.json`, picks the family (`arch/*.rs`: names and switches only), finds the [`weights`] and
//! builds the one [`decoder::Decoder`]. Training calls [`Model::forward`] with a packed layout;
//! decoding opens a [`Session`], which runs the same forward on a key-value cache.

#![forbid(unsafe_code)]

pub mod adapter;
pub mod arch;
mod blueprint;
mod cache;
pub mod config;
pub mod decoder;
mod error;
mod fields;
mod init;
mod model;
mod open;
pub mod rope;
mod session;
mod store;
pub mod weights;

pub use adapter::{LoraOptions, Targets};
pub use config::{Config, Sizes};
pub use error::ModelError;
pub use model::Model;
pub use open::{Opening, Trained};
pub use session::{Feed, SequenceId, Session, Stepped, Wanted};
pub use store::Store;
pub use weights::SaveDtype;
