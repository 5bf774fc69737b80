"""Choose the labelled frames of the study: film-disjoint splits, balanced by shot type.

    python -m stages.select

Reads ``data/crops/``, ``data/ingest/`` and the labels of params.yaml (``file`` or ``frame``, ``shot_type``; one of
close, medium, long, or reject, unknown or nothing for a frame that is not used); writes ``data/select/``:
``select.parquet`` (frame, film, shot_type, split) and ``run.json``. Each split gets its quota of each shot type, at
most max_per_film of them from one film, as evenly from its films as their numbers allow. One seed, one choice.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dreamshot.errors import StudyError, main
from dreamshot.params import SHOT_TYPES, Select, load_params
from dreamshot.paths import CROP_ROWS, FRAMES, LEDGER, SELECT, SELECT_ROWS
from dreamshot.provenance import write_run
from dreamshot.records import read_table, write_table
from dreamshot.seeds import seed
from dreamshot.work import clean, file_hash
from stages.ingest.listing import read_csv

SPLITS = ("train", "test", "probe")
NOT_USED = ("reject", "unknown", "")
TRIES = 2000
SECONDS = 20.0  # for the exact search, where chance found nothing


def resolve(row: dict[str, str], files: dict[str, str], frames: set[str], where: str) -> str:
    """The id of the frame that a label is about: by ``frame`` if the row has one, else by ``file``."""
    if row.get("frame"):
        if row["frame"] not in frames:
            raise StudyError(f"{where}: frame {row['frame']!r} is none that ingest has seen; correct or remove the row")
        return row["frame"]
    if row.get("file", "") not in files:
        raise StudyError(
            f"{where}: file {row.get('file', '')!r} is none that ingest has seen; correct or remove the row"
        )
    return files[row["file"]]


def check_label(label: str, where: str) -> None:
    if label not in (*SHOT_TYPES, *NOT_USED):
        allowed = ", ".join((*SHOT_TYPES, *NOT_USED[:-1]))
        raise StudyError(f"{where}: shot_type {label!r} is not one of {allowed}, or empty; correct it")


def read_labels(path: Path, files: dict[str, str], frames: set[str]) -> dict[str, str]:
    """The label of each frame id. A frame may be labelled twice, but not as two things.

    Args:
        files: the frame id of every file that ingest has seen, kept or not.
        frames: their ids.
    """
    labels: dict[str, tuple[str, int]] = {}
    for line, row in read_csv(path, {"shot_type"}):
        where = f"{path} row {line}"
        check_label(row["shot_type"], where)
        frame = resolve(row, files, frames, where)
        label, earlier = labels.setdefault(frame, (row["shot_type"], line))
        if label != row["shot_type"]:
            raise StudyError(
                f"{where}: shot_type {row['shot_type']!r}, but {label!r} in row {earlier} for the same frame; keep one"
            )
    return {frame: label for frame, (label, _) in labels.items()}


def candidates(crops: pd.DataFrame, labels: dict[str, str]) -> pd.DataFrame:
    """The crops that may be chosen: frame, film, shot_type, sorted by frame.

    Raises:
        StudyError: a shot type has none.
    """
    rows = crops[["frame", "film"]].sort_values("frame").reset_index(drop=True)
    rows["shot_type"] = rows["frame"].map(labels)
    rows = rows[rows["shot_type"].isin(SHOT_TYPES)].reset_index(drop=True)
    for shot_type in SHOT_TYPES:
        if not (rows["shot_type"] == shot_type).any():
            raise StudyError(f"shot type {shot_type}: none of {len(crops)} frames has this label; label some")
    return rows


def offers(rows: pd.DataFrame, cap: int) -> pd.DataFrame:
    """What each film can give: films x shot types, at most ``cap`` each."""
    table = pd.crosstab(rows["film"], rows["shot_type"]).reindex(columns=list(SHOT_TYPES), fill_value=0)
    return table.sort_index().clip(upper=cap)


def shortfall(assigned: np.ndarray, offer: np.ndarray, quotas: np.ndarray) -> np.ndarray:
    """Frames missing, (..., splits, types), with film f in split ``assigned[..., f]``, len(quotas) for none."""
    member = assigned[..., None, :] == np.arange(len(quotas))[:, None]  # (..., splits, films)
    return np.clip(quotas[:, None] - member.astype(np.int64) @ offer, 0, None)


def by_chance(offer: np.ndarray, quotas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The best of TRIES random assignments of films to splits, drawn in proportion to the quotas: (films,)."""
    drawn = rng.choice(len(quotas), size=(TRIES, len(offer)), p=quotas / quotas.sum())
    missing = shortfall(drawn, offer, quotas).sum(axis=(1, 2))
    best: np.ndarray = drawn[int(missing.argmin())]
    return best


def exactly(offer: np.ndarray, quotas: np.ndarray) -> np.ndarray | None:
    """The assignment with the least shortfall, by integer programming; None where the time did not suffice."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    splits, (films, types) = len(quotas), offer.shape
    share = np.kron(np.eye(splits), offer.T)  # (splits * types, splits * films)
    enough = LinearConstraint(np.hstack([share, np.eye(splits * types)]), lb=np.repeat(quotas, types))
    once = np.hstack([np.tile(np.eye(films), splits), np.zeros((films, splits * types))])
    upper = np.concatenate([np.ones(splits * films), np.full(splits * types, np.inf)])
    cost = np.concatenate([np.zeros(splits * films), np.ones(splits * types)])
    found = milp(
        cost,
        constraints=[enough, LinearConstraint(once, ub=1)],
        bounds=Bounds(0, upper),
        integrality=np.ones(len(cost), dtype=int),
        options={"time_limit": SECONDS},
    )
    if found.x is None:
        return None
    member = found.x[: splits * films].reshape(splits, films) > 0.5
    return np.where(member.any(axis=0), member.argmax(axis=0), splits)


def assign(offer: np.ndarray, quotas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The split of each film, (films,), that meets the quotas or comes nearest to it: by chance if that finds one."""
    best = by_chance(offer, quotas, rng)
    if not shortfall(best, offer, quotas).any():
        return best
    exact = exactly(offer, quotas)
    better = exact is not None and shortfall(exact, offer, quotas).sum() < shortfall(best, offer, quotas).sum()
    return exact if exact is not None and better else best


def check_quotas(missing: np.ndarray, quotas: np.ndarray, params: Select) -> None:
    """Raise a StudyError for the first quota that is not met."""
    for split, row in enumerate(missing):
        for shot_type, short in enumerate(row):
            if short:
                name, quota = SPLITS[split], quotas[split]
                raise StudyError(
                    f"shot type {SHOT_TYPES[shot_type]}: {name} has {quota - short} of {quota} frames (no film in two "
                    f"splits, at most {params.max_per_film} a film and type); lower select.{name} or label more"
                )


def choose(rows: pd.DataFrame, quota: int, study_seed: int) -> pd.DataFrame:
    """``quota`` frames of one split and shot type: the first of every film, then the second of every film, ..."""
    order = rows.assign(draw=[seed(study_seed, "select", frame) for frame in rows["frame"]]).sort_values("draw")
    order["turn"] = order.groupby("film").cumcount()
    return order.sort_values(["turn", "draw"]).head(quota)[["frame", "film", "shot_type", "split"]]


def select(rows: pd.DataFrame, params: Select, study_seed: int) -> pd.DataFrame:
    """Rows frame, film, shot_type, split from candidates (frame, film, shot_type).

    Raises:
        StudyError: no assignment of films to splits meets the quotas.
    """
    offer = offers(rows, params.max_per_film)
    quotas = np.array([getattr(params, split) for split in SPLITS])
    rng = np.random.default_rng(seed(study_seed, "select", "films"))
    split_of = assign(offer.to_numpy(), quotas, rng)
    check_quotas(shortfall(split_of, offer.to_numpy(), quotas), quotas, params)
    names = {film: SPLITS[split] for film, split in zip(offer.index, split_of, strict=True) if split < len(SPLITS)}
    rows = rows.assign(split=rows["film"].map(names)).dropna(subset="split")
    chosen = [
        choose(part, getattr(params, str(key[0])), study_seed) for key, part in rows.groupby(["split", "shot_type"])
    ]
    return pd.concat(chosen)


def seen() -> tuple[dict[str, str], set[str]]:
    """The frame id of every file that ingest has seen (a file without a film stands for itself), and these ids."""
    both = pd.concat([read_table(LEDGER)[["file", "frame"]], read_table(FRAMES)[["file", "frame"]]])
    files = {str(file): str(frame or file) for file, frame in zip(both["file"], both["frame"], strict=True)}
    return files, set(both["frame"]) - {""}


def run() -> None:
    profile = load_params()
    params, path = profile.select, Path(profile.labels)
    crops = read_table(CROP_ROWS)
    labels = read_labels(path, *seen())
    rows = candidates(crops, labels)
    chosen = select(rows, params, profile.seed)
    clean(SELECT)
    write_table(chosen, SELECT_ROWS, by="frame")
    rejected = len(set(labels) - set(crops["frame"]))
    facts: dict[str, Any] = {
        "labels": len(labels),
        "labels_of_rejected_frames": rejected,
        "labels_sha256": file_hash(path),
    }
    write_run(SELECT, params, seed=profile.seed, **facts)
    films = Counter(chosen.drop_duplicates("film")["split"])
    parts = ", ".join(f"{split} {getattr(params, split)} a shot type from {films[split]} films" for split in SPLITS)
    print(f"select: {parts}; {len(labels)} labels, {rejected} of them for frames that ingest rejected")


if __name__ == "__main__":
    main(run)
