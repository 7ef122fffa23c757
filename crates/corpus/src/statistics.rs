//! Statistics of a data set before anything is trained on it, and what changed between two of them.
//!
//! A [`DataSet`] is a file, a folder of files, or what `luthier build` has made. [`Statistics::of`] reads it once as a stream, a batch at a
//! time on all threads: of each row it keeps four numbers (what it says, what it answers to, its id, where it stands; 32 bytes together), and adds
//! the rest to counters whose size does not grow with the file. [`Difference::of`] does that for two data sets and matches their rows by
//! those numbers. Rows that are shown are read again by their place. Nothing here depends on the number of threads.

mod data_set;
mod difference;
mod examples;
mod fields;
mod frequent;
mod keys;
mod lengths;
mod measure;
mod near;
mod said;
mod survey;
mod tokens;

pub use data_set::{Built, DataFile, DataSet};
pub use difference::{Difference, Differing};
pub use fields::FieldCount;
pub use frequent::{Frequent, Often};
pub use keys::{Conflicts, Pair, Repeats};
pub use lengths::{Bin, Lengths};
pub use measure::ScriptOf;
pub use near::{NearPair, NearRepeats, NearSearch};
pub use said::messages_of;
pub use survey::{FileCount, Options, Part, Statistics};
pub use tokens::{Labels, Rendering};
