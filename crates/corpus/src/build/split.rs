//! Sides of the split by a key, so that what belongs together stays together.

use super::phrasing::hash;
use crate::devices::Side;
use crate::document::Document;
use crate::error::CorpusError;
use crate::random::key;

/// The purpose of the numbers drawn here.
const DRAW_SIDE: u64 = 0x7369_6465;

/// Which side each document falls on.
#[derive(Debug, Clone, PartialEq)]
pub struct Sides {
    test: f64,
    by: Option<String>,
    seed: u64,
}

impl Sides {
    /// Holds out a share `test` of the keys, in [0, 1). The key is the document's id, or its field `by`, such as a patent's family: all
    /// documents with one key stand on one side, whatever else the corpus holds. A document without the field goes by its id.
    ///
    /// # Errors
    /// When `test` is no share.
    pub fn new(test: f64, by: Option<String>, seed: u64) -> Result<Self, CorpusError> {
        if !(0.0..1.0).contains(&test) {
            return Err(CorpusError::setting("split.test", format!("{test} is no share from 0 to below 1")));
        }
        Ok(Sides { test, by, seed })
    }

    /// Whether there is a test side at all.
    #[must_use]
    pub fn holds_out(&self) -> bool {
        self.test > 0.0
    }

    /// The side of a document.
    #[must_use]
    pub fn of(&self, document: &Document) -> Side {
        let field = self.by.as_deref().and_then(|by| document.fields.get(by)).map(str::trim);
        let number = key(&[self.seed, DRAW_SIDE, hash(field.filter(|text| !text.is_empty()).unwrap_or(&document.id))]);
        // 53 bits fit a double exactly.
        let fraction = (number >> 11) as f64 / (1u64 << 53) as f64;
        if fraction < self.test { Side::Test } else { Side::Train }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Fields, Position, Provenance};
    use crate::source::Shape;

    fn document(id: usize, family: &str) -> Document {
        Document {
            id: id.to_string(),
            shape: Shape::Columns,
            fields: Fields::from_iter([("family", family)]),
            provenance: Provenance { file: std::path::Path::new("a").into(), position: Position::Whole, url: None },
        }
    }

    #[test]
    fn documents_with_one_key_stand_on_one_side_and_the_share_is_about_right() {
        let sides = Sides::new(0.2, Some("family".into()), 3).unwrap();
        let mut held_out = 0;
        for family in 0..1000 {
            let of: Vec<Side> = (0..3).map(|i| sides.of(&document(3 * family + i, &format!("f{family}")))).collect();
            assert!(of.iter().all(|side| *side == of[0]), "{family}: {of:?}");
            held_out += usize::from(of[0] == Side::Test);
        }
        assert!((150..250).contains(&held_out), "{held_out}");
        assert!(Sides::new(1.0, None, 3).is_err());
    }

    #[test]
    fn a_document_without_the_field_goes_by_its_id() {
        let sides = Sides::new(0.5, Some("family".into()), 3).unwrap();
        let held_out = (0..100).filter(|id| sides.of(&document(*id, " ")) == Side::Test).count();
        assert!((30..70).contains(&held_out), "{held_out}");
    }
}
