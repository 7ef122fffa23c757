//! Tensors, the device seam, the tape and its fused ops.
