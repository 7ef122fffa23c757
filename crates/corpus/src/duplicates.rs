//! What needs all documents at once: exact and near duplicates, and training rows that share long passages with test rows.

mod contamination;
mod distance;
mod exact;
mod minhash;
mod near;

pub use contamination::{Contaminated, Contamination};
pub use distance::edit_distance;
pub use exact::Exact;
pub use near::{Near, NearOf, NearOptions};
