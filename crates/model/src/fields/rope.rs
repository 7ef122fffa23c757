//! Rotary positions as `config.json` says them: `rope_theta` and `rope_scaling`, or both inside `rope_parameters` as newer
//! transformers writes them.

use serde_json::{Map, Value};

use super::{Fields, positive};
use crate::config::Sizes;
use crate::error::ModelError;
use crate::rope::{Rope, RopeScaling};

/// What rotary positions are where the configuration does not say.
#[derive(Clone, Copy)]
pub(crate) struct RopeDefaults {
    pub(crate) theta: f64,
    /// Under which name the base stands when not inside `rope_parameters`.
    pub(crate) theta_field: &'static str,
    /// Share of a head that is turned.
    pub(crate) partial: f64,
    pub(crate) partial_field: &'static str,
}

impl RopeDefaults {
    pub(crate) const USUAL: Self =
        Self { theta: 10_000.0, theta_field: "rope_theta", partial: 1.0, partial_field: "partial_rotary_factor" };
}

impl<'a> Fields<'a> {
    /// The rotary positions of a decoder.
    pub(crate) fn rope(&self, sizes: &Sizes, defaults: &RopeDefaults) -> Result<Rope, ModelError> {
        let parameters = self.rope_object("rope_parameters")?;
        let scaling = match self.rope_object("rope_scaling")? {
            Some(scaling) => Some(Scaling { fields: self, name: "rope_scaling", object: scaling }),
            None => parameters.map(|object| Scaling { fields: self, name: "rope_parameters", object }),
        };
        self.rope_of(sizes, defaults, parameters, scaling.as_ref())
    }

    /// Those of one kind of layers, where `rope_parameters` has an object for each kind.
    pub(crate) fn rope_of_kind(
        &self,
        kind: &str,
        sizes: &Sizes,
        defaults: &RopeDefaults,
    ) -> Result<Option<Rope>, ModelError> {
        let Some(parameters) = self.rope_object("rope_parameters")? else { return Ok(None) };
        let Some(object) = parameters.get(kind).and_then(Value::as_object) else { return Ok(None) };
        let scaling = Scaling { fields: self, name: "rope_parameters", object };
        self.rope_of(sizes, defaults, Some(object), Some(&scaling)).map(Some)
    }

    /// A base that stands in a field of its own, nothing stretched.
    pub(crate) fn plain_rope(&self, sizes: &Sizes, field: &str, theta: f64) -> Result<Rope, ModelError> {
        let theta = self.positive_or(field, theta)?;
        Ok(Rope { theta, rotary_dim: self.rotary_dim(sizes, 1.0)?, scaling: RopeScaling::None })
    }

    fn rope_object(&self, field: &str) -> Result<Option<&'a Map<String, Value>>, ModelError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        value.as_object().map(Some).ok_or_else(|| self.wrong(field, value, "an object"))
    }

    fn rope_of(
        &self,
        sizes: &Sizes,
        defaults: &RopeDefaults,
        parameters: Option<&Map<String, Value>>,
        scaling: Option<&Scaling<'_>>,
    ) -> Result<Rope, ModelError> {
        let inside = |field: &str| parameters.and_then(|object| object.get(field)).filter(|value| !value.is_null());
        let number = |name: &str, field: &str, default: f64| match inside(name) {
            Some(value) => {
                positive(value).ok_or_else(|| self.wrong(&format!("rope_parameters.{name}"), value, "a number above 0"))
            }
            None => self.positive_or(field, default),
        };
        let theta = number("rope_theta", defaults.theta_field, defaults.theta)?;
        let partial = number("partial_rotary_factor", defaults.partial_field, defaults.partial)?;
        let rotary_dim = self.rotary_dim(sizes, partial)?;
        let scaling = match scaling {
            Some(scaling) => scaling.read(sizes, rotary_dim)?,
            None => RopeScaling::None,
        };
        Ok(Rope { theta, rotary_dim, scaling })
    }

    /// As transformers truncates it.
    fn rotary_dim(&self, sizes: &Sizes, partial: f64) -> Result<usize, ModelError> {
        let dim = (sizes.head_dim as f64 * partial) as usize;
        if partial > 1.0 || dim < 2 {
            let why = format!("{partial} of a head of {} leaves {dim} entries to turn", sizes.head_dim);
            return Err(self.contradiction(format!("{why}; it must be from 2 to all of them")));
        }
        if !dim.is_multiple_of(2) {
            let what = if partial == 1.0 {
                format!("head_dim {dim}")
            } else {
                format!("{partial} of head_dim {}", sizes.head_dim)
            };
            return Err(self.contradiction(format!("{what} is odd; rotary positions need pairs")));
        }
        Ok(dim)
    }
}

/// A `rope_scaling` object, or one that holds the same.
struct Scaling<'a> {
    fields: &'a Fields<'a>,
    name: &'static str,
    object: &'a Map<String, Value>,
}

impl Scaling<'_> {
    fn get(&self, field: &str) -> Option<&Value> {
        self.object.get(field).filter(|value| !value.is_null())
    }

    fn optional(&self, field: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let name = format!("{}.{field}", self.name);
        positive(value).map(Some).ok_or_else(|| self.fields.wrong(&name, value, "a number above 0"))
    }

    fn number(&self, field: &str) -> Result<f64, ModelError> {
        self.optional(field)?.ok_or_else(|| {
            let why = format!("field \"{}.{field}\" must be a number above 0, it is missing", self.name);
            self.fields.contradiction(why)
        })
    }

    fn numbers(&self, field: &str, count: usize) -> Result<Vec<f64>, ModelError> {
        let name = format!("{}.{field}", self.name);
        let due = format!("a list of {count} numbers above 0");
        let value = self.get(field).unwrap_or(&Value::Null);
        let list: Option<Vec<f64>> = value.as_array().and_then(|list| list.iter().map(positive).collect());
        list.filter(|list| list.len() == count).ok_or_else(|| self.fields.wrong(&name, value, &due))
    }

    /// Positions of the original training: said inside, beside, or those of the model.
    fn original(&self, sizes: &Sizes) -> Result<f64, ModelError> {
        let field = "original_max_position_embeddings";
        match self.optional(field)? {
            Some(positions) => Ok(positions),
            None => self.fields.positive_or(field, sizes.max_position_embeddings as f64),
        }
    }

    fn read(&self, sizes: &Sizes, rotary_dim: usize) -> Result<RopeScaling, ModelError> {
        let default = Value::from("default");
        let kind = match self.get("rope_type").or_else(|| self.get("type")) {
            None if self.name == "rope_scaling" => return Err(self.fields.missing("rope_scaling.rope_type")),
            kind => kind.unwrap_or(&default),
        };
        match kind.as_str() {
            Some("default") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear { factor: self.number("factor")? }),
            Some("dynamic") if rotary_dim <= 2 => {
                let why = format!("{} of type \"dynamic\" needs more than {rotary_dim} entries to turn", self.name);
                Err(self.fields.contradiction(why))
            }
            Some("dynamic") => Ok(RopeScaling::Dynamic {
                factor: self.number("factor")?,
                max_position_embeddings: sizes.max_position_embeddings as f64,
            }),
            Some("llama3") => self.llama3(),
            Some("yarn") => self.yarn(sizes),
            // Phi-3's first files call it so.
            Some("longrope" | "su") => self.longrope(sizes, rotary_dim),
            _ => {
                let supported = "default, linear, dynamic, llama3, yarn, longrope";
                let why = format!("{} of type {kind} is not supported; supported are: {supported}", self.name);
                Err(self.fields.contradiction(why))
            }
        }
    }

    fn llama3(&self) -> Result<RopeScaling, ModelError> {
        let (low_freq_factor, high_freq_factor) = (self.number("low_freq_factor")?, self.number("high_freq_factor")?);
        if high_freq_factor <= low_freq_factor {
            let due = format!("above low_freq_factor {low_freq_factor}");
            let name = format!("{}.high_freq_factor", self.name);
            return Err(self.fields.wrong(&name, &self.object["high_freq_factor"], &due));
        }
        Ok(RopeScaling::Llama3 {
            factor: self.number("factor")?,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings: self.number("original_max_position_embeddings")?,
        })
    }

    fn yarn(&self, sizes: &Sizes) -> Result<RopeScaling, ModelError> {
        let factor = self.number("factor")?;
        let mscale = |scale: f64, by: f64| if scale <= 1.0 { 1.0 } else { 0.1 * by * scale.ln() + 1.0 };
        let attention_factor =
            match (self.optional("attention_factor")?, self.scale("mscale"), self.scale("mscale_all_dim")) {
                (Some(factor), ..) => factor,
                (None, Some(one), Some(all)) => mscale(factor, one) / mscale(factor, all),
                _ => mscale(factor, 1.0),
            };
        let truncate = match self.get("truncate") {
            None => true,
            Some(value) => {
                let name = format!("{}.truncate", self.name);
                value.as_bool().ok_or_else(|| self.fields.wrong(&name, value, "true or false"))?
            }
        };
        Ok(RopeScaling::Yarn {
            factor,
            attention_factor,
            beta_fast: self.optional("beta_fast")?.unwrap_or(32.0),
            beta_slow: self.optional("beta_slow")?.unwrap_or(1.0),
            truncate,
            original_max_position_embeddings: self.original(sizes)?,
        })
    }

    /// 0 is as good as missing, as in transformers.
    fn scale(&self, field: &str) -> Option<f64> {
        self.get(field).and_then(Value::as_f64).filter(|scale| *scale != 0.0)
    }

    fn longrope(&self, sizes: &Sizes, rotary_dim: usize) -> Result<RopeScaling, ModelError> {
        let original = self.original(sizes)?;
        // The ratio of the two counts of positions where both are said, as transformers has it.
        let factor = match (self.fields.get("original_max_position_embeddings"), self.optional("factor")?) {
            (None, Some(factor)) => factor,
            _ => sizes.max_position_embeddings as f64 / original,
        };
        let attention_factor = match self.optional("attention_factor")? {
            Some(factor) => factor,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / original.ln()).sqrt(),
        };
        Ok(RopeScaling::LongRope {
            short_factor: self.numbers("short_factor", rotary_dim / 2)?,
            long_factor: self.numbers("long_factor", rotary_dim / 2)?,
            attention_factor,
            original_max_position_embeddings: original as usize,
        })
    }
}
