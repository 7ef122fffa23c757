//! Parameters as people and files write them: read, merged, checked, and warned about.

#![allow(clippy::needless_pass_by_value, reason = "tables are written where they are used")]

use luthier_generate::{BeamLength, EarlyStopping, GenerationOptions, OptionsError, PARAMETERS};
use serde_json::{Value, json};

fn table(value: Value) -> Result<GenerationOptions, OptionsError> {
    GenerationOptions::from_table(value.as_object().unwrap())
}

fn message(value: Value) -> String {
    table(value).and_then(|options| options.resolve().map(|_| ())).unwrap_err().to_string()
}

#[test]
fn every_parameter_reads_back_as_it_was_written() {
    let given = r#"{
        "max_length": 40, "max_new_tokens": 10, "min_length": 3, "min_new_tokens": 2, "num_beams": 4, "do_sample": true,
        "temperature": 0.7, "top_k": 5, "top_p": 0.9, "min_p": 0.1, "typical_p": 0.8, "epsilon_cutoff": 0.01,
        "eta_cutoff": 0.02, "repetition_penalty": 1.1, "no_repeat_ngram_size": 3, "bad_words_ids": [[1], [2, 3]],
        "suppress_tokens": [4], "begin_suppress_tokens": [5], "forced_bos_token_id": 6, "forced_eos_token_id": [7, 8],
        "length_penalty": 2.0, "early_stopping": "never", "beam_length": "total", "num_beam_groups": 1,
        "diversity_penalty": 0.5, "penalty_alpha": 0.6, "prompt_lookup_num_tokens": 0, "max_matching_ngram_size": 3,
        "encoder_repetition_penalty": 1.5, "encoder_no_repeat_ngram_size": 4, "sequence_bias": [[[1], 0.5], [[2, 3], -1.0]],
        "exponential_decay_length_penalty": [7, 1.5], "guidance_scale": 1.0, "max_time": 9.5, "num_return_sequences": 2,
        "eos_token_id": 9, "pad_token_id": 0, "bos_token_id": 1, "renormalize_logits": true, "seed": 11,
        "stop_strings": ["。", "\n\n"]
    }"#;
    let given: Value = serde_json::from_str(given).unwrap();
    let options = table(given.clone()).unwrap();
    assert_eq!(Value::Object(options.as_table()), given);
    assert_eq!(options.as_table().len(), PARAMETERS.len());
    assert_eq!((options.early_stopping, options.beam_length), (Some(EarlyStopping::Never), Some(BeamLength::Total)));
    options.resolve().unwrap();
}

#[test]
fn one_or_several_ids_and_texts_are_both_understood() {
    assert_eq!(table(json!({"eos_token_id": 2})).unwrap().eos_token_id, Some(vec![2]));
    assert_eq!(table(json!({"eos_token_id": [2, 3]})).unwrap().eos_token_id, Some(vec![2, 3]));
    assert_eq!(table(json!({"stop_strings": "。"})).unwrap().stop_strings, Some(vec!["。".to_owned()]));
    assert_eq!(table(json!({"temperature": 1})).unwrap().temperature, Some(1.0));
    assert_eq!(table(json!({"pad_token_id": -1, "eos_token_id": null})).unwrap(), GenerationOptions::default());
}

#[test]
fn a_generation_config_is_read_for_what_is_about_decoding() {
    let text = r#"{"_from_model_config": true, "bos_token_id": 1, "eos_token_id": [2, 3], "do_sample": true, "top_p": 0.9,
        "guidance_scale": 1.0, "diversity_penalty": null, "use_cache": true, "transformers_version": "4.46.3", "penalty_alpha": null}"#;
    let expected = GenerationOptions {
        bos_token_id: Some(1),
        eos_token_id: Some(vec![2, 3]),
        do_sample: Some(true),
        top_p: Some(0.9),
        guidance_scale: Some(1.0),
        ..Default::default()
    };
    assert_eq!(GenerationOptions::from_generation_config(text).unwrap(), expected);
    for text in ["[1]", "{", "null"] {
        let error = GenerationOptions::from_generation_config(text).unwrap_err().to_string();
        assert!(error.starts_with("the generation configuration cannot be read: "), "{error}");
    }
    let error = GenerationOptions::from_generation_config(r#"{"dola_layers": "low"}"#).unwrap_err();
    assert!(matches!(error, OptionsError::NotSupportedYet { name: "dola_layers", .. }));
}

#[test]
fn an_unknown_key_names_the_nearest_and_a_wrong_type_the_parameter() {
    assert_eq!(message(json!({"num_beam": 4})), "unknown generation parameter `num_beam`; did you mean `num_beams`?");
    assert_eq!(
        message(json!({"temprature": 4})),
        "unknown generation parameter `temprature`; did you mean `temperature`?"
    );
    let errors = [
        (json!({"temperature": "warm"}), "`temperature` cannot be \"warm\""),
        (json!({"max_new_tokens": -5}), "`max_new_tokens` cannot be -5"),
        (json!({"early_stopping": "soon"}), "`early_stopping` cannot be \"soon\""),
        (json!({"early_stopping": 3}), "it is true, false or \"never\""),
        (json!({"eos_token_id": "</s>"}), "it is a token id or a list of token ids"),
        (json!({"dola_layers": "low"}), "`dola_layers` = \"low\": this decoding method is not supported yet"),
        (json!({"watermarking_config": {"bias": 2.0}}), "`watermarking_config` = {\"bias\":2.0}"),
        (json!({"sequence_bias": [[1], 2]}), "`sequence_bias` cannot be [[1],2]"),
        (json!({"exponential_decay_length_penalty": 1.5}), "`exponential_decay_length_penalty` cannot be 1.5"),
    ];
    for (given, expected) in errors {
        let message = message(given);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn values_out_of_range_and_contradictions_are_refused_with_their_values() {
    let errors = [
        (json!({"temperature": 0.0}), "`temperature` is 0, but it must be a number above 0"),
        (json!({"temperature": -1.0}), "`temperature` is -1"),
        (json!({"top_p": 1.5}), "`top_p` is 1.5, but it must be above 0 and at most 1"),
        (json!({"top_p": 0.0}), "`top_p` is 0"),
        (json!({"min_p": 2.0}), "`min_p` is 2, but it must be between 0 and 1"),
        (json!({"typical_p": 0.0}), "`typical_p` is 0"),
        (json!({"epsilon_cutoff": 1.0}), "`epsilon_cutoff` is 1"),
        (json!({"eta_cutoff": -0.1}), "`eta_cutoff` is -0.1"),
        (json!({"repetition_penalty": 0.0}), "`repetition_penalty` is 0"),
        (json!({"num_beams": 0}), "`num_beams` is 0, but it must be at least 1"),
        (json!({"num_return_sequences": 0}), "`num_return_sequences` is 0"),
        (json!({"max_new_tokens": 0}), "`max_new_tokens` is 0"),
        (json!({"bad_words_ids": [[]]}), "each word needs at least one token"),
        (json!({"stop_strings": ""}), "an empty text would stop at once"),
        (json!({"num_beams": 2, "num_return_sequences": 3}), "num_return_sequences is 3, but num_beams is only 2"),
        (json!({"num_return_sequences": 2}), "num_return_sequences is 2, but greedy decoding has a single output"),
        (json!({"num_return_sequences": 2, "penalty_alpha": 0.6}), "but contrastive search has a single output"),
        (json!({"diversity_penalty": -1.0}), "`diversity_penalty` is -1, but it must be a number from 0 up"),
        (json!({"penalty_alpha": 1.5}), "`penalty_alpha` is 1.5, but it must be between 0 and 1"),
        (json!({"max_matching_ngram_size": 0}), "`max_matching_ngram_size` is 0, but it must be at least 1"),
        (
            json!({"encoder_repetition_penalty": 0.0}),
            "`encoder_repetition_penalty` is 0, but it must be a number above 0",
        ),
        (json!({"exponential_decay_length_penalty": [3, -1.0]}), "`exponential_decay_length_penalty` is [.., -1]"),
        (json!({"sequence_bias": [[[], 1.0]]}), "each entry needs at least one token"),
        (json!({"max_time": 0.0}), "`max_time` is 0, but it must be a number of seconds above 0"),
        (json!({"guidance_scale": 2.0, "num_beams": 2}), "`guidance_scale` and num_beams contradict each other"),
        (json!({"guidance_scale": 2.0, "penalty_alpha": 0.6}), "`guidance_scale` and penalty_alpha contradict each"),
        (json!({"num_beams": 4, "num_beam_groups": 3}), "num_beam_groups is 3, which does not divide num_beams = 4"),
        (json!({"num_beams": 4, "num_beam_groups": 0}), "num_beam_groups is 0, which does not divide num_beams = 4"),
        (json!({"num_beam_groups": 2}), "num_beam_groups is 2, which does not divide num_beams = 1"),
        (
            json!({"num_beams": 4, "num_beam_groups": 2, "do_sample": true, "diversity_penalty": 0.5}),
            "`num_beam_groups` and do_sample contradict each other: groups of beams are searched without drawing",
        ),
        (
            json!({"num_beams": 4, "num_beam_groups": 2}),
            "`num_beam_groups` and a diversity_penalty of 0 contradict each other: all groups would find the same",
        ),
        (
            json!({"num_beams": 4, "prompt_lookup_num_tokens": 5}),
            "`prompt_lookup_num_tokens` and num_beams contradict each other",
        ),
        (
            json!({"penalty_alpha": 0.6, "top_k": 4, "prompt_lookup_num_tokens": 5}),
            "`prompt_lookup_num_tokens` and penalty_alpha contradict each other",
        ),
    ];
    for (given, expected) in errors {
        let message = message(given);
        assert!(message.contains(expected), "{message}");
    }
    let not_a_number = GenerationOptions { temperature: Some(f64::NAN), ..Default::default() };
    assert!(not_a_number.resolve().is_err());
    assert!(GenerationOptions::merge(&not_a_number, &GenerationOptions::default(), &not_a_number).resolve().is_err());
}

#[test]
fn the_user_wins_over_the_file_and_both_over_the_defaults() {
    let user = table(json!({"temperature": 0.5, "do_sample": false})).unwrap();
    let config = table(json!({"temperature": 0.9, "do_sample": true, "top_p": 0.8})).unwrap();
    let defaults = table(json!({"top_p": 0.1, "seed": 3, "max_new_tokens": 64})).unwrap();
    let merged = GenerationOptions::merge(&user, &config, &defaults);
    let expected = json!({"temperature": 0.5, "do_sample": false, "top_p": 0.8, "seed": 3, "max_new_tokens": 64});
    assert_eq!(merged, table(expected).unwrap());
}

#[test]
fn a_programs_default_length_does_not_override_a_users_limit() {
    let defaults = table(json!({"max_new_tokens": 64})).unwrap();
    let user = table(json!({"max_length": 30})).unwrap();
    let none = GenerationOptions::default();
    let max_length = |user: &GenerationOptions, config: &GenerationOptions, defaults: &GenerationOptions| {
        let resolved = GenerationOptions::merge(user, config, defaults).resolve().unwrap();
        resolved.limits(0, 10, 100).unwrap().max_length
    };
    assert_eq!(max_length(&user, &none, &defaults), 30);
    assert_eq!(max_length(&none, &user, &defaults), 30);
    assert_eq!(max_length(&none, &none, &defaults), 74);
    assert_eq!(max_length(&none, &none, &none), 20);
    // Between user and file max_new_tokens wins wherever it stands, as in transformers.
    assert_eq!(max_length(&user, &defaults, &none), 74);
}

/// The parameters that are warned about, with the beginning of each reason.
fn warned(value: Value) -> Vec<String> {
    table(value).unwrap().warnings().iter().map(ToString::to_string).collect()
}

#[test]
fn parameters_without_effect_are_named_once_with_the_reason() {
    let draws = "it acts only when tokens are drawn; set do_sample";
    let searches = "it acts only in beam search; set num_beams above 1";
    let ends = "it holds back the end-of-sequence token, and there is none";
    let cases = [
        (json!({"temperature": 0.1}), "temperature", draws),
        (json!({"top_k": 40, "num_beams": 4}), "top_k", draws),
        (json!({"top_p": 0.75}), "top_p", draws),
        (json!({"min_p": 0.1}), "min_p", draws),
        (json!({"typical_p": 0.9}), "typical_p", draws),
        (json!({"epsilon_cutoff": 0.1}), "epsilon_cutoff", draws),
        (json!({"eta_cutoff": 0.1}), "eta_cutoff", draws),
        (json!({"seed": 3}), "seed", draws),
        (json!({"length_penalty": 2.0, "do_sample": true}), "length_penalty", searches),
        (json!({"early_stopping": true}), "early_stopping", searches),
        (json!({"beam_length": "total"}), "beam_length", searches),
        (json!({"early_stopping": true, "num_beams": 2}), "early_stopping", "it asks whether enough beams have ended"),
        (json!({"renormalize_logits": true}), "renormalize_logits", "it moves all scores of a step alike"),
        (json!({"diversity_penalty": 0.5, "num_beams": 4}), "diversity_penalty", "it acts between groups of beams"),
        (json!({"penalty_alpha": 0.6, "do_sample": true}), "penalty_alpha", "contrastive search does not draw"),
        (json!({"penalty_alpha": 0.6, "num_beams": 2}), "penalty_alpha", "contrastive search has no beams"),
        (json!({"max_matching_ngram_size": 3}), "max_matching_ngram_size", "it acts only in prompt lookup"),
        (json!({"max_length": 30, "max_new_tokens": 5}), "max_length", "max_new_tokens is set and wins"),
        (json!({"min_new_tokens": 5}), "min_new_tokens", ends),
        (json!({"min_length": 5}), "min_length", ends),
        (
            json!({"exponential_decay_length_penalty": [3, 1.5]}),
            "exponential_decay_length_penalty",
            "it makes the end-of-sequence token more likely, and there is none",
        ),
        (json!({"use_cache": false}), "use_cache", "keys and values are always cached"),
        (
            json!({"output_scores": true, "num_assistant_tokens": 20}),
            "output_scores",
            "it changes what transformers returns",
        ),
        (
            json!({"min_length": 5, "min_new_tokens": 5, "eos_token_id": 1}),
            "min_length",
            "min_new_tokens is set and wins",
        ),
    ];
    for (given, parameter, reason) in cases {
        let found = warned(given.clone());
        assert_eq!(found.len(), 1, "{given}: {found:?}");
        assert!(found[0].starts_with(&format!("`{parameter}` has no effect: {reason}")), "{given}: {found:?}");
    }
    let alone = warned(json!({"penalty_alpha": 0.6, "top_k": 1}));
    assert!(alone.iter().any(|warning| warning.contains("contrastive search compares the top_k best tokens")));
}

#[test]
fn parameters_without_effect_on_these_prompts_are_named_with_the_reason() {
    let given =
        table(json!({"bos_token_id": 1, "forced_bos_token_id": 2, "min_length": 4, "eos_token_id": 3})).unwrap();
    let names = |lengths: &[usize]| -> Vec<&str> {
        given.warnings_for(lengths).iter().map(|warning| warning.parameter).collect()
    };
    assert_eq!(names(&[4, 9]), ["bos_token_id", "forced_bos_token_id", "min_length"]);
    assert_eq!(names(&[9, 3]), ["bos_token_id", "forced_bos_token_id"]);
    assert_eq!(names(&[9, 1]), ["bos_token_id"]);
    assert_eq!(names(&[0]), [""; 0]);
    assert!(GenerationOptions::default().warnings_for(&[4]).is_empty());
}

#[test]
fn parameters_that_act_or_equal_their_default_are_not_warned_about() {
    for given in [
        json!({"temperature": 1.0, "top_k": 50, "top_p": 1.0, "length_penalty": 1.0, "num_beam_groups": 1}),
        json!({"do_sample": true, "temperature": 0.1, "top_k": 5, "seed": 3}),
        json!({"penalty_alpha": 0.6, "top_k": 4}),
        json!({"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5, "length_penalty": 2.0}),
        json!({"num_beams": 2, "renormalize_logits": true, "early_stopping": true, "eos_token_id": 1}),
        json!({"prompt_lookup_num_tokens": 5, "max_matching_ngram_size": 3}),
        json!({"min_new_tokens": 3, "eos_token_id": 1}),
    ] {
        assert_eq!(warned(given), [""; 0]);
    }
    let alpaca = json!({"temperature": 0.1, "top_p": 0.75, "top_k": 40, "num_beams": 4, "max_new_tokens": 128});
    assert_eq!(warned(alpaca).len(), 3);
}
