//! Decoding strategies of a recipe, checked against the model before anything is computed.
//!
//! A strategy says by itself how tokens are chosen: of the model's `generation_config.json` only the token ids count, not its
//! sampling defaults, or `greedy = {}` would draw tokens from a model whose makers recommend a temperature. What a strategy
//! does is thus readable from the recipe, and the same for the base and the tuned model.

use luthier_generate::{GenerationOptions, OptionsError};
use luthier_model::Model;
use luthier_text::{Example, Tokenizer};
use serde_json::{Map, Value};

use crate::EvaluateError;

/// The keys of a generation configuration that belong to the model rather than to a way of decoding.
pub(crate) const TOKEN_IDS: [&str; 3] = ["bos_token_id", "eos_token_id", "pad_token_id"];

/// A way of decoding under a name of the user's.
#[derive(Debug, Clone, PartialEq)]
pub struct Strategy {
    /// Part of file names.
    pub name: String,
    /// Every parameter that was given, the token ids of the model and a length limit; checked.
    pub options: GenerationOptions,
}

impl Strategy {
    /// The parameters for a report: those that say how tokens are chosen, without the model's token ids.
    #[must_use]
    pub fn shown(&self) -> Map<String, Value> {
        let mut table = self.options.as_table();
        table.retain(|key, _| !TOKEN_IDS.contains(&key.as_str()));
        table
    }
}

/// Checks a recipe's table of generation parameters (transformers' names) and completes it for a model.
///
/// A sequence ends at `eos_token_id` of the table; where the table has none, at those of `generation_config.json`, else of
/// `config.json`, else of the tokenizer, and at `extra_eos`: the tokens that end an answer in the training rows ([`turn_ends`]),
/// which are what a tuned model emits. `max_new_tokens` counts where the table limits no length.
///
/// # Errors
/// [`EvaluateError::Strategy`] with the strategy and the key: unknown, of a wrong type or out of range, in contradiction to
/// another, or without effect in this combination. [`EvaluateError::StrategyName`].
pub fn strategy(
    name: &str,
    table: &Map<String, Value>,
    model: &Model,
    tokenizer: &Tokenizer,
    max_new_tokens: usize,
    extra_eos: &[u32],
) -> Result<Strategy, EvaluateError> {
    if name.is_empty() || name.contains(['/', '\\']) || name.contains(char::is_control) {
        return Err(EvaluateError::StrategyName { strategy: name.to_owned() });
    }
    let wrong = |error: OptionsError| EvaluateError::Strategy {
        strategy: name.to_owned(),
        key: parameter(&error).map(str::to_owned),
        reason: error.to_string(),
    };
    let user = GenerationOptions::from_table(table).map_err(wrong)?;
    let ids = token_ids(model, tokenizer, extra_eos).map_err(wrong)?;
    let defaults = GenerationOptions { max_new_tokens: Some(max_new_tokens), ..GenerationOptions::default() };
    let options = GenerationOptions::merge(&user, &ids, &defaults);
    if let Some(warning) = options.warnings().into_iter().next() {
        return Err(EvaluateError::Strategy {
            strategy: name.to_owned(),
            key: Some(warning.parameter.to_owned()),
            reason: warning.to_string(),
        });
    }
    options.resolve().map_err(wrong)?;
    Ok(Strategy { name: name.to_owned(), options })
}

/// The tokens that end an answer in these rows: of each row that ends, the last labelled special token.
#[must_use]
pub fn turn_ends<'a>(tokenizer: &Tokenizer, rows: impl IntoIterator<Item = &'a Example>) -> Vec<u32> {
    let mut ends = Vec::new();
    for row in rows.into_iter().filter(|row| row.ended) {
        let labelled = row.tokens.iter().zip(&row.labelled).rev().filter(|(_, labelled)| **labelled);
        let end = labelled.map(|(token, _)| *token).find(|token| tokenizer.is_special(*token));
        if let Some(end) = end.filter(|end| !ends.contains(end)) {
            ends.push(end);
        }
    }
    ends
}

fn token_ids(model: &Model, tokenizer: &Tokenizer, extra_eos: &[u32]) -> Result<GenerationOptions, OptionsError> {
    let only_ids = |table: &Map<String, Value>| -> Map<String, Value> {
        let ids = TOKEN_IDS.iter().filter_map(|key| Some(((*key).to_owned(), table.get(*key)?.clone())));
        ids.filter(|(_, value)| !value.is_null()).collect()
    };
    let config = GenerationOptions::from_table(&only_ids(&model.config.json))?;
    let generation = model.generation_config.as_ref().map(only_ids).unwrap_or_default();
    let generation = GenerationOptions::from_table(&generation)?;
    let tokenizer = GenerationOptions {
        eos_token_id: tokenizer.eos().map(|token| vec![token.id]),
        pad_token_id: tokenizer.pad().map(|token| token.id),
        ..GenerationOptions::default()
    };
    let mut ids = GenerationOptions::merge(&generation, &config, &tokenizer);
    let eos = ids.eos_token_id.get_or_insert_default();
    eos.extend(extra_eos.iter().filter(|id| !eos.contains(id)).copied().collect::<Vec<_>>());
    Ok(ids)
}

/// The parameter that an error is about, where it is about one.
fn parameter(error: &OptionsError) -> Option<&str> {
    match error {
        OptionsError::UnknownParameter { name, .. } | OptionsError::WrongType { name, .. } => Some(name),
        OptionsError::NotSupportedYet { name, .. }
        | OptionsError::OutOfRange { name, .. }
        | OptionsError::TokenOutsideVocabulary { name, .. } => Some(name),
        OptionsError::MoreOutputsThanBeams { .. } | OptionsError::OneOutput { .. } => Some("num_return_sequences"),
        OptionsError::GroupsDoNotDivide { .. } => Some("num_beam_groups"),
        OptionsError::Contradiction { name, .. } => Some(name),
        OptionsError::VocabularyTooSmall { .. } => Some("num_beams"),
        OptionsError::MaxLengthReached { .. } => Some("max_length"),
        OptionsError::StopStringsWithoutDecoder => Some("stop_strings"),
        _ => None,
    }
}
