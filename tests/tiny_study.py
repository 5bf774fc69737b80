"""A study's folder up to its captions, with tiny random models, for the tests of caption, train and generate."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from dreamshot.models import write_model_record
from dreamshot.params import SHOT_TYPES, Profile, load_params
from dreamshot.paths import CAPTION_ROWS, CROPS, FRAMES, LEDGER, SELECT_ROWS
from dreamshot.records import write_shards, write_table
from dreamshot.seeds import frame_id
from dreamshot.work import folder_hash
from tests.tiny_models import PICTURE_SIZE, write_base, write_captioner

os.environ.setdefault("DREAMSHOT_THREADS", "1")  # two threads on small tensors wait for each other on a busy machine

PARAMS = Path(__file__).parent.parent / "params.yaml"
SPARE = "5" * 16  # a frame that ingest keeps and nothing uses
COLOURS = ("red", "blue", "green", "black", "white")
TRAIN = {
    "rank": 2,
    "lora_alpha": 4.0,
    "steps": 6,
    "batch": 3,
    "learning_rate": 0.05,
    "warmup": 2,
    "checkpoint_every": 2,
    "validation": {"every": 4, "frames": 2, "draws": 2, "pictures": 1},
    "drawing": {"sampler": "DPM++ SDE Karras", "steps": 2, "guidance": 3.0, "batch": 2},
}
SETS = {
    "main": {"per_type": 3, "repetitions": 1, "strengths": [1.0]},
    "ablation": {"per_type": 2, "repetitions": 1, "strengths": [1.0]},
    "control": {"per_type": 2, "repetitions": 1, "strengths": [1.0]},
    "strengths": {"per_type": 1, "repetitions": 2, "strengths": [0.0, 0.5, 1.0]},
}


def tiny_block(block: dict[str, Any], **changes: dict[str, Any]) -> dict[str, Any]:
    """The demo block with tiny sizes, then with ``changes`` to its groups."""
    block["models"]["base"]["source"] = "tiny/base"
    block["models"]["captioner"]["source"] = "tiny/captioner"
    block["captions"] = "captions.csv"
    block["select"].update(train=4, test=3)
    block["caption"].update(batch=4, max_new_tokens=5)
    block["train"].update(TRAIN, dtype="float32", min_snr_gamma=0.0, caption_dropout=0.0)
    block["generate"].update(steps=3, guidance=3.0, size=PICTURE_SIZE, batch=4, slab=2, dtype="float32", sets=SETS)
    for group, values in changes.items():
        block[group].update(values)
    return block


def write_params(**changes: dict[str, Any]) -> Profile:
    """Write ``params.yaml`` here and load it."""
    raw = yaml.safe_load(PARAMS.read_text())
    raw["profiles"]["demo"] = tiny_block(raw["profiles"]["demo"], **changes)
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    return load_params()


def frame_rows(train: int = 4, test: int = 3, probe: int = 1) -> pd.DataFrame:
    """Frames of each shot type and split; no film in two splits."""
    rows = []
    for shot_type in SHOT_TYPES:
        for split, count in (("train", train), ("test", test), ("probe", probe)):
            for number in range(count):
                film = f"{split} film {number % 2}"
                frame = frame_id(film, f"{shot_type} {number}".encode())
                rows.append({"frame": frame, "film": film, "shot_type": shot_type, "split": split})
    return pd.DataFrame(rows).sort_values("frame").reset_index(drop=True)


def pixels_of(frame: str) -> np.ndarray:
    """A frame's crop: noise of its own."""
    rng = np.random.default_rng(int(frame, 16))
    return rng.integers(0, 256, (PICTURE_SIZE, PICTURE_SIZE, 3), dtype=np.uint8)


def write_ingest(rows: pd.DataFrame) -> None:
    """What ingest says of the frames, and of one more that is not in use; it has rejected none."""
    ids = [*rows["frame"], SPARE]
    table = pd.DataFrame(
        {"file": [f"{frame}.png" for frame in ids], "frame": ids, "film": [*rows["film"], "spare film"]}
    )
    write_table(table, FRAMES, by="frame")
    write_table(table[:0], LEDGER, by="file")


def caption_of(frame: str) -> str:
    return f"a woman in a {COLOURS[int(frame, 16) % len(COLOURS)]} coat number {int(frame, 16) % 97}"


def write_study(base: bool = True, captioner: bool = False, **changes: dict[str, Any]) -> Profile:
    """Write params, models, crops, the selection and the captions into the current directory."""
    params = write_params(**changes)
    for key, write, wanted in (("base", write_base, base), ("captioner", write_captioner, captioner)):
        if wanted:
            folder = write(Path("tiny") / key)
            write_model_record(key, {"source": str(folder), "revision": "", "sha256": folder_hash(folder)})
    rows = frame_rows()
    write_shards(((frame, pixels_of(frame)) for frame in sorted(rows["frame"])), CROPS / "shards")
    write_table(rows, SELECT_ROWS, by="frame")
    write_ingest(rows)
    if not captioner:
        captions = [caption_of(frame) for frame in rows["frame"]]
        rows = rows.assign(raw=captions, reviewed="", editor="", time="", captioner="tiny", caption=captions, flags="")
        write_table(rows[rows["split"] != "probe"], CAPTION_ROWS, by="frame")
    return params
