//! Every shape of every family decodes as transformers does: greedily in a padded batch, and with beams.

#![allow(clippy::print_stdout, reason = "says how many texts it ran")]

use luthier_engine::Device;
use luthier_fixtures::{GoldenFamily, golden_families, ids, numbers};
use luthier_generate::{Completion, GenerationOptions, Generator, Resolved};
use luthier_model::{Model, Session};
use serde_json::{Value, json};

/// Runs a check on every golden folder; all that fail are named together.
fn on_every_shape(check: impl Fn(&GoldenFamily, &Model) -> Result<(), String>) {
    let families = golden_families();
    assert!(families.iter().any(|family| family.model_type == "llama"), "no shape runs");
    let check = |family: &GoldenFamily| {
        let model = Model::load(&family.folder, &Device::cpu()).map_err(|error| error.to_string())?;
        check(family, &model)
    };
    let wrong: Vec<String> =
        families.iter().filter_map(|f| check(f).err().map(|why| format!("{}: {why}", f.name))).collect();
    println!("{} shapes, {} differ", families.len(), wrong.len());
    assert!(wrong.is_empty(), "{} shapes differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// These parameters over the folder's `generation_config.json`.
fn resolve(family: &GoldenFamily, user: &Value) -> Resolved {
    let user = GenerationOptions::from_table(user.as_object().unwrap()).unwrap();
    let config = std::fs::read_to_string(family.folder.join("generation_config.json")).unwrap();
    let config = GenerationOptions::from_generation_config(&config).unwrap();
    GenerationOptions::merge(&user, &config, &GenerationOptions::default()).resolve().unwrap()
}

fn complete(model: &Model, resolved: &Resolved, prompts: &[Vec<u32>]) -> Result<Vec<Completion>, String> {
    Generator::new(resolved).generate(&mut Session::new(model), prompts).map_err(|error| error.to_string())
}

#[test]
fn a_padded_batch_continues_greedily_with_the_references_tokens() {
    on_every_shape(|family, model| {
        let resolved = resolve(family, &json!({"max_new_tokens": 12}));
        let completions = complete(model, &resolved, &family.prompts())?;
        let golden = family.of_each_row("greedy_12_left_padded", "greedy_12_alone");
        for (row, ((golden, padding), completion)) in golden.zip(family.padding()).zip(&completions).enumerate() {
            let golden = ids(golden).split_off(padding);
            let mut ours = completion.sequences(&resolved).remove(0);
            ours.resize(golden.len(), resolved.pad_token_id.unwrap_or(0));
            if ours != golden {
                return Err(format!("row {row}: {ours:?}, golden {golden:?}"));
            }
        }
        Ok(())
    });
}

#[test]
fn three_beams_find_the_references_sequences_and_scores() {
    on_every_shape(|family, model| {
        let resolved = resolve(family, &json!({"max_new_tokens": 10, "num_beams": 3, "num_return_sequences": 3}));
        let completions = complete(model, &resolved, &family.prompts()[..1])?;
        let golden = &family.golden["beam3_10_row0"];
        let sequences: Vec<Vec<u32>> = golden["sequences"].as_array().unwrap().iter().map(ids).collect();
        let ours = completions[0].sequences(&resolved);
        if ours != sequences {
            return Err(format!("{ours:?}, golden {sequences:?}"));
        }
        for (output, golden) in completions[0].outputs.iter().zip(numbers(&golden["scores"])) {
            let off = (output.score - golden).abs();
            if off.is_nan() || off > 1e-4 {
                return Err(format!("score {}, golden {golden}", output.score));
            }
        }
        Ok(())
    });
}

#[test]
fn drafts_change_no_token_and_contrastive_search_depends_on_no_neighbour() {
    on_every_shape(|family, model| {
        let tokens = |completions: &[Completion]| -> Vec<Vec<u32>> {
            completions.iter().map(|done| done.outputs[0].tokens_with_eos()).collect()
        };
        // Prompts that repeat themselves, so that there is something to look up.
        let prompts: Vec<Vec<u32>> =
            family.prompts().iter().map(|prompt| prompt[..prompt.len().min(8)].repeat(2)).collect();
        let greedy = json!({"max_new_tokens": 16, "do_sample": false});
        let drafts = json!({"max_new_tokens": 16, "do_sample": false, "prompt_lookup_num_tokens": 5});
        let [plain, drafted] = [greedy, drafts].map(|user| complete(model, &resolve(family, &user), &prompts));
        let (plain, drafted) = (tokens(&plain?), tokens(&drafted?));
        if plain != drafted {
            return Err(format!("{drafted:?} with drafts, {plain:?} without"));
        }
        let user = json!({"max_new_tokens": 8, "do_sample": false, "penalty_alpha": 0.6, "top_k": 4});
        let contrastive = resolve(family, &user);
        let together = tokens(&complete(model, &contrastive, &prompts)?);
        for (prompt, together) in prompts.iter().zip(together) {
            let alone = tokens(&complete(model, &contrastive, std::slice::from_ref(prompt))?).remove(0);
            if alone != together {
                return Err(format!("{alone:?} alone, {together:?} among others"));
            }
        }
        Ok(())
    });
}
