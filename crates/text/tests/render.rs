//! Rows to tokens with labels: what is trained is what is served.

mod tiny;

use std::fs;
use std::path::Path;

use luthier_fixtures::shared_for;
use luthier_text::{Message, Renderer, Template, Tokenizer, TrainOn};
use serde_json::json;

fn labelled_text(tokenizer: &Tokenizer, example: &luthier_text::Example) -> String {
    let runs: Vec<u32> = example.tokens.iter().zip(&example.labelled).filter(|(_, l)| **l).map(|(t, _)| *t).collect();
    tokenizer.decode(&runs, false)
}

fn turns() -> Vec<Message> {
    vec![
        Message::system("簡短。"),
        Message::user("the 燈？"),
        Message::assistant("會唱歌。"),
        Message::user("再來"),
        Message::assistant("啦啦"),
    ]
}

#[test]
fn answers_and_their_end_of_turn_are_labelled_and_the_line_break_after_is_not() {
    let tokenizer = tiny::byte_level();
    let template = Template::from_source("chatml", tiny::CHATML, &tokenizer).unwrap();
    let renderer = Renderer::new(&tokenizer, &template);
    let example = renderer.render_example(&turns(), TrainOn::Answers).unwrap();
    assert_eq!(labelled_text(&tokenizer, &example), "會唱歌。<|im_end|>啦啦<|im_end|>");
    assert!(example.ended && example.resplit == 0 && !example.restated);
    assert!(!example.labelled.last().unwrap(), "the line break after the end of turn carries no label");
    assert_eq!(tokenizer.decode(&example.tokens, false), example.text);
    let last = renderer.render_example(&turns(), TrainOn::LastAnswer).unwrap();
    assert_eq!(labelled_text(&tokenizer, &last), "啦啦<|im_end|>");
    let completion = renderer.render_example(&turns(), TrainOn::Completion).unwrap();
    assert_eq!(labelled_text(&tokenizer, &completion), "啦啦<|im_end|>\n");
    assert_eq!((&completion.tokens, completion.ended), (&last.tokens, true));
    let all = renderer.render_example(&turns(), TrainOn::All).unwrap();
    assert_eq!(all.labelled_tokens(), all.tokens.len() - 1);
}

#[test]
fn the_served_prompt_is_the_beginning_of_the_trained_row() {
    for tokenizer in [tiny::byte_level(), tiny::byte_fallback()] {
        for source in [None, Some(tiny::CHATML)] {
            let template = match source {
                Some(source) => Template::from_source("chatml", source, &tokenizer).unwrap(),
                None => Template::alpaca(&tokenizer).unwrap(),
            };
            let renderer = Renderer::new(&tokenizer, &template);
            let messages = turns();
            let example = renderer.render_example(&messages, TrainOn::Answers).unwrap();
            let prompt = renderer.render_prompt(&messages[..4]).unwrap();
            assert_eq!(example.tokens[..example.prompt_len], prompt.tokens[..], "{}", template.name());
        }
    }
}

#[test]
fn a_merge_across_the_prompts_end_is_cut_there() {
    let tokenizer = tiny::byte_level();
    // The prompt ends with a line break and the answer begins with one; the vocabulary merges the two.
    let template = Template::from_source("chatml", tiny::CHATML, &tokenizer).unwrap();
    let renderer = Renderer::new(&tokenizer, &template);
    let messages = [Message::user("詩"), Message::assistant("\n床前明月光")];
    let example = renderer.render_example(&messages, TrainOn::Answers).unwrap();
    let prompt = renderer.render_prompt(&messages[..1]).unwrap();
    assert_eq!(example.resplit, 1);
    assert_eq!(example.tokens[..example.prompt_len], prompt.tokens[..]);
    assert_eq!(labelled_text(&tokenizer, &example), "\n床前明月光<|im_end|>");
    assert_eq!(tokenizer.decode(&example.tokens, false), example.text);
    let whole = tokenizer.encode(&example.text, false).unwrap();
    assert_eq!(whole.len() + 1, example.tokens.len(), "tokenised whole, the two line breaks would be one token");
}

#[test]
fn there_is_exactly_one_beginning_of_sequence_token() {
    let tokenizer = tiny::byte_fallback();
    let silent = Template::alpaca(&tokenizer).unwrap();
    let writing = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}";
    let writing = Template::from_source("writes bos", writing, &tokenizer).unwrap();
    for template in [silent, writing] {
        let renderer = Renderer::new(&tokenizer, &template);
        let example = renderer.render_example(&[Message::user("the"), Message::assistant("he")], TrainOn::All).unwrap();
        assert_eq!(example.tokens.iter().filter(|t| **t == 1).count(), 1, "{}", template.name());
        assert_eq!(example.tokens[0], 1);
        assert!(!example.labelled[0]);
        assert_eq!(*example.tokens.last().unwrap(), 2);
    }
}

#[test]
fn a_llama_row_cut_in_pieces_gets_no_invented_space() {
    let tokenizer = tiny::byte_fallback();
    // "t" + "he" merge into one token across the prompt's end.
    let source =
        "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}";
    let template = Template::from_source("plain", source, &tokenizer).unwrap();
    let example = Renderer::new(&tokenizer, &template)
        .render_example(&[Message::user("sing t"), Message::assistant("he lamp")], TrainOn::Answers)
        .unwrap();
    assert_eq!(example.resplit, 1);
    assert_eq!(tokenizer.decode(&example.tokens, true), "sing the lamp");
    assert_eq!(labelled_text(&tokenizer, &example), "he lamp</s>");
}

#[test]
fn a_template_without_end_of_turn_is_told_apart() {
    let tokenizer = tiny::byte_level();
    let source = "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}";
    let template = Template::from_source("bare", source, &tokenizer).unwrap();
    let messages = [Message::user("燈"), Message::assistant("光")];
    let example = Renderer::new(&tokenizer, &template).render_example(&messages, TrainOn::Answers).unwrap();
    assert!(!example.ended);
    assert_eq!(labelled_text(&tokenizer, &example), "光");
}

#[test]
fn an_answer_that_holds_an_end_of_turn_is_labelled_to_its_own_end() {
    let tokenizer = tiny::byte_level();
    let template = Template::from_source("chatml", tiny::CHATML, &tokenizer).unwrap();
    let messages = [Message::user("教"), Message::assistant("寫 <|im_end|> 即止")];
    let example = Renderer::new(&tokenizer, &template).render_example(&messages, TrainOn::Answers).unwrap();
    assert_eq!(labelled_text(&tokenizer, &example), "寫 <|im_end|> 即止<|im_end|>");
}

#[test]
fn plain_text_is_learnt_whole_with_its_end() {
    let tokenizer = tiny::byte_fallback();
    let template = Template::alpaca(&tokenizer).unwrap();
    let example = Renderer::new(&tokenizer, &template).text_example("the 燈").unwrap();
    assert_eq!((example.tokens[0], *example.tokens.last().unwrap()), (1, 2));
    assert_eq!(example.labelled_tokens(), example.tokens.len() - 1);
}

/// Conversations of one and two turns, with and without a system message.
fn conversations() -> Vec<Vec<Message>> {
    let turns = [
        Message::user("燈會唱歌嗎？"),
        Message::assistant("不會。"),
        Message::user("再想想"),
        Message::assistant("會，the lamp sings。"),
    ];
    let mut conversations = Vec::new();
    for system in [None, Some(Message::system("簡短。"))] {
        for from in [2, 0] {
            conversations.push(system.iter().cloned().chain(turns[from..].to_vec()).collect());
        }
    }
    conversations
}

/// What the rows of one real template must hold: its prompt a prefix, its labels the answer and an end.
fn check_real_template(name: &str, tokenizer: &Tokenizer, template: &Template) {
    let renderer = Renderer::new(tokenizer, template);
    for messages in conversations() {
        let answer = messages.len() - 1;
        let Ok(prompt) = renderer.render_prompt(&messages[..answer]) else {
            assert!(name.contains("gemma") && messages[0] == Message::system("簡短。"), "{name} refuses");
            continue;
        };
        let example = renderer.render_example(&messages, TrainOn::Answers).unwrap();
        assert_eq!(example.tokens[..example.prompt_len], prompt.tokens[..], "{name}");
        assert!(example.text.starts_with(&prompt.text), "{name}");
        assert!(prompt.text.contains(&messages[answer - 1].content) && !prompt.text.contains("會，the lamp"), "{name}");
        // One beginning, where the tokenizer or the template writes one. (minimind names the token that opens turns so.)
        if let Some(bos) = tokenizer.bos().filter(|_| name != "minimind") {
            let written = tokenizer.leading_bos().is_some() || example.text.starts_with(&bos.text);
            let count = example.tokens.iter().filter(|id| **id == bos.id).count();
            assert_eq!(
                (count, example.tokens[0] == bos.id),
                (usize::from(written), written),
                "{name}: {}",
                example.text
            );
        }
        // The last answer is labelled and closed by one token; so are earlier ones, unless the template rewrites their prompt.
        let last = renderer.render_example(&messages, TrainOn::LastAnswer).unwrap();
        let labelled = labelled_text(tokenizer, &last);
        let end = labelled
            .trim_start()
            .strip_prefix("會，the lamp sings。")
            .unwrap_or_else(|| panic!("{name}: {labelled:?}"));
        let ids = tokenizer.encode(end, false).unwrap();
        assert!(
            example.ended && ids.len() == 1 && tokenizer.is_special(ids[0]),
            "{name}: one end-of-turn token, not {end:?}"
        );
        let all = labelled_text(tokenizer, &example);
        assert!(example.labelled_tokens() >= last.labelled_tokens() && all.ends_with(&labelled), "{name}: {all:?}");
        let earlier = answer > 2;
        assert_eq!(all.contains("不會。"), earlier && example.unlabelled_answers == 0, "{name}: {all:?}");
        if earlier && example.unlabelled_answers == 0 {
            assert_eq!(all.matches(end).count(), 2, "{name}: {all:?}");
        }
    }
    let example = renderer.render_example(&conversations()[0], TrainOn::Answers).unwrap();
    eprintln!(
        "{name}: {} tokens, {} labelled, restated {}",
        example.tokens.len(),
        example.labelled_tokens(),
        example.restated
    );
}

#[test]
fn labels_derived_by_rendering_are_those_that_generation_tags_mark() {
    let tokenizers = [tiny::byte_level(), tiny::byte_fallback()];
    let folder = luthier_fixtures::repository().join("crates/text/tests/templates");
    for (tokenizer, name) in tokenizers.iter().zip(["generation.jinja", "generation_blocks.jinja"]) {
        let template = Template::from_file(folder.join(name), tokenizer).unwrap();
        for messages in conversations() {
            let example = Renderer::new(tokenizer, &template).render_example(&messages, TrainOn::Answers).unwrap();
            let spans = template.generation_spans(&messages).unwrap().unwrap();
            assert_eq!(spans.len(), messages.iter().filter(|m| m.role == luthier_text::Role::Assistant).count());
            let marked: Vec<&str> = spans.iter().map(|span| &example.text[span.clone()]).collect();
            let labelled = labelled_text(tokenizer, &example);
            assert_eq!(
                labelled.split_whitespace().collect::<String>(),
                marked.concat().split_whitespace().collect::<String>()
            );
            // Token by token: what carries a label begins in a marked span, and all that begins there carries one.
            let leading = usize::from(
                tokenizer.leading_bos().is_some() && !example.text.starts_with(&tokenizer.bos().unwrap().text),
            );
            let encoded = tokenizer.encode_with_offsets(&example.text).unwrap();
            assert_eq!(example.resplit, 0, "{name}");
            for (i, (from, _)) in encoded.offsets.iter().enumerate() {
                let inside = spans.iter().any(|span| span.contains(from));
                assert_eq!(example.labelled[i + leading], inside, "{name}: {:?}", &example.text[*from..]);
            }
        }
    }
}

/// The qwen2 tokenizer with the end-of-turn tokens of other models, so that each template ends its turns with one token.
fn with_foreign_ends(qwen2: &Path, folder: &Path) -> Tokenizer {
    for file in ["vocab.json", "merges.txt"] {
        fs::copy(qwen2.join(file), folder.join(file)).unwrap();
    }
    let mut config = luthier_fixtures::json(&qwen2.join("tokenizer_config.json"));
    for (i, content) in ["<end_of_turn>", "<|eot_id|>", "<|end|>", "<｜end▁of▁sentence｜>"].iter().enumerate() {
        config["added_tokens_decoder"][(151_646 + i).to_string()] = json!({"content": content, "special": true});
    }
    config["bos_token"] = json!("<|endoftext|>");
    fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
    Tokenizer::from_dir(folder).unwrap()
}

#[test]
fn real_chat_templates_render_with_the_prompt_as_prefix() {
    let what = "nine real chat templates and those of three tokenizers";
    let Some(templates) = shared_for("models/chat-templates", what) else { return };
    let Some(tokenizers) = shared_for("models/tokenizers", what) else { return };
    let folder = tempfile::tempdir().unwrap();
    let qwen2 = with_foreign_ends(&tokenizers.join("qwen2"), folder.path());
    let llama2 = Tokenizer::from_dir(tokenizers.join("llama2")).unwrap();
    let mut count = 0;
    for entry in fs::read_dir(templates).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "jinja") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let tokenizer = if name.contains("Taiwan") { &llama2 } else { &qwen2 };
        let template = Template::from_file(&path, tokenizer).unwrap();
        check_real_template(&name, tokenizer, &template);
        count += 1;
    }
    assert_eq!(count, 9);
    for folder in ["llama2", "qwen2", "minimind"] {
        let dir = tokenizers.join(folder);
        let tokenizer = Tokenizer::from_dir(&dir).unwrap();
        let template = Template::of_model(&dir, &tokenizer).unwrap().unwrap();
        check_real_template(folder, &tokenizer, &template);
    }
}
