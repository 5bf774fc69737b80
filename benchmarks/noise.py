"""How far the same pictures are apart when something changes that should not matter: the noise floor of drawing.

    python -m benchmarks.noise [--pairs 10] [--dtype bfloat16]

Draws the same pairs of the demo's study, baseline and a random LoRA, again and again: as the study does (the UNet
always called with ten pictures, one thread), then in other company, with other numbers of pictures a call, with another
number of threads, in float32. Each line compares with the first: pictures that are equal to the bit, PSNR over all, the
largest difference of two levels (0 to 255).
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from benchmarks.generate import psnr, write_lora
from benchmarks.study import ROOT, machine, study
from dreamshot.models import load_base
from dreamshot.params import Dtype, Profile, ShotType
from dreamshot.paths import TUNED
from stages.artist import Artist, Manner, Request, artist_for
from stages.diffusion import caption_rows, reproducible
from stages.generate.plan import plan
from stages.tuning import lora

SHOT_TYPE: ShotType = "close"
SLAB = 10
Pictures = dict[str, np.ndarray]


def requests_of(params: Profile) -> dict[str, Request]:
    """A baseline and a fine-tuned picture of each pair, by name."""
    chunks = [chunk for chunk in plan("main", caption_rows("test"), params) if chunk.shot_type == SHOT_TYPE]
    return {
        f"{pair.pair} {strength}": Request(pair.prompt, pair.seed, strength)
        for chunk in chunks for pair in chunk.pairs for strength in (0.0, 1.0)
    }  # fmt: skip


def open_artist(params: Profile, manner: Manner, dtype: Dtype) -> Artist:
    """An artist who draws with the LoRA."""
    artist = artist_for(load_base(params.models.base), manner, dtype, "float32")
    artist.use(SHOT_TYPE, lambda: lora.load(artist.pipeline, SHOT_TYPE, TUNED / SHOT_TYPE))
    return artist


def drawn(artist: Artist, requests: dict[str, Request], together: int) -> Pictures:
    """The pictures, ``together`` at a time."""
    names, found = list(requests), {}
    for start in range(0, len(names), together):
        part = names[start : start + together]
        pictures = artist.draw([requests[name] for name in part])
        found.update({name: picture.pixels for name, picture in zip(part, pictures, strict=True)})
    return found


def variants(params: Profile, dtype: Dtype) -> Iterator[tuple[str, Pictures]]:
    """(what is other, the pictures), the study's own first."""
    settings, requests = params.generate, requests_of(params)
    manner = Manner(settings.sampler, settings.steps, settings.guidance, settings.size, slab=SLAB)
    reproducible(1)
    artist = open_artist(params, manner, dtype)
    yield "as the study draws them", drawn(artist, requests, 2 * SLAB)
    yield "again", drawn(artist, requests, 2 * SLAB)
    yield "one at a time", drawn(artist, requests, 1)
    turned = dict(reversed(requests.items()))
    yield "in another order, seven at a time", drawn(artist, turned, 7)
    for slab in (1, 4, 16):
        artist.manner = replace(manner, slab=slab)
        yield f"the UNet called with {slab}", drawn(artist, requests, 2 * SLAB)
    artist.manner = manner
    reproducible(2)
    yield "two threads", drawn(artist, requests, 2 * SLAB)
    reproducible(1)
    yield "float32", drawn(open_artist(params, manner, "float32"), requests, 2 * SLAB)


def line(what: str, pictures: Pictures, first: Pictures) -> str:
    """How far the pictures are from the first."""
    same = sum(np.array_equal(pictures[key], first[key]) for key in first)
    near, apart = psnr(pictures, first)
    return f"{what:<36}{same:>4} of {len(first)} equal   PSNR {near:6.1f} dB   at most {apart:>3} levels"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--dtype", choices=get_args(Dtype), default="bfloat16")
    given = parser.parse_args(arguments)
    print(machine())
    print(f"{given.pairs} pairs, {given.steps} steps, {given.dtype}", flush=True)
    sets = {"per_type": given.pairs, "repetitions": 1, "strengths": [1.0]}
    names = ("main", "ablation", "control", "strengths")
    changes = {"generate": {"steps": given.steps, "sets": dict.fromkeys(names, sets)}}
    with study("demo", ROOT / "demo/models/base", 128, given.pairs, changes) as params:
        write_lora(params)
        first: Pictures = {}
        for what, pictures in variants(params, given.dtype):
            first = first or pictures
            print(line(what, pictures, first), flush=True)


if __name__ == "__main__":
    main()
