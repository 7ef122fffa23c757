//! Recipes, the training loop, optimiser, schedule, checkpoints and meters.
//!
//! What a person wrote becomes numbers here in this order: [`Recipe`] (what stands in the file, every key checked,
//! each with its line) -> [`ResolvedRecipe`] (every default filled in, typed; [`find_models`] turns names of the Hub into folders) ->
//! [`StepPlan`] (which rows make which optimiser step) and [`Schedule`] (which learning rate each step uses).

mod advice;
mod batch;
pub mod checkpoint;
mod error;
mod estimate;
pub mod fit;
mod folder;
pub mod meter;
mod micro_batches;
mod models;
pub mod optimiser;
pub mod plan;
pub mod recipe;
mod rehearsal;
pub mod room;
mod rows;
mod run;
pub mod schedule;
mod setup;
mod shared_prefix;
mod stage;

pub use advice::{Advice, advise};
pub use batch::{Batch, TrainingRow, mean_loss};
pub use error::TrainError;
pub use estimate::{Heaviest, MemoryEstimate, Savings, WorkEstimate, estimate_memory, estimate_work};
pub use folder::RunFolder;
pub use models::find_models;
pub use plan::{MicroBatches, Step, StepPlan};
pub use recipe::{Recipe, RecipeError, ResolvedRecipe};
pub use rehearsal::{Base, DeviceMemory};
pub use rows::{RenderedRows, render_rows};
pub use run::{Run, Task, Watch, train};
pub use schedule::Schedule;
pub use setup::{Setup, set_up};
pub use stage::{Tuned, train_stage};
