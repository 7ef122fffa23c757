//! Recipes, the training loop, optimiser, schedule, checkpoints and meters.
//!
//! What a person wrote becomes numbers here in this order: [`Recipe`] (what stands in the file, every key checked,
//! each with its line) -> [`ResolvedRecipe`] (every default filled in, typed) -> [`StepPlan`] (which rows make
//! which optimiser step) and [`Schedule`] (which learning rate each step uses).

pub mod plan;
pub mod recipe;
pub mod schedule;

pub use plan::{Step, StepPlan};
pub use recipe::{Recipe, RecipeError, ResolvedRecipe};
pub use schedule::Schedule;
