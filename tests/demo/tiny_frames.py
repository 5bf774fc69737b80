"""Frames for the tests of the tiny models: random pictures in quick, or a few freshly rendered ones."""

from pathlib import Path

import numpy as np
import pandas as pd

from demo.data import Frames, film_frames
from demo.world import attributes, caption, is_border, make_films, sample_shot, shot_type

MODELS = Path(__file__).parents[2] / "demo" / "models"
UNSEEN = 90077  # films of neither the study nor the training


def noise_frames(count: int, seed: int) -> Frames:
    """Random pixels with captions and truth of real shots: enough to run a step, nothing to learn."""
    films = make_films(seed, 4)
    shots = [sample_shot(films[index % 4], index, seed) for index in range(count)]
    rows = [
        {
            "film": shot.film.id, "caption": caption(shot), "shot_type": shot_type(shot.distance),
            "border": is_border(shot.distance), **attributes(shot),
            "head_x0": 50.0, "head_y0": 20.0, "head_x1": 80.0, "head_y1": 60.0,
        }
        for shot in shots
    ]  # fmt: skip
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 128, 128, 3), dtype=np.uint8)
    return Frames(pixels, pd.DataFrame(rows))


def rendered_frames(films: int, each: int, seed: int = UNSEEN) -> Frames:
    """``each`` frames of each of so many films that no model has seen."""
    parts = [film_frames(film, seed, each) for film in make_films(seed, films)]
    pixels = np.concatenate([pixels for pixels, _ in parts])
    return Frames(pixels, pd.DataFrame([row for _, rows in parts for row in rows]))
