//! Recipes, the training loop, optimiser, schedule, checkpoints and meters.
