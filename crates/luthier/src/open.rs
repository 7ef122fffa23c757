//! Opening a model by what stands behind `--model` and `--adapter`.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use luthier_engine::Device;
use luthier_hub::{Found, Hub, Want};
use luthier_model::{Config, Model};
use luthier_text::{Template, TextError, Tokenizer};
use luthier_train::recipe::Store;

use crate::cmd::Failure;
use crate::hub::{self, HubArgs};
use crate::pocket;

/// Which model.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Folder of a Hugging Face model, its name on the Hub (ORG/NAME or ORG/NAME@REVISION), or `pocket` for the built-in one
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: PathBuf,
    /// Folder of a PEFT LoRA adapter to put on it, or its name on the Hub
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) adapter: Option<PathBuf>,
    /// How the weights are held in memory: fewer bytes decode faster and are less exact
    #[arg(long, value_name = "STORE", default_value = "f32")]
    #[arg(value_parser = PossibleValuesParser::new(Store::NAMES).try_map(|name| Store::from_name(&name).ok_or(name)))]
    pub(crate) store: Store,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
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
        let hub = self.hub.hub();
        let dir = find(&self.model, &hub, Want::Model)?.dir;
        let adapter = self.adapter.as_ref().map(|adapter| find(adapter, &hub, Want::Adapter)).transpose()?;
        Config::read(&dir).map_err(Failure::input)?;
        let carries = |dir: &&PathBuf| dir.join("tokenizer.json").is_file();
        let text_dir = adapter.as_ref().map(|adapter| &adapter.dir).filter(carries).unwrap_or(&dir).clone();
        // What its files take while they are read is given back before the model is there.
        let tokenizer = match Tokenizer::from_model(&text_dir) {
            Err(TextError::TokenizerMissing { .. }) => None,
            tokenizer => Some(tokenizer.map_err(Failure::input)?),
        };
        let mut model = Model::load_as(&dir, &Device::cpu(), self.store.into()).map_err(Failure::input)?;
        if let Some(adapter) = &adapter {
            model.load_adapter(&adapter.dir).map_err(Failure::input)?;
        }
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

    /// The source of the model's chat template, if it has one.
    pub(crate) fn own_template(&self) -> Result<Option<String>, Failure> {
        let Some(tokenizer) = &self.tokenizer else { return Ok(None) };
        let template = Template::of_model(&self.text_dir, tokenizer).map_err(Failure::input)?;
        Ok(template.map(|template| template.source().to_owned()))
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

/// The folder behind what was given for a model. A folder of the user's that is called pocket is `./pocket`.
pub(crate) fn find(given: &Path, hub: &Hub, want: Want) -> Result<Found, Failure> {
    if given == Path::new(pocket::NAME) {
        return Ok(Found { dir: pocket::folder()?, origin: None, notice: None });
    }
    let found = hub.find(&given.to_string_lossy(), given, want).map_err(hub::failure)?;
    if let Some(notice) = &found.notice {
        eprintln!("warning: {notice}");
    }
    Ok(found)
}
