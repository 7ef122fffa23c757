//! Being written.

use super::Failure;

/// Being written
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<(), Failure> {
    Err(Failure::run("not there yet"))
}
