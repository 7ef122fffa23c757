//! Opening a model folder: which numbers of its files become which parameters, and how they are held.

use std::path::Path;

use luthier_engine::{Device, Numbers, Packed, Packing, Params};
use serde_json::{Map, Value};

use crate::blueprint::Blueprint;
use crate::config::Config;
use crate::decoder::{Decoder, Role, Weight};
use crate::error::ModelError;
use crate::model::{Model, tensor};
use crate::store::Store;
use crate::weights::Tensors;

/// How a model is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening {
    /// How frozen weights are held.
    pub store: Store,
    /// Which weights will be trained: they are f32, in memory of their own from the start. (Mapped ones would be copied at the
    /// first update, and their pages stay beside the copies.)
    pub trained: Trained,
    /// Rows that embedding and head are to have at least; those that the files lack become the mean of the others.
    pub vocabulary: usize,
}

/// Which weights of a model will be trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trained {
    /// None of its own.
    #[default]
    None,
    /// Embedding and head.
    Tables,
    /// All.
    All,
}

impl Model {
    /// Opens a folder that transformers' `save_pretrained` wrote; all weights frozen. Those that lie in the files as f32
    /// are used where they are.
    ///
    /// # Errors
    /// Naming the file and the field or tensor that is wrong.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, ModelError> {
        Self::open(dir, device, &Opening::default())
    }

    /// As [`Model::load`], with the weights held as `store` says. They are packed as they are read, one after another, so the
    /// model is never in memory as f32.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_as(dir: &Path, device: &Device, store: Store) -> Result<Self, ModelError> {
        Self::open(dir, device, &Opening { store, ..Opening::default() })
    }

    /// As [`Model::load`] for full fine-tuning.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_to_train(dir: &Path, device: &Device) -> Result<Self, ModelError> {
        Self::open(dir, device, &Opening { trained: Trained::All, ..Opening::default() })
    }

    /// Opens a folder as it is asked for.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn open(dir: &Path, device: &Device, opening: &Opening) -> Result<Self, ModelError> {
        let stored = Config::read(dir)?;
        let tensors = Tensors::of_model(dir)?;
        let names = StoredNames::find(&stored.blueprint, &tensors);
        let config = stored.clone().with_vocabulary(opening.vocabulary);
        let mut params = Params::default();
        let decoder = Decoder::build(&config, &mut params, |weight| {
            let numbers = opening.numbers(&tensors, weight, &names.of(weight.name), stored.vocab_size)?;
            Ok(tensor(device, &weight.in_memory(), numbers))
        })?;
        names.check_leftovers(&config.blueprint, &tensors, &params, dir)?;
        let model = Self::of(config, params, decoder, device);
        let generation_config = read_generation_config(dir)?;
        let (opening, stored_vocabulary, stored_dtype) = (*opening, stored.vocab_size, tensors.stored_dtype());
        Ok(Self { generation_config, stored_dtype, opening, stored_vocabulary, ..model })
    }
}

impl Opening {
    /// How a parameter is packed.
    pub(crate) fn packing(&self, role: Role) -> Option<Packing> {
        match (self.trained, role) {
            (Trained::All, _) | (Trained::Tables, Role::Table) => None,
            _ => self.store.packing(role),
        }
    }

    fn is_trained(&self, role: Role) -> bool {
        match self.trained {
            Trained::None => false,
            Trained::Tables => role == Role::Table,
            Trained::All => true,
        }
    }

    /// The numbers of a parameter that has this name in the files, where tables have `rows` rows.
    fn numbers(
        &self,
        tensors: &Tensors,
        weight: &Weight<'_>,
        stored: &str,
        rows: usize,
    ) -> Result<Numbers, ModelError> {
        let packing = self.packing(weight.role);
        if let (Role::Table, &[wanted, cols]) = (weight.role, weight.shape)
            && wanted > rows
        {
            let mut numbers = tensors.read(stored, &[rows, cols])?;
            numbers.extend(mean_row(&numbers, cols).repeat(wanted - rows));
            return Ok(held(numbers, cols, packing));
        }
        match (packing, weight.shape) {
            (_, &[_, cols]) if weight.transposed => {
                let numbers = transposed(&tensors.read(stored, weight.shape)?, cols);
                Ok(held(numbers, weight.shape[0], packing))
            }
            (Some(packing), &[rows, cols]) => tensors.pack(stored, [rows, cols], packing).map(Numbers::Packed),
            _ if self.is_trained(weight.role) => tensors.read(stored, weight.shape).map(Numbers::Owned),
            _ => tensors.map_or_read(stored, weight.shape),
        }
    }
}

/// Numbers in memory, packed if they are to be.
fn held(numbers: Vec<f32>, cols: usize, packing: Option<Packing>) -> Numbers {
    let Some(packing) = packing else { return Numbers::Owned(numbers) };
    let mut packed = Packed::with_capacity(packing, numbers.len() / cols.max(1), cols);
    packed.push_rows(&numbers);
    Numbers::Packed(packed)
}

/// The mean of all rows, summed in double precision.
fn mean_row(numbers: &[f32], cols: usize) -> Vec<f32> {
    let mut sums = vec![0.0; cols];
    for row in numbers.chunks_exact(cols.max(1)) {
        for (sum, number) in sums.iter_mut().zip(row) {
            *sum += f64::from(*number);
        }
    }
    let rows = (numbers.len() / cols.max(1)).max(1) as f64;
    sums.into_iter().map(|sum| (sum / rows) as f32).collect()
}

/// The names that weights have in the files: what stands in front may differ from what we write.
struct StoredNames {
    ours: &'static str,
    theirs: &'static str,
}

impl StoredNames {
    /// The way of naming under which the files hold the embedding.
    fn find(plan: &Blueprint, tensors: &Tensors) -> Self {
        let embedding = &plan.embedding.name;
        let holds = |prefix: &&&str| tensors.contains(&format!("{prefix}{embedding}.weight"));
        let theirs = plan.prefixes.iter().find(holds).unwrap_or(&plan.prefixes[0]);
        Self { ours: plan.prefixes[0], theirs }
    }

    fn of(&self, name: &str) -> String {
        match name.strip_prefix(self.ours) {
            Some(bare) => format!("{}{bare}", self.theirs),
            // The head stands outside; around the parts of a model that sees it may have something in front too.
            None => format!("{}{name}", self.theirs.strip_suffix(self.ours).unwrap_or("")),
        }
    }

    /// Refuses files with blocks or biases that the configuration does not know: the model would run without them.
    fn check_leftovers(
        &self,
        plan: &Blueprint,
        tensors: &Tensors,
        params: &Params,
        dir: &Path,
    ) -> Result<(), ModelError> {
        // `layers.` of `layers.0.mlp.up_proj`.
        let blocks = plan.blocks.first().map_or("", |block| block.attention.output.name.as_str());
        let blocks = blocks.split_inclusive('.').take_while(|part| *part != "0.").collect::<String>();
        for name in tensors.names() {
            let Some(bare) = name.strip_prefix(self.theirs) else { continue };
            // Counters and masks are no weights.
            let is_weight = tensors.is_readable(name) && !plan.ignored.iter().any(|ending| bare.ends_with(ending));
            let matters = bare.starts_with(&blocks) && is_weight;
            if matters && params.find(&format!("{}{bare}", self.ours)).is_none() {
                let path = dir.join("config.json");
                let why = format!("describes a model without the tensor \"{name}\" that the files hold; is it theirs?");
                return Err(ModelError::Config { path, why });
            }
        }
        Ok(())
    }
}

/// Rows, of so many columns, and columns of a matrix changed about.
pub(crate) fn transposed(numbers: &[f32], cols: usize) -> Vec<f32> {
    let rows = numbers.len() / cols.max(1);
    let mut turned = vec![0.0; numbers.len()];
    for (row, line) in numbers.chunks_exact(cols.max(1)).enumerate() {
        for (col, number) in line.iter().enumerate() {
            turned[col * rows + row] = *number;
        }
    }
    turned
}

fn read_generation_config(dir: &Path) -> Result<Option<Map<String, Value>>, ModelError> {
    let path = dir.join("generation_config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read(&path).map_err(ModelError::read(&path))?;
    let json = serde_json::from_slice(&text);
    json.map(Some).map_err(|error| ModelError::config(&path, format!("is not a JSON object: {error}")))
}
