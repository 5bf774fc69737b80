"""Pairs of pictures: one prompt and one noise, with and without the LoRA."""
