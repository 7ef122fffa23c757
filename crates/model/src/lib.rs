//! Hugging Face folders as decoders: configuration, weights, adapters, key-value cache.
