"""What `benches/run` is made of; the standard library alone."""
