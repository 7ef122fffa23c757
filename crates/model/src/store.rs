//! How the weights of a model are held in memory.

use std::fmt;

use luthier_engine::Packing;

use crate::decoder::Role;

/// How frozen weights are held. Norms, biases and places are f32 always, and so is what training changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Store {
    /// Four bytes a number; used where they lie if the files hold f32.
    #[default]
    F32,
    /// Two bytes a number, the upper half of f32; used where they lie if the files hold bf16.
    Bf16,
    /// One byte a number, and a scale for every 128 of a row.
    Int8,
    /// Half a byte a number, and a scale for every 64 of a row (arXiv 2305.14314). Embedding and head are int8: every
    /// token goes through them, and they are what four bits change most.
    Nf4,
}

impl Store {
    /// How a parameter is packed; none for f32.
    pub(crate) fn packing(self, role: Role) -> Option<Packing> {
        match (self, role) {
            (Self::F32, _) | (_, Role::Bias | Role::Norm { .. } | Role::Positions) => None,
            (Self::Bf16, _) => Some(Packing::Bf16),
            (Self::Int8, _) | (Self::Nf4, Role::Table) => Some(Packing::Int8),
            (Self::Nf4, Role::Matrix) => Some(Packing::Nf4),
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Nf4 => "nf4",
        })
    }
}
