//! An adapter folder on a screen.

use luthier_hub::Found;
use luthier_model::adapter::weights_file;
use luthier_model::weights::Tensors;
use serde_json::Value;

use super::facts::Facts;
use crate::cmd::Failure;

pub(super) fn show(found: &Found, json: bool) -> Result<(), Failure> {
    let dir = &found.dir;
    let config = super::read_object(&dir.join("adapter_config.json"))?;
    let mut facts = Facts::new("adapter");
    if let Some(origin) = &found.origin {
        facts.add("hub", origin.to_string());
    }
    facts.add("folder", dir.display().to_string());
    let field = |name: &str| config.get(name).cloned().unwrap_or(Value::Null);
    for (name, field_name) in [
        ("type", "peft_type"),
        ("base", "base_model_name_or_path"),
        ("base_revision", "revision"),
        ("rank", "r"),
        ("alpha", "lora_alpha"),
        ("dropout", "lora_dropout"),
        ("rank_stabilised", "use_rslora"),
        ("targets", "target_modules"),
    ] {
        facts.add(name, field(field_name));
    }
    if let Some(weights) = weights_file(dir) {
        let tensors = Tensors::of_file(&weights).map_err(Failure::input)?;
        let count = |name: &str| tensors.shape(name).map_or(0, |shape| shape.iter().product::<usize>());
        facts.add("tensors", tensors.names().count());
        facts.add("parameters", tensors.names().map(count).sum::<usize>());
        facts.add("stored_as", tensors.stored_dtype().torch_name());
    } else {
        facts.add("fault", "adapter_model.safetensors is missing");
    }
    facts.add("tokenizer", dir.join("tokenizer.json").is_file());
    facts.print(json)
}
