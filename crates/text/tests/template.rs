//! Templates, rendered as transformers renders them.

mod tiny;

use std::collections::BTreeMap;
use std::fs;

use luthier_fixtures::shared_for;
use luthier_text::{Chat, Message, Template, TextError, Tokenizer, messages_from_json};
use serde_json::Value;

fn conversation() -> Vec<Message> {
    vec![Message::user("燈會唱歌嗎？"), Message::assistant("會。")]
}

#[test]
fn the_alpaca_wording_is_that_of_stanford() {
    let template = Template::alpaca(&tiny::byte_level()).unwrap();
    let with_input = [Message::instruction("翻譯".into(), "燈".into())];
    assert_eq!(
        template.render(&with_input, true).unwrap(),
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that \
         appropriately completes the request.\n\n### Instruction:\n翻譯\n\n### Input:\n燈\n\n### Response:"
    );
    let without = [Message::instruction("唱歌".into(), String::new()), Message::assistant("啦")];
    assert_eq!(
        template.render(&without, false).unwrap(),
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n\
         ### Instruction:\n唱歌\n\n### Response:啦<|endoftext|>"
    );
}

#[test]
fn later_turns_of_alpaca_repeat_the_headings() {
    let template = Template::alpaca(&tiny::byte_level()).unwrap();
    let messages = [Message::system("簡短。"), Message::user("一"), Message::assistant("1"), Message::user("二")];
    let text = template.render(&messages, true).unwrap();
    assert_eq!(
        text,
        "簡短。\n\n### Instruction:\n一\n\n### Response:1<|endoftext|>\n\n### Instruction:\n二\n\n### Response:"
    );
}

#[test]
fn blocks_are_trimmed_and_the_last_line_break_dropped_as_in_transformers() {
    let source =
        "{% for m in messages %}\n    {% if m.role == 'user' %}\n{{ m.content }}|\n    {% endif %}\n{% endfor %}\n";
    let template = Template::from_source("t", source, &tiny::byte_level()).unwrap();
    assert_eq!(template.render(&conversation(), false).unwrap(), "燈會唱歌嗎？|\n");
}

#[test]
fn generation_blocks_loop_controls_and_python_methods_work() {
    let source = "{% for m in messages %}{% if m['content'].startswith('x') %}{% continue %}{% endif %}\
        {%- generation -%} {{ m.content.strip() }} {%- endgeneration -%}{% break %}{% endfor %}{{ tools is none }}{{ ' '.join(['a', 'b']) }}";
    let template = Template::from_source("t", source, &tiny::byte_level()).unwrap();
    assert_eq!(template.render(&[Message::user("x"), Message::user(" 燈 ")], false).unwrap(), "燈Truea b");
}

#[test]
fn a_template_that_refuses_is_quoted_and_one_that_never_ends_is_stopped() {
    let tokenizer = tiny::byte_level();
    let refusing =
        Template::from_source("t.jinja", "{{ raise_exception('System role not supported') }}", &tokenizer).unwrap();
    let message = refusing.render(&conversation(), false).unwrap_err().to_string();
    assert!(message.contains("t.jinja") && message.contains("System role not supported"), "{message}");
    let looping = "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}";
    let looping = Template::from_source("loop.jinja", looping, &tokenizer).unwrap();
    let message = looping.render(&conversation(), false).unwrap_err().to_string();
    assert!(message.contains("loop.jinja") && message.contains("never end"), "{message}");
    let error = Template::from_source("bad.jinja", "line one\n{% if %}", &tokenizer).unwrap_err();
    assert!(matches!(error, TextError::TemplateSyntax { .. }));
    assert!(error.to_string().contains("bad.jinja") && error.to_string().contains("line 2"), "{error}");
}

#[test]
fn the_models_template_is_found_in_either_place_and_its_absence_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = tiny::byte_level();
    let choose = || Template::choose("model", folder.path(), &tokenizer);
    let chosen = choose().unwrap();
    assert_eq!(chosen.template.name(), "alpaca");
    assert!(chosen.notice.unwrap().contains("no chat template"));
    let config = r#"{"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]}"#;
    fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
    assert_eq!(choose().unwrap().template.source(), "D");
    fs::write(folder.path().join("tokenizer_config.json"), r#"{"chat_template": [{"name": "rag", "template": "R"}]}"#)
        .unwrap();
    assert!(choose().unwrap_err().to_string().contains("rag"));
    fs::write(folder.path().join("chat_template.jinja"), "J").unwrap();
    let chosen = choose().unwrap();
    assert_eq!((chosen.template.source(), chosen.notice), ("J", None));
    let path = folder.path().join("chat_template.jinja");
    assert_eq!(Template::choose(path.to_str().unwrap(), "", &tokenizer).unwrap().template.source(), "J");
    assert!(Template::choose("no/such.jinja", "", &tokenizer).unwrap_err().to_string().contains("no/such.jinja"));
}

/// The conversations of the goldens.
fn chats() -> Vec<Value> {
    serde_json::from_str(include_str!("golden/conversations.json")).unwrap()
}

/// One of them as it is given to a template.
fn chat(case: &Value, add_generation_prompt: bool) -> Chat {
    let list = |key: &str| case.get(key).map(|list| list.as_array().unwrap().clone());
    Chat {
        messages: list("messages").unwrap(),
        tools: list("tools"),
        documents: list("documents"),
        add_generation_prompt,
        variables: case.get("variables").map(|v| v.as_object().unwrap().clone()).unwrap_or_default(),
    }
}

/// The day as the goldens have it.
fn on_the_day_of_the_goldens(text: &str, tokenizer: &Tokenizer) -> String {
    let today = Template::from_source("date", "{{ strftime_now('%d %b %Y') }}", tokenizer).unwrap();
    text.replace(&today.render(&[], false).unwrap(), "26 Jul 2024")
}

#[test]
fn own_templates_are_rendered_as_jinja2_renders_them() {
    let golden: BTreeMap<String, Value> = serde_json::from_str(include_str!("golden/own_templates.json")).unwrap();
    let tokenizer = tiny::byte_fallback();
    let folder = luthier_fixtures::repository().join("crates/text/tests/templates");
    for (key, expected) in &golden {
        let [name, case, prompt] = key.split(' ').collect::<Vec<_>>()[..] else { panic!("{key}") };
        let template = Template::from_file(folder.join(name), &tokenizer).unwrap();
        let case = &chats()[case.parse::<usize>().unwrap()];
        let text = template.render_chat(&chat(case, prompt == "True")).unwrap();
        assert_eq!(on_the_day_of_the_goldens(&text, &tokenizer), expected["text"].as_str().unwrap(), "{key}");
        let Ok(messages) = messages_from_json(&case["messages"]) else { continue };
        if prompt == "True" || case.get("variables").is_some() {
            continue;
        }
        let spans = template.generation_spans(&messages).unwrap();
        let expected: Vec<(usize, usize)> = serde_json::from_value(expected["spans"].clone()).unwrap();
        let spans = spans.map(|spans| spans.into_iter().map(|span| (span.start, span.end)).collect());
        assert_eq!(spans, name.starts_with("generation").then_some(expected), "{key}");
    }
    assert_eq!(golden.len(), 66);
}

#[test]
fn characters_that_mark_spans_may_stand_in_messages() {
    let source = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}|{% endfor %}";
    let template = Template::from_source("t", source, &tiny::byte_level()).unwrap();
    let messages = [Message::user("\u{FDD0}a"), Message::assistant("\u{FDD1}")];
    assert_eq!(template.generation_spans(&messages).unwrap(), Some(vec![0..4, 5..8]));
    assert_eq!(template.render(&messages, false).unwrap(), "\u{FDD0}a|\u{FDD1}|");
    let silent = Template::from_source("t", "{{ 'generation' }}", &tiny::byte_level()).unwrap();
    assert_eq!(silent.generation_spans(&messages).unwrap(), None);
}

#[test]
fn the_template_of_a_model_in_one_file_comes_with_its_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    tiny::byte_level().save(folder.path(), Some("{{ messages[0].content }}")).unwrap();
    let tokenizer = Tokenizer::from_dir(folder.path()).unwrap();
    let file = folder.path().join("model.gguf");
    fs::write(&file, "").unwrap();
    let chosen = Template::choose("model", &file, &tokenizer).unwrap();
    assert_eq!((chosen.template.source(), chosen.notice), ("{{ messages[0].content }}", None));
    let chosen = Template::choose("model", &file, &tiny::byte_level()).unwrap();
    assert!(chosen.notice.unwrap().contains("model.gguf has no chat template"));
}

#[test]
fn real_templates_are_rendered_as_jinja2_renders_them() {
    let what = "264 renderings of twelve real templates, with tools, documents and dates";
    let Some(templates) = shared_for("models/chat-templates", what) else { return };
    let Some(tokenizers) = shared_for("models/tokenizers", what) else { return };
    let chats = chats();
    let golden: BTreeMap<String, String> = serde_json::from_str(include_str!("golden/chat_templates.json")).unwrap();
    // Its special tokens are those the golden renderings were made with.
    let tokenizer = tiny::byte_fallback();
    for (key, expected) in &golden {
        let [name, case, prompt] = key.split(' ').collect::<Vec<_>>()[..] else { panic!("{key}") };
        let template = if name.ends_with(".jinja") {
            Template::from_file(templates.join(name), &tokenizer)
        } else {
            Template::of_model(tokenizers.join(name), &tokenizer).map(Option::unwrap)
        };
        let template = template.unwrap();
        let case = &chats[case.parse::<usize>().unwrap()];
        let chat = chat(case, prompt == "True");
        let text = match template.render_chat(&chat) {
            Ok(text) => on_the_day_of_the_goldens(&text, &tokenizer),
            Err(error) => {
                assert_eq!(expected, "refused", "{key}: {error}");
                continue;
            }
        };
        assert_eq!(&luthier_files::sha256(text.as_bytes()), expected, "{key}: {text}");
        // Messages of text alone are written the same by the way that training takes.
        if let Ok(messages) = messages_from_json(&case["messages"])
            && chat.tools.is_none()
            && chat.variables.is_empty()
            && chat.messages.iter().all(|message| message.as_object().unwrap().len() == 2)
        {
            let plain = template.render(&messages, prompt == "True").unwrap();
            assert_eq!(on_the_day_of_the_goldens(&plain, &tokenizer), text, "{key}");
        }
    }
    assert_eq!(golden.len(), 264);
}
