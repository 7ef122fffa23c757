//! Parameters of transformers that are no options here: those that are refused, and those that would change nothing.

/// Parameters of transformers that change the output and are not built; null or false switches each off.
pub const NOT_BUILT: [&str; 6] =
    ["force_words_ids", "constraints", "dola_layers", "watermarking_config", "token_healing", "forced_decoder_ids"];

/// Parameters of transformers that change no output here, with their defaults and why. Neither they nor their flags are listed in help.
pub const WITHOUT_MEANING: [(&str, &str, &str); 17] = [
    ("use_cache", "true", "keys and values are always cached"),
    ("cache_implementation", "null", CACHE),
    ("cache_config", "null", CACHE),
    ("return_legacy_cache", "null", CACHE),
    ("low_memory", "null", "candidates of contrastive search share their cache without it"),
    ("remove_invalid_values", "false", "a logit that is not a number is an error here"),
    ("decoder_start_token_id", "null", ENCODER),
    ("output_attentions", "false", OUTPUT),
    ("output_hidden_states", "false", OUTPUT),
    ("output_scores", "false", OUTPUT),
    ("output_logits", "null", OUTPUT),
    ("return_dict_in_generate", "false", OUTPUT),
    ("num_assistant_tokens", "20", ASSISTANT),
    ("num_assistant_tokens_schedule", "\"constant\"", ASSISTANT),
    ("assistant_confidence_threshold", "0.4", ASSISTANT),
    ("is_assistant", "false", ASSISTANT),
    ("generation_kwargs", "{}", "it names nothing of its own; give the parameters themselves"),
];

const CACHE: &str = "there is one kind of cache, which grows as it is needed";
const ENCODER: &str = "it belongs to models with an encoder";
const OUTPUT: &str = "it changes what transformers returns, not which tokens";
const ASSISTANT: &str = "there is no assistant model; prompt_lookup_num_tokens drafts without one";

/// Whether a key is one of [`NOT_BUILT`].
pub(crate) fn is_not_built(key: &str) -> bool {
    NOT_BUILT.contains(&key)
}
