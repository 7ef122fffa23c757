//! Sources of text that need no model: the seeded generator of invented devices.
