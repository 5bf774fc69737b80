"""A small study for the benchmarks of training and drawing: stills of the embedded world, their captions, a base."""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import pandas as pd
import yaml

from benchmarks.random_base import build
from demo.data import reduce_by_area
from demo.draw import draw
from demo.world import caption, make_films, sample_shot, shot_type
from dreamshot.models import fetch, write_model_record
from dreamshot.params import SHOT_TYPES, BaseWeights, Dtype, Profile, load_params
from dreamshot.paths import CAPTION_ROWS, CROPS
from dreamshot.provenance import cpu_facts, cpu_name
from dreamshot.records import write_shards, write_table
from dreamshot.seeds import frame_id
from stages.chunks import cores

ROOT = Path(__file__).parents[1]
SEED = 512
FINER = 2  # stills are drawn larger and reduced
RANDOM_BASE = ROOT / ".work/models/sd15-random"


def arguments_of(doc: str | None, arguments: Sequence[str] | None, **counts: int) -> argparse.Namespace:
    """The options of a benchmark that compares two ways: its counts, the size and the precisions; the base is there."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in counts.items():
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--true-size", action="store_true")
    parser.add_argument("--dtype", nargs="+", choices=get_args(Dtype), default=["float32", "bfloat16"])
    given = parser.parse_args(arguments)
    if given.true_size:
        build(RANDOM_BASE, 0)
    return given


def machine() -> str:
    """Where this runs."""
    import torch

    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{cores()} cores of {cpu_name(cpu_facts())}"
    return f"{where}; load by others {os.getloadavg()[0]:.1f}; torch {torch.__version__}"


def stills(count: int, side: int) -> Iterator[tuple[dict[str, str], np.ndarray]]:
    """``count`` training and as many test frames of each shot type, with their rows."""
    for split in ("train", "test"):
        left: dict[str, int] = dict.fromkeys(SHOT_TYPES, count)
        for film in make_films(SEED + len(split), 60 * count):
            shot = sample_shot(film, 0, SEED)
            kind = shot_type(shot.distance)
            if left[kind] == 0:
                continue
            left[kind] -= 1
            pixels = reduce_by_area(draw(shot, FINER * side, aspect=1.0).pixels, FINER)
            row = {"frame": frame_id(film.id, pixels.tobytes()), "film": film.id, "shot_type": kind, "split": split}
            yield row | {"caption": caption(shot)}, pixels
            if not any(left.values()):
                break


def block(profile: str, base: Path, side: int, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A profile's parameters with another base and size, and ``changes`` to its groups."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    found: dict[str, Any] = raw["profiles"][profile]
    found["models"]["base"] |= {"source": str(base), "revision": ""}
    found["generate"] |= {"size": side}
    for group, values in changes.items():
        found[group] |= values
    raw["profile"] = profile
    return raw


@contextmanager
def study(
    profile: str, base: Path, side: int, frames: int, changes: Mapping[str, Mapping[str, Any]]
) -> Iterator[Profile]:
    """Inside: a folder below ``.work/``, deleted afterwards, that is a study up to its captions."""
    (ROOT / ".work").mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="study-", dir=ROOT / ".work") as folder, chdir(folder):
        Path("params.yaml").write_text(yaml.safe_dump(block(profile, base, side, changes)))
        params = load_params()
        rows, pictures = [], {}
        for row, pixels in stills(frames, side):
            rows.append(row)
            pictures[row["frame"]] = pixels
        write_shards(((key, pictures[key]) for key in sorted(pictures)), CROPS / "shards")
        write_table(pd.DataFrame(rows), CAPTION_ROWS, by="frame")
        write_model_record("base", fetch("base", BaseWeights(source=str(base), revision="", licence="mit")))
        yield params
