//! The training stage of a run: trains what the recipe says and saves it as the Python tools would.

use std::io;
use std::path::PathBuf;

use luthier_engine::Params;
use luthier_model::{ModelError, SaveDtype};

use crate::error::TrainError;
use crate::folder::RunFolder;
use crate::recipe::{self, Method, ResolvedRecipe};
use crate::run::{Run, Task, Watch, train};
use crate::setup::Setup;

/// Where the result of training lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tuned {
    /// A PEFT adapter for the base model.
    Adapter(PathBuf),
    /// A whole model.
    Model(PathBuf),
}

impl Tuned {
    /// Where a run of this recipe puts it.
    pub fn of(recipe: &ResolvedRecipe, folder: &RunFolder) -> Self {
        match &recipe.train.method {
            Method::Full => Self::Model(folder.path("model")),
            Method::Lora(_) => Self::Adapter(folder.path("adapter")),
        }
    }

    /// Its folder.
    pub fn dir(&self) -> &std::path::Path {
        match self {
            Self::Adapter(dir) | Self::Model(dir) => dir,
        }
    }
}

/// Trains and saves, or finds that this was done already. Afterwards the model in `setup` is the tuned one.
///
/// # Errors
/// See [`TrainError`]; run the same command again to go on from the last checkpoint.
pub fn train_stage(
    recipe: &ResolvedRecipe,
    setup: &mut Setup,
    folder: &RunFolder,
    watch: &mut dyn Watch,
) -> Result<Tuned, TrainError> {
    let tuned = Tuned::of(recipe, folder);
    if tuned.dir().exists() {
        setup.load(&tuned)?;
        return Ok(tuned);
    }
    setup.make_trainable(recipe)?;
    let (rows, held_out) = (setup.training_rows(), setup.held_out_rows());
    let run = Run {
        task: Task::of(recipe, &setup.model.config, &rows),
        held_out: &held_out,
        dir: folder.dir(),
        training_hash: &setup.training_hash,
        passing: setup.memory.map(|memory| memory.device.passing()),
    };
    train(&mut setup.model, &run, watch)?;
    // What saving and loading take for a while is then no more than training took.
    setup.model.device().release();
    setup.save(recipe, &tuned)?;
    if matches!(tuned, Tuned::Model(_)) {
        // What is evaluated is what was saved, rounded as it was.
        setup.load(&tuned)?;
    }
    Ok(tuned)
}

impl Setup {
    /// Loads what was trained in place of, or on top of, the base model.
    ///
    /// # Errors
    /// When it does not fit the base model.
    pub fn load(&mut self, tuned: &Tuned) -> Result<(), ModelError> {
        match tuned {
            Tuned::Adapter(dir) => self.model.load_adapter(dir),
            Tuned::Model(dir) => {
                // The weights before need not lie beside those after.
                self.model.params = Params::default();
                self.model = luthier_model::Model::load(dir, self.model.device())?;
                Ok(())
            }
        }
    }

    /// Saves the trained weights with the tokenizer and the template they were trained with.
    fn save(&self, recipe: &ResolvedRecipe, tuned: &Tuned) -> Result<(), TrainError> {
        let dtype = match recipe.model.save_dtype {
            recipe::SaveDtype::Base => self.model.stored_dtype,
            recipe::SaveDtype::F32 => SaveDtype::F32,
            recipe::SaveDtype::Bf16 => SaveDtype::Bf16,
            recipe::SaveDtype::F16 => SaveDtype::F16,
        };
        let (base, revision) = match recipe.base_origin() {
            Some(origin) => (origin.repo.clone(), Some(origin.commit.as_str())),
            None => (self.base_dir.display().to_string(), None),
        };
        luthier_files::write_folder_aside(tuned.dir(), |aside| {
            let weights = match tuned {
                Tuned::Adapter(_) => self.model.save_adapter(aside, &base, revision),
                Tuned::Model(_) => self.model.save(aside, dtype),
            };
            weights.map_err(io::Error::other)?;
            self.tokenizer.save(aside, Some(self.template.source())).map_err(io::Error::other)
        })
        .map_err(|source| TrainError::Write { path: tuned.dir().to_owned(), source })
    }
}
