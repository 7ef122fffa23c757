//! `luthier recipe`: every key of a recipe, with its default and what it does.

use clap::Args as ClapArgs;

use super::{Failure, print};

/// Shows every key a recipe may have, with its type, default and meaning
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<(), Failure> {
    print(&luthier_train::recipe::reference())
}
