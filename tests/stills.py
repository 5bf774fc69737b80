"""Folders of stills whose truth is known, and the parameters to run the first stages on them."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

REPO = Path(__file__).parent.parent
FRAMES = "stills"
LABELS = "labels.csv"


def write_params(folder: Path, **changes: Any) -> None:
    """The demo block in ``folder/params.yaml``, with small pictures and quotas and without a model to crop.

    The keys of ``changes`` are like ``ingest__min_year``.
    """
    raw = yaml.safe_load((REPO / "params.yaml").read_text(encoding="utf-8"))
    block = raw["profiles"]["demo"]
    block |= {"frames": FRAMES, "labels": LABELS}
    block["ingest"]["min_side"] = block["crop"]["size"] = 64
    block["crop"]["method"] = "attention"
    block["select"] |= {"train": 1, "test": 1, "probe": 1}
    for name in block["generate"]["sets"]:
        block["generate"]["sets"][name]["per_type"] = 1
    for key, value in changes.items():
        *groups, last = key.split("__")
        target = block
        for group in groups:
            target = target[group]
        target[last] = value
    (folder / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")


def scene(seed: int = 0, width: int = 120, height: int = 80) -> np.ndarray:
    """A colourful picture of large smooth blobs, (height, width, 3) uint8, no line of it dark."""
    small = np.random.default_rng(seed).integers(60, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def save(path: Path, picture: np.ndarray | Image.Image, **options: Any) -> Path:
    """Write a picture in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **options)
    return path


def write_csv(path: Path, header: str, rows: Iterable[Iterable[Any]]) -> None:
    """A table; ``header`` is "file film year"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split())
        writer.writerows(rows)


def write_films(folder: Path, films: Mapping[str, Iterable[str]], each: int = 1) -> None:
    """Stills and labels: ``each`` frames of each shot type that a film is said to have."""
    listing, labels = [], []
    for number, (film, shot_types) in enumerate(films.items()):
        for kind, shot_type in enumerate(shot_types):
            for index in range(each):
                file = f"{film}-{shot_type}-{index}.png"
                save(folder / FRAMES / file, scene(10_000 * number + 100 * kind + index))
                listing.append((file, film, 2020))
                labels.append((file, shot_type))
    write_csv(folder / FRAMES / "frames.csv", "file film year", listing)
    write_csv(folder / LABELS, "file shot_type", labels)


def run_module(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """``python -m name`` in ``folder``."""
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    command = [sys.executable, "-m", name]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
