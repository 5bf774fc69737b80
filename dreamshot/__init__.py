"""The shared vocabulary of the study: parameters, records, seeds, paths, provenance, model loading."""
