"""A dataset card for people and Croissant metadata for machines: ``python -m stages.card``."""
