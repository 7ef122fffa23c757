//! `adapter_config.json` of PEFT, read and written.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Adapter, LoraOptions, Targets};
use crate::error::ModelError;

pub(super) const FILE: &str = "adapter_config.json";

/// Fields that change what the adapter computes in ways not supported here; fine while empty or false.
const UNSUPPORTED: [&str; 16] = [
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "layers_to_transform",
    "layer_replication",
    "exclude_modules",
    "lora_bias",
    "trainable_token_indices",
    "target_parameters",
    "use_qalora",
    "alora_invocation_tokens",
    "arrow_config",
    "use_bdlora",
    "ensure_weight_tying",
    "megatron_config",
    "corda_config",
];

impl Adapter {
    /// `adapter_config.json` with the fields of PEFT 0.13. `columns_first` says that the base model's files hold the columns of
    /// maps as rows.
    pub(super) fn config(
        &self,
        base: &str,
        revision: Option<&str>,
        modules_to_save: &[String],
        columns_first: bool,
    ) -> Map<String, Value> {
        let mut modules: Vec<&str> = match &self.options.targets {
            Targets::AllLinear => self.terms.iter().filter_map(|(path, ..)| path.rsplit('.').next()).collect(),
            Targets::Named(names) => names.iter().map(String::as_str).collect(),
        };
        modules.sort_unstable();
        modules.dedup();
        let to_save = match modules_to_save {
            [] => Value::Null,
            modules => json!(modules),
        };
        let config = json!({
            "alpha_pattern": {}, "auto_mapping": null, "base_model_name_or_path": base, "bias": "none",
            "fan_in_fan_out": columns_first, "inference_mode": true, "init_lora_weights": true, "layer_replication": null,
            "layers_pattern": null, "layers_to_transform": null, "loftq_config": {},
            "lora_alpha": number(self.options.alpha), "lora_dropout": self.options.dropout,
            "megatron_config": null, "megatron_core": "megatron.core", "modules_to_save": to_save,
            "peft_type": "LORA", "r": self.options.rank, "rank_pattern": {}, "revision": revision,
            "target_modules": modules, "task_type": "CAUSAL_LM", "use_dora": false,
            "use_rslora": self.options.rslora,
        });
        match config {
            Value::Object(map) => map,
            _ => unreachable!("the literal above is an object"),
        }
    }
}

/// 16 rather than 16.0, as PEFT writes it.
fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 1e15 { json!(x as i64) } else { json!(x) }
}

/// The options of an adapter folder; their ranges are checked against the model by the caller.
pub(super) fn read(dir: &Path) -> Result<LoraOptions, ModelError> {
    let path = dir.join(FILE);
    if !path.is_file() {
        let why = if !dir.is_dir() {
            "there is no such folder; give the folder of an adapter, or its name on the Hub, ORG/NAME".to_owned()
        } else if dir.join("config.json").is_file() {
            format!("it holds no {FILE} but a whole model; give it as the model")
        } else {
            format!("it holds no {FILE}; give the folder that PEFT's save_pretrained wrote")
        };
        return Err(ModelError::adapter(dir, why));
    }
    let text = std::fs::read(&path).map_err(ModelError::read(&path))?;
    let config: Map<String, Value> = serde_json::from_slice(&text)
        .map_err(|error| ModelError::adapter(&path, format!("is not a JSON object: {error}")))?;
    let config: Map<String, Value> = config.into_iter().filter(|(_, value)| !value.is_null()).collect();
    check_supported(&config).map_err(|why| ModelError::adapter(&path, why))?;
    options(&config).map_err(|why| ModelError::adapter(&path, why))
}

fn check_supported(config: &Map<String, Value>) -> Result<(), String> {
    let kind = config.get("peft_type").ok_or("field \"peft_type\" is missing; it must be \"LORA\"")?;
    if kind != "LORA" {
        return Err(format!("field \"peft_type\" is {kind}; only \"LORA\" is supported"));
    }
    let empty = |value: &Value| match value {
        Value::Bool(flag) => !flag,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    for field in UNSUPPORTED {
        if let Some(value) = config.get(field).filter(|value| !empty(value)) {
            return Err(format!("field \"{field}\" is {value}, which is not supported; train the adapter without it"));
        }
    }
    if let Some(bias) = config.get("bias").filter(|bias| *bias != "none") {
        return Err(format!("field \"bias\" is {bias}; only \"none\" is supported"));
    }
    match config.get("init_lora_weights") {
        // The others (pissa, olora, loftq, ...) change the base weights as well, and PEFT does so again on loading.
        Some(Value::String(how)) if how != "gaussian" => Err(format!(
            "field \"init_lora_weights\" is \"{how}\", which changes the base model too and is not supported; \
             convert the adapter to a plain one"
        )),
        _ => Ok(()),
    }
}

fn options(config: &Map<String, Value>) -> Result<LoraOptions, String> {
    let wrong = |field: &str, due: &str| {
        let found = config.get(field).map_or("missing".to_owned(), Value::to_string);
        format!("field \"{field}\" must be {due}, it is {found}")
    };
    let names = "a list of names, such as [\"q_proj\", \"v_proj\"], or \"all-linear\"";
    let targets = match config.get("target_modules") {
        Some(Value::String(all)) if all == "all-linear" => Targets::AllLinear,
        Some(Value::Array(list)) => {
            let list: Option<Vec<String>> = list.iter().map(|name| name.as_str().map(str::to_owned)).collect();
            Targets::Named(list.ok_or_else(|| wrong("target_modules", names))?)
        }
        _ => return Err(wrong("target_modules", names)),
    };
    let rank = config.get("r").and_then(Value::as_u64).filter(|rank| *rank > 0);
    Ok(LoraOptions {
        rank: rank.ok_or_else(|| wrong("r", "a whole number above 0"))? as usize,
        alpha: config.get("lora_alpha").and_then(Value::as_f64).ok_or_else(|| wrong("lora_alpha", "a number"))?,
        dropout: match config.get("lora_dropout") {
            None => 0.0,
            Some(value) => value.as_f64().ok_or_else(|| wrong("lora_dropout", "a number"))?,
        },
        rslora: match config.get("use_rslora") {
            None => false,
            Some(value) => value.as_bool().ok_or_else(|| wrong("use_rslora", "true or false"))?,
        },
        targets,
        modules_to_save: match config.get("modules_to_save") {
            None => Vec::new(),
            Some(value) => {
                let names = value
                    .as_array()
                    .and_then(|list| list.iter().map(|name| name.as_str().map(str::to_owned)).collect());
                names.ok_or_else(|| wrong("modules_to_save", "a list of names"))?
            }
        },
    })
}
