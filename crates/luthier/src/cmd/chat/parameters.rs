//! The generation parameters of a chat: set one by one, checked at once, shown.

use luthier_generate::GenerationOptions;
use serde_json::{Map, Value};

use super::voice::Voice;
use crate::cmd::generate::{flags, warnings};

/// What the user has set, by flag or by `/set`.
#[derive(Debug)]
pub(super) struct Parameters {
    table: Map<String, Value>,
    options: GenerationOptions,
}

impl Parameters {
    /// Those of the command line.
    pub(super) fn new(options: &GenerationOptions) -> Self {
        Self { table: options.as_table(), options: options.clone() }
    }

    pub(super) fn options(&self) -> &GenerationOptions {
        &self.options
    }

    /// Sets a parameter, or takes it back, and names what has become without effect. Nothing changes on an error.
    pub(super) fn set(&mut self, name: &str, text: &str, voices: &[&Voice<'_>]) -> Result<Vec<String>, String> {
        let before = self.warned(voices);
        let mut table = self.table.clone();
        if text == "default" {
            // Its name is checked as if it had a value.
            GenerationOptions::from_table(&Map::from_iter([(name.to_owned(), Value::Null)]))
                .map_err(|error| error.to_string())?;
            table.shift_remove(name);
        } else {
            let value = texts(name, text).map_or_else(|| flags::value(name, text), Ok);
            table.insert(name.to_owned(), value.map_err(|why| format!("{name} cannot be {text}: {why}"))?);
        }
        let options = GenerationOptions::from_table(&table).map_err(|error| error.to_string())?;
        for voice in voices {
            voice.resolved(&options).map_err(|failure| failure.to_string())?;
        }
        (self.table, self.options) = (table, options);
        let now = self.warned(voices).into_iter();
        let fresh = now.filter(|warning| warning.0 == name || !before.contains(warning));
        Ok(fresh.map(|(_, warning)| warning).collect())
    }

    /// What is set and changes nothing.
    pub(super) fn warnings(&self, voices: &[&Voice<'_>]) -> Vec<String> {
        self.warned(voices).into_iter().map(|(_, warning)| warning).collect()
    }

    fn warned(&self, voices: &[&Voice<'_>]) -> Vec<(&'static str, String)> {
        let Some(Ok(merged)) = voices.first().map(|voice| voice.merged(&self.options)) else { return Vec::new() };
        // A conversation's prompt is never empty nor a single token; how long it will be, nobody knows yet.
        let warnings = warnings(&self.options, &merged, &[2]);
        warnings.into_iter().map(|warning| (warning.parameter, warning.to_string())).collect()
    }

    /// A line for each parameter that has a value, with where it comes from, and the names of the others.
    pub(super) fn show(&self, voice: &Voice<'_>, columns: usize) -> String {
        let merged = match voice.merged(&self.options) {
            Ok(merged) => merged.as_table(),
            Err(failure) => return format!("{failure}\n"),
        };
        let width = merged.keys().map(String::len).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in &merged {
            let from = match () {
                () if self.table.contains_key(name) => "you",
                () if voice.folder_gives(name) => "the model's folder",
                () => "the default",
            };
            text += &format!("{name:<width$}  {value}  ({from})\n");
        }
        let unset = flags::headings().flat_map(|(_, names)| names).map(|name| name.replace('-', "_"));
        let unset: Vec<String> = unset.filter(|name| !merged.contains_key(name)).collect();
        let words: Vec<&str> = unset.iter().map(String::as_str).collect();
        format!("{text}not set: {}\n", wrapped(&words, "  ", 9, columns))
    }
}

/// `/set` without a value: what there is, or what one does.
pub(super) fn help(name: Option<&str>, columns: usize) -> Result<String, String> {
    let Some(name) = name else {
        let lines = flags::headings().map(|(heading, names)| {
            let heading = heading.split(" (").next().unwrap_or(heading);
            let names: Vec<String> = names.iter().map(|name| name.replace('-', "_")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("{heading}\n  {}\n", wrapped(&names, "  ", 2, columns))
        });
        return Ok(lines.collect::<String>() + "/set NAME says what one does\n");
    };
    match flags::help(name) {
        Some((value, help)) => Ok(format!("{name} {value}: {help}\n")),
        // The reader of parameters knows the nearest name, or why it is not there.
        None => match GenerationOptions::from_table(&Map::from_iter([(name.to_owned(), Value::from(0))])) {
            Err(error) => Err(error.to_string()),
            Ok(_) => Ok(format!("{name} is known to transformers and has no meaning here\n")),
        },
    }
}

/// Several stop strings as a JSON list; one is typed as it is.
fn texts(name: &str, text: &str) -> Option<Value> {
    let list: Option<Vec<String>> = serde_json::from_str(text).ok();
    list.filter(|_| name == "stop_strings").map(Value::from)
}

/// Words in lines of at most so many columns; the first line begins at column `used`.
fn wrapped(words: &[&str], indent: &str, used: usize, columns: usize) -> String {
    let (mut text, mut column) = (String::new(), used);
    for (i, word) in words.iter().enumerate() {
        let comma = if i + 1 < words.len() { "," } else { "" };
        let width = word.len() + comma.len();
        match i {
            0 => {}
            _ if column + 1 + width > columns => {
                text.push('\n');
                text += indent;
                column = indent.len();
            }
            _ => {
                text.push(' ');
                column += 1;
            }
        }
        text += word;
        text += comma;
        column += width;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_within_the_columns() {
        let text = wrapped(&["alpha", "beta", "gamma", "delta"], "  ", 2, 16);
        assert_eq!(text, "alpha, beta,\n  gamma, delta");
        assert!(format!("  {text}").lines().all(|line| line.len() <= 16));
    }

    #[test]
    fn only_stop_strings_are_read_as_a_list_of_texts() {
        assert_eq!(texts("stop_strings", "[\"。\", \"a\"]"), Some(Value::from(vec!["。", "a"])));
        assert_eq!(texts("stop_strings", "[。"), None);
        assert_eq!(texts("bad_words_ids", "[\"a\"]"), None);
    }

    #[test]
    fn the_help_of_a_parameter_says_what_it_does() {
        assert!(help(Some("temperature"), 80).unwrap().starts_with("temperature X: "));
        assert!(help(None, 80).unwrap().lines().all(|line| line.len() <= 80));
        let error = help(Some("temprature"), 80).unwrap_err();
        assert!(error.contains("did you mean `temperature`?"), "{error}");
        assert!(help(Some("use_cache"), 80).unwrap().contains("no meaning here"));
        assert!(help(Some("dola_layers"), 80).unwrap_err().contains("not supported yet"));
    }
}
