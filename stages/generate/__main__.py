"""Draw one set of pairs: the same prompt, seed and noise with and without the fine-tuning.

    python -m stages.generate main

The sets are main, ablation (no shot type in the prompt), control (the baseline with two seeds) and strengths.
Reads the captions of the test frames and ``data/tuned/``, writes ``data/pairs/<set>/``: ``pictures.parquet`` with a row
for each picture, the pictures in shards, and ``run.json``. Killed and started again, it redoes at most a chunk.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pandas as pd

from dreamshot.captions import CLIP_TOKENS
from dreamshot.errors import StudyError, main
from dreamshot.models import device, load_base, model_hash
from dreamshot.params import Method, Profile, SetName, ShotType, load_params, set_argument
from dreamshot.paths import LORA_FILE, PAIRS, PICTURE_ROWS, RUN, TUNED
from dreamshot.provenance import threads, write_run
from dreamshot.records import picture_hash, png_bytes, write_png_shards, write_table
from dreamshot.seeds import digest
from dreamshot.work import clean, code_hash, work_folder, write_atomic
from stages.artist import Artist, Failure, Manner, Request, artist_for
from stages.chunks import cores, executor, share_out
from stages.diffusion import Pipeline, caption_rows, reproducible
from stages.generate.manifest import Job, Outcome, counts, cut, job_for, row_of
from stages.generate.plan import Arm, Chunk, arms_of, plan
from stages.tuning import Tuning, full, inversion, tuner, weights_hash

CODE = (  # chunks.py shares out the work and changes no picture, manifest.py says what was drawn
    "stages/generate/__main__.py", "stages/generate/plan.py", "stages/artist.py", "stages/sampler.py",
    "stages/diffusion.py", "stages/tuning",
)  # fmt: skip
AHEAD = 64  # pictures encoded before they are written


def file_of(method: Method, shot_type: ShotType) -> Path:
    """What a method leaves of a shot type, a file or a folder."""
    names = {
        "lora": LORA_FILE, "dreambooth": full.UNET, "textual_inversion": inversion.embedding_file(shot_type),
    }  # fmt: skip
    return TUNED / shot_type / names[method]


def method_of(shot_type: ShotType) -> Method:
    """How a shot type was trained, as its record says.

    Raises:
        StudyError: its folder holds no such fine-tuning.
    """
    record = json.loads((TUNED / shot_type / RUN).read_text())
    method: Method = record["params"]["method"]
    path = file_of(method, shot_type)
    if not path.exists():
        raise StudyError(
            f"{path}: not there, though {RUN} says that it was trained by {method}; "
            f"run `python -m stages.train {shot_type}`"
        )
    return method


def hashes_of(chunks: Sequence[Chunk], arms: Sequence[Arm]) -> dict[ShotType, str]:
    """SHA-256 of the weights of each fine-tuning that the set needs."""
    if not any(arm.tuned for arm in arms):
        return {}
    return {shot_type: weights_hash(shot_type) for shot_type in dict.fromkeys(chunk.shot_type for chunk in chunks)}


def chunk_path(work: Path, chunk: Chunk, arms: Sequence[Arm], weights: str) -> Path:
    """A chunk's file in the work folder, named by all that its pictures depend on beside the folder's key."""
    parts = [(pair.picture(arm), pair.prompt, pair.seed_of(arm)) for pair in chunk.pairs for arm in arms]
    return work / f"{digest(weights, *(part for item in parts for part in item))[:32]}.safetensors"


def draw_chunk(artist: Artist, chunk: Chunk, arms: Sequence[Arm], path: Path) -> None:
    """Draw a chunk and write it by one atomic rename: pixels by picture id, what failed and what was retried."""
    from safetensors.numpy import save

    wanted = {
        pair.picture(arm): Request(pair.prompt, pair.seed_of(arm), arm.strength) for pair in chunk.pairs for arm in arms
    }
    drawn = dict(zip(wanted, artist.draw(list(wanted.values())), strict=True))
    told = {
        "failed": json.dumps({key: picture.failure for key, picture in drawn.items() if picture.failure}),
        "retried": json.dumps([key for key, picture in drawn.items() if picture.retried]),
    }
    write_atomic(path, save({key: picture.pixels for key, picture in drawn.items()}, metadata=told))


@dataclass(frozen=True)
class Studio:
    """All that decides how a picture is drawn, in a form that another process can be sent.

    settings: the profile as JSON. base: the base's SHA-256. weights: (shot type, SHA-256) of the fine-tunings.
    """

    settings: str
    base: str
    weights: tuple[tuple[ShotType, str], ...]


@lru_cache(maxsize=1)
def open_studio(studio: Studio) -> Artist:
    """The artist of this process, which computes with one thread: its bits do not hang on how many others there are."""
    reproducible(1)
    params = Profile.model_validate_json(studio.settings)
    settings = params.generate
    manner = Manner(
        settings.sampler, settings.steps, settings.guidance, settings.size, settings.negative_prompt, settings.slab,
        settings.batch,
    )  # fmt: skip
    return artist_for(load_base(params.models.base), manner, settings.dtype, settings.decoder_dtype)


def load(pipeline: Pipeline, shot_type: ShotType) -> Tuning:
    """Put a shot type's fine-tuning into the pipeline.

    Raises:
        StudyError: it does not fit the base, or its files are broken.
    """
    folder, method = TUNED / shot_type, method_of(shot_type)
    try:
        return tuner(method).load(pipeline, shot_type, folder)
    except StudyError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise StudyError(
            f"{folder}: its {method} does not fit the base ({reason}); run `python -m stages.train {shot_type}`"
        ) from None


def draw_in(studio: Studio, chunk: Chunk, arms: Sequence[Arm], path: Path) -> int:
    """Draw a chunk in whatever process this is; returns the number of pictures."""
    artist = open_studio(studio)
    if any(arm.tuned for arm in arms):
        artist.use(chunk.shot_type, partial(load, artist.pipeline, chunk.shot_type))
    draw_chunk(artist, chunk, arms, path)
    return len(chunk.pairs) * len(arms)


def artists() -> int:
    """How many processes draw: one a GPU's, else ``threads()``, of one thread each."""
    return 1 if device() == "cuda" else threads()


def draw_missing(
    studio: Studio, chunks: Sequence[Chunk], arms: Sequence[Arm], paths: Sequence[Path], set_name: SetName
) -> None:
    """Draw the chunks that an earlier run has not left behind."""
    from tqdm import tqdm

    missing = [(chunk, path) for chunk, path in zip(chunks, paths, strict=True) if not path.is_file()]
    total = sum(len(chunk.pairs) for chunk in chunks) * len(arms)
    left = sum(len(chunk.pairs) for chunk, _ in missing) * len(arms)
    with (
        tqdm(total=total, initial=total - left, desc=f"generate {set_name}", unit="picture") as bar,
        executor(min(artists(), len(missing))) as pool,
    ):
        share_out(pool, [partial(draw_in, studio, chunk, arms, path) for chunk, path in missing], bar)


def report_long_prompts(tokens: dict[str, int]) -> None:
    """Say how many prompts the text encoder cuts, and one of them; tokens: the length of each, the negative one too."""
    long = [text for text, length in tokens.items() if cut(length)]
    if long:
        print(f"generate: {len(long)} prompts exceed {CLIP_TOKENS} tokens and are cut, as {long[0]!r}", file=sys.stderr)


class Drawn:
    """What the chunks' files hold: pictures by id, what was wrong with some of them, and which were decoded twice."""

    def __init__(self, paths: Sequence[Path], stack: ExitStack) -> None:
        from safetensors import safe_open

        self._files: dict[str, Any] = {}
        self.failed: dict[str, Failure] = {}
        self.retried: set[str] = set()
        for path in paths:
            file = stack.enter_context(safe_open(path, framework="np"))
            self._files.update(dict.fromkeys(file.keys(), file))
            self.failed.update(json.loads(file.metadata()["failed"]))
            self.retried.update(json.loads(file.metadata()["retried"]))

    def __len__(self) -> int:
        return len(self._files)

    def encoded(self) -> Iterator[tuple[str, bytes, str]]:
        """(id, PNG, SHA-256 of the pixels) by id: several at a time, a few ahead."""
        keys = sorted(self._files)
        with ThreadPoolExecutor(cores()) as pool:
            for start in range(0, len(keys), AHEAD):
                yield from pool.map(self._encode, keys[start : start + AHEAD])

    def _encode(self, key: str) -> tuple[str, bytes, str]:
        pixels = self._files[key].get_tensor(key)
        return key, png_bytes(pixels), picture_hash(pixels)


def work_for(params: Profile, base: str) -> Path:
    """The work folder: the sets' sizes are no part of its key, for each chunk's name says what is in it."""
    words = {"sets", "prompt", "prompt_ablation", "identifier"}
    settings = params.generate.model_dump(mode="json", exclude=words)
    return work_folder("generate", code_hash(*CODE), json.dumps(settings, sort_keys=True), base, device())


def write_pictures(drawn: Drawn, folder: Path, desc: str) -> dict[str, Outcome]:
    """Write the pictures in shards; return what came of each."""
    from tqdm import tqdm

    outcomes: dict[str, Outcome] = {}

    def files() -> Iterator[tuple[str, bytes]]:
        for key, png, pixels in tqdm(drawn.encoded(), desc=desc, total=len(drawn), unit="picture"):
            outcomes[key] = Outcome(pixels, drawn.failed.get(key, ""), key in drawn.retried)
            yield key, png

    write_png_shards(files(), folder)
    return outcomes


def write_set(
    set_name: SetName, job: Job, chunks: Sequence[Chunk], arms: Sequence[Arm], paths: Sequence[Path]
) -> pd.DataFrame:
    """Gather the chunks into the set's folder; return its rows."""
    folder = clean(PAIRS / set_name)
    with ExitStack() as stack:
        outcomes = write_pictures(Drawn(paths, stack), folder / "shards", f"generate {set_name}: encode")
    rows = pd.DataFrame(
        row_of(set_name, job, pair, arm, outcomes[pair.picture(arm)])
        for chunk in chunks for pair in chunk.pairs for arm in arms
    )  # fmt: skip
    write_table(rows, folder / PICTURE_ROWS, by="picture")
    facts = {"set": set_name, "seed": job.params.seed, "weights": job.weights, **counts(rows)}
    write_run(folder, job.params.generate, {"base": model_hash("base")}, **facts)
    return rows


def generate(params: Profile, set_name: SetName) -> None:
    """Draw one set."""
    chunks = plan(set_name, caption_rows("test"), params)
    arms = arms_of(set_name, getattr(params.generate.sets, set_name))
    weights = hashes_of(chunks, arms)
    job = job_for(params, chunks, {shot_type: method_of(shot_type) for shot_type in weights}, weights)
    report_long_prompts(job.tokens)
    work = work_for(params, model_hash("base"))
    paths = [chunk_path(work, chunk, arms, job.weights.get(chunk.shot_type, "")) for chunk in chunks]
    studio = Studio(params.model_dump_json(), model_hash("base"), tuple(job.weights.items()))
    draw_missing(studio, chunks, arms, paths, set_name)
    told = counts(write_set(set_name, job, chunks, arms, paths))
    print(
        f"generate {set_name}: {told['pairs']} pairs, {told['pictures']} pictures, {told['failed']} failed, "
        f"{told['retried']} decoded twice, {told['cut']} of a prompt that is cut"
    )


def run(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.generate", description=__doc__.split("\n\n")[0])
    parser.add_argument("set", nargs="?", default="", help="main, ablation, control or strengths")
    generate(load_params(), set_argument(parser.parse_args(arguments).set))


if __name__ == "__main__":
    main(lambda: run(sys.argv[1:]))
