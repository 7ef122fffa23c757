//! Metrics, and the comparison of a base model with a tuned one.
