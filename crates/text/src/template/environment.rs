//! minijinja set up as transformers sets up jinja2.

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind};

use super::python;

/// The name under which the environment holds its one template.
pub(super) const NAME: &str = "chat";

/// Steps a template may take. A long conversation takes some ten thousand; a loop without end stops within a second.
const FUEL: u64 = 20_000_000;

/// The environment that holds `source` as its one template. With `marks`, what stands in `{% generation %}` blocks is written between
/// these two characters.
pub(super) fn for_template(source: &str, marks: Option<[char; 2]>) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(false).build()?,
    );
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", |format: &str| python::strftime(format, python::seconds_now()));
    environment.add_filter("tojson", python::tojson);
    let source = match marks {
        None => with_generation_tags_as(source, "if true", "endif"),
        Some([open, close]) => {
            environment.add_filter("marked_as_generated", move |text: &str| format!("{open}{text}{close}"));
            with_generation_tags_as(source, "filter marked_as_generated", "endfilter")
        }
    };
    environment.add_template_owned(NAME, source)?;
    Ok(environment)
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// Whether a template says itself which parts are the model's own.
pub(super) fn has_generation_tags(source: &str) -> bool {
    with_generation_tags_as(source, "if true", "endif") != source
}

/// transformers marks answers with `{% generation %}` blocks. They write nothing themselves, so other blocks stand in for them, with
/// the same white-space control.
fn with_generation_tags_as(source: &str, open: &str, close: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let tag = &rest[start + 2..start + length];
        let name = tag.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        out.push_str(&rest[..start + 2]);
        match name {
            "generation" => out.push_str(&tag.replace("generation", open)),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", close)),
            _ => out.push_str(tag),
        }
        out.push_str("%}");
        rest = &rest[start + length + 2..];
    }
    out.push_str(rest);
    out
}

/// The message of an error with its line, without the renderer's own name for the template.
pub(super) fn explain(error: &Error) -> String {
    let message = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => format!("stopped after {FUEL} steps; does a loop in it never end?"),
        (ErrorKind::InvalidOperation, Some(detail)) => detail.to_string(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    match error.line() {
        Some(line) => format!("{message} (line {line})"),
        None => message,
    }
}
