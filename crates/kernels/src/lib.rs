//! CPU arithmetic: matrix products and row kernels, each with a plain reference.
