//! The built binary, run as a person runs it, on the models under `fixtures/`.
//!
//! `command` is the vocabulary; each other file is a subcommand.

#![allow(clippy::print_stdout, reason = "says what it skipped")]

mod command;
mod doctor;
mod generate;
mod inspect;
mod score;
