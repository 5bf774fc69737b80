"""The steps of the study. Each is run as ``python -m stages.<step>`` from the project's folder."""
