//! `luthier chat` in a pipe: answers on stdout, everything else on stderr.

use luthier_fixtures::repository;
use serde_json::{Value, json};

use crate::command::{Folder, LLAMA, Outcome, QWEN, luthier_reading};

pub(crate) const ADAPTER: &str = "fixtures/training/qwen2-bias-tied/lora_qv/final";
const GREEDY: [&str; 5] = ["--do-sample=false", "--repetition-penalty", "1", "--max-new-tokens", "8"];

/// A chat with a fixture model, greedy and short unless the flags say otherwise.
fn chat(model: &str, more: &[&str], lines: &str) -> Outcome {
    let arguments: Vec<&str> =
        ["chat", "--model", model].into_iter().chain(GREEDY).chain(more.iter().copied()).collect();
    luthier_reading(lines, &arguments)
}

/// The objects of a chat that must end well.
fn answers(more: &[&str], lines: &str) -> Vec<Value> {
    let more: Vec<&str> = more.iter().copied().chain(["--json"]).collect();
    chat(QWEN, &more, lines).succeeds().json_lines()
}

fn answer(object: &Value) -> String {
    object["answer"].as_str().expect("an answer is a text").to_owned()
}

/// What `luthier generate` answers, up to the character that the length limit goes through.
fn generated(messages: &Value) -> String {
    let input = json!({ "messages": messages }).to_string();
    let arguments: Vec<&str> =
        ["generate", "--model", QWEN, "--input", "-", "--json"].into_iter().chain(GREEDY).collect();
    let output = luthier_reading(&input, &arguments).succeeds().json_lines()[0]["outputs"][0].clone();
    let text = output["text"].as_str().expect("an output has a text");
    if output["finish_reason"] == "length" { text.trim_end_matches('\u{FFFD}').to_owned() } else { text.to_owned() }
}

#[test]
fn each_line_of_a_pipe_is_answered_as_generate_answers_the_conversation_so_far() {
    let said = answers(&[], "你好\n\n再說一次\n");
    assert_eq!(said.iter().map(|object| &object["question"]).collect::<Vec<_>>(), ["你好", "再說一次"]);
    let first = generated(&json!([{"role": "user", "content": "你好"}]));
    let second = generated(&json!([{"role": "user", "content": "你好"}, {"role": "assistant", "content": first},
        {"role": "user", "content": "再說一次"}]));
    assert_eq!(said.iter().map(answer).collect::<Vec<_>>(), [first.clone(), second.clone()]);
    let plain = chat(QWEN, &[], "你好\n再說一次").succeeds();
    assert_eq!(plain.stdout, format!("{first}\n{second}\n"), "nothing but answers");
    assert_eq!(plain.stderr.matches("tokens/s; prompt").count(), 2, "{}", plain.stderr);
    assert!(!plain.stdout.contains('\u{1b}') && !plain.stderr.contains('\u{1b}'), "no colours in a pipe");
}

#[test]
fn what_a_prompt_begins_with_is_not_computed_again() {
    let said = answers(&[], "這是一個很長很長的問題，有很多的字，一個又一個\n再說一次\n再說一次\n");
    let count = |turn: usize, name: &str| said[turn][name].as_u64().unwrap();
    assert_eq!(count(0, "computed_tokens"), count(0, "prompt_tokens"), "nothing was there before");
    for turn in [1, 2] {
        let shared = count(turn - 1, "prompt_tokens") / 16 * 16;
        assert!(shared >= 32);
        assert!(count(turn, "computed_tokens") <= count(turn, "prompt_tokens") - shared, "{:?}", said[turn]);
    }
    let (beams, guided) = (["--num-beams", "3"], ["--guidance-scale", "1.5"]);
    for search in [&beams, &guided] {
        let said = answers(search, "這是一個很長很長的問題，有很多的字，一個又一個\n再說一次\n");
        let count = |name: &str| said[1][name].as_u64().unwrap();
        assert!(count("computed_tokens") + 32 <= count("prompt_tokens"), "{search:?}: {said:?}");
    }
}

#[test]
fn a_question_asked_otherwise_or_taken_back_leaves_no_trace() {
    let fresh = answer(&answers(&[], "這是什麼\n")[0]);
    for lines in ["你好\n/edit 這是什麼\n", "你好\n/undo\n這是什麼\n", "你好\n再說一次\n/clear\n這是什麼\n"]
    {
        let said = answers(&[], lines);
        assert_eq!(answer(said.last().unwrap()), fresh, "{lines}");
    }
}

#[test]
fn again_answers_with_another_seed_each_time() {
    let with = |seed: &str, lines: &str| {
        let hot = "chat --json --do-sample --temperature 5 --top-k 0 --top-p 1 --max-new-tokens 8";
        let arguments: Vec<&str> = hot.split(' ').chain(["--model", QWEN, "--seed", seed]).collect();
        luthier_reading(lines, &arguments).succeeds().json_lines().iter().map(answer).collect::<Vec<_>>()
    };
    let said = with("5", "你好\n/again\n/again\n");
    assert_eq!(said, [with("5", "你好\n"), with("6", "你好\n"), with("7", "你好\n")].concat());
    assert!(said[0] != said[1] && said[1] != said[2]);
    let greedy = chat(QWEN, &[], "你好\n/again\n").succeeds();
    assert!(greedy.stderr.contains("note: the same answer; without do_sample"), "{}", greedy.stderr);
}

#[test]
fn parameters_are_set_checked_and_shown() {
    let long = answer(&answers(&[], "你好\n")[0]);
    let said = answers(&[], "/set max_new_tokens 3\n你好\n/set --max-new-tokens=8\n/clear\n你好\n");
    assert_eq!(said[0]["tokens"], 3);
    assert_eq!(said[0]["finish_reason"], "length");
    assert!(long.starts_with(&answer(&said[0])));
    assert_eq!(answer(&said[1]), long);

    let typed = |c: &char| !c.is_control() && !c.is_whitespace() && *c != '\u{FFFD}' && *c != '/';
    let stop = long.chars().find(typed).expect("the model says something that can be typed").to_string();
    let said = answers(&[], &format!("/set stop_strings {stop}\n你好\n"));
    assert!(long.starts_with(&answer(&said[0])) && answer(&said[0]).ends_with(&stop));
    assert_eq!(said[0]["finish_reason"], "stop");

    let shown = chat(QWEN, &[], "/set temperature 0.3\n/set top-k default\n/show\n/set\n/set seed\n").succeeds();
    assert_eq!(shown.stdout, "");
    for part in [
        "warning: `temperature` has no effect: it acts only when tokens are drawn",
        "temperature         0.3  (you)",
        "max_new_tokens      8  (you)",
        "top_k               20  (the model's folder)",
        "not set: ",
        "Search\n  num_beams, ",
        "seed N: Seed of the draws",
    ] {
        assert!(shown.stderr.contains(part), "{part:?} is not in: {}", shown.stderr);
    }
    assert_eq!(shown.stderr.matches("`temperature` has no effect").count(), 1);
    assert!(shown.stderr.lines().all(|line| line.chars().count() <= 120), "{}", shown.stderr);
}

#[test]
fn the_system_message_stands_before_everything() {
    let expected = generated(&json!([{"role": "system", "content": "簡短回答"}, {"role": "user", "content": "你好"}]));
    let plain = generated(&json!([{"role": "user", "content": "你好"}]));
    let said = answers(&[], "/system 簡短回答\n你好\n/system\n/clear\n你好\n");
    assert_eq!(said.iter().map(answer).collect::<Vec<_>>(), [expected.clone(), plain]);
    assert_eq!(answer(&answers(&["--system", "簡短回答"], "你好\n")[0]), expected);

    let folder = Folder::new();
    let model = folder.copy_of(LLAMA);
    folder
        .write("model/chat_template.jinja", "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}");
    let warned = chat(&model, &[], "/system short\n").succeeds();
    assert!(warned.stderr.contains("warning: the model's template leaves the system message out"), "{}", warned.stderr);
    let raising = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}{{ messages[0].content }}";
    folder.write("model/chat_template.jinja", raising);
    let refused = chat(&model, &["--json"], "/system short\nhello\n");
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("no system here"), "{}", refused.stderr);
    assert_eq!(refused.json_lines().len(), 1, "the chat goes on without it");
}

#[test]
fn a_conversation_is_saved_as_a_row_that_generate_and_training_read() {
    let folder = Folder::new();
    let (new, there) = (folder.path("talk.jsonl"), folder.write("there.jsonl", "precious"));
    let lines = format!("/system 簡短\n你好\n/save {new}\n再說一次\n/save {new}\n/save {there}\n/quit\n不會問\n");
    let outcome = chat(QWEN, &["--json"], &lines);
    assert_eq!(outcome.code, Some(2), "one line was refused");
    assert!(outcome.stderr.contains("there.jsonl is there already; save under another name"), "{}", outcome.stderr);
    assert_eq!(std::fs::read_to_string(&there).unwrap(), "precious");
    let said = outcome.json_lines();
    assert_eq!(said.len(), 2, "/quit leaves");
    let saved = std::fs::read_to_string(&new).unwrap();
    assert_eq!(saved.lines().count(), 1);
    let row: Value = serde_json::from_str(&saved).unwrap();
    assert_eq!(
        row["messages"],
        json!([{"role": "system", "content": "簡短"}, {"role": "user", "content": "你好"},
            {"role": "assistant", "content": said[0]["answer"]}, {"role": "user", "content": "再說一次"},
            {"role": "assistant", "content": said[1]["answer"]}])
    );
}

#[test]
fn base_and_tuned_answer_side_by_side_and_the_conversation_is_the_tuned_ones() {
    let adapter = repository().join(ADAPTER).display().to_string();
    let tuned = ["--adapter", adapter.as_str()];
    let said = answers(&tuned, "/compare on\n你好\n/compare off\n再說一次\n");
    assert_eq!(said.iter().map(|object| &object["model"]).collect::<Vec<_>>(), ["base", "tuned", "tuned"]);
    assert_eq!(answer(&said[0]), answer(&answers(&[], "你好\n")[0]));
    let alone = answers(&tuned, "你好\n再說一次\n");
    assert_eq!([answer(&said[1]), answer(&said[2])], [answer(&alone[0]), answer(&alone[1])]);

    let plain = chat(QWEN, &tuned, "/compare on\n你好\n").succeeds();
    assert_eq!(plain.stdout, format!("--- base\n{}\n--- tuned\n{}\n", answer(&said[0]), answer(&said[1])));

    let other = answers(&["--compare", LLAMA], "你好\n");
    assert_eq!([&other[0]["model"], &other[1]["model"]], [LLAMA, QWEN]);
    let llama = chat(LLAMA, &["--json"], "你好\n").succeeds().json_lines();
    assert_eq!(answer(&other[0]), answer(&llama[0]));
}

#[test]
fn a_conversation_beyond_the_context_is_refused_with_both_numbers_and_kept() {
    let long = "很長".repeat(200);
    let outcome = chat(QWEN, &["--json"], &format!("你好\n{long}\n再說一次\n"));
    assert_eq!(outcome.code, Some(2));
    let line = outcome.stderr.lines().find(|line| line.contains("the model's context is 256")).expect("it is named");
    let tokens = line.split_whitespace().find_map(|word| word.parse::<usize>().ok()).expect("a number of tokens");
    assert!(tokens > 256, "{line}");
    let without = answers(&[], "你好\n再說一次\n");
    let said = outcome.json_lines();
    assert_eq!(said.iter().map(answer).collect::<Vec<_>>(), without.iter().map(answer).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_obeyed_is_named_in_one_line_each_and_the_chat_goes_on() {
    let wrong = [
        ("/udno", "unknown command /udno; did you mean /undo?"),
        ("/undo", "nothing was asked yet"),
        ("/again", "nothing was asked yet"),
        ("/edit x", "nothing was asked yet"),
        ("/save x.jsonl", "there is nothing to save yet"),
        ("/save", "/save needs the name of a file"),
        ("/compare on", "there is nothing to compare with; start with --adapter DIR, or with --compare MODEL"),
        ("/set temperature warm", "temperature cannot be warm: it must be a number"),
        ("/set temperature -1", "`temperature` is -1, but it must be a number above 0"),
        ("/set temprature 1", "unknown generation parameter `temprature`; did you mean `temperature`?"),
        ("/set temprature default", "unknown generation parameter `temprature`"),
        ("/set temprature", "unknown generation parameter `temprature`"),
        ("/set num_return_sequences 2", "num_return_sequences"),
        ("/set dola_layers low", "`dola_layers` = \"low\": this decoding method is not supported yet"),
        ("/set bad_words_ids [[100000]]", "`bad_words_ids` names token 100000"),
    ];
    let lines: String = wrong.iter().map(|(line, _)| format!("{line}\n")).collect();
    let outcome = chat(QWEN, &["--json"], &(lines + "你好\n/edit\n//你好\n"));
    assert_eq!(outcome.code, Some(2));
    let errors: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), wrong.len() + 2, "{}", outcome.stderr);
    for ((line, what), error) in wrong.iter().zip(&errors) {
        assert!(error.contains(what), "{line}: {error}");
    }
    assert!(errors[wrong.len()].contains("/edit needs the new question"));
    assert!(errors[wrong.len() + 1].contains(&format!("could not be answered or obeyed: {}", wrong.len() + 1)));
    let said = outcome.json_lines();
    assert_eq!(said.iter().map(|object| &object["question"]).collect::<Vec<_>>(), ["你好", "/你好"]);
    assert_eq!(answer(&said[0]), answer(&answers(&[], "你好\n")[0]), "nothing was changed on the way");
}

#[test]
fn help_lists_the_commands_on_stderr() {
    let outcome = chat(QWEN, &[], "/help\n/compare\n").succeeds();
    assert_eq!(outcome.stdout, "");
    for part in ["/set NAME VALUE", "/compare on|off", "/save FILE", "/quit", "compare is off"] {
        assert!(outcome.stderr.contains(part), "{part:?} is not in: {}", outcome.stderr);
    }
    assert!(outcome.stderr.lines().all(|line| line.len() <= 80), "{}", outcome.stderr);
}

#[test]
fn what_does_not_belong_together_is_refused_before_the_first_line() {
    let foreign = repository().join("fixtures/training/llama-mha-untied/lora_qv/final").display().to_string();
    chat(QWEN, &["--adapter", &foreign], "你好\n").refuses(&["error: "]);
    chat(QWEN, &["--num-beams", "2", "--num-return-sequences", "2"], "你好\n")
        .refuses(&["num_return_sequences is 2, but a conversation goes on from one answer"]);
    chat(QWEN, &["--compare", "nowhere"], "你好\n").refuses(&["nowhere"]);
    chat(QWEN, &["--temperature", "0"], "你好\n").refuses(&["`temperature` is 0"]);
}

#[test]
fn a_model_without_a_template_says_that_it_is_asked_in_alpacas_words() {
    let folder = Folder::new();
    let model = folder.copy_of(LLAMA);
    std::fs::remove_file(folder.path("model/chat_template.jinja")).unwrap();
    let path = folder.path("model/tokenizer_config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    config.as_object_mut().unwrap().remove("chat_template");
    std::fs::write(&path, config.to_string()).unwrap();
    let outcome = chat(&model, &["--json"], "hello\n").succeeds();
    assert!(outcome.stderr.contains("has no chat template") && outcome.stderr.contains("Alpaca"), "{}", outcome.stderr);
    assert_eq!(outcome.json_lines().len(), 1);
}
