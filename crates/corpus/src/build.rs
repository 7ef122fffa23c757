//! Building: documents to instruction rows.
//!
//! A [`Build`] writes each document through one of its [`Phrasing`]s, drawn by the seed and the document's id, so that a document keeps
//! its phrasing whatever else the corpus holds. [`Sides`] puts each row on a side of the split by a hash of a key: rows with the same key,
//! such as patents of one family or poems of one poet, never stand on both. [`Choice`] draws rows and balances them by a field. A [`Pipeline`] does all of it,
//! from the sources to a folder with the rows, the [`BuildLedger`] and a data card.

mod batches;
mod card;
mod choice;
mod files;
mod ledger;
mod measure;
mod phrasing;
mod pipeline;
mod row;
mod split;
mod spool;
mod twins;

pub use choice::{Choice, Chosen};
pub use ledger::{BuildLedger, Outcome, SourceCount};
pub use phrasing::{Build, Cut, NoRow, Phrasing};
pub use pipeline::{Apart, Collected, Duplicates, Pipeline, Progress};
pub use row::{Said, TaskRow};
pub use split::Sides;
pub(crate) use spool::SpoolWriter;
pub(crate) use twins::Twins;
