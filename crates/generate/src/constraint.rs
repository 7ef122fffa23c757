//! Output that must have a form, such as a JSON schema: the seam to whatever knows the form.
//!
//! A [`Constraint`] gives every sequence a [`Matcher`] of its own, which forbids the tokens that cannot follow and is told the one
//! that was chosen. It works under every search, since all a search sees is scores of minus infinity. The crate
//! `luthier-constrain` makes constraints of JSON schemas, regular expressions and lists of choices.

use crate::processor::FORBIDDEN;
use crate::step::ModelError;

/// A form that every output must have.
pub trait Constraint {
    /// A matcher that has seen no token yet.
    fn matcher(&self) -> Box<dyn Matcher>;
}

/// What one sequence may still become.
pub trait Matcher: Send {
    /// Sets the scores `[V]` of the tokens that cannot come next to minus infinity; true when the output may end here. What it
    /// does to end-of-sequence tokens does not matter.
    ///
    /// # Errors
    /// When the form is too large or too deep to follow.
    fn mask(&mut self, scores: &mut [f32]) -> Result<bool, ModelError>;

    /// Takes the token that was chosen.
    ///
    /// # Errors
    /// When the token cannot follow.
    fn accept(&mut self, token: u32) -> Result<(), ModelError>;

    /// A matcher that has seen the same tokens.
    fn fork(&self) -> Box<dyn Matcher>;
}

/// Forbids the tokens that cannot come next, and the end-of-sequence tokens unless the output may end.
pub(crate) fn mask(matcher: &mut dyn Matcher, scores: &mut [f32], eos: &[u32]) -> Result<(), ModelError> {
    let ends = eos.iter().filter_map(|&token| Some((token as usize, *scores.get(token as usize)?)));
    let ends: Vec<(usize, f32)> = ends.collect();
    let may_end = matcher.mask(scores)?;
    for (token, score) in ends {
        scores[token] = if may_end { score } else { FORBIDDEN };
    }
    Ok(())
}
