//! CPU arithmetic: matrix products and row kernels, each with a plain reference.
//!
//! A kernel is a function over `f32` slices. It knows nothing of tensors, tapes or models; the engine above
//! gives it buffers and it fills them. Sizes are asserted, because a wrong size is a bug of the caller.
//!
//! Three rules hold for every kernel here:
//!
//! - **Same inputs, same bits**, for any number of threads: work is cut at places that depend on the shapes
//!   alone, and every reduction adds its parts in one fixed order (see [`threads`]).
//! - **One source for all processors**: each kernel is written once and compiled for AVX-512, for AVX2 + FMA and for the
//!   baseline, chosen at run time (`simd`), with the same bits under each. Large products go to the `gemm` crate, which
//!   chooses by itself and whose last bits differ between processors.
//! - **The plain version stays**: kernels with mathematics in them have a `plain` twin in `f64` without any trick, the
//!   truth of the tests.
//!
//! Shape letters: N tokens, C width, H heads, K key-value heads, D head size, V vocabulary. Matrices are row-major.

mod simd;

pub mod activation;
pub mod adamw;
pub mod adamw_8bit;
pub mod arena;
pub mod attention;
pub mod cross_entropy;
pub mod dropout;
pub mod dynamic_map;
pub mod elementwise;
pub mod embed;
pub mod exp;
pub mod experts;
mod few_rows;
pub mod matmul;
pub mod norm;
pub mod packed;
pub mod rope;
pub mod scratch;
pub mod softcap;
pub mod split;
pub mod threads;

pub use activation::{Activation, activate, activate_backward, gated, gated_backward};
pub use adamw::{AdamW, adamw};
pub use adamw_8bit::adamw_8bit;
pub use attention::{AttentionShape, Segment, attention, attention_backward};
pub use cross_entropy::{cross_entropy, log_softmax};
pub use dropout::dropout;
pub use elementwise::{add, add_assign, add_bias, axpy, column_sums, scale, scaled, sum_of_squares};
pub use embed::{embed, embed_backward, gather_rows, scatter_add_rows};
pub use experts::{Router, Source, mix, mix_backward_part, mix_backward_weights, route, route_backward};
pub use matmul::{MatMul, matmul, matmul_on_this_thread};
pub use norm::{NormKind, add_norm, norm, norm_backward};
pub use packed::{PackedView, Packing};
pub use rope::rope;
pub use simd::instruction_set;
pub use softcap::softcap;
pub use split::{Columns, put_columns, take_columns};
