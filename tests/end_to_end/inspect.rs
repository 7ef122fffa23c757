//! `luthier doctor` says what it found and measured.
