"""Prior preservation (DreamBooth, section 3.2): class pictures that the base draws before it learns, kept as PNG."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dreamshot.captions import prompt
from dreamshot.errors import StudyError
from dreamshot.models import device
from dreamshot.params import Drawing, Profile, ShotType
from dreamshot.records import picture_hash, png_bytes
from dreamshot.seeds import digest, picture_seed
from dreamshot.work import code_hash, work_folder, write_atomic
from stages.artist import Artist, Manner, Request, artist_for
from stages.diffusion import Pipeline
from stages.train.data import Data, Example, share_of

CODE = (
    "stages/train/prior.py", "stages/artist.py", "stages/sampler.py", "stages/diffusion.py", "stages/tuning",
)  # fmt: skip


def manner_of(drawing: Drawing, size: int, slab: int) -> Manner:
    """How training draws, always ``slab`` pictures at a time."""
    return Manner(drawing.sampler, drawing.steps, drawing.guidance, size, slab=slab)


def requests_of(params: Profile, shot_type: ShotType) -> list[Request]:
    """The class pictures: one prompt, each with a seed of its own."""
    text = prompt(params.train.prior.prompt, shot_type, "")
    return [
        Request(text, picture_seed(params.seed, "class", text, str(number)))
        for number in range(params.train.prior.pictures)
    ]


def draw_missing(open_artist: Callable[[], Artist], wanted: dict[Path, Request], batch: int) -> None:
    """Draw the class pictures that no earlier run has left.

    Raises:
        StudyError: one came out black, flat or not finite.
    """
    from tqdm import tqdm

    missing = [(path, request) for path, request in wanted.items() if not path.is_file()]
    with tqdm(total=len(missing), desc="train: class pictures", unit="picture", disable=not missing) as bar:
        for start in range(0, len(missing), batch):
            part = missing[start : start + batch]
            drawn = open_artist().draw([request for _, request in part])
            for (path, request), picture in zip(part, drawn, strict=True):
                if picture.failure:
                    raise StudyError(
                        f"train.prior: a class picture of {request.prompt!r} came out {picture.failure}; "
                        f"change train.prior.prompt or train.drawing or, where it is float16, train.dtype"
                    )
                write_atomic(path, png_bytes(picture.pixels))
            bar.update(len(part))


def read(path: Path) -> np.ndarray:
    """(height, width, 3) uint8"""
    return np.asarray(Image.open(path).convert("RGB"))


def with_prior(
    data: Data, load: Callable[[], Pipeline], params: Profile, shot_type: ShotType, base: str, accelerator: Any
) -> Data:
    """The data with its class pictures, of the size of the others; they are drawn if they are not there.

    ``load`` gives a base that nothing else uses.
    """
    wanted = requests_of(params, shot_type)
    if not wanted:
        return data
    size = len(next(iter(data.pixels.values()))())
    manner = manner_of(params.train.drawing, size, slab=params.train.drawing.batch)
    folder = work_folder("class", code_hash(*CODE), repr(manner), params.train.dtype, base, device())
    paths = {folder / f"{digest(item.prompt, item.seed)[:32]}.png": item for item in wanted}

    @cache
    def open_artist() -> Artist:
        return artist_for(load(), manner, params.train.dtype, "float32")

    draw_missing(open_artist, dict(share_of(list(paths.items()), accelerator)), manner.slab)
    accelerator.wait_for_everyone()
    pixels = dict(data.pixels)
    prior = []
    for path, item in paths.items():
        picture = picture_hash(read(path))
        pixels[picture] = partial(read, path)
        prior.append(Example(picture, item.prompt))
    return replace(data, prior=prior, pixels=pixels)
