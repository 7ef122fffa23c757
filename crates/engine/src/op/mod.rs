//! One op, one file: the mathematics, the forward, the backward, and a gradient check against finite differences.
//! The plain reference of each kernel stands beside it in `luthier_kernels`.

pub mod activation;
pub mod add;
pub mod attention;
pub mod dropout;
pub mod embed;
pub mod experts;
pub mod gather;
pub mod head_loss;
pub mod linear;
pub mod norm;
pub mod rope;
pub mod scale;
pub mod split;
