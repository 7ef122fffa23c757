//! The built binary, run as a person runs it, on the models under `fixtures/`.
//!
//! `command` and `task` are the vocabulary; each other file is a subcommand, or a promise about runs.

#![allow(clippy::print_stdout, reason = "says what it skipped")]

mod build;
mod chat;
mod collect;
mod command;
mod data;
mod doctor;
mod explain;
mod export;
mod faults;
mod generate;
mod hub;
mod inspect;
mod models;
mod plan;
mod recipes;
mod resume;
mod run;
mod score;
mod task;
mod terminal;
