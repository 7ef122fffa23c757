//! Embedding and head that belong to an adapter: trained whole (PEFT's `modules_to_save`), or longer than the base model's because
//! tokens were added. They are saved with the adapter, so that it and its vocabulary cannot part.

use std::collections::HashSet;
use std::path::Path;

use luthier_engine::{Numbers, Packed, Param, ParamId, Tensor};

use super::{Adapter, PREFIX};
use crate::decoder::Role;
use crate::error::ModelError;
use crate::model::{Model, tensor};
use crate::weights::Tensors;

/// The name of a module at the end of its path.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

impl Adapter {
    /// Whether the module of this path is trained whole.
    fn trains(&self, path: &str) -> bool {
        self.options.modules_to_save.iter().any(|module| last(module) == last(path))
    }
}

impl Model {
    /// Embedding and head, each with the path of its module; one parameter under two names where they are tied.
    fn tables(&self) -> [(String, ParamId); 2] {
        let embedding = self.decoder.embedding();
        let name = &self.params.get(embedding).name;
        let path = name.strip_suffix(".weight").expect("a table is called so").to_owned();
        [(path, embedding), (self.config.blueprint.head.name.clone(), self.decoder.head.weight)]
    }

    /// The parameters that modules of these names are.
    pub(super) fn tables_of(&self, modules: &[String]) -> Vec<String> {
        let tables = self.tables();
        let named = tables.iter().filter(|(path, _)| modules.iter().any(|module| last(path) == last(module)));
        named.map(|(_, id)| self.params.get(*id).name.clone()).collect()
    }

    /// Whether modules of these names are embedding or head.
    pub(super) fn check_tables(&self, modules: &[String]) -> Result<(), ModelError> {
        let tables = self.tables();
        for module in modules {
            if !tables.iter().any(|(path, _)| last(path) == last(module)) {
                let [(embedding, _), (head, _)] = &tables;
                return Err(ModelError::Options(format!(
                    "modules_to_save names \"{module}\"; only embedding and head can be trained whole beside an adapter: {}, {}",
                    last(embedding),
                    last(head)
                )));
            }
        }
        Ok(())
    }

    /// Whether all that belongs to the adapter can be trained on: packed tables cannot.
    ///
    /// # Errors
    /// Naming the module that is packed.
    pub fn check_adapter_trains(&self) -> Result<(), ModelError> {
        let modules =
            self.adapter.as_ref().map(|adapter| adapter.options.modules_to_save.as_slice()).unwrap_or_default();
        let tables = self.tables();
        let packed = |module: &&String| {
            let table = tables.iter().find(|(path, _)| last(path) == last(module));
            table.is_some_and(|(_, id)| self.params.get(*id).tensor.packing().is_some())
        };
        match modules.iter().find(packed) {
            None => Ok(()),
            Some(module) => Err(ModelError::Options(format!(
                "modules_to_save names \"{module}\", which is held as {} and cannot be trained",
                self.opening.store
            ))),
        }
    }

    /// The names of the modules that are trained whole: both where one table is embedding and head.
    pub(super) fn modules_to_save(&self) -> Vec<String> {
        let tables = self.tables();
        let trained = tables.iter().filter(|(_, id)| self.params.get(*id).trainable);
        trained.map(|(path, _)| last(path).to_owned()).collect()
    }

    /// What is saved beside the terms: tables that are trained or longer than the base model's, each under its own name.
    pub(super) fn tables_to_save(&self) -> Vec<(String, &Param)> {
        let grown = self.config.vocab_size > self.stored_vocabulary;
        let tables = self.tables().into_iter().map(|(path, id)| (format!("{path}.weight"), self.params.get(id)));
        tables.filter(|(_, param)| grown || param.trainable).collect()
    }

    /// Takes embedding and head from an adapter's files, where they are there.
    pub(super) fn load_tables(
        &mut self,
        tensors: &Tensors,
        path: &Path,
        used: &mut HashSet<String>,
    ) -> Result<(), ModelError> {
        let mut done: Vec<ParamId> = Vec::new();
        let tables = self.tables();
        let is_tied = tables[0].1 == tables[1].1;
        let stored = tables.map(|(module, id)| {
            let keys = ["", ".modules_to_save", ".modules_to_save.default"]
                .map(|part| format!("{PREFIX}{module}{part}.weight"));
            (keys.into_iter().find(|key| tensors.contains(key)), module, id)
        });
        let apart = "its embedding and head were trained apart, but this model has one for both";
        if is_tied && stored.iter().filter(|(key, ..)| key.is_some()).count() == 1 {
            return Err(ModelError::adapter(path, apart.to_owned()));
        }
        for (key, module, id) in stored {
            let Some(key) = key else {
                if self.adapter.as_ref().is_some_and(|adapter| adapter.trains(&module)) {
                    let why = format!("modules_to_save names {}, but no tensor of it is here", last(&module));
                    return Err(ModelError::adapter(path, why));
                }
                continue;
            };
            let cols = self.params.get(id).tensor.cols();
            let rows = match tensors.shape(&key) {
                Some(&[rows, found]) if found == cols && rows >= self.stored_vocabulary => rows,
                found => {
                    let why = format!(
                        "tensor \"{key}\" has shape {found:?}, this model asks for [{} or more, {cols}]",
                        self.stored_vocabulary
                    );
                    return Err(ModelError::adapter(path, format!("{why}; was it trained on another model?")));
                }
            };
            let numbers = tensors.read(&key, &[rows, cols])?;
            used.insert(key);
            if done.contains(&id) {
                if self.params.get(id).tensor.packing().is_none() && self.params.get(id).tensor.to_vec() != numbers {
                    return Err(ModelError::adapter(path, apart.to_owned()));
                }
                continue;
            }
            self.replace_table(id, rows, cols, numbers);
            done.push(id);
        }
        Ok(())
    }

    fn replace_table(&mut self, id: ParamId, rows: usize, cols: usize, numbers: Vec<f32>) {
        let numbers = match self.opening.packing(Role::Table) {
            Some(packing) => {
                let mut packed = Packed::with_capacity(packing, rows, cols);
                packed.push_rows(&numbers);
                Numbers::Packed(packed)
            }
            None => Numbers::Owned(numbers),
        };
        let table = tensor(&self.device, &[rows, cols], numbers);
        let before = std::mem::replace(&mut self.params.get_mut(id).tensor, table);
        self.set_vocabulary(id, rows);
        let adapter = self.adapter.as_mut().expect("tables come behind the terms");
        adapter.replaced.push((id, before));
    }

    /// Embedding and head as they were before.
    pub(super) fn put_tables_back(&mut self, replaced: Vec<(ParamId, Tensor)>) {
        for (id, table) in replaced {
            let rows = table.rows();
            self.params.get_mut(id).tensor = table;
            self.set_vocabulary(id, rows);
        }
    }

    fn set_vocabulary(&mut self, id: ParamId, rows: usize) {
        self.params.get_mut(id).shape[0] = rows;
        self.config.sizes.vocab_size = rows;
        self.config.json.insert("vocab_size".to_owned(), rows.into());
    }
}
