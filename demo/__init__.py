"""The embedded world: films that do not exist, drawn from a seed, whose truth is known."""
