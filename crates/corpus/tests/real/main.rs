//! Collecting and building on real data, beside the repository.

#![allow(clippy::print_stdout, reason = "shows what it found")]

mod archives;
mod common_crawl;
mod duplicates;
mod files;
mod opencc;
mod pipeline;
mod statistics;
