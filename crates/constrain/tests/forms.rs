//! Forms under every search, on models of random weights that would write anything but.

use luthier_constrain::{ConstrainError, Form, Formed, Vocabulary};
use luthier_engine::Device;
use luthier_generate::{Constraint, GenerationOptions, Generator};
use luthier_model::{Model, Session};
use luthier_text::Tokenizer;
use serde_json::{Value, json};

/// A fixture's model, its tokenizer and the vocabulary of both.
struct Bench {
    model: Model,
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
}

impl Bench {
    fn new(name: &str) -> Self {
        let folder = luthier_fixtures::model(name);
        let model = Model::load(&folder, &Device::cpu()).unwrap();
        let tokenizer = Tokenizer::from_dir(&folder).unwrap();
        let vocabulary = Vocabulary::of(&tokenizer, model.config.vocab_size).unwrap();
        Self { model, tokenizer, vocabulary }
    }

    fn formed(&self, form: &Form) -> Formed {
        Formed::new(form, &self.vocabulary).unwrap()
    }

    /// The texts of all outputs, and whether each ended by itself.
    fn texts(&self, form: &Formed, options: &GenerationOptions) -> Vec<(String, bool)> {
        let eos = self.tokenizer.eos().unwrap().id;
        let options = GenerationOptions {
            eos_token_id: Some(vec![eos]),
            max_new_tokens: options.max_new_tokens.or(Some(200)),
            ..options.clone()
        };
        let resolved = options.resolve().unwrap();
        let prompt = self.tokenizer.encode("The lamp says: ", true).unwrap();
        let mut session = Session::new(&self.model);
        let done = Generator::new(&resolved).constraint(form).generate(&mut session, &[prompt]).unwrap().remove(0);
        let text = |ids: &[u32]| self.tokenizer.decode(ids, true);
        done.outputs.iter().map(|output| (output.text(&text), output.eos.is_some())).collect()
    }
}

fn searches() -> Vec<GenerationOptions> {
    let greedy = GenerationOptions::default();
    let draws = GenerationOptions {
        do_sample: Some(true),
        temperature: Some(2.0),
        num_return_sequences: Some(4),
        seed: Some(5),
        ..greedy.clone()
    };
    let beams = GenerationOptions { num_beams: Some(4), num_return_sequences: Some(4), ..greedy.clone() };
    vec![
        greedy.clone(),
        draws.clone(),
        beams.clone(),
        GenerationOptions { do_sample: Some(true), ..beams.clone() },
        GenerationOptions { num_beam_groups: Some(2), diversity_penalty: Some(0.5), ..beams },
        GenerationOptions { penalty_alpha: Some(0.6), top_k: Some(4), ..greedy.clone() },
        GenerationOptions { prompt_lookup_num_tokens: Some(5), ..greedy },
    ]
}

#[test]
fn every_search_writes_one_of_the_choices() {
    let bench = Bench::new("qwen2-bias-tied");
    let choices = ["yes (1.5)", "no", "不知道。", "nothing at all\n"];
    let form = bench.formed(&Form::Choices(choices.map(str::to_owned).to_vec()));
    for options in searches() {
        for (text, ended) in bench.texts(&form, &options) {
            assert!(ended && choices.contains(&text.as_str()), "{text:?} under {options:?}");
        }
    }
}

#[test]
fn every_search_writes_what_the_regular_expression_matches() {
    let bench = Bench::new("llama-mha-untied");
    let form = bench.formed(&Form::Regex(r"[0-9]{4}-[01][0-9]( 年)?".to_owned()));
    for options in searches() {
        for (text, ended) in bench.texts(&form, &options) {
            let date = text.strip_suffix(" 年").unwrap_or(&text);
            let digits = date.char_indices().all(|(at, c)| if at == 4 { c == '-' } else { c.is_ascii_digit() });
            assert!(ended && date.len() == 7 && digits, "{text:?} under {options:?}");
        }
    }
}

#[test]
fn every_search_writes_json_of_the_schema() {
    let bench = Bench::new("qwen2-bias-tied");
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 8},
            "kind": {"enum": ["lamp", "琴"]},
            "sizes": {"type": "array", "items": {"$ref": "#/$defs/size"}, "minItems": 1, "maxItems": 2},
            "good": {"type": "boolean"}
        },
        "$defs": {"size": {"type": "integer", "minimum": 0, "maximum": 99}},
        "required": ["name", "kind", "sizes"],
        "additionalProperties": false
    });
    let form = bench.formed(&Form::JsonSchema(schema));
    let keys = ["name", "kind", "sizes", "good"];
    for options in searches() {
        for (text, ended) in bench.texts(&form, &options) {
            assert!(ended, "{text:?} under {options:?}");
            let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert!(value["name"].as_str().unwrap().chars().count() <= 8, "{text}");
            assert!(["lamp", "琴"].contains(&value["kind"].as_str().unwrap()), "{text}");
            let sizes = value["sizes"].as_array().unwrap();
            assert!((1..=2).contains(&sizes.len()) && sizes.iter().all(|n| n.as_u64().unwrap() < 100), "{text}");
            let written: Vec<&String> = value.as_object().unwrap().keys().collect();
            assert_eq!(written, keys[..written.len()], "{text}");
        }
    }
}

#[test]
fn an_output_that_ends_at_the_limit_has_the_beginning_of_the_form() {
    let bench = Bench::new("qwen2-bias-tied");
    let form = bench.formed(&Form::Regex("ab{90}".to_owned()));
    let options = GenerationOptions { max_new_tokens: Some(5), ..Default::default() };
    let (text, ended) = bench.texts(&form, &options).remove(0);
    assert!(!ended && text.starts_with("ab") && text[1..].chars().all(|c| c == 'b'), "{text}");
}

#[test]
fn a_matcher_forbids_follows_and_forks() {
    let vocabulary = Vocabulary::new(&[vec![], b"a".to_vec(), b"b".to_vec(), b"ab".to_vec()]).unwrap();
    let form = Formed::new(&Form::Regex("(ab)+".to_owned()), &vocabulary).unwrap();
    let mut matcher = form.matcher();
    let allowed = |matcher: &mut Box<dyn luthier_generate::Matcher>| {
        let mut scores = [0.0; 4];
        let may_end = matcher.mask(&mut scores).unwrap();
        let tokens: Vec<usize> = (1..4).filter(|&token| scores[token] == 0.0).collect();
        (tokens, may_end)
    };
    assert_eq!(allowed(&mut matcher), (vec![1, 3], false));
    matcher.accept(1).unwrap();
    let mut fork = matcher.fork();
    assert_eq!(allowed(&mut fork), (vec![2], false));
    fork.accept(2).unwrap();
    assert_eq!(allowed(&mut fork), (vec![1, 3], true));
    assert_eq!(allowed(&mut matcher), (vec![2], false), "the fork went on alone");
    assert!(matcher.accept(1).is_err());
}

#[test]
fn where_the_vocabulary_has_no_token_for_the_form_all_are_forbidden() {
    let vocabulary = Vocabulary::new(&[vec![], b"a".to_vec(), b"ab".to_vec()]).unwrap();
    let form = Formed::new(&Form::Regex("ab|c".to_owned()), &vocabulary).unwrap();
    let (mut whole, mut stuck) = (form.matcher(), form.matcher());
    whole.accept(2).unwrap();
    stuck.accept(1).unwrap();
    for (matcher, may_end) in [(&mut whole, true), (&mut stuck, false)] {
        let mut scores = [0.0; 3];
        assert_eq!(matcher.mask(&mut scores).unwrap(), may_end);
        assert!(scores[1..].iter().all(|&score| score == f32::NEG_INFINITY));
    }
}

#[test]
fn a_broken_form_says_what_is_wrong_with_it() {
    let bench = Bench::new("qwen2-bias-tied");
    for (form, what) in [
        (Form::Regex("a(".to_owned()), "the regular expression cannot be used as a form: "),
        (Form::JsonSchema(json!({"type": "lamp"})), "the JSON schema cannot be used as a form: "),
        (Form::JsonSchema(json!({"$ref": "#/$defs/none"})), "the JSON schema cannot be used as a form: "),
        (Form::Choices(vec![]), "the list of choices is empty"),
    ] {
        let error = Formed::new(&form, &bench.vocabulary).unwrap_err().to_string();
        assert!(error.starts_with(what), "{error}");
    }
    let empty = Formed::new(&Form::JsonSchema(Value::Bool(false)), &bench.vocabulary);
    assert!(matches!(empty, Err(ConstrainError::Form { .. })), "no JSON has that form");
}

#[test]
fn the_bytes_of_a_sentencepiece_vocabulary_are_those_it_decodes_to() {
    let Some(folder) = luthier_fixtures::shared_for("models/stories260K", "choices with stories260K") else { return };
    let folder = folder.join("hf");
    let model = Model::load(&folder, &Device::cpu()).unwrap();
    let tokenizer = Tokenizer::from_dir(&folder).unwrap();
    let vocabulary = Vocabulary::of(&tokenizer, model.config.vocab_size).unwrap();
    let form = Formed::new(&Form::Choices(vec![" She smiled.".to_owned(), " 好。".to_owned()]), &vocabulary).unwrap();
    let options = GenerationOptions {
        num_beams: Some(3),
        num_return_sequences: Some(3),
        eos_token_id: Some(vec![2]),
        max_new_tokens: Some(40),
        ..Default::default()
    };
    let resolved = options.resolve().unwrap();
    let prompt = tokenizer.encode("Once upon a time", true).unwrap();
    let mut session = Session::new(&model);
    let done = Generator::new(&resolved)
        .constraint(&form)
        .generate(&mut session, std::slice::from_ref(&prompt))
        .unwrap()
        .remove(0);
    let start = tokenizer.decode(&prompt, true);
    for output in &done.outputs {
        let whole = tokenizer.decode(&[prompt.clone(), output.tokens.clone()].concat(), true);
        let text = whole.strip_prefix(&start).unwrap();
        assert!([" She smiled.", " 好。"].contains(&text), "{text:?}");
    }
}
