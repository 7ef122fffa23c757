//! A model's description in lines of at most eighty columns.

use serde_json::Value;

use super::{Description, Named};
use crate::cmd::inspect::facts::grouped;

/// Columns of the screen, and of the labels.
const WIDTH: usize = 80;
const LABEL: usize = 15;

/// Lines of the template that are shown.
const TEMPLATE_LINES: usize = 6;

pub(super) fn screen(model: &Description) -> String {
    let mut lines = Lines::default();
    if let Some(hub) = &model.hub {
        lines.add("model", hub);
    }
    lines.add_path("folder", &model.folder);
    lines.add("architecture", &format!("{} ({})", model.architecture, model.model_type));
    shape(&mut lines, model);
    memory(&mut lines, model);
    lines.add("context", &format!("{} tokens; {}", number(model.context), model.rope));
    tokens(&mut lines, model);
    if let Some(generation) = &model.generation_config {
        let is_told = |name: &&String| {
            !name.ends_with("_token_id") && *name != "transformers_version" && *name != "_from_model_config"
        };
        let settings: Vec<String> = generation
            .iter()
            .filter(|(name, _)| is_told(name))
            .map(|(name, value)| format!("{name} {}", plain(value)))
            .collect();
        if !settings.is_empty() {
            lines.add("generation", &settings.join(", "));
        }
    }
    lines.0
}

fn shape(lines: &mut Lines, model: &Description) {
    let Description { layers, hidden_size, intermediate_size, .. } = model;
    lines.add(
        "shape",
        &format!(
            "{layers} layers of width {}, MLP {} ({}); {} heads of {}, {} for keys and values ({})",
            number(*hidden_size),
            number(*intermediate_size),
            model.mlp,
            model.attention_heads,
            model.head_dim,
            model.key_value_heads,
            model.attention
        ),
    );
    lines.add("parameters", &number(model.parameters));
    for (kind, count) in &model.parameters_by_kind.0 {
        let share = 100.0 * *count as f64 / model.parameters.max(1) as f64;
        let tied = if *kind == "embedding" && model.tied_head { ", the head too" } else { "" };
        lines.add(&format!("  {kind}"), &format!("{:>14}  {share:>4.1} %{tied}", number(*count)));
    }
    let weights = &model.weights;
    let stored = weights.stored_as.as_deref().unwrap_or("number format not told");
    let bytes = weights.bytes.map(|bytes| format!(", {}", size(bytes as usize))).unwrap_or_default();
    let here = if weights.here { "" } else { "; the weights are not here yet" };
    lines.add("files", &format!("{stored}{bytes}{here}"));
}

fn memory(lines: &mut Lines, model: &Description) {
    let sizes = |bytes: &Named<usize>| {
        bytes.0.iter().map(|(store, bytes)| format!("{store} {}", size(*bytes))).collect::<Vec<_>>().join(", ")
    };
    let cache = model.key_value_cache_bytes_per_token;
    lines.add("memory", &sizes(&model.memory_bytes));
    lines.add("key-value cache", &format!("{} a token of text", size(cache)));
    let lora = &model.lora_training;
    lines.add("LoRA training", &sizes(&lora.memory_bytes));
    lines.add("", &format!("(rank {}, {} rows of {} tokens at a time)", lora.rank, lora.rows, lora.tokens_per_row));
}

fn tokens(lines: &mut Lines, model: &Description) {
    let rows = number(model.vocabulary);
    let Some(tokenizer) = &model.tokenizer else {
        lines.add("vocabulary", &format!("{rows} rows of the embedding"));
        lines.add("tokenizer", model.no_tokenizer.as_deref().unwrap_or("-"));
        return;
    };
    let fault = if tokenizer.tokens > model.vocabulary { "; FAULT: these do not belong together" } else { "" };
    let count = number(tokenizer.tokens);
    lines.add("vocabulary", &format!("{count} tokens, {rows} rows of the embedding{fault}"));
    let special = tokenizer.special_tokens.0.iter().map(|(name, token)| match token {
        Some(token) => format!("{name} {} ({})", token.text.escape_debug(), token.id),
        None => format!("{name} -"),
    });
    lines.add("special tokens", &special.collect::<Vec<_>>().join(", "));
    let first = if tokenizer.bos_before_every_text { "bos before every text; " } else { "" };
    let ends: Vec<String> = model.eos_token_id.iter().map(u32::to_string).collect();
    let ends = if ends.is_empty() { "none".to_owned() } else { ends.join(", ") };
    lines.add("", &format!("{first}texts end with {ends} (config.json)"));
    let template = &tokenizer.template;
    let Some(source) = &template.source else {
        lines.add("template", "none of its own: the Alpaca template is used, and saved with what is trained");
        return;
    };
    let count = source.lines().count();
    lines.add(
        "template",
        &format!("{}, {} {}", template.from, number(count), if count == 1 { "line" } else { "lines" }),
    );
    for line in source.lines().take(TEMPLATE_LINES) {
        lines.add_cut(line);
    }
    if count > TEMPLATE_LINES {
        lines.add("", &format!("... {} more", number(count - TEMPLATE_LINES)));
    }
}

/// Lines of the screen, each label with its text.
#[derive(Default)]
struct Lines(String);

impl Lines {
    /// A text, on as many lines as it takes.
    fn add(&mut self, label: &str, text: &str) {
        let mut label = label;
        for line in wrapped(text, WIDTH - LABEL - 1) {
            self.line(label, &line);
            label = "";
        }
    }

    /// A path, of which the end tells most.
    fn add_path(&mut self, label: &str, path: &str) {
        let room = WIDTH - LABEL - 1;
        if columns(path) <= room {
            return self.line(label, path);
        }
        let start = path.char_indices().map(|(at, _)| at).find(|at| columns(&path[*at..]) < room);
        self.line(label, &format!("…{}", &path[start.unwrap_or(path.len())..]));
    }

    /// A line as it stands, as far as there is room.
    fn add_cut(&mut self, text: &str) {
        let room = WIDTH - LABEL - 1;
        if columns(text) <= room {
            return self.line("", text);
        }
        let end = text.char_indices().map(|(at, _)| at).take_while(|at| columns(&text[..*at]) < room).last();
        self.line("", &format!("{}…", &text[..end.unwrap_or(0)]));
    }

    fn line(&mut self, label: &str, text: &str) {
        let text = text.replace('\t', "    ");
        self.0 += format!("{label:<LABEL$} {text}").trim_end();
        self.0.push('\n');
    }
}

/// Breaks a text at its spaces, leading ones kept.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let line = lines.last_mut().expect("there is one from the beginning");
        if columns(line) + columns(word.trim_end()) > width && !line.trim().is_empty() {
            lines.push(word.to_owned());
        } else {
            line.push_str(word);
        }
    }
    lines
}

/// Columns of a terminal: Chinese characters and their like take two.
fn columns(text: &str) -> usize {
    text.chars().map(|c| if c >= '\u{1100}' && c != '…' { 2 } else { 1 }).sum()
}

fn number(count: usize) -> String {
    grouped(count as u64)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Bytes for people.
fn size(bytes: usize) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.2} GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} kB", bytes / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_at_spaces_and_a_line_cut_within_the_columns() {
        let long = "word ".repeat(40);
        let mut lines = Lines::default();
        lines.add("label", &long);
        lines.add_cut(&"字".repeat(60));
        lines.add_path("folder", &format!("/{}/end", "x".repeat(100)));
        assert!(lines.0.lines().all(|line| columns(line) <= WIDTH), "{}", lines.0);
        assert!(lines.0.starts_with("label           word word"));
        assert!(lines.0.contains("字…\n") && lines.0.contains("xxx/end\n"), "{}", lines.0);
        assert_eq!(lines.0.matches("word").count(), 40);
    }
}
