//! Collecting and building on real data, beside the repository.

mod archives;
mod duplicates;
mod files;
mod opencc;
mod pipeline;
