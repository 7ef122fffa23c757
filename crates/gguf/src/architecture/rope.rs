//! How positions are rotated: fields of `config.json` on one side, metadata and three small tensors on the other.

use std::f64::consts::TAU;

use serde_json::{Map, Value as Json, json};

use super::fields::{Config, Metadata, shortest};
use crate::dequantise::dequantise;
use crate::error::GgufError;
use crate::tensor_type::TensorType;
use crate::value::Value;

/// What `config.json` says of rotary positions.
#[derive(Clone, Debug)]
pub(super) struct Rope {
    pub(super) theta: Option<f64>,
    /// Of blocks with a sliding window.
    pub(super) local_theta: Option<f64>,
    /// Which part of a head is rotated.
    pub(super) partial: Option<f64>,
    pub(super) scaling: Scaling,
}

/// How the frequencies are stretched (transformers `modeling_rope_utils.py`).
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scaling {
    None,
    Linear {
        factor: f64,
    },
    Yarn {
        factor: f64,
        original: Option<f64>,
        others: Vec<(usize, f64)>,
    },
    /// Phi's: a factor for each frequency, in short texts and in long ones.
    LongRope {
        short: Vec<f64>,
        long: Vec<f64>,
    },
    Llama3(Llama3),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Llama3 {
    factor: f64,
    low: f64,
    high: f64,
    original: f64,
}

/// Further settings of YaRN: in the metadata, and in `config.json`.
const YARN: [(&str, &str); 4] = [
    ("rope.scaling.yarn_ext_factor", "extrapolation_factor"),
    ("rope.scaling.yarn_attn_factor", "attention_factor"),
    ("rope.scaling.yarn_beta_fast", "beta_fast"),
    ("rope.scaling.yarn_beta_slow", "beta_slow"),
];

impl Rope {
    /// Reads `rope_theta` and `rope_scaling`, or `rope_parameters` as newer transformers write them.
    pub(super) fn of_config(config: Config<'_>) -> Result<Self, GgufError> {
        let empty = Map::new();
        let parameters = config.object(&["rope_parameters", "rope_scaling"])?.unwrap_or(Config(&empty));
        let full = parameters.object(&["full_attention"])?.unwrap_or(parameters);
        let local = parameters.object(&["sliding_attention"])?.unwrap_or(Config(&empty));
        let either = |inside: Config<'_>, name: &str, names: &[&str]| match inside.optional_number(&[name])? {
            Some(number) => Ok::<_, GgufError>(Some(number)),
            None => config.optional_number(names),
        };
        Ok(Self {
            theta: either(full, "rope_theta", &["rope_theta", "rotary_emb_base"])?,
            local_theta: either(local, "rope_theta", &["rope_local_base_freq"])?,
            partial: either(full, "partial_rotary_factor", &["partial_rotary_factor", "rotary_pct"])?,
            scaling: Scaling::of_config(full)?,
        })
    }
}

impl Scaling {
    fn of_config(fields: Config<'_>) -> Result<Self, GgufError> {
        let list = |name: &str| {
            fields.numbers(name)?.ok_or_else(|| GgufError::Config(format!("field \"rope_scaling.{name}\" is missing")))
        };
        Ok(match fields.text(&["rope_type", "type"])? {
            None | Some("default") => Self::None,
            Some("linear") => Self::Linear { factor: fields.number(&["factor"])? },
            Some("yarn") => {
                let mut others = Vec::new();
                for (index, (_, name)) in YARN.iter().enumerate() {
                    others.extend(fields.optional_number(&[*name])?.map(|number| (index, number)));
                }
                for name in ["mscale", "mscale_all_dim"] {
                    fields.only(name, &[], "llama.cpp scales by the factor alone in this family")?;
                }
                fields.only("truncate", &[Json::Bool(true)], "llama.cpp rounds the ends of the ramp")?;
                let original = fields.optional_number(&["original_max_position_embeddings"])?;
                Self::Yarn { factor: fields.number(&["factor"])?, original, others }
            }
            Some("longrope" | "su") => Self::LongRope { short: list("short_factor")?, long: list("long_factor")? },
            Some("llama3") => Self::Llama3(Llama3 {
                factor: fields.number(&["factor"])?,
                low: fields.number(&["low_freq_factor"])?,
                high: fields.number(&["high_freq_factor"])?,
                original: fields.number(&["original_max_position_embeddings"])?,
            }),
            Some(other) => {
                let why = format!("rope_scaling of type \"{other}\" has no counterpart in llama.cpp's files");
                return Err(GgufError::Config(why));
            }
        })
    }

    /// As `rope_scaling`, if there is any.
    pub(super) fn to_config(&self) -> Option<Json> {
        Some(match self {
            Self::None => return None,
            Self::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
            Self::Yarn { factor, original, others } => {
                let mut fields = Map::new();
                fields.insert("rope_type".to_owned(), "yarn".into());
                fields.insert("factor".to_owned(), (*factor).into());
                if let Some(original) = original {
                    fields.insert("original_max_position_embeddings".to_owned(), whole(*original));
                }
                for (index, number) in others {
                    fields.insert(YARN[*index].1.to_owned(), (*number).into());
                }
                Json::Object(fields)
            }
            // By its older name: Phi's configuration once took no other.
            Self::LongRope { short, long } => json!({"type": "longrope", "short_factor": short, "long_factor": long}),
            Self::Llama3(Llama3 { factor, low, high, original }) => json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low,
                "high_freq_factor": high,
                "original_max_position_embeddings": whole(*original),
            }),
        })
    }

    /// Reads metadata and tensors; `rotated` numbers of a head are rotated.
    pub(super) fn of_gguf(metadata: Metadata<'_>, rotated: usize, theta: f64) -> Result<Self, GgufError> {
        let [long, short, single] = ["rope_factors_long.weight", "rope_factors_short.weight", "rope_freqs.weight"]
            .map(|name| factors(metadata, name, rotated));
        let numbers = |factors: Vec<f32>| factors.into_iter().map(shortest).collect();
        if let (Some(long), Some(short)) = (long?, short?) {
            return Ok(Self::LongRope { short: numbers(short), long: numbers(long) });
        }
        if let Some(factors) = single?.filter(|factors| factors.iter().any(|&factor| factor != 1.0)) {
            let wave_lengths = wave_lengths(theta, rotated);
            return Llama3::of_factors(&factors, &wave_lengths).map(Self::Llama3).ok_or_else(|| GgufError::Tensor {
                path: metadata.file.path().to_owned(),
                tensor: "rope_freqs.weight".to_owned(),
                why: "stretches positions in a way that config.json has no words for".to_owned(),
            });
        }
        let factor = match metadata.optional_number("rope.scaling.factor")? {
            // The older name.
            None => metadata.optional_number("rope.scale_linear")?,
            factor => factor,
        };
        let factor = factor.filter(|&factor| factor != 0.0);
        // As llama.cpp has it: without a type the factor is one of linear scaling.
        match (metadata.text("rope.scaling.type")?.as_deref(), factor) {
            (Some("none"), _) | (None | Some("linear"), None | Some(1.0)) => Ok(Self::None),
            (None | Some("linear"), Some(factor)) => Ok(Self::Linear { factor }),
            (Some("yarn"), Some(factor)) => {
                let mut others = Vec::new();
                for (index, (key, _)) in YARN.iter().enumerate() {
                    others.extend(metadata.optional_number(key)?.map(|number| (index, number)));
                }
                let original = metadata.optional_size("rope.scaling.original_context_length")?;
                Ok(Self::Yarn { factor, original: original.map(|size| size as f64), others })
            }
            (Some("yarn"), None) => Err(metadata.wrong("rope.scaling.factor", "is missing, which yarn needs")),
            (Some(other), _) => {
                Err(metadata.wrong("rope.scaling.type", format!("is \"{other}\", which config.json has no words for")))
            }
        }
    }

    /// The entries of metadata, without the architecture's name before the keys; `context` is the longest text.
    pub(super) fn entries(&self, context: u32) -> Vec<(&'static str, Value)> {
        match self {
            Self::Linear { factor } => {
                vec![("rope.scaling.type", "linear".into()), ("rope.scaling.factor", (*factor as f32).into())]
            }
            Self::Yarn { factor, original, others } => {
                let original = original.map_or(context, |original| original as u32);
                let mut entries = vec![
                    ("rope.scaling.type", "yarn".into()),
                    ("rope.scaling.factor", (*factor as f32).into()),
                    ("rope.scaling.original_context_length", original.into()),
                ];
                entries.extend(others.iter().map(|&(index, number)| (YARN[index].0, (number as f32).into())));
                entries
            }
            // In tensors alone.
            Self::None | Self::LongRope { .. } | Self::Llama3(_) => Vec::new(),
        }
    }

    /// The tensors that say it, by name.
    pub(super) fn tensors(&self, rotated: usize, theta: f64) -> Vec<(String, Vec<f32>)> {
        let numbers = |numbers: &[f64]| numbers.iter().map(|&number| number as f32).collect();
        match self {
            Self::LongRope { short, long } => vec![
                ("rope_factors_long.weight".to_owned(), numbers(long)),
                ("rope_factors_short.weight".to_owned(), numbers(short)),
            ],
            Self::Llama3(llama3) => {
                let factors =
                    wave_lengths(theta, rotated).iter().map(|&length| llama3.factor_of(length) as f32).collect();
                vec![("rope_freqs.weight".to_owned(), factors)]
            }
            Self::None | Self::Linear { .. } | Self::Yarn { .. } => Vec::new(),
        }
    }
}

/// A whole number as such, where it is one.
fn whole(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() < 1e15 { (number as i64).into() } else { number.into() }
}

/// Positions of one turn, by frequency.
fn wave_lengths(theta: f64, rotated: usize) -> Vec<f64> {
    (0..rotated / 2).map(|i| TAU * theta.powf(2.0 * i as f64 / rotated as f64)).collect()
}

/// The numbers of one of the small tensors: one for each frequency.
fn factors(metadata: Metadata<'_>, name: &str, rotated: usize) -> Result<Option<Vec<f32>>, GgufError> {
    let Some(tensor) = metadata.file.tensor(name) else { return Ok(None) };
    let mut numbers = Vec::new();
    if tensor.len() == rotated / 2 && tensor.kind() == TensorType::F32 {
        dequantise(tensor.kind(), metadata.file.data(tensor).as_slice(), &mut numbers)?;
    }
    if numbers.is_empty() || !numbers.iter().all(|number| number.is_finite() && *number > 0.0) {
        return Err(GgufError::Tensor {
            path: metadata.file.path().to_owned(),
            tensor: name.to_owned(),
            why: format!("must hold {} numbers above 0 of type F32, one for each frequency", rotated / 2),
        });
    }
    Ok(Some(numbers))
}

impl Llama3 {
    /// By what the frequency of that wave length is divided.
    fn factor_of(&self, length: f64) -> f64 {
        let turns = self.original / length;
        let smooth = ((turns - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        1.0 / ((1.0 - smooth) / self.factor + smooth)
    }

    /// The settings that these factors come from. A file does not tell them; all that Meta's models have are tried first,
    /// and others are solved for with `low_freq_factor` 1, as a common factor of it, the other and the length cancels out.
    fn of_factors(factors: &[f32], lengths: &[f64]) -> Option<Self> {
        let due = |settings: &Self| {
            factors.iter().zip(lengths).all(|(&factor, &length)| {
                (settings.factor_of(length) - f64::from(factor)).abs() <= 1e-4 * f64::from(factor)
            })
        };
        let largest = shortest(factors.iter().copied().fold(1.0, f32::max));
        for factor in [largest, 8.0, 32.0, 2.0, 4.0, 16.0, 64.0] {
            // 8192, then any other power of two.
            for original in std::iter::once(8192.0).chain((0..=24).map(|power| f64::from(1 << power))) {
                let settings = Self { factor, low: 1.0, high: 4.0, original };
                if due(&settings) {
                    return Some(settings);
                }
            }
        }
        let smooth = |factor: f32| (1.0 / f64::from(factor) - 1.0 / largest) / (1.0 - 1.0 / largest);
        let mut between =
            factors.iter().zip(lengths).filter(|(factor, _)| (1e-3..1.0 - 1e-3).contains(&smooth(**factor)));
        let [(one, one_length), (other, other_length)] = [between.next()?, between.next()?];
        let slope = (smooth(*one) - smooth(*other)) / (1.0 / one_length - 1.0 / other_length);
        let start = smooth(*one) - slope / one_length;
        let high = 1.0 - 1.0 / start;
        let original = slope * (high - 1.0);
        let settings = Self { factor: largest, low: 1.0, high: (high * 1e3).round() / 1e3, original: original.round() };
        (settings.high > 1.0 && settings.original > 0.0 && due(&settings)).then_some(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_llama_3_are_found_in_its_factors() {
        let settings = [
            (Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192.0 }, 500_000.0, 128),
            (Llama3 { factor: 32.0, low: 1.0, high: 4.0, original: 8192.0 }, 500_000.0, 64),
            (Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 32.0 }, 5_000.0, 12),
            (Llama3 { factor: 6.0, low: 1.0, high: 3.0, original: 700.0 }, 10_000.0, 128),
        ];
        for (settings, theta, rotated) in settings {
            let factors = Scaling::Llama3(settings).tensors(rotated, theta).remove(0).1;
            assert_eq!(Llama3::of_factors(&factors, &wave_lengths(theta, rotated)), Some(settings));
        }
        let odd = [1.0, 3.0, 2.0, 7.0];
        assert_eq!(Llama3::of_factors(&odd, &wave_lengths(10_000.0, 8)), None);
    }

    #[test]
    fn a_factor_is_what_transformers_divides_the_frequency_by() {
        let settings = Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192.0 };
        assert_eq!(settings.factor_of(2047.0), 1.0);
        assert_eq!(settings.factor_of(8193.0), 8.0);
        // Half way between 8192 / 4 and 8192 / 1 turns: (1 - 0.5) / 8 + 0.5 of the frequency.
        assert!((settings.factor_of(8192.0 / 2.5) - 1.0 / 0.5625).abs() < 1e-12);
    }
}
