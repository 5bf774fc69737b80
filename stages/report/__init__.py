"""From the records of all stages to metrics, plots and one page: ``python -m stages.report``."""
