"""Draw one set of pairs: the same prompt, seed and noise with and without the LoRA.

    python -m stages.generate main

The sets are main, ablation (no shot type in the prompt), control (the baseline with two seeds) and strengths.
Reads the captions of the test frames and ``data/lora/``, writes ``data/pairs/<set>/``: ``pictures.parquet`` with a row
for each picture, the pictures in shards, and ``run.json``. Killed and started again, it redoes at most a chunk.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pandas as pd

from dreamshot.errors import StudyError, main
from dreamshot.models import device, load_base, model_hash
from dreamshot.params import Profile, SetName, ShotType, load_params, set_argument
from dreamshot.paths import LORA, LORA_FILE, PAIRS, PICTURE_ROWS
from dreamshot.provenance import threads, write_run
from dreamshot.records import picture_hash, write_shards, write_table
from dreamshot.seeds import digest
from dreamshot.work import clean, code_hash, file_hash, work_folder, write_atomic
from stages.chunks import executor, share_out
from stages.diffusion import Pipeline, caption_rows, cast, reproducible, too_long
from stages.generate.draw import Artist
from stages.generate.plan import Arm, Chunk, arms_of, plan

CODE = ("stages/generate", "stages/diffusion.py")  # chunks.py shares out the work and changes no picture


def lora_hashes(chunks: Sequence[Chunk], arms: Sequence[Arm]) -> dict[ShotType, str]:
    """SHA-256 of each LoRA that the set needs."""
    if not any(arm.lora for arm in arms):
        return {}
    found: dict[ShotType, str] = {}
    for shot_type in dict.fromkeys(chunk.shot_type for chunk in chunks):
        path = LORA / shot_type / LORA_FILE
        if not path.is_file():
            raise StudyError(f"{path}: no such LoRA; run `python -m stages.train {shot_type}`")
        found[shot_type] = file_hash(path)
    return found


def load_artist(params: Profile, shot_types: Sequence[ShotType]) -> Artist:
    """The base with the LoRAs as adapters named by shot type; the autoencoder stays in float32, a picture at a time."""
    pipeline: Pipeline = load_base(params.models.base)
    for shot_type in shot_types:
        add_adapter(pipeline, shot_type)
    cast(pipeline.unet, params.generate.dtype)
    cast(pipeline.vae, "float32")
    pipeline.vae.enable_slicing()
    return Artist(pipeline, params.generate)


def add_adapter(pipeline: Pipeline, shot_type: ShotType) -> None:
    """Load a LoRA as the adapter named ``shot_type``."""
    folder = LORA / shot_type
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # three adapters are meant
            pipeline.unet.load_lora_adapter(folder, weight_name=LORA_FILE, adapter_name=shot_type, prefix="unet")
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise StudyError(
            f"{folder / LORA_FILE}: does not fit the base ({reason}); run `python -m stages.train {shot_type}`"
        ) from None


def chunk_path(work: Path, chunk: Chunk, arms: Sequence[Arm], lora: str) -> Path:
    """A chunk's file in the work folder, named by all that its pictures depend on beside the folder's key."""
    parts = [(pair.picture(arm), pair.prompt, pair.seed_of(arm)) for pair in chunk.pairs for arm in arms]
    return work / f"{digest(lora, *(part for item in parts for part in item))[:32]}.safetensors"


def draw_chunk(artist: Artist, chunk: Chunk, arms: Sequence[Arm], path: Path) -> None:
    """Draw a chunk and write it by one atomic rename: pixels by picture id, and which failed."""
    from safetensors.numpy import save

    drawn = list(artist.draw(chunk, arms))
    failed = json.dumps([key for key, _, wrong in drawn if wrong])
    write_atomic(path, save({key: pixels for key, pixels, _ in drawn}, metadata={"failed": failed}))


@dataclass(frozen=True)
class Studio:
    """All that decides how a picture is drawn, in a form that another process can be sent.

    settings: the profile as JSON. base: the base's SHA-256. loras: (shot type, SHA-256) of the LoRAs.
    """

    settings: str
    base: str
    loras: tuple[tuple[ShotType, str], ...]


@lru_cache(maxsize=1)
def open_studio(studio: Studio) -> Artist:
    """The artist of this process, which computes with one thread: its bits do not hang on how many others there are."""
    reproducible(1)
    return load_artist(Profile.model_validate_json(studio.settings), [shot_type for shot_type, _ in studio.loras])


def draw_in(studio: Studio, chunk: Chunk, arms: Sequence[Arm], path: Path) -> int:
    """Draw a chunk in whatever process this is; returns the number of pictures."""
    draw_chunk(open_studio(studio), chunk, arms, path)
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
    if missing:
        report_long_prompts(open_studio(studio), chunks)  # what is open here need not be opened in a forked process
    with (
        tqdm(total=total, initial=total - left, desc=f"generate {set_name}", unit="picture") as bar,
        executor(min(artists(), len(missing))) as pool,
    ):
        share_out(pool, [partial(draw_in, studio, chunk, arms, path) for chunk, path in missing], bar)


def report_long_prompts(artist: Artist, chunks: Sequence[Chunk]) -> None:
    """Say how many prompts the text encoder cuts, and one of them."""
    cut = too_long(artist.pipeline.tokenizer, (pair.prompt for chunk in chunks for pair in chunk.pairs))
    if cut:
        limit = artist.pipeline.tokenizer.model_max_length
        print(f"generate: {len(cut)} prompts exceed {limit} tokens and are cut, as {cut[0]!r}", file=sys.stderr)


class Drawn:
    """The pictures in the chunks' files, by id."""

    def __init__(self, paths: Sequence[Path], stack: ExitStack) -> None:
        from safetensors import safe_open

        self._files: dict[str, Any] = {}
        self.failed: set[str] = set()
        for path in paths:
            file = stack.enter_context(safe_open(path, framework="np"))
            self._files.update(dict.fromkeys(file.keys(), file))
            self.failed.update(json.loads(file.metadata()["failed"]))

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """(id, pixels) by id."""
        return ((key, self[key]) for key in sorted(self._files))

    def __getitem__(self, key: str) -> Any:
        return self._files[key].get_tensor(key)


def rows_of(
    set_name: SetName, chunks: Sequence[Chunk], arms: Sequence[Arm], drawn: Drawn, loras: dict[ShotType, str]
) -> pd.DataFrame:
    """A row for each picture."""
    return pd.DataFrame(
        {
            "picture": pair.picture(arm), "pair": pair.pair, "set": set_name, "shot_type": pair.shot_type,
            "frame": pair.frame, "film": pair.film, "repetition": pair.repetition, "arm": arm.name,
            "strength": arm.strength, "prompt": pair.prompt, "seed": pair.seed_of(arm),
            "pixels": picture_hash(drawn[pair.picture(arm)]), "failed": pair.picture(arm) in drawn.failed,
            "lora": loras[pair.shot_type] if arm.lora else "",
        }
        for chunk in chunks for pair in chunk.pairs for arm in arms
    )  # fmt: skip


def work_for(params: Profile, base: str) -> Path:
    """The work folder: the sets' sizes are no part of its key, for each chunk's name says what is in it."""
    settings = params.generate.model_dump(mode="json", exclude={"sets", "prompt", "prompt_ablation"})
    return work_folder("generate", code_hash(*CODE), json.dumps(settings, sort_keys=True), base, device())


def write_set(
    set_name: SetName, params: Profile, chunks: Sequence[Chunk], arms: Sequence[Arm], paths: Sequence[Path],
    loras: dict[ShotType, str],
) -> pd.DataFrame:  # fmt: skip
    """Gather the chunks into the set's folder; return its rows."""
    folder = clean(PAIRS / set_name)
    with ExitStack() as stack:
        drawn = Drawn(paths, stack)
        rows = rows_of(set_name, chunks, arms, drawn, loras)
        write_shards(iter(drawn), folder / "shards")
    write_table(rows, folder / PICTURE_ROWS, by="picture")
    facts = {"set": set_name, "seed": params.seed, "loras": loras}
    write_run(folder, params.generate, {"base": model_hash("base")}, pictures=len(rows), **facts)
    return rows


def generate(params: Profile, set_name: SetName) -> None:
    """Draw one set."""
    chunks = plan(set_name, caption_rows("test"), params)
    arms = arms_of(set_name, getattr(params.generate.sets, set_name))
    loras = lora_hashes(chunks, arms)
    work = work_for(params, model_hash("base"))
    paths = [chunk_path(work, chunk, arms, loras.get(chunk.shot_type, "")) for chunk in chunks]
    studio = Studio(params.model_dump_json(), model_hash("base"), tuple(loras.items()))
    draw_missing(studio, chunks, arms, paths, set_name)
    rows = write_set(set_name, params, chunks, arms, paths, loras)
    print(f"generate {set_name}: {rows['pair'].nunique()} pairs, {len(rows)} pictures, {rows['failed'].sum()} failed")


def run(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.generate", description=__doc__.split("\n\n")[0])
    parser.add_argument("set", nargs="?", default="", help="main, ablation, control or strengths")
    generate(load_params(), set_argument(parser.parse_args(arguments).set))


if __name__ == "__main__":
    main(lambda: run(sys.argv[1:]))
