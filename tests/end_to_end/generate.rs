//! `luthier generate` gives the tokens and scores of transformers.

use std::process::{Child, Command, Stdio};

use luthier_fixtures::{announce, ids, repository, shared};
use serde_json::{Map, Value, json};

use crate::command::{Folder, LLAMA, QWEN, golden, luthier, luthier_reading};

/// The flags of a golden case. What the model's `generation_config.json` would add is switched off: the reference ran without it.
fn flags(args: &Map<String, Value>) -> Vec<String> {
    let mut flags = vec!["--do-sample=false".to_owned()];
    for (name, off) in [("eos_token_id", "none"), ("repetition_penalty", "1")] {
        if !args.contains_key(name) {
            flags.extend([format!("--{}", name.replace('_', "-")), off.to_owned()]);
        }
    }
    for (name, value) in args {
        let value = match value {
            Value::Array(list) if list.iter().all(Value::is_u64) => {
                list.iter().map(Value::to_string).collect::<Vec<_>>().join(",")
            }
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        flags.extend([format!("--{}", name.replace('_', "-")), value]);
    }
    flags
}

fn generate(model: &str, more: &[String], input: &str) -> Vec<Value> {
    let mut arguments: Vec<String> =
        ["generate", "--model", model, "--input", "-", "--json"].iter().map(|&word| word.to_owned()).collect();
    arguments.extend_from_slice(more);
    luthier_reading(input, &arguments).succeeds().json_lines()
}

#[test]
fn every_golden_case_gives_the_tokens_and_scores_of_transformers() {
    let mut cases_run = 0;
    for model in [LLAMA, QWEN] {
        for case in golden(model)["generate"].as_array().unwrap() {
            let line = &generate(
                model,
                &flags(case["args"].as_object().unwrap()),
                &json!({"tokens": case["prompt"]}).to_string(),
            )[0];
            assert_eq!(line["prompt"], case["prompt"]);
            let (outputs, expected) = (line["outputs"].as_array().unwrap(), case["outputs"].as_array().unwrap());
            assert_eq!(outputs.len(), expected.len(), "{}", case["args"]);
            for (output, expected) in outputs.iter().zip(expected) {
                assert_eq!(output["tokens"], expected["tokens"], "{}", case["args"]);
                assert_eq!(output["finish_reason"], expected["finish_reason"], "{}", case["args"]);
                if let Some(score) = expected["score"].as_f64() {
                    assert!((output["score"].as_f64().unwrap() - score).abs() < 1e-4, "{}", case["args"]);
                }
                assert!(output["text"].is_string());
            }
            cases_run += 1;
        }
    }
    println!("{cases_run} cases equal");
    assert!(cases_run >= 50);
}

#[test]
fn prompts_in_one_batch_give_what_each_gives_alone_in_the_order_of_the_rows() {
    let cases = golden(LLAMA)["generate"].as_array().unwrap().clone();
    let same = json!({"max_new_tokens": 12});
    let cases: Vec<&Value> = cases.iter().filter(|case| case["args"] == same).collect();
    assert!(cases.len() >= 5);
    let input: String = cases.iter().map(|case| format!("{}\n", json!({"tokens": case["prompt"]}))).collect();
    for batch in ["1", "2", "32"] {
        let mut more = flags(same.as_object().unwrap());
        more.extend(["--batch".to_owned(), batch.to_owned()]);
        for (line, case) in generate(LLAMA, &more, &input).iter().zip(&cases) {
            assert_eq!(line["outputs"][0]["tokens"], case["outputs"][0]["tokens"], "batch {batch}");
        }
    }
}

#[test]
fn the_folders_generation_config_holds_under_the_flags() {
    // qwen2-bias-tied samples by default (temperature 0.7, top_k 20, top_p 0.8).
    let draw =
        |seed: &str| generate(QWEN, &["--seed".into(), seed.into()], "{\"tokens\": [0, 33]}")[0]["outputs"][0].clone();
    let draws: Vec<Value> = ["1", "2", "3", "1"].iter().map(|seed| draw(seed)).collect();
    assert_eq!(draws[0], draws[3], "a seed repeats");
    assert!(draws[0] != draws[1] || draws[0] != draws[2], "seeds differ");
    let explicit = ["--do-sample", "--temperature", "0.7", "--top-k", "20", "--top-p", "0.8", "--seed", "1"];
    let explicit = generate(QWEN, &explicit.map(str::to_owned), "{\"tokens\": [0, 33]}");
    assert_eq!(explicit[0]["outputs"][0], draws[0]);
}

#[test]
fn the_limit_is_256_new_tokens_when_nothing_gives_one_and_never_beyond_the_context() {
    let more = ["--eos-token-id".to_owned(), "none".to_owned()];
    let line = &generate(LLAMA, &more, "{\"tokens\": [0, 42]}")[0];
    let tokens = ids(&line["outputs"][0]["tokens"]);
    assert_eq!(tokens.len(), 254, "the model's context of 256 is nearer");
    assert_eq!(line["outputs"][0]["finish_reason"], "length");
    let limited = generate(
        LLAMA,
        &["--max-length".into(), "7".into(), more[0].clone(), more[1].clone()],
        "{\"tokens\": [0, 42]}",
    );
    assert_eq!(ids(&limited[0]["outputs"][0]["tokens"]), tokens[..5]);
}

#[test]
fn a_prompt_is_raw_text_unless_chat_writes_it_with_the_template() {
    let greedy = ["--do-sample=false", "--repetition-penalty", "1", "--eos-token-id", "none", "--max-new-tokens", "8"];
    let greedy: Vec<String> = greedy.iter().map(|&word| word.to_owned()).collect();
    let chat: Vec<String> = greedy.iter().cloned().chain(["--chat".to_owned()]).collect();
    let cases = golden("fixtures/tokenizer")["chat"].as_array().unwrap().clone();
    let open = |case: &&Value| case["add_generation_prompt"] == true;
    let case = cases.iter().find(open).expect("a prompt among the goldens");
    let by_messages = generate(QWEN, &greedy, &json!({"messages": case["messages"]}).to_string());
    assert_eq!(by_messages[0]["prompt"], case["messages"]);
    let by_tokens = generate(QWEN, &greedy, &json!({"tokens": case["ids"]}).to_string());
    assert_eq!(by_messages[0]["outputs"], by_tokens[0]["outputs"]);

    let as_user = generate(QWEN, &chat, "{\"prompt\": \"你好\"}");
    let messages = generate(QWEN, &greedy, "{\"messages\": [{\"role\": \"user\", \"content\": \"你好\"}]}");
    let raw = generate(QWEN, &greedy, "{\"prompt\": \"你好\"}");
    assert_eq!(as_user[0]["outputs"], messages[0]["outputs"]);
    assert_ne!(as_user[0]["outputs"], raw[0]["outputs"]);
    assert_eq!(as_user[0]["prompt"], "你好");
}

#[test]
fn a_chat_ends_at_the_tokenizers_end_of_sequence_token_too() {
    let folder = Folder::new();
    let model = folder.copy_of(QWEN);
    for file in ["config.json", "generation_config.json"] {
        let path = format!("{model}/{file}");
        let mut json: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        json["eos_token_id"] = json!(383);
        std::fs::write(&path, json.to_string()).unwrap();
    }
    // Token 2, <|im_end|>, is forced: it ends a chat, and nothing else, since the configuration names another one.
    let forced = ["--do-sample=false", "--max-new-tokens", "3", "--forced-eos-token-id", "2"].map(str::to_owned);
    let chat: Vec<String> = forced.iter().cloned().chain(["--chat".to_owned()]).collect();
    let reason =
        |more: &[String]| generate(&model, more, "{\"prompt\": \"你好\"}")[0]["outputs"][0]["finish_reason"].clone();
    assert_eq!(reason(&forced), "length");
    assert_eq!(reason(&chat), "stop");
}

#[test]
fn a_single_prompt_streams_the_text_that_json_holds() {
    let settings =
        ["--do-sample=false", "--repetition-penalty", "1", "--eos-token-id", "none", "--max-new-tokens", "60"];
    let more: Vec<String> = settings.iter().map(|&word| word.to_owned()).collect();
    let text =
        generate(QWEN, &more, "{\"prompt\": \"天地玄黃\"}")[0]["outputs"][0]["text"].as_str().unwrap().to_owned();
    let command = |more: &[&str]| {
        let base = ["generate", "--model", QWEN, "--prompt", "天地玄黃"];
        luthier(&[&base[..], &settings[..], more].concat()).succeeds().stdout
    };
    assert_eq!(command(&[]), format!("{text}\n"));
    let stop = text.chars().skip(5).take(2).collect::<String>();
    let end = text.find(&stop).unwrap() + stop.len();
    assert_eq!(command(&["--stop-strings", &stop]), format!("{}\n", &text[..end]));
}

#[test]
fn several_prompts_and_outputs_are_told_apart() {
    let rows = "{\"prompt\": \"一\"}\n{\"prompt\": \"二\"}\n";
    let arguments = ["generate", "--model", QWEN, "--input", "-", "--num-beams", "2", "--num-return-sequences", "2"];
    let arguments = [&arguments[..], &["--do-sample=false", "--max-new-tokens", "3"]].concat();
    let text = luthier_reading(rows, &arguments).succeeds().stdout;
    let headings: Vec<&str> =
        text.lines().filter(|line| line.starts_with("=== ") || line.starts_with("--- ")).collect();
    assert_eq!((headings[0], headings[3]), ("=== stdin:1 一", "=== stdin:2 二"));
    assert!(headings[1].starts_with("--- output 1, score -") && headings.len() == 6, "{headings:?}");
}

#[test]
fn a_flag_without_effect_is_named_once_and_a_folders_setting_is_not() {
    let outcome = luthier(&[
        "generate",
        "--model",
        QWEN,
        "--prompt",
        "好",
        "--do-sample=false",
        "--max-new-tokens",
        "2",
        "--top-p",
        "0.5",
    ]);
    let stderr = outcome.succeeds().stderr;
    assert_eq!(stderr.matches("has no effect").count(), 1, "{stderr}");
    assert!(stderr.contains("`top_p`"), "{stderr}");
    let more = ["--do-sample=false", "--max-new-tokens", "2", "--use-cache", "false", "--diversity-penalty", "0.5"];
    let stderr = luthier(&[&["generate", "--model", QWEN, "--prompt", "好"], &more[..]].concat()).succeeds().stderr;
    assert_eq!(stderr.matches("has no effect").count(), 2, "{stderr}");
    assert!(stderr.contains("`use_cache` has no effect: keys and values are always cached"), "{stderr}");
}

#[test]
fn every_search_runs_and_drafts_change_nothing() {
    let one = |more: &str| {
        let more: Vec<String> =
            ("--do-sample=false --repetition-penalty 1 --eos-token-id none --max-new-tokens 24 ".to_owned() + more)
                .split_whitespace()
                .map(str::to_owned)
                .collect();
        generate(QWEN, &more, "{\"tokens\": [0, 33, 34, 33, 34, 33]}")[0]["outputs"][0]["tokens"].clone()
    };
    let greedy = one("");
    assert_eq!(one("--prompt-lookup-num-tokens 8"), greedy);
    assert_eq!(one("--prompt-lookup-num-tokens 8 --guidance-scale 1.5"), one("--guidance-scale 1.5"));
    let others = [
        "--guidance-scale 4",
        "--penalty-alpha 0.9 --top-k 5",
        "--num-beams 4",
        "--num-beams 4 --num-beam-groups 2 --diversity-penalty 3.0",
        "--sequence-bias [[[77],30.0]]",
    ];
    let mut found: Vec<Value> = others.iter().map(|more| one(more)).collect();
    found.push(greedy);
    assert!(found.iter().all(|tokens| ids(tokens).len() == 24));
    let different = (0..found.len()).filter(|&i| !found[..i].contains(&found[i])).count();
    assert!(different >= 4, "{different} different texts: {found:?}");
}

#[test]
fn outputs_have_the_form_that_was_asked_for() {
    let folder = Folder::new();
    let schema = json!({
        "type": "object",
        "properties": {"good": {"type": "boolean"}, "size": {"type": "integer", "minimum": 0, "maximum": 99}},
        "required": ["good", "size"],
        "additionalProperties": false
    });
    let schema = folder.write("schema.json", &schema.to_string());
    let texts = |more: &[&str]| -> Vec<String> {
        let more: Vec<String> = more.iter().map(|&word| word.to_owned()).collect();
        let lines = generate(QWEN, &more, "{\"prompt\": \"好\"}\n{\"prompt\": \"琴\"}");
        let outputs = lines.iter().flat_map(|line| line["outputs"].as_array().unwrap());
        outputs.map(|output| output["text"].as_str().unwrap().to_owned()).collect()
    };
    for search in [&["--do-sample=false", "--num-beams", "3"][..], &["--do-sample", "--seed", "3"]] {
        for text in texts(&[&["--json-schema", &schema], search].concat()) {
            let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(value["good"].is_boolean() && value["size"].as_u64().unwrap() < 100, "{text}");
        }
        for text in texts(&[&["--regex", "[a-c]{3}。"], search].concat()) {
            let letters = text.strip_suffix('。').unwrap();
            assert!(letters.len() == 3 && letters.chars().all(|c| ('a'..='c').contains(&c)), "{text}");
        }
        for text in texts(&[&["--choices", "是", "不是", "I cannot know."], search].concat()) {
            assert!(["是", "不是", "I cannot know."].contains(&text.as_str()), "{text}");
        }
    }
    let shown =
        luthier(&["generate", "--model", QWEN, "--prompt", "好", "--do-sample=false", "--choices", "是", "不是"]);
    assert!(["是\n", "不是\n"].contains(&shown.succeeds().stdout.as_str()), "streamed text has the form too");
}

#[test]
fn wrong_input_is_refused_with_its_place() {
    let run = |more: &[&str]| luthier(&[&["generate", "--model", QWEN], more].concat());
    let prompt = |more: &[&str]| run(&[&["--prompt", "好"], more].concat());
    prompt(&["--temperature", "0"]).refuses(&["`temperature` is 0", "above 0"]);
    prompt(&["--temperature", "warm"]).refuses(&["--temperature"]);
    prompt(&["--num-beams", "0"]).refuses(&["`num_beams` is 0"]);
    prompt(&["--do-sample=false", "--num-return-sequences", "2"]).refuses(&["num_return_sequences is 2"]);
    prompt(&["--num-beam-groups", "2"]).refuses(&["num_beam_groups is 2, which does not divide num_beams = 1"]);
    prompt(&["--top-p", "1.5"]).refuses(&["`top_p` is 1.5", "at most 1"]);
    prompt(&["--num-beams", "2", "--num-return-sequences", "3"]).refuses(&["num_beams is only 2"]);
    prompt(&["--num-beams", "2", "--prompt-lookup-num-tokens", "3"]).refuses(&["contradict each other"]);
    prompt(&["--dola-layers", "low"]).refuses(&["dola_layers", "not supported yet"]);
    prompt(&["--regex", "a("]).refuses(&["the regular expression cannot be used as a form"]);
    prompt(&["--regex", "a", "--choices", "b"]).refuses(&["--regex", "--choices"]);
    prompt(&["--json-schema", "no/such.json"]).refuses(&["cannot read no/such.json"]);
    prompt(&["--json-schema", "README.md"]).refuses(&["README.md is not JSON"]);
    prompt(&["--regex", "a", "--eos-token-id", "none"]).refuses(&["a constraint needs a token to end with"]);
    prompt(&["--bad-words-ids", "[[999]]"]).refuses(&["bad_words_ids", "999"]);
    prompt(&["--batch", "0"]).refuses(&["--batch"]);
    prompt(&["--max-length", "1"]).refuses(&["--prompt: the prompt has", "max_length is 1"]);
    prompt(&["--input", "rows.jsonl"]).refuses(&["--input"]);
    run(&[]).refuses(&["--prompt"]);
    run(&["--input", "no/such.jsonl"]).refuses(&["no/such.jsonl"]);
    let row = |row: &str| {
        luthier_reading(
            &format!("{{\"prompt\": \"好\"}}\n{row}\n"),
            &["generate", "--model", QWEN, "--input", "-", "--json"],
        )
    };
    row("{\"prompt\": [1]}").refuses(&["stdin:2:", "`prompt` must be text", "a list"]);
    row("{\"text\": \"a\"}").refuses(&["stdin:2:", "needs one of `prompt`, `messages` and `tokens`", "`text`"]);
    row("{\"tokens\": [1], \"prompt\": \"a\"}").refuses(&["stdin:2:", "both"]);
    row("{\"tokens\": [1, 2, 999]}").refuses(&["stdin:2: the prompt holds token 999"]);
    row("{\"messages\": []}").refuses(&["stdin:2:", "`messages` is empty"]);
    row(&json!({"tokens": vec![5; 256]}).to_string())
        .refuses(&["stdin:2: the prompt has 256 tokens", "context of 256"]);
    luthier(&["generate", "--model", "crates", "--prompt", "a"])
        .refuses(&["crates is not a model folder", "config.json"]);
    let adapter = ["generate", "--model", QWEN, "--adapter", LLAMA, "--prompt", "a"];
    luthier(&adapter).refuses(&["adapter_config.json", "whole model"]);
}

/// Runs with a stdout of the test's own; gives the exit code and stderr.
fn writing_to(stdout: Stdio, read: impl FnOnce(&mut Child)) -> (Option<i32>, String) {
    let arguments = ["generate", "--model", LLAMA, "--prompt", "好", "--eos-token-id", "none"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_luthier"));
    let command = command.args(arguments).current_dir(repository()).stdout(stdout).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    read(&mut child);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_reader_that_leaves_early_ends_the_command_quietly() {
    let (code, stderr) = writing_to(Stdio::piped(), |child| drop(child.stdout.take()));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
}

#[test]
fn results_that_cannot_be_written_fail_the_run() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        announce("SKIPPED: a full disk (no /dev/full)");
        return;
    };
    let (code, stderr) = writing_to(full.into(), |_| {});
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: cannot write the results: ") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn spoilt_model_folders_are_refused_by_name() {
    let folder = Folder::new();
    let model = folder.copy_of(QWEN);
    let generate = || luthier(&["generate", "--model", &model, "--prompt", "好"]);
    let config = std::fs::read_to_string(format!("{model}/config.json")).unwrap();
    folder.write("model/config.json", &config.replace("\"qwen2\"", "\"mamba\""));
    generate().refuses(&["config.json", "mamba", "llama, mistral, qwen2"]);
    folder.write("model/config.json", &config.replace("\"vocab_size\": 384", "\"vocab_size\": 300"));
    generate().refuses(&["embed_tokens", "[384, 32]", "[300, 32]"]);
    folder.write("model/config.json", &config);
    folder.write("model/generation_config.json", "{\"top_k\": \"many\"}");
    generate().refuses(&["generation_config.json", "`top_k`"]);
    folder.write("model/generation_config.json", "{}");
    let weights = std::fs::read(format!("{model}/model.safetensors")).unwrap();
    std::fs::write(format!("{model}/model.safetensors"), &weights[..weights.len() / 2]).unwrap();
    generate().refuses(&["model.safetensors", "truncated"]);
}

#[test]
fn stories260k_tells_the_golden_story() {
    let Some(root) = shared("models/stories260K") else { return };
    let golden = luthier_fixtures::json(&root.join("golden/hf_generate.json"));
    let case =
        golden["generate"].as_array().unwrap().iter().find(|case| case["name"] == "greedy").expect("a greedy case");
    let prompt = &golden["prompt_ids"][case["prompt"].as_u64().unwrap() as usize];
    let model = root.join("hf").display().to_string();
    let new = case["args"]["max_new_tokens"].to_string();
    let line = &generate(&model, &["--max-new-tokens".into(), new], &json!({"tokens": prompt}).to_string())[0];
    let whole: Vec<u32> = ids(prompt).into_iter().chain(ids(&line["outputs"][0]["tokens"])).collect();
    assert_eq!(whole, ids(&case["sequences"][0]));
}
