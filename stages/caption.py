"""Describe the training and test frames in words: BLIP-2, and for training a person's caption where there is one.

    python -m stages.caption

Reads ``data/select``, ``data/crops``, ``data/ingest`` and the reviewed captions (see ``dreamshot.captions``), if the
file that the parameter ``captions`` names is there. Writes ``data/captioned/captions.parquet``: frame, film, shot_type,
split; ``raw``, what the captioner said; ``reviewed``, ``editor`` and ``time``, a person's caption, whose and when ("":
none, or not known); ``captioner``, the model as source@revision; ``caption``, the one that the study uses; and its
``flags``, joined by commas.

Training uses the reviewed caption where there is one. Test captions stay the captioner's, as in the paper: a reviewed
one is recorded and not used. A frame of which the captioner says nothing is flagged here and refused by train or
generate: a person must write a caption for it, or, for a test frame, label it reject. Reviewed
captions of frames that are not in use wait for the day they are. Killed and started again, it redoes at most a batch.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from dreamshot.captions import Reviewed, flags, read_reviewed, token_counter
from dreamshot.errors import StudyError, main
from dreamshot.labels import read_seen
from dreamshot.models import device, load_captioner, model_hash, model_record, torch_dtype
from dreamshot.params import Caption, Profile, load_params
from dreamshot.paths import CAPTION_ROWS, CAPTIONED, CROPS, SELECT_ROWS
from dreamshot.provenance import threads, write_run
from dreamshot.records import Pool, picture_hash, read_table, write_table
from dreamshot.seeds import digest
from dreamshot.work import clean, code_hash, work_folder, write_atomic
from stages.diffusion import reproducible

CODE = ("stages/caption.py", "stages/diffusion.py")
SPLITS = ("train", "test")
COLUMNS = [
    "frame", "film", "shot_type", "split", "raw", "reviewed", "editor", "time", "captioner", "caption", "flags",
]  # fmt: skip
SEEN = 1e-5  # two pictures' first scores must differ by more than this share of the largest

Captioner = tuple[Any, Any]


def inputs(captioner: Captioner, pictures: Sequence[Any], params: Caption) -> Any:
    """The processor's tensors for PIL pictures, without a prompt."""
    processor, _ = captioner
    return processor(images=list(pictures), return_tensors="pt").to(device(), torch_dtype(params.dtype))


def describe(captioner: Captioner, pictures: Sequence[Any], params: Caption) -> list[str]:
    """One caption a picture: the likeliest words, no sampling."""
    import torch

    processor, model = captioner
    with torch.inference_mode():
        tokens = model.generate(
            **inputs(captioner, pictures, params),
            max_new_tokens=params.max_new_tokens,
            num_beams=params.num_beams,
            do_sample=False,
        )
    return [" ".join(text.split()) for text in processor.batch_decode(tokens, skip_special_tokens=True)]


def first_scores(captioner: Captioner, pictures: Sequence[Any], params: Caption) -> Any:
    """The scores of each caption's first word, (pictures, vocabulary)."""
    import torch

    _, model = captioner
    with torch.inference_mode():
        out = model.generate(
            **inputs(captioner, pictures, params),
            max_new_tokens=1,
            num_beams=1,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
    return out.logits[0].float()


def check_sight(captioner: Captioner, pictures: Sequence[Any], params: Caption) -> None:
    """Two different pictures must score differently: without an image token BLIP-2 ignores them in silence."""
    one, two = first_scores(captioner, pictures, params)
    if float((one - two).abs().max()) <= SEEN * float(one.abs().max()):
        raise StudyError(
            "models.captioner: its captions do not depend on the picture; its configuration lacks image_token_index "
            "or num_query_tokens, or its weights are incomplete"
        )


def different(frames: Sequence[str], pool: Pool) -> list[str]:
    """Two frames whose crops differ, or fewer if there are none."""
    seen: dict[str, str] = {}
    for frame in frames:
        seen.setdefault(picture_hash(pool.pixels(frame)), frame)
        if len(seen) == 2:
            break
    return list(seen.values())


def batch_path(work: Path, frames: Sequence[str], pool: Pool) -> Path:
    """A batch's file in the work folder, named by its frames and their pixels."""
    parts = ((frame, picture_hash(pool.pixels(frame))) for frame in frames)
    return work / f"{digest(*(part for item in parts for part in item))[:32]}.json"


def raw_captions(
    load: Callable[[], Captioner], frames: Sequence[str], pool: Pool, params: Caption, work: Path
) -> dict[str, str]:
    """The captioner's words for each frame, in batches of fixed composition; finished batches are read back."""
    from tqdm import tqdm

    found: dict[str, str] = {}
    with tqdm(total=len(frames), desc="caption", unit="frame") as bar:
        for start in range(0, len(frames), params.batch):
            batch = frames[start : start + params.batch]
            path = batch_path(work, batch, pool)
            if not path.is_file():
                texts = describe(load(), [pool.image(frame) for frame in batch], params)
                write_atomic(path, json.dumps(dict(zip(batch, texts, strict=True))).encode())
            found.update(json.loads(path.read_text()))
            bar.update(len(batch))
    return found


def loader(params: Profile, frames: Sequence[str], pool: Pool) -> Callable[[], Captioner]:
    """Loads the captioner when it is first asked for, and makes sure then that it looks at pictures."""

    @cache
    def load() -> Captioner:
        captioner = load_captioner(params.models.captioner, params.caption.dtype)
        pictures = [pool.image(frame) for frame in different(frames, pool)]
        if len(pictures) == 2:
            check_sight(captioner, pictures, params.caption)
        return captioner

    return load


def with_captions(rows: pd.DataFrame, raw: Mapping[str, str], reviewed: Mapping[str, Reviewed]) -> pd.DataFrame:
    """The rows with raw, reviewed and effective caption, and the editor and time."""
    rows = rows[["frame", "film", "shot_type", "split"]].copy()
    found = [reviewed.get(frame, Reviewed(frame, "")) for frame in rows["frame"]]
    rows["raw"] = rows["frame"].map(raw)
    rows["reviewed"] = [row.caption for row in found]
    rows["editor"] = [row.editor for row in found]
    rows["time"] = [row.time for row in found]
    rows["caption"] = rows["reviewed"].where((rows["split"] == "train") & (rows["reviewed"] != ""), rows["raw"])
    return rows


def flagged(rows: pd.DataFrame, count_tokens: Callable[[str], int], template: str) -> list[str]:
    """The flags of each row's caption, joined by commas."""
    return [
        ",".join(flags(caption, shot_type, count_tokens, template))
        for caption, shot_type in zip(rows["caption"], rows["shot_type"], strict=True)
    ]


def captioner_name() -> str:
    """The captioner as source@revision, or its source alone where it has no revision."""
    record = model_record("captioner")
    return f"{record['source']}@{record['revision']}".removesuffix("@")


def used(rows: pd.DataFrame) -> int:
    """How many rows use a reviewed caption."""
    return int(((rows["split"] == "train") & (rows["reviewed"] != "")).sum())


def run(arguments: Sequence[str] = ()) -> None:
    argparse.ArgumentParser(prog="python -m stages.caption", description=__doc__.split("\n\n")[0]).parse_args(arguments)
    params = load_params()
    selected, pool = read_table(SELECT_ROWS), Pool(CROPS / "shards")
    reviewed = read_reviewed(Path(params.captions), read_seen().films)
    count_tokens = token_counter(params.models.base)
    rows = selected[selected["split"].isin(SPLITS)].sort_values("frame")
    frames, model = rows["frame"].tolist(), model_hash("captioner")
    work = work_folder("caption", code_hash(*CODE), params.caption.model_dump_json(), model, device())
    reproducible(threads())
    raw = raw_captions(loader(params, frames, pool), frames, pool, params.caption, work)
    rows = with_captions(rows, raw, reviewed).assign(captioner=captioner_name())
    rows = rows.assign(flags=flagged(rows, count_tokens, params.generate.template))[COLUMNS]
    folder = clean(CAPTIONED)
    write_table(rows, CAPTION_ROWS, by="frame")
    count, odd = used(rows), int((rows["flags"] != "").sum())
    unused = sum(row.caption != "" for row in reviewed.values()) - count
    write_run(folder, params.caption, {"captioner": model}, frames=len(rows), reviewed=count, reviewed_unused=unused)
    more = f"; {unused} more of frames that do not train" if unused else ""
    print(f"caption: {len(rows)} frames, {count} with a reviewed caption, {odd} flagged{more}")


if __name__ == "__main__":
    main(lambda: run(sys.argv[1:]))
