"""The paper's numbers, to stand beside ours (Massaglia, Vacchetti and Cerquitelli 2024, tables 3 and 4)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperRow:
    """Means of one metric, as printed; the paper gives no interval and no p."""

    metric: str
    baseline: float
    ours: float


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables: which of our sets answers to it, and over how many pairs it was taken."""

    number: int
    set_name: str
    title: str
    pairs: int
    rows: tuple[PaperRow, ...]


TABLES = (
    PaperTable(
        3, "main", "prompts that name the shot type", 1500,
        (PaperRow("clip_t", 0.3221, 0.3269), PaperRow("dino", 0.4163, 0.4989)),
    ),
    PaperTable(
        4, "ablation", "prompts without the shot type", 600,
        (PaperRow("clip_t", 0.3214, 0.3234), PaperRow("dino", 0.4014, 0.4803)),
    ),
)  # fmt: skip
