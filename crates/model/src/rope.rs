//! Rotary frequencies and their scalings (transformers `modeling_rope_utils.py`), formed in f32 where transformers forms them so.

use std::f64::consts::TAU;
use std::fmt;

/// The rotary positions of a decoder, or of some of its layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How many entries of a head are turned: all, or its first ones.
    pub rotary_dim: usize,
    /// How the frequencies are stretched.
    pub scaling: RopeScaling,
}

/// Stretching of rotary frequencies.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Frequencies as they are.
    None,
    /// All frequencies divided by the factor.
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// A larger base for texts longer than the model knows (NTK): it depends on the text's length.
    Dynamic {
        /// At least 1.
        factor: f64,
        /// Positions up to which nothing changes.
        max_position_embeddings: f64,
    },
    /// Low frequencies divided by the factor, high ones kept, those between blended.
    Llama3 {
        /// At least 1.
        factor: f64,
        /// Wavelengths above original / this are divided by the factor.
        low_freq_factor: f64,
        /// Wavelengths below original / this are kept.
        high_freq_factor: f64,
        /// Positions of the original training.
        original_max_position_embeddings: f64,
    },
    /// As `Llama3` with a ramp over dimensions, cosines and sines scaled (YaRN, arXiv 2309.00071).
    Yarn {
        /// At least 1.
        factor: f64,
        /// Of cosines and sines.
        attention_factor: f64,
        /// Turns within the original positions above which a dimension is kept.
        beta_fast: f64,
        /// Turns below which a dimension is divided by the factor.
        beta_slow: f64,
        /// Whether the ends of the ramp are rounded to whole dimensions.
        truncate: bool,
        /// Positions of the original training.
        original_max_position_embeddings: f64,
    },
    /// A factor for each dimension, one list for texts within the original positions and one for longer ones (LongRoPE,
    /// arXiv 2402.13753).
    LongRope {
        /// For texts within the original positions.
        short_factor: Vec<f64>,
        /// For longer ones.
        long_factor: Vec<f64>,
        /// Of cosines and sines.
        attention_factor: f64,
        /// Positions of the original training.
        original_max_position_embeddings: usize,
    },
}

impl Rope {
    /// The frequencies of a text of `length` tokens, half of [`Rope::rotary_dim`] of them, in radians a position, and the factor of
    /// cosines and sines.
    pub fn frequencies(&self, length: usize) -> (Vec<f32>, f32) {
        let d = self.rotary_dim as f32;
        let powers = |theta: f32| (0..self.rotary_dim / 2).map(move |i| theta.powf((2 * i) as f32 / d));
        let plain = || powers(self.theta as f32).map(|power| 1.0 / power);
        match &self.scaling {
            RopeScaling::None => (plain().collect(), 1.0),
            RopeScaling::Linear { factor } => (plain().map(|f| f / *factor as f32).collect(), 1.0),
            RopeScaling::Dynamic { factor, max_position_embeddings: known } => {
                let stretch = factor * (length as f64).max(*known) / known - (factor - 1.0);
                let d = self.rotary_dim as f64;
                let theta = self.theta * stretch.powf(d / (d - 2.0));
                (powers(theta as f32).map(|power| 1.0 / power).collect(), 1.0)
            }
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                let (low, high, original) = (*low_freq_factor, *high_freq_factor, *original_max_position_embeddings);
                (plain().map(|frequency| llama3(frequency, *factor, low, high, original)).collect(), 1.0)
            }
            RopeScaling::Yarn { factor, attention_factor, .. } => {
                let blend = plain().enumerate().map(|(i, kept)| {
                    let ramp = self.ramp(i);
                    let divided = 1.0 / (*factor as f32 * (1.0 / kept));
                    divided * ramp + kept * (1.0 - ramp)
                });
                (blend.collect(), *attention_factor as f32)
            }
            RopeScaling::LongRope { short_factor, long_factor, attention_factor, original_max_position_embeddings } => {
                let factors = if length > *original_max_position_embeddings { long_factor } else { short_factor };
                let frequencies = powers(self.theta as f32).zip(factors).map(|(power, &by)| 1.0 / (by as f32 * power));
                (frequencies.collect(), *attention_factor as f32)
            }
        }
    }

    /// The length beyond which the frequencies are others than those of short texts; none where all texts have the same.
    pub fn turns_at(&self) -> Option<usize> {
        match &self.scaling {
            RopeScaling::Dynamic { max_position_embeddings, .. } => Some(*max_position_embeddings as usize),
            RopeScaling::LongRope { original_max_position_embeddings, .. } => Some(*original_max_position_embeddings),
            _ => None,
        }
    }

    /// How many positions the scaling is meant for, where it says so and `max_position_embeddings` need not.
    pub(crate) fn stretched_positions(&self) -> Option<usize> {
        let (factor, positions) = match &self.scaling {
            RopeScaling::Dynamic { factor, max_position_embeddings } => (factor, max_position_embeddings),
            RopeScaling::Yarn { factor, original_max_position_embeddings, .. } => {
                (factor, original_max_position_embeddings)
            }
            _ => return None,
        };
        Some((factor * positions) as usize)
    }

    /// Whether transformers computes a growing text anew when it passes [`Rope::turns_at`], rather than going on with keys that
    /// were turned before.
    pub(crate) fn starts_over(&self) -> bool {
        matches!(self.scaling, RopeScaling::LongRope { .. })
    }

    /// YaRN's ramp: 0 for dimensions that are kept, 1 for those that are divided.
    fn ramp(&self, i: usize) -> f32 {
        let RopeScaling::Yarn { beta_fast, beta_slow, truncate, original_max_position_embeddings, .. } = &self.scaling
        else {
            return 0.0;
        };
        let d = self.rotary_dim as f64;
        let dimension =
            |turns: f64| d * (original_max_position_embeddings / (turns * TAU)).ln() / (2.0 * self.theta.ln());
        let (mut low, mut high) = (dimension(*beta_fast), dimension(*beta_slow));
        if *truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(d - 1.0));
        if low == high {
            high += 0.001;
        }
        ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0)
    }
}

impl fmt::Display for Rope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "theta {}", self.theta)?;
        match &self.scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear { factor } => write!(f, ", linear scaling by {factor}"),
            RopeScaling::Dynamic { factor, max_position_embeddings: known } => {
                write!(f, ", dynamic scaling by {factor} beyond {known}")
            }
            RopeScaling::Llama3 { factor, original_max_position_embeddings: original, .. } => {
                write!(f, ", llama3 scaling by {factor} from a context of {original}")
            }
            RopeScaling::Yarn { factor, original_max_position_embeddings: original, .. } => {
                write!(f, ", yarn scaling by {factor} from a context of {original}")
            }
            RopeScaling::LongRope { original_max_position_embeddings: original, .. } => {
                write!(f, ", longrope from a context of {original}")
            }
        }
    }
}

fn llama3(frequency: f32, factor: f64, low_factor: f64, high_factor: f64, original: f64) -> f32 {
    let wavelength = TAU / f64::from(frequency);
    if wavelength < original / high_factor {
        frequency
    } else if wavelength > original / low_factor {
        frequency / factor as f32
    } else {
        let smooth = (original / wavelength - low_factor) / (high_factor - low_factor);
        let low = f64::from(frequency) / factor;
        ((1.0 - smooth) * low + smooth * f64::from(frequency)) as f32
    }
}
