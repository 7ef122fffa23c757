//! Opening a model by what stands behind `--model` and `--adapter`.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use luthier_engine::Device;
use luthier_model::Model;
use luthier_text::{Template, TextError, Tokenizer};
use luthier_train::recipe::Store;

use crate::cmd::Failure;
use crate::pocket;

/// Which model.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Folder of a Hugging Face model, or `pocket` for the built-in one
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// Folder of a PEFT LoRA adapter to put on it
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,
    /// How the weights are held in memory: fewer bytes decode faster and are less exact
    #[arg(long, value_name = "STORE", default_value = "f32")]
    #[arg(value_parser = PossibleValuesParser::new(Store::NAMES).try_map(|name| Store::from_name(&name).ok_or(name)))]
    pub(crate) store: Store,
}

/// A model with its tokenizer, where there is one: rows of token ids need none.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) model: Model,
    tokenizer: Option<Tokenizer>,
    /// Where template and tokenizer come from: the adapter's folder where it carries them, else the model's.
    text_dir: PathBuf,
}

impl ModelArgs {
    /// Loads the model, its adapter and its tokenizer.
    pub(crate) fn open(&self) -> Result<Opened, Failure> {
        let dir = model_folder(&self.model)?;
        let mut model = Model::load_as(&dir, &Device::cpu(), self.store.into()).map_err(Failure::input)?;
        if let Some(adapter) = &self.adapter {
            model.load_adapter(adapter).map_err(Failure::input)?;
        }
        let carries = |dir: &&PathBuf| dir.join("tokenizer.json").is_file();
        let text_dir = self.adapter.as_ref().filter(carries).cloned().unwrap_or(dir);
        let tokenizer = match Tokenizer::from_dir(&text_dir) {
            Err(TextError::TokenizerMissing { .. }) => None,
            tokenizer => Some(tokenizer.map_err(Failure::input)?),
        };
        let (rows, tokens) = (model.config.vocab_size, tokenizer.as_ref().map_or(0, Tokenizer::vocab_size));
        if tokens > rows {
            return Err(Failure::input(format!(
                "{}: the tokenizer has {tokens} tokens, but the model's vocab_size is {rows}; \
                 take the tokenizer that belongs to the model",
                text_dir.display()
            )));
        }
        Ok(Opened { model, tokenizer, text_dir })
    }
}

impl Opened {
    /// The tokenizer, if there is one.
    pub(crate) fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// The tokenizer, for those who cannot do without.
    pub(crate) fn need_tokenizer(&self) -> Result<&Tokenizer, Failure> {
        self.tokenizer.as_ref().ok_or_else(|| {
            Failure::input(
                TextError::TokenizerMissing { dir: self.text_dir.clone() }.to_string()
                    + "; without one only rows of {\"tokens\": [...]} can be read",
            )
        })
    }

    /// The chat template that the model, or its adapter, was trained with.
    pub(crate) fn template(&self) -> Result<Template, Failure> {
        let chosen = Template::choose("model", &self.text_dir, self.need_tokenizer()?).map_err(Failure::input)?;
        if let Some(notice) = chosen.notice {
            eprintln!("note: {notice}");
        }
        Ok(chosen.template)
    }
}

/// The folder behind a `--model` value. A folder of the user's that is called pocket is `./pocket`.
pub(crate) fn model_folder(model: &Path) -> Result<PathBuf, Failure> {
    if model == Path::new(pocket::NAME) { pocket::folder() } else { Ok(model.to_owned()) }
}
