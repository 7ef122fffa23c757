//! What a user typed: every generation parameter of transformers under its own name, all optional.
//!
//! [`GenerationOptions`] is the parsed form, read from `generation_config.json`, a recipe table or flags, and merged in
//! that order of strength. [`crate::Resolved`] is what decoding uses, with every default filled in and every value checked.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::OptionsError;
use crate::unlisted::{NOT_BUILT, WITHOUT_MEANING, is_not_built};

/// When beam search may stop before the length limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EarlyStopping {
    /// `true`: as soon as `num_beams` hypotheses are finished.
    Yes,
    /// `false`: when the best candidate of this step, at its present length, is no better than the worst hypothesis.
    #[default]
    No,
    /// `"never"`: only when no continuation up to the length limit could be better.
    Never,
}

/// Which length the beam score is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BeamLength {
    /// The new tokens, the end-of-sequence token among them (transformers 4.36 to 4.49).
    #[default]
    New,
    /// The whole sequence, prompt included and the end-of-sequence token left out (transformers 4.35 and before).
    Total,
}

/// Generation parameters as given; `None` means not given. Names and meaning are those of transformers 4.46.3.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerationOptions {
    /// Longest sequence in tokens, the prompt included; 20 when nothing limits the length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Most new tokens; wins over `max_length`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_new_tokens: Option<usize>,
    /// No prompt is worked on for more than about this many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_time: Option<f64>,
    /// No end-of-sequence token before this many tokens, the prompt included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<usize>,
    /// No end-of-sequence token before this many new tokens; wins over `min_length`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_new_tokens: Option<usize>,
    /// Beams of the beam search; 1 (the default) is greedy or sampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_beams: Option<usize>,
    /// Draw tokens instead of taking the best; the parameters from `temperature` to `eta_cutoff` act only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub do_sample: Option<bool>,
    /// Divides the scores; above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Keep the k best tokens; 0 keeps all; 50 when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// Keep the fewest best tokens whose probabilities add up to this; in (0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Drop tokens less probable than this times the best; in [0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f64>,
    /// Keep the tokens whose surprise is nearest to the entropy, up to this mass; in (0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typical_p: Option<f64>,
    /// Drop tokens less probable than this; 0 is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon_cutoff: Option<f64>,
    /// Drop tokens less probable than `min(eta, sqrt(eta) exp(-entropy))`; 0 is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_cutoff: Option<f64>,
    /// Makes tokens that already occurred (in the prompt too) less likely; 1 is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repetition_penalty: Option<f64>,
    /// Makes the tokens of the prompt more likely above 1, less likely below; 1 is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder_repetition_penalty: Option<f64>,
    /// No n-gram of this size occurs twice; 0 is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_repeat_ngram_size: Option<usize>,
    /// No n-gram of this size of the prompt occurs again; 0 is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder_no_repeat_ngram_size: Option<usize>,
    /// Token sequences with what is added to the score of the token that completes each: `[[[10, 45], -2.0], [[64], 7.5]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence_bias: Option<Vec<(Vec<u32>, f64)>>,
    /// `[start, factor]`: from `start` new tokens on, an end of sequence becomes more likely by a power of `factor` each token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exponential_decay_length_penalty: Option<(usize, f64)>,
    /// Classifier-free guidance: how far scores move away from those of a text without the prompt; 1 is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance_scale: Option<f64>,
    /// Token sequences that must not occur.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_words_ids: Option<Vec<Vec<u32>>>,
    /// Tokens that are never chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppress_tokens: Option<Vec<u32>>,
    /// Tokens that are not chosen as the first new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begin_suppress_tokens: Option<Vec<u32>>,
    /// The token that follows a prompt of a single token.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "token_id")]
    pub forced_bos_token_id: Option<u32>,
    /// The token (or tokens to choose from) at the very last place of `max_length`.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "token_ids", serialize_with = "one_or_many")]
    pub forced_eos_token_id: Option<Vec<u32>>,
    /// Exponent of the length a beam's score is divided by; above 0 favours longer texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_penalty: Option<f64>,
    /// When beam search may stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Which length `length_penalty` acts on (not a parameter of transformers; its versions differ here).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beam_length: Option<BeamLength>,
    /// Groups that the beams are divided into, each searching for itself; 1 (the default) is plain beam search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_beam_groups: Option<usize>,
    /// Taken from the score of a token for every beam of the groups before that chose it in the same step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diversity_penalty: Option<f64>,
    /// Above 0 with `top_k` above 1: contrastive search, and the weight of being unlike the tokens before; in [0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub penalty_alpha: Option<f64>,
    /// Prompt lookup: most tokens guessed from an earlier occurrence of the last ones; changes speed only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_lookup_num_tokens: Option<usize>,
    /// Longest n-gram that prompt lookup looks for; 2 when not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_matching_ngram_size: Option<usize>,
    /// Outputs per prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_return_sequences: Option<usize>,
    /// Tokens that end a sequence; an empty list means none, so that only the length limits it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "token_ids", serialize_with = "one_or_many")]
    pub eos_token_id: Option<Vec<u32>>,
    /// Fills up the shorter rows where a rectangle of tokens is asked for.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "token_id")]
    pub pad_token_id: Option<u32>,
    /// Stands in for an empty prompt.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "token_id")]
    pub bos_token_id: Option<u32>,
    /// Log-softmax over the scores after all processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renormalize_logits: Option<bool>,
    /// Seed of the draws.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Texts that end a sequence; they stay in the text.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "strings")]
    pub stop_strings: Option<Vec<String>>,
    /// Parameters of transformers that were given and whose values change nothing here ([`GenerationOptions::from_table`] notes them).
    #[serde(skip)]
    pub without_meaning: Vec<&'static str>,
}

/// Hands the names of all fields to a macro, so that no list of them can be forgotten when one is added.
macro_rules! with_every_parameter {
    ($macro:ident) => {
        $macro!(
            max_length,
            max_new_tokens,
            max_time,
            min_length,
            min_new_tokens,
            num_beams,
            do_sample,
            temperature,
            top_k,
            top_p,
            min_p,
            typical_p,
            epsilon_cutoff,
            eta_cutoff,
            repetition_penalty,
            encoder_repetition_penalty,
            no_repeat_ngram_size,
            encoder_no_repeat_ngram_size,
            sequence_bias,
            exponential_decay_length_penalty,
            guidance_scale,
            bad_words_ids,
            suppress_tokens,
            begin_suppress_tokens,
            forced_bos_token_id,
            forced_eos_token_id,
            length_penalty,
            early_stopping,
            beam_length,
            num_beam_groups,
            diversity_penalty,
            penalty_alpha,
            prompt_lookup_num_tokens,
            max_matching_ngram_size,
            num_return_sequences,
            eos_token_id,
            pad_token_id,
            bos_token_id,
            renormalize_logits,
            seed,
            stop_strings
        )
    };
}

macro_rules! names {
    ($($name:ident),*) => { [$(stringify!($name)),*] };
}

/// Every parameter name that [`GenerationOptions`] reads.
pub const PARAMETERS: [&str; 41] = with_every_parameter!(names);

impl GenerationOptions {
    /// Reads the text of a `generation_config.json`: parameters that are not about decoding are ignored.
    ///
    /// # Errors
    /// Text that is not a JSON object, a value of a wrong type, a decoding method that is not supported yet.
    pub fn from_generation_config(json: &str) -> Result<Self, OptionsError> {
        let value: Value = serde_json::from_str(json).map_err(|e| OptionsError::NotJson { reason: e.to_string() })?;
        let Value::Object(mut table) = value else {
            return Err(OptionsError::NotJson { reason: "it is not an object".into() });
        };
        table.retain(|key, value| (PARAMETERS.contains(&key.as_str()) || is_not_built(key)) && !value.is_null());
        read(&table)
    }

    /// Reads a table a person wrote (a recipe's strategy, a request): an unknown key is an error that names the nearest one.
    ///
    /// # Errors
    /// An unknown key, a value of a wrong type, a decoding method that is not supported yet.
    pub fn from_table(table: &Map<String, Value>) -> Result<Self, OptionsError> {
        let idle = |key: &str| WITHOUT_MEANING.iter().find(|(name, ..)| *name == key);
        let (mut without_meaning, mut known) = (Vec::new(), Map::new());
        for (key, value) in table {
            if let Some(&(name, default, _)) = idle(key) {
                let default: Value = serde_json::from_str(default).expect("defaults are written as JSON");
                without_meaning.extend((!value.is_null() && *value != default).then_some(name));
                continue;
            }
            if !PARAMETERS.contains(&key.as_str()) && !is_not_built(key) {
                let nearest = PARAMETERS.iter().min_by_key(|name| strsim::damerau_levenshtein(name, key));
                return Err(OptionsError::UnknownParameter {
                    name: key.clone(),
                    nearest: nearest.copied().unwrap_or_default(),
                });
            }
            known.insert(key.clone(), value.clone());
        }
        Ok(Self { without_meaning, ..read(&known)? })
    }

    /// What was given, field by field: `user` over `generation_config` over `defaults`.
    ///
    /// The length limits of `defaults` count only when neither of the other two gives one, so that a program's own
    /// default of `max_new_tokens` does not override a user's `max_length`. Between `user` and `generation_config` the rule is
    /// that of transformers: `max_new_tokens` wins wherever it stands (see [`Self::warnings`]).
    #[must_use]
    pub fn merge(user: &Self, generation_config: &Self, defaults: &Self) -> Self {
        let mut defaults = defaults.clone();
        if [user, generation_config].iter().any(|o| o.max_length.is_some() || o.max_new_tokens.is_some()) {
            (defaults.max_length, defaults.max_new_tokens) = (None, None);
        }
        macro_rules! overlay {
            ($($name:ident),*) => {
                Self {
                    $($name: [user, generation_config, &defaults].into_iter().find_map(|o| o.$name.clone()),)*
                    without_meaning: user.without_meaning.clone(),
                }
            };
        }
        with_every_parameter!(overlay)
    }

    /// The given parameters as a table, for a run's records.
    #[must_use]
    pub fn as_table(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(table)) => table,
            _ => unreachable!("a struct of plain values is an object"),
        }
    }
}

/// Reads one key at a time, so that an error names the parameter.
fn read(table: &Map<String, Value>) -> Result<GenerationOptions, OptionsError> {
    for (key, value) in table {
        if let Some(&name) = NOT_BUILT.iter().find(|name| *name == key) {
            if value.is_null() || *value == Value::Bool(false) {
                continue;
            }
            return Err(OptionsError::NotSupportedYet { name, value: value.to_string() });
        }
        let single = Value::Object(Map::from_iter([(key.clone(), value.clone())]));
        serde_json::from_value::<GenerationOptions>(single).map_err(|e| OptionsError::WrongType {
            name: key.clone(),
            value: value.to_string(),
            reason: e.to_string(),
        })?;
    }
    let known = table.iter().filter(|(key, _)| !is_not_built(key)).map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(serde_json::from_value(Value::Object(known)).expect("every key was read once already"))
}

impl Serialize for EarlyStopping {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Yes => serializer.serialize_bool(true),
            Self::No => serializer.serialize_bool(false),
            Self::Never => serializer.serialize_str("never"),
        }
    }
}

impl<'de> Deserialize<'de> for EarlyStopping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Bool(bool),
            Text(String),
        }
        match Given::deserialize(deserializer) {
            Ok(Given::Bool(true)) => Ok(Self::Yes),
            Ok(Given::Bool(false)) => Ok(Self::No),
            Ok(Given::Text(text)) => text.parse().map_err(D::Error::custom),
            Err(_) => Err(D::Error::custom("it is true, false or \"never\"")),
        }
    }
}

impl std::str::FromStr for EarlyStopping {
    type Err = OptionsError;

    fn from_str(text: &str) -> Result<Self, OptionsError> {
        match text {
            "true" => Ok(Self::Yes),
            "false" => Ok(Self::No),
            "never" => Ok(Self::Never),
            _ => Err(OptionsError::WrongType {
                name: "early_stopping".into(),
                value: text.into(),
                reason: "it is true, false or never".into(),
            }),
        }
    }
}

impl std::str::FromStr for BeamLength {
    type Err = OptionsError;

    fn from_str(text: &str) -> Result<Self, OptionsError> {
        match text {
            "new" => Ok(Self::New),
            "total" => Ok(Self::Total),
            _ => Err(OptionsError::WrongType {
                name: "beam_length".into(),
                value: text.into(),
                reason: "it is new or total".into(),
            }),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value],
            Self::Many(values) => values,
        }
    }
}

fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    expected: &str,
) -> Result<Option<Vec<T>>, D::Error> {
    let value = Option::<OneOrMany<T>>::deserialize(deserializer).map_err(|_| D::Error::custom(expected))?;
    Ok(value.map(OneOrMany::into_vec))
}

/// One id or several; negative ones (old Llama configurations write -1 for "none") are left out.
fn token_ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u32>>, D::Error> {
    let ids = given::<i64, D>(deserializer, "it is a token id or a list of token ids")?;
    Ok(ids.map(|ids| ids.into_iter().filter_map(|id| u32::try_from(id).ok()).collect()))
}

fn token_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let id = Option::<i64>::deserialize(deserializer)?;
    Ok(id.and_then(|id| u32::try_from(id).ok()))
}

fn strings<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    given(deserializer, "it is a text or a list of texts")
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn one_or_many<S: Serializer>(ids: &Option<Vec<u32>>, serializer: S) -> Result<S::Ok, S::Error> {
    match ids.as_deref() {
        Some([id]) => serializer.serialize_u32(*id),
        ids => ids.serialize(serializer),
    }
}
