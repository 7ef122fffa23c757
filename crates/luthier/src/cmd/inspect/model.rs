//! A model folder on a screen; the weights are counted, not read.

use std::path::Path;

use luthier_model::weights::Tensors;
use luthier_model::{Config, RopeScaling};
use luthier_text::{SpecialToken, Template, TextError, Tokenizer};
use serde_json::{Value, json};

use super::facts::Facts;
use crate::cmd::Failure;

/// Lines of the chat template that are shown.
const TEMPLATE_LINES: usize = 12;

pub(super) fn show(dir: &Path, json: bool) -> Result<(), Failure> {
    let config = Config::read(dir).map_err(Failure::input)?;
    let tensors = Tensors::of_model(dir).map_err(Failure::input)?;
    let mut facts = Facts::new("model");
    facts.add("folder", dir.display().to_string());
    add_shape(&mut facts, &config, &tensors);
    match Tokenizer::from_dir(dir) {
        Ok(tokenizer) => add_text(&mut facts, dir, &config, &tokenizer, json)?,
        Err(error @ TextError::TokenizerMissing { .. }) => facts.add("tokenizer", error.to_string()),
        Err(error) => return Err(Failure::input(error)),
    }
    facts.add("eos_token_id", config.eos_token_ids.clone());
    let generation = dir.join("generation_config.json");
    let generation = if generation.is_file() { Value::from(super::read_object(&generation)?) } else { Value::Null };
    facts.add("generation_config", generation);
    facts.print(json)
}

fn add_shape(facts: &mut Facts, config: &Config, tensors: &Tensors) {
    let count = |name: &str| tensors.shape(name).map_or(0, |shape| shape.iter().product::<usize>());
    let is_weight = |name: &&str| tensors.is_readable(name) && !name.ends_with("inv_freq");
    let parameters: usize = tensors.names().filter(is_weight).map(count).sum();
    facts.add("architecture", config.family.architecture());
    facts.add("parameters", parameters);
    facts.add("layers", config.num_hidden_layers);
    facts.add("hidden_size", config.hidden_size);
    facts.add("intermediate_size", config.intermediate_size);
    facts.add("attention_heads", config.num_attention_heads);
    facts.add("key_value_heads", config.num_key_value_heads);
    facts.add("head_dim", config.head_dim);
    facts.add("vocabulary", config.vocab_size);
    facts.add("context", config.max_position_embeddings);
    facts.add("rope", config.rope().map(ToString::to_string));
    facts.add("tied_head", config.tie_word_embeddings);
    facts.add("stored_as", tensors.stored_dtype().torch_name());
    facts.add("memory_in_f32_bytes", parameters * 4);
    let cache = 2 * config.num_hidden_layers * config.key_width() * 4;
    facts.add("key_value_cache", format!("{:.1} kB a token", cache as f64 / 1e3));
}

fn add_text(facts: &mut Facts, dir: &Path, config: &Config, tokenizer: &Tokenizer, json: bool) -> Result<(), Failure> {
    let (tokens, rows) = (tokenizer.vocab_size(), config.vocab_size);
    facts.add("tokenizer_tokens", tokens);
    if tokens > rows {
        facts.add("fault", format!("the tokenizer has {tokens} tokens, but the model's vocab_size is {rows}"));
    }
    facts.add("bos_before_every_text", tokenizer.leading_bos().is_some());
    let special = |token: Option<&SpecialToken>| token.map(|token| json!({"text": token.text, "id": token.id}));
    let named =
        [("bos", tokenizer.bos()), ("eos", tokenizer.eos()), ("pad", tokenizer.pad()), ("unk", tokenizer.unk())];
    facts.add("special_tokens", Value::from_iter(named.map(|(name, token)| (name, special(token)))));
    let template = Template::of_model(dir, tokenizer).map_err(Failure::input)?;
    let source =
        template.map(|template| if json { template.source().to_owned() } else { beginning(template.source()) });
    facts.add("chat_template", source);
    Ok(())
}

fn beginning(source: &str) -> String {
    let mut lines: Vec<&str> = source.lines().take(TEMPLATE_LINES).collect();
    let more = source.lines().count().saturating_sub(TEMPLATE_LINES);
    let rest = format!("... {more} more lines");
    if more > 0 {
        lines.push(&rest);
    }
    lines.join("\n")
}
