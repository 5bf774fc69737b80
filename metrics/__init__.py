"""The study's measurements, free of the study: arrays in, small frozen dataclasses out.

Each file is one family: ``paired`` (baseline against fine-tuned), ``probe`` (which shot type a picture shows),
``encoders`` (pictures and prompts to vectors; the only one that needs torch).
"""
