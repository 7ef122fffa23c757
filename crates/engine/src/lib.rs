//! Tensors, the device seam, the tape and its fused ops.
//!
//! A model is written forward-only: it calls ops on a [`Tape`], which notes what the backward of each op will need.
//! [`Tape::backward`] then replays the notes in reverse and accumulates into one flat buffer of gradients,
//! [`Grads`], of the trained parameters only. Frozen operands leave no trace. All arithmetic goes through the
//! [`Backend`] of a [`Device`]: `cpu` computes, `plan` only counts bytes and operations; CUDA is a third.
//!
//! Shape letters, declared once: N tokens, C width, H heads, K key-value heads, D head size, F feed-forward,
//! V vocabulary, R rank. Activations are `[N, C]`, rows packed end to end: there is no padding and no batch axis.

#![forbid(unsafe_code)]

pub mod check;
mod cpu;
mod device;
pub mod op;
mod params;
mod plan;
mod pool;
mod profile;
mod recompute;
mod storage;
mod tape;
mod tensor;

pub use device::{AttentionForward, Backend, Buffer, Device, Memory, View, ViewMut, Work};
pub use luthier_kernels::activation::Activation;
pub use luthier_kernels::adamw::AdamW;
pub use luthier_kernels::adamw_8bit::lengths as eight_bit_lengths;
pub use luthier_kernels::attention::{AttentionShape, Segment};
pub use luthier_kernels::instruction_set;
pub use luthier_kernels::matmul::{FEW_ROWS, MatMul};
pub use luthier_kernels::norm::NormKind;
pub use luthier_kernels::packed::Packing;
pub use luthier_kernels::threads;
pub use op::attention::Layout;
pub use op::experts::Routing;
pub use op::head_loss::Head;
pub use op::linear::{Linear, LowRank};
pub use op::norm::Norm;
pub use op::rope::RopeTable;
pub use params::{Grads, Param, ParamId, Params};
pub use profile::{ProductKind, ProductShape, Profile, ProfileRow, Spent};
pub use recompute::{Recompute, Remade, Remake, Saved};
pub use storage::{Numbers, Packed};
pub use tape::{Backward, Flow, Slot, Tape, Var};
pub use tensor::Tensor;
