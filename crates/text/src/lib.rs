//! Everything before token ids: tokenizer, templates, rows, labels, the row ledger.
