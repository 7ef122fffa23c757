//! Questions with their answers: SQuAD and DRCD, HC3, seed tasks, and the question sets of nlp_chinese_corpus.

use luthier_text::{Fault, FaultKind};
use serde_json::{Map, Value};

use super::{Parsed, renamed, text_of};
use crate::document::Fields;

/// Whether a row is one article of a SQuAD set.
pub(super) fn is_article(row: &Map<String, Value>) -> bool {
    let first = row.get("paragraphs").and_then(|list| list.get(0));
    first.is_some_and(|paragraph| paragraph.get("context").is_some() && paragraph.get("qas").is_some())
}

/// Whether a row is a whole SQuAD set.
pub(super) fn is_set(row: &Map<String, Value>) -> bool {
    let first = row.get("data").and_then(|list| list.get(0)).and_then(Value::as_object);
    first.is_some_and(is_article)
}

/// One document a question: `title`, `context`, `question`, `answer`, and the same as `instruction`, `input`, `output`.
pub(super) fn squad(row: &Map<String, Value>) -> Result<Vec<Parsed>, Fault> {
    if let Some(Value::Array(articles)) = row.get("data") {
        let mut all = Vec::new();
        for (i, article) in articles.iter().enumerate() {
            let object = article.as_object().ok_or_else(|| missing(format!("data[{i}]")))?;
            article_questions(object, &mut all)?;
        }
        return Ok(all);
    }
    let mut all = Vec::new();
    article_questions(row, &mut all)?;
    Ok(all)
}

fn article_questions(article: &Map<String, Value>, all: &mut Vec<Parsed>) -> Result<(), Fault> {
    let title = article.get("title").and_then(text_of).unwrap_or_default();
    let paragraphs = article.get("paragraphs").and_then(Value::as_array).ok_or_else(|| missing("paragraphs".into()))?;
    for (i, paragraph) in paragraphs.iter().enumerate() {
        let context = paragraph.get("context").and_then(Value::as_str);
        let context = context.ok_or_else(|| missing(format!("paragraphs[{i}].context")))?;
        let questions = paragraph.get("qas").and_then(Value::as_array);
        let questions = questions.ok_or_else(|| missing(format!("paragraphs[{i}].qas")))?;
        for (j, question) in questions.iter().enumerate() {
            let text = question.get("question").and_then(Value::as_str);
            let text = text.ok_or_else(|| missing(format!("paragraphs[{i}].qas[{j}].question")))?;
            let answer = question.get("answers").and_then(|answers| answers.get(0));
            let answer = answer.and_then(|answer| answer.get("text")).and_then(Value::as_str).unwrap_or_default();
            let mut fields = Fields::new();
            fields.set("title", title.as_str());
            if let Some(id) = paragraph.get("id").and_then(text_of) {
                fields.set("paragraph_id", id);
            }
            for (names, text) in
                [(["instruction", "question"], text), (["input", "context"], context), (["output", "answer"], answer)]
            {
                names.iter().for_each(|name| fields.set(*name, text));
            }
            all.push(Parsed { id: question.get("id").and_then(text_of), url: None, fields });
        }
    }
    Ok(())
}

fn missing(at: String) -> Fault {
    Fault { field: Some(at), kind: FaultKind::MissingField(None) }
}

/// The first human answer is the output; all answers of either kind stay, a blank line between them.
pub(super) fn hc3(mut row: Map<String, Value>) -> Result<Parsed, Fault> {
    let mut answers = [Vec::new(), Vec::new()];
    for (list, name) in answers.iter_mut().zip(["human_answers", "chatgpt_answers"]) {
        if let Some(Value::Array(items)) = row.remove(name) {
            list.extend(items.iter().filter_map(text_of));
        }
    }
    let [human, machine] = answers;
    let Some(output) = human.first().or(machine.first()).cloned() else {
        return Err(Fault { field: Some("human_answers".into()), kind: FaultKind::EmptyOutput });
    };
    let mut parsed = renamed(row, &[("question", "instruction")], &["instruction"])?;
    parsed.fields.set("output", output);
    parsed.fields.set("human_answers", human.join("\n\n"));
    parsed.fields.set("chatgpt_answers", machine.join("\n\n"));
    Ok(parsed)
}

/// One document an instance.
pub(super) fn seed_tasks(mut row: Map<String, Value>) -> Result<Vec<Parsed>, Fault> {
    let instances = match row.remove("instances") {
        Some(Value::Array(instances)) if !instances.is_empty() => instances,
        _ => return Err(missing("instances".into())),
    };
    let mut all = Vec::with_capacity(instances.len());
    for (i, instance) in instances.iter().enumerate() {
        let mut row = row.clone();
        for name in ["input", "output"] {
            let value = instance.get(name).cloned().ok_or_else(|| missing(format!("instances[{i}].{name}")))?;
            row.insert(name.to_owned(), value);
        }
        let mut parsed = renamed(row, &[], &["instruction"])?;
        if instances.len() > 1 {
            parsed.id = parsed.id.map(|id| format!("{id}/{i}"));
        }
        all.push(parsed);
    }
    Ok(all)
}

/// A question of a title and a description, which often repeats the title.
pub(super) fn with_description(row: Map<String, Value>, answer: &str) -> Result<Parsed, Fault> {
    let mut parsed = renamed(row, &[(answer, "output")], &["output"])?;
    let (title, description) =
        (parsed.fields.get("title").unwrap_or_default(), parsed.fields.get("desc").unwrap_or_default());
    let (title, description) = (title.trim(), description.trim());
    let question = if description.is_empty() || description == title {
        title.to_owned()
    } else if title.is_empty() || description.starts_with(title) {
        description.to_owned()
    } else {
        format!("{title}\n{description}")
    };
    parsed.fields.set("instruction", question);
    Ok(parsed)
}
