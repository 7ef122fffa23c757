//! `--json-schema`, `--regex` and `--choices`: what every output must look like.

use std::path::PathBuf;

use luthier_constrain::{Form, Formed, Vocabulary};

use crate::cmd::Failure;
use crate::open::Opened;

/// One of three ways to say what an output must look like.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Form of the output (one of these)")]
pub(crate) struct FormFlags {
    /// JSON that the schema in this file describes, on one line as Python's json.dumps writes it
    #[arg(long, value_name = "FILE", group = "form")]
    json_schema: Option<PathBuf>,
    /// Text that this regular expression matches from beginning to end
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true, group = "form")]
    regex: Option<String>,
    /// One of these texts; several may follow the flag, and it may be repeated
    #[arg(long, value_name = "TEXT", num_args = 1.., group = "form")]
    choices: Vec<String>,
}

impl FormFlags {
    /// Reads what was asked; the model need not be there yet.
    pub(crate) fn read(&self) -> Result<Option<Form>, Failure> {
        if let Some(path) = &self.json_schema {
            let name = path.display();
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| Failure::input(format!("cannot read {name}: {error}")))?;
            let schema = serde_json::from_str(&text);
            let schema = schema.map_err(|error| Failure::input(format!("{name} is not JSON: {error}")))?;
            return Ok(Some(Form::JsonSchema(schema)));
        }
        let choices = (!self.choices.is_empty()).then(|| Form::Choices(self.choices.clone()));
        Ok(self.regex.clone().map(Form::Regex).or(choices))
    }
}

/// The form over a model's vocabulary.
pub(crate) fn over(form: &Form, opened: &Opened) -> Result<Formed, Failure> {
    let tokenizer = opened.need_tokenizer()?;
    let vocabulary = Vocabulary::of(tokenizer, opened.model.config.vocab_size).map_err(Failure::input)?;
    Formed::new(form, &vocabulary).map_err(Failure::input)
}
