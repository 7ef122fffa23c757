//! Everything before token ids: tokenizer, templates, rows, labels, the row ledger.
//!
//! Data flows one way. A [`Source`] file is cut into rows ([`read_rows`]), each either a conversation or plain text, or a
//! [`RowFault`] that names file, line and field. A [`Renderer`] writes a row with the model's [`Template`] and turns it into
//! token ids with the model's [`Tokenizer`], marking which tokens are learnt. [`prepare`] does that for all rows, decides each
//! row's side and fate, and keeps the books in a [`Ledger`] whose totals balance.
//!
//! The same [`Renderer`] makes training rows, evaluation prompts and the prompts of `generate` and `chat`, so the prompt that is
//! served is, token for token, the beginning of the row that was trained.
//!
//! ```
//! use luthier_text::{Source, read_rows};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("rows.json");
//! std::fs::write(&path, r#"[{"instruction": "燈會唱歌嗎？", "output": "會。"}, {"instruction": "再來", "ouput": "啦"}]"#)?;
//! let rows = read_rows(&Source::new(&path), 0, None)?;
//! assert!(rows[0].is_ok());
//! let fault = rows[1].as_ref().unwrap_err().to_string();
//! assert!(fault.ends_with("rows.json:2: field `output` is missing; the nearest field present is `ouput`"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod ledger;
mod options;
pub mod pieces;
mod prepare;
mod render;
mod rows;
mod template;
mod tokenizer;

pub use error::TextError;
pub use ledger::{Ledger, LedgerEntry, Outcome, Reason, Totals};
pub use options::{DataOptions, Dedup, Overlong, Part, Source, Split, SplitBy, TestSize, TrainOn};
pub use prepare::{Prepared, TestRow, prepare};
pub use render::{Example, PromptTokens, Renderer};
pub use rows::{
    Content, Fault, FaultKind, Format, Message, Role, Row, RowFault, check_conversation, check_row, messages_from_json,
    read_all, read_rows,
};
pub use template::{Chat, ChosenTemplate, Template};
pub use tokenizer::{Encoded, NewToken, SpecialToken, StreamDecoder, Tokenizer};
