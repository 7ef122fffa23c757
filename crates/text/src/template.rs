//! Templates: how a conversation is written as one text.
//!
//! Every template is a Jinja source over `messages`, the model's own as well as the built-in Alpaca one, rendered in minijinja's
//! sandbox with the settings of transformers' `apply_chat_template`. So one renderer serves all, and whatever a model was trained
//! with can travel in its export.

mod chat;
mod environment;
mod python;

use std::fs;
use std::path::Path;

use minijinja::Value;

use crate::error::TextError;
use crate::rows::Message;
use crate::tokenizer::{Tokenizer, read_object};
pub use chat::Chat;

/// The wording of Stanford Alpaca's training script: no line break after `### Response:`, the answer is closed by the
/// end-of-sequence token. A system message takes the place of the opening sentence; later turns repeat the headings.
const ALPACA: &str = r"{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{ message.content + '\n\n' }}
{%- elif message.role == 'user' -%}
{%- if not loop.first -%}
{{ '' if loop.previtem.role == 'system' else '\n\n' }}
{%- elif message.input -%}
{{ 'Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n' }}
{%- else -%}
{{ 'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n' }}
{%- endif -%}
{{ '### Instruction:\n' + (message.instruction if message.instruction is defined else message.content) + '\n\n' }}
{%- if message.input -%}
{{ '### Input:\n' + message.input + '\n\n' }}
{%- endif -%}
{{ '### Response:' }}
{%- else -%}
{{ message.content + eos_token }}
{%- endif -%}
{%- endfor -%}";

/// A template ready to render.
#[derive(Debug)]
pub struct Template {
    environment: minijinja::Environment<'static>,
    name: String,
    source: String,
    special: Vec<(&'static str, String)>,
}

/// A template and, where the choice needs telling, a sentence about it.
#[derive(Debug)]
pub struct ChosenTemplate {
    /// The template.
    pub template: Template,
    /// What the reader of the run should know about the choice.
    pub notice: Option<String>,
}

impl Template {
    /// The template that a recipe's setting names: `"model"` (the model folder's own; Alpaca with a notice where the folder has
    /// none), `"alpaca"`, or the path of a Jinja file.
    ///
    /// # Errors
    /// When the file cannot be read or parsed, or Alpaca is chosen and the tokenizer has no end-of-sequence token.
    pub fn choose(
        setting: &str,
        model_dir: impl AsRef<Path>,
        tokenizer: &Tokenizer,
    ) -> Result<ChosenTemplate, TextError> {
        let model_dir = model_dir.as_ref();
        let template = match setting {
            "alpaca" => Self::alpaca(tokenizer)?,
            "model" => match Self::of_model(model_dir, tokenizer)? {
                Some(template) => template,
                None => {
                    let notice = format!(
                        "{} has no chat template (a base model); conversations are written with the Alpaca template",
                        model_dir.display()
                    );
                    return Ok(ChosenTemplate { template: Self::alpaca(tokenizer)?, notice: Some(notice) });
                }
            },
            path => Self::from_file(path, tokenizer)?,
        };
        Ok(ChosenTemplate { template, notice: None })
    }

    /// The template of a model folder: `chat_template.jinja`, else `chat_template` of tokenizer_config.json (a text, or a list of
    /// named ones of which `default` is taken), else chat_template.json. Of a model that is one file (GGUF), the template that came
    /// with its tokenizer. `None` where there is none.
    ///
    /// # Errors
    /// When a file is broken or the template does not parse.
    pub fn of_model(dir: impl AsRef<Path>, tokenizer: &Tokenizer) -> Result<Option<Self>, TextError> {
        let dir = dir.as_ref();
        if dir.is_file() {
            let Some(value) = tokenizer.config().get("chat_template") else { return Ok(None) };
            return Self::from_setting(&dir.display().to_string(), value, tokenizer);
        }
        let path = dir.join("chat_template.jinja");
        if path.is_file() {
            return Self::from_file(path, tokenizer).map(Some);
        }
        for file in ["tokenizer_config.json", "chat_template.json"] {
            let path = dir.join(file);
            let Some(config) = read_object(&path)? else { continue };
            let Some(value) = config.get("chat_template") else { continue };
            if let Some(template) = Self::from_setting(&path.display().to_string(), value, tokenizer)? {
                return Ok(Some(template));
            }
        }
        Ok(None)
    }

    /// The value of a `chat_template`: a text, or a list of named ones of which `default` is taken.
    fn from_setting(name: &str, value: &serde_json::Value, tokenizer: &Tokenizer) -> Result<Option<Self>, TextError> {
        if let Some(source) = value.as_str() {
            return Self::from_source(name, source, tokenizer).map(Some);
        }
        let Some(list) = value.as_array() else { return Ok(None) };
        let text = |entry: &serde_json::Value, key: &str| entry.get(key).and_then(|v| v.as_str()).map(str::to_string);
        let named: Vec<_> = list.iter().filter_map(|e| Some((text(e, "name")?, text(e, "template")?))).collect();
        match named.iter().find(|(name, _)| name == "default") {
            Some((_, source)) => Self::from_source(name, source, tokenizer).map(Some),
            None => Err(TextError::TemplateNames {
                name: name.to_owned(),
                names: named.into_iter().map(|(name, _)| name).collect(),
            }),
        }
    }

    /// The built-in Alpaca template.
    ///
    /// # Errors
    /// When the tokenizer names no end-of-sequence token: the answers would have no end.
    pub fn alpaca(tokenizer: &Tokenizer) -> Result<Self, TextError> {
        if tokenizer.eos().is_none() {
            return Err(TextError::NoEos { wanted_by: "the Alpaca template".into() });
        }
        Self::from_source("alpaca", ALPACA, tokenizer)
    }

    /// A template from a Jinja file.
    ///
    /// # Errors
    /// When it cannot be read or parsed.
    pub fn from_file(path: impl AsRef<Path>, tokenizer: &Tokenizer) -> Result<Self, TextError> {
        let path = path.as_ref();
        let source = fs::read_to_string(path).map_err(TextError::read(path))?;
        Self::from_source(&path.display().to_string(), &source, tokenizer)
    }

    /// A template from Jinja source; `name` stands in its error messages.
    ///
    /// # Errors
    /// When it does not parse.
    pub fn from_source(name: &str, source: &str, tokenizer: &Tokenizer) -> Result<Self, TextError> {
        let environment = environment::for_template(source, None)
            .map_err(|e| TextError::TemplateSyntax { name: name.to_string(), cause: environment::explain(&e) })?;
        let named = [
            ("bos_token", tokenizer.bos()),
            ("eos_token", tokenizer.eos()),
            ("pad_token", tokenizer.pad()),
            ("unk_token", tokenizer.unk()),
        ];
        let special = named.into_iter().filter_map(|(key, token)| Some((key, token?.text.clone()))).collect();
        Ok(Template { environment, name: name.to_string(), source: source.to_string(), special })
    }

    /// Writes a conversation; with `add_generation_prompt`, up to where the next answer begins.
    ///
    /// # Errors
    /// The template's own refusal (`raise_exception`), a mistake in it, or a loop that does not end.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, TextError> {
        self.render_in(&self.environment, plain(messages, add_generation_prompt))
    }

    /// Renders with these variables over the special tokens.
    fn render_in<'v>(
        &'v self,
        environment: &minijinja::Environment<'_>,
        variables: impl IntoIterator<Item = (&'v str, Value)>,
    ) -> Result<String, TextError> {
        let special = self.special.iter().map(|(key, text)| (*key, Value::from(text)));
        let template = environment.get_template(environment::NAME).expect("the template was added when it was parsed");
        template
            .render(Value::from_pairs(special.chain(variables)))
            .map_err(|e| TextError::TemplateRender { name: self.name.clone(), cause: environment::explain(&e) })
    }

    /// The Jinja source, as it travels with an export.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The template's file, or `alpaca`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the text depends on the day it is written: such a template makes a run differ from one made tomorrow.
    #[must_use]
    pub fn uses_clock(&self) -> bool {
        self.source.contains("strftime_now")
    }
}

/// The variables of a conversation of plain messages.
fn plain(messages: &[Message], add_generation_prompt: bool) -> [(&'static str, Value); 4] {
    [
        ("messages", messages.iter().map(message_value).collect()),
        ("add_generation_prompt", add_generation_prompt.into()),
        ("tools", Value::from(())),
        ("documents", Value::from(())),
    ]
}

fn message_value(message: &Message) -> Value {
    let mut fields = vec![("role", Value::from(message.role.name())), ("content", Value::from(&message.content))];
    if let Some((instruction, input)) = &message.instruction_and_input {
        fields.push(("instruction", Value::from(instruction)));
        fields.push(("input", Value::from(input)));
    }
    Value::from_pairs(fields)
}
