//! One binary that fine-tunes language models.

fn main() {}
