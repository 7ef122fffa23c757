//! The page's templates and the rule by which data enters them.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior, Value, escape_formatter};

use serde::Serialize;

use crate::page::Page;

const TEMPLATES: [(&str, &str); 11] = [
    ("head.html", include_str!("../templates/head.html")),
    ("report.html", include_str!("../templates/report.html")),
    ("charts.html", include_str!("../templates/charts.html")),
    ("data.html", include_str!("../templates/data.html")),
    ("scores.html", include_str!("../templates/scores.html")),
    ("examples.html", include_str!("../templates/examples.html")),
    ("report.css", include_str!("../templates/report.css")),
    ("explain.html", include_str!("../templates/explain.html")),
    ("explain.css", include_str!("../templates/explain.css")),
    ("dataset.html", include_str!("../templates/dataset.html")),
    ("dataset.css", include_str!("../templates/dataset.css")),
];

/// The page of a run as HTML.
pub(crate) fn html(page: &Page) -> Result<String, minijinja::Error> {
    render("report.html", page)
}

/// The page of an explanation as HTML.
pub(crate) fn explanation(page: &impl Serialize) -> Result<String, minijinja::Error> {
    render("explain.html", page)
}

/// The page of a data set as HTML.
pub(crate) fn data(page: &impl Serialize) -> Result<String, minijinja::Error> {
    render("dataset.html", page)
}

/// Everything put into a template is escaped, and no character of it can steer the page.
fn render(template: &str, page: &impl Serialize) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_formatter(put);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    environment.get_template(template)?.render(Value::from(Serde(page)))
}

fn put(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() && text.chars().any(steers) => {
            escape_formatter(out, state, &Value::from(visible(text)))
        }
        _ => escape_formatter(out, state, value),
    }
}

/// Control characters, which HTML forbids or hides, and the marks that change the direction of the text around them.
fn steers(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The same text with such characters shown by their number; pictures for them exist, but few fonts have them.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        if steers(c) {
            shown.push_str(&format!("[U+{:04X}]", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_direction_overrides_become_visible() {
        assert_eq!(visible("a\0b\u{7}\r\nc\t\u{202E}d\u{85}"), "a[U+0000]b[U+0007]\nc\t[U+202E]d[U+0085]");
        assert_eq!(visible("שלום 你好"), "שלום 你好");
    }
}
