//! A form over a vocabulary, and the matchers that follow it.

use llguidance::api::{StopReason, TopLevelGrammar};
use llguidance::{Matcher, ParserFactory};
use luthier_generate::{Constraint, ModelError};
use serde_json::{Value, json};

use crate::error::ConstrainError;
use crate::form::{Form, one_of};
use crate::vocabulary::Vocabulary;

/// A form that can be followed token by token.
pub struct Formed {
    /// At the beginning of an output.
    beginning: Matcher,
}

impl std::fmt::Debug for Formed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Formed").finish_non_exhaustive()
    }
}

impl Formed {
    /// Makes the automaton of a form.
    ///
    /// # Errors
    /// Naming what is wrong with the schema or the regular expression.
    pub fn new(form: &Form, vocabulary: &Vocabulary) -> Result<Self, ConstrainError> {
        let (kind, grammar) = match form {
            Form::JsonSchema(schema) => ("JSON schema", TopLevelGrammar::from_json_schema(on_one_line(schema))),
            Form::Regex(regex) => ("regular expression", TopLevelGrammar::from_regex(regex)),
            Form::Choices(choices) if choices.is_empty() => return Err(ConstrainError::NoChoices),
            Form::Choices(choices) => ("list of choices", TopLevelGrammar::from_regex(&one_of(choices))),
        };
        let wrong = |error: &dyn std::fmt::Display| ConstrainError::Form { kind, reason: error.to_string() };
        let mut factory = ParserFactory::new_simple(&vocabulary.tokens).map_err(|error| wrong(&error))?;
        factory.quiet();
        let parser = factory.create_parser(grammar).map_err(|error| wrong(&error))?;
        let beginning = Matcher::new(Ok(parser));
        match beginning.get_error() {
            Some(error) => Err(wrong(&error)),
            None => Ok(Self { beginning }),
        }
    }
}

/// The schema with the white space of Python's `json.dumps`, unless it says otherwise by itself (`x-guidance`). Were white space free, a
/// small model could go on writing it for ever.
fn on_one_line(schema: &Value) -> Value {
    const KEY: &str = "x-guidance";
    let mut schema = schema.clone();
    if let Value::Object(schema) = &mut schema
        && !schema.contains_key(KEY)
    {
        let spaces = json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "});
        schema.insert(KEY.to_owned(), spaces);
    }
    schema
}

impl Constraint for Formed {
    fn matcher(&self) -> Box<dyn luthier_generate::Matcher> {
        Box::new(Follows(self.beginning.clone()))
    }
}

/// What one output may still become.
struct Follows(Matcher);

impl luthier_generate::Matcher for Follows {
    fn mask(&mut self, scores: &mut [f32]) -> Result<bool, ModelError> {
        if let Some(error) = self.0.get_error() {
            return Err(said(error));
        }
        if self.0.is_stopped() {
            // Nothing can follow.
            scores.fill(f32::NEG_INFINITY);
            return Ok(true);
        }
        let allowed = match self.0.compute_mask() {
            Ok(allowed) => allowed,
            // A vocabulary without single bytes may have no token for what the form wants next.
            Err(error) if error.to_string().starts_with(&StopReason::NoExtensionBias.to_string()) => {
                scores.fill(f32::NEG_INFINITY);
                return Ok(false);
            }
            Err(error) => return Err(said(error)),
        };
        for (token, score) in (0..).zip(scores) {
            if !allowed.is_allowed(token) {
                *score = f32::NEG_INFINITY;
            }
        }
        self.0.is_accepting().map_err(said)
    }

    fn accept(&mut self, token: u32) -> Result<(), ModelError> {
        self.0.consume_token(token).map_err(said)
    }

    fn fork(&self) -> Box<dyn luthier_generate::Matcher> {
        Box::new(Self(self.0.clone()))
    }
}

/// What went wrong, without the state of the automaton, which stands in the lines behind.
fn said(error: impl std::fmt::Display) -> ModelError {
    error.to_string().lines().next().unwrap_or("it cannot go on").into()
}
