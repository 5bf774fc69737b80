"""One row a picture: how well it fits its prompt, how near it is to its real counterpart, which shot type it shows.

    python -m stages.score

CLIP-T is the cosine of the picture and the whole prompt the model was given; DINO is the cosine of the class tokens of
the picture and of its counterpart, the real crop whose caption was drawn; the shot type is that of a linear probe on
DINO's class tokens of the real crops in the split "probe", from films used for nothing else. The scores of a
picture that failed to be drawn (generate says which) stay empty: it is no picture with a score of 0.

Vectors are kept in the work folder by model and by pixels, a chunk at a time, so a killed run goes on where it was.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from dreamshot import paths
from dreamshot.errors import StudyError, main
from dreamshot.models import device, load_clip, load_dino, model_hash
from dreamshot.params import SET_NAMES, Profile, load_params
from dreamshot.params import Score as ScoreParams
from dreamshot.provenance import write_json, write_run
from dreamshot.records import Pool, picture_hash, read_table, write_table
from dreamshot.seeds import digest
from dreamshot.work import code_hash, work_folder, write_atomic
from metrics import encoders, probe

DECIMALS = 6  # of a score; what lies below differs between machines
COLUMNS = ["picture", "pair", "set", "shot_type", "frame", "film", "repetition", "arm", "strength"]

Images = list[Image.Image]
Encoder = Callable[[Images], np.ndarray]


@dataclass
class Store:
    """Vectors by key in a folder, a file a chunk; what a killed run has left is read again."""

    folder: Path
    vectors: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in sorted(self.folder.glob("*.npz")):
            with np.load(path, allow_pickle=False) as chunk:
                self.vectors.update(zip(chunk["keys"].tolist(), chunk["vectors"], strict=True))

    def add(self, keys: Sequence[str], vectors: np.ndarray) -> None:
        """Keep a chunk: on disk by one atomic rename, then here."""
        buffer = io.BytesIO()
        np.savez(buffer, keys=np.array(keys), vectors=vectors)
        write_atomic(self.folder / f"{digest(*keys)[:16]}.npz", buffer.getvalue())
        self.vectors.update(zip(keys, vectors, strict=True))

    def rows(self, keys: Sequence[str]) -> np.ndarray:
        """The vectors of ``keys``, (n, width)."""
        return np.stack([self.vectors[key] for key in keys])


def fill(
    stores: Mapping[str, Store], encode: Mapping[str, Encoder], image_of: Mapping[str, Callable[[], Image.Image]],
    batch: int, what: str,
) -> None:  # fmt: skip
    """Put the vectors that are missing into every store; a picture is decoded once for all of them."""
    todo = sorted(key for key in image_of if any(key not in store.vectors for store in stores.values()))
    with tqdm(total=len(todo), desc=f"score: {what}", unit="picture", disable=not todo) as bar:
        for start in range(0, len(todo), batch):
            keys = todo[start : start + batch]
            images = [image_of[key]() for key in keys]
            for name, store in stores.items():
                store.add(keys, encode[name](images))
            bar.update(len(keys))


def read_pictures() -> pd.DataFrame:
    """The rows of all sets, with their shards' folder in ``pool``."""
    parts = []
    for name in SET_NAMES:
        folder = paths.PAIRS / name
        rows = read_table(folder / paths.PICTURE_ROWS)
        parts.append(rows.assign(pool=str(folder / "shards")))
    pictures = pd.concat(parts, ignore_index=True)
    if pictures.empty:
        raise StudyError(f"{paths.PAIRS}: no pictures in any set; raise generate.sets.*.per_type")
    return pictures


def read_real(pictures: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Callable[[], Image.Image]]]:
    """The real crops that are needed: (frame, film, shot_type, split, pixels), and how to decode each by its pixels."""
    select = read_table(paths.SELECT_ROWS)
    pool = Pool(paths.CROPS / "shards")
    wanted = select[(select["split"] == "probe") | select["frame"].isin(pictures["frame"])]
    unknown = sorted(set(pictures["frame"]) - set(select["frame"]))
    if unknown:
        raise StudyError(f"{paths.PAIRS}: frame {unknown[0]!r} is not in {paths.SELECT_ROWS}; run `dvc repro`")
    hashes = [picture_hash(pool.pixels(frame)) for frame in wanted["frame"]]
    decode = {key: _opener(pool, frame) for key, frame in zip(hashes, wanted["frame"], strict=True)}
    return wanted.assign(pixels=hashes), decode


def _opener(pool: Pool, key: str) -> Callable[[], Image.Image]:
    """Decode one picture of a pool when called."""

    def image() -> Image.Image:
        try:
            return pool.image(key)
        except (OSError, SyntaxError, ValueError) as error:
            raise StudyError(
                f"{pool.folder}: picture {key!r} cannot be decoded ({error}); run its stage again"
            ) from None

    return image


def picture_openers(pictures: pd.DataFrame) -> dict[str, Callable[[], Image.Image]]:
    """How to decode each generated picture, by its pixels; equal pictures are encoded once."""
    pools = {folder: Pool(Path(folder)) for folder in sorted(set(pictures["pool"]))}
    rows = zip(pictures["pixels"], pictures["pool"], pictures["picture"], strict=True)
    return {pixels: _opener(pools[folder], picture) for pixels, folder, picture in rows}


@dataclass(frozen=True)
class Vectors:
    """What the encoders said: DINO and CLIP vectors by pixels, prompt vectors by prompt."""

    dino: Store
    clip: Store
    prompts: dict[str, np.ndarray]


def encode_all(pictures: pd.DataFrame, real: Mapping[str, Callable[[], Image.Image]], profile: Profile) -> Vectors:
    """Encode the pictures, the real crops and the prompts, as far as the work folder does not hold them."""
    score, batch, code = (
        profile.score,
        profile.score.batch,
        code_hash("metrics/encoders.py", "stages/score.py"),
    )
    model, preprocess, tokenizer = load_clip(profile.models.clip)
    dino = load_dino(profile.models.dino)
    size = f"{score.dino_resize}/{score.dino_crop}/{batch}"
    clip_key = (model_hash("clip"), profile.models.clip.name, str(batch), device())
    stores = {
        "dino": Store(work_folder("score", "dino", code, model_hash("dino"), size, device())),
        "clip": Store(work_folder("score", "clip", code, *clip_key)),
    }
    encode: dict[str, Encoder] = {
        "dino": lambda images: encoders.dino_features(dino, images, score.dino_resize, score.dino_crop, batch),
        "clip": lambda images: encoders.clip_image_features(model, preprocess, images, batch),
    }
    fill({"dino": stores["dino"]}, encode, real, batch, "real crops")
    fill(stores, encode, picture_openers(pictures), batch, "pictures")
    prompts = sorted(set(pictures["prompt"]))
    texts = encoders.clip_text_features(model, tokenizer, prompts, batch)
    return Vectors(stores["dino"], stores["clip"], dict(zip(prompts, texts, strict=True)))


def fit_probe(
    real: pd.DataFrame, dino: Store, shot_types: set[str], score: ScoreParams
) -> tuple[probe.Probe | None, dict[str, Any]]:
    """The probe, fitted on all its crops, and what is known of its quality on films it did not see.

    Without crops of every shot type that the pictures have there is no probe, and the record says why.
    """
    rows = real[real["split"] == "probe"].sort_values("frame")
    missing = sorted(shot_types - set(rows["shot_type"]))
    if missing or rows["shot_type"].nunique() < 2:
        what = f"no {missing[0]} shot" if missing else "one shot type only"
        return None, {"fitted": False, "reason": f"{what} among the {len(rows)} frames of the split probe"}
    features, labels = dino.rows(rows["pixels"].tolist()), rows["shot_type"].tolist()
    quality = probe.evaluate(features, labels, rows["film"].tolist(), score.probe_l2, score.probe_held_out)
    record: dict[str, Any] = {"fitted": True, "frames": len(rows), "films": int(rows["film"].nunique())}
    if quality is None:
        record["reason"] = "too few films or frames to hold any out"
    else:
        record["held_out"] = asdict(quality)
    return probe.fit(features, labels, score.probe_l2), record


def shot_columns(fitted: probe.Probe | None, features: np.ndarray, shot_types: Sequence[str]) -> dict[str, Any]:
    """shot_pred, shot_right and confidence of each picture; empty without a probe."""
    n = len(features)
    if fitted is None:
        return {"shot_pred": [""] * n, "shot_right": np.full(n, np.nan), "confidence": np.full(n, np.nan)}
    predicted = fitted.predict(features)
    right = (predicted == np.asarray(shot_types)).astype(np.float64)
    return {
        "shot_pred": predicted.tolist(),
        "shot_right": right,
        "confidence": fitted.probabilities(features).max(axis=1),
    }


def score_rows(
    pictures: pd.DataFrame, real: pd.DataFrame, vectors: Vectors, fitted: probe.Probe | None
) -> pd.DataFrame:
    """One row a picture; the scores of a failed one are empty."""
    pixels = pictures["pixels"].tolist()
    dino = vectors.dino.rows(pixels)
    counterpart = pictures["frame"].map(dict(zip(real["frame"], real["pixels"], strict=True))).tolist()
    texts = np.stack([vectors.prompts[prompt] for prompt in pictures["prompt"]])
    scores = {
        "clip_t": encoders.cosine(vectors.clip.rows(pixels), texts),
        "dino": encoders.cosine(dino, vectors.dino.rows(counterpart)),
        **shot_columns(fitted, dino, pictures["shot_type"].tolist()),
    }
    rows = pictures[COLUMNS].assign(**scores, failed=pictures["failed"])
    numbers = ["clip_t", "dino", "shot_right", "confidence"]
    rows[numbers] = rows[numbers].round(DECIMALS)
    rows.loc[rows["failed"], numbers] = np.nan
    rows.loc[rows["failed"], "shot_pred"] = ""
    return rows


def run() -> None:
    profile = load_params()
    pictures = read_pictures()
    real, decode = read_real(pictures)
    vectors = encode_all(pictures, decode, profile)
    fitted, record = fit_probe(real, vectors.dino, set(pictures["shot_type"]), profile.score)
    rows = score_rows(pictures, real, vectors, fitted)
    write_table(rows, paths.SCORE_ROWS, by="picture")
    write_json(paths.PROBE, record)
    hashes = {key: model_hash(key) for key in ("clip", "dino")}
    write_run(paths.SCORES, profile.score, hashes)
    held_out = record.get("held_out", {}).get("accuracy")
    quality = record.get("reason") if held_out is None else f"right on {held_out:.0%} of real crops of unseen films"
    print(f"score: {len(rows)} pictures, {int(rows['failed'].sum())} failed; probe {quality}")


if __name__ == "__main__":
    main(run)
