//! `luthier models` lists what loads.

use crate::command::luthier;

#[test]
fn the_families_are_listed_for_people_and_for_programs() {
    let screen = luthier(&["models"]).succeeds().stdout;
    assert!(screen.lines().next().unwrap().starts_with("family "), "{screen}");
    for part in ["llama ", "qwen2 ", "SmolLM-135M", "in full and through an adapter", "longrope"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    let families = &luthier(&["models", "--json"]).succeeds().json_lines()[0];
    let llama = families.as_array().unwrap().iter().find(|family| family["model_type"] == "llama").unwrap();
    assert_eq!(llama["architecture"], "LlamaForCausalLM");
    for field in ["positions", "attention", "mlp"] {
        assert!(llama[field].as_str().is_some_and(|text| !text.is_empty()), "{field}");
    }
}
