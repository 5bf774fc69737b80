"""Choose the labelled frames of the study: splits that share nothing, balanced by shot type.

    python -m stages.select

Reads ``data/crops/``, ``data/ingest/`` and the labels of params.yaml (see ``dreamshot.labels``); writes
``data/select/``: ``select.parquet`` (frame, film, shot_type, split), ``labels.parquet`` and ``run.json``.

Of a frame that several persons have labelled the first label counts; later ones are second looks, which only tell how
well people agree. A label of another crop than today's does not count. Each split gets its quota of each shot type, as
evenly from its films as their numbers allow, and no film gives more than max_per_film frames of a type. Frames that are
nearly the same are never in two splits, nor is a film, unless film_disjoint is off: that is the paper's way. One seed,
one choice.

``labels.parquet`` has every label that stands: frame, film, who, time, turn (0: the one that counts; 1, 2, ...: second
looks), shot_type, medium_close_up, reason, seconds, crop, current (of the crop as it is now).
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dreamshot.errors import StudyError, main
from dreamshot.labels import label_table, label_tables, read_labels, read_seen, read_squares
from dreamshot.params import SHOT_TYPES, Select, load_params
from dreamshot.paths import FRAMES, INGEST, LABEL_ROWS, SELECT, SELECT_ROWS
from dreamshot.provenance import write_run
from dreamshot.records import Pool, read_table, write_table
from dreamshot.seeds import digest, seed
from dreamshot.work import clean, file_hash
from stages.alike import Look, links, shrink

SPLITS = ("train", "test", "probe")
TRIES = 2000  # random assignments, and fewer where DRAWS would be exceeded
DRAWS = 2_000_000
NODES = 20_000  # of the exact search, where chance found nothing: not a time, so that every machine ends alike


def candidates(labels: pd.DataFrame, frames: pd.DataFrame, params: Select) -> pd.DataFrame:
    """The crops that may be chosen: frame, film, shot_type, dhash, width, height, sorted by frame.

    Raises:
        StudyError: a shot type has none.
    """
    rows = labels[(labels["turn"] == 0) & labels["current"] & labels["shot_type"].isin(SHOT_TYPES)]
    if params.medium_close_ups == "drop":
        rows = rows[~rows["medium_close_up"]]
    for shot_type in SHOT_TYPES:
        if not (rows["shot_type"] == shot_type).any():
            raise StudyError(f"shot type {shot_type}: none of {len(frames)} frames has this label; label some")
    rows = rows[["frame", "film", "shot_type"]].merge(frames[["frame", "dhash", "width", "height"]], on="frame")
    return rows.sort_values("frame").reset_index(drop=True)


def drawn(rows: pd.DataFrame, study_seed: int) -> pd.DataFrame:
    """The rows in the study's random order, with ``turn``: a film's first of a shot type, its second, ..."""
    order = rows.assign(draw=[seed(study_seed, "select", frame) for frame in rows["frame"]]).sort_values("draw")
    return order.assign(turn=order.groupby(["film", "shot_type"]).cumcount())


def capped(rows: pd.DataFrame, cap: int) -> pd.DataFrame:
    """At most ``cap`` rows a film and shot type, the first that were drawn."""
    return rows[rows["turn"] < cap]


def components(pairs: Sequence[tuple[int, int]], count: int) -> np.ndarray:
    """The component of each of ``count`` places, (count,) of ints, joined by the pairs."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs)), (first, second)), shape=(count, count))
    found: np.ndarray = connected_components(graph, directed=False)[1]
    return found


def units(rows: pd.DataFrame, alike: Sequence[tuple[int, int]], film_disjoint: bool) -> pd.Series:
    """What must stay together, by its first film or frame: the rows of a film, and rows that are nearly the same."""
    names = rows["film"] if film_disjoint else rows["frame"]
    first = {name: place for place, name in reversed(list(enumerate(names)))}
    together = [(first[name], place) for place, name in enumerate(names)]
    return names.groupby(components([*together, *alike], len(rows))).transform("min")


def offers(rows: pd.DataFrame) -> pd.DataFrame:
    """What each unit can give: units x shot types."""
    table = pd.crosstab(rows["unit"], rows["shot_type"]).reindex(columns=list(SHOT_TYPES), fill_value=0)
    return table.sort_index()


def shortfall(assigned: np.ndarray, offer: np.ndarray, quotas: np.ndarray) -> np.ndarray:
    """Frames missing, (..., splits, types), with unit u in split ``assigned[..., u]``, len(quotas) for none."""
    member = assigned[..., None, :] == np.arange(len(quotas))[:, None]  # (..., splits, units)
    return np.clip(quotas[:, None] - member.astype(np.int64) @ offer, 0, None)


def by_chance(offer: np.ndarray, quotas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The best of some random assignments of units to splits, drawn in proportion to the quotas: (units,)."""
    tries = max(1, min(TRIES, DRAWS // len(offer)))
    drawn = rng.choice(len(quotas), size=(tries, len(offer)), p=quotas / quotas.sum())
    missing = shortfall(drawn, offer, quotas).sum(axis=(1, 2))
    best: np.ndarray = drawn[int(missing.argmin())]
    return best


def exactly(offer: np.ndarray, quotas: np.ndarray) -> np.ndarray | None:
    """The assignment with the least shortfall, by integer programming; None where NODES did not suffice."""
    from scipy import sparse
    from scipy.optimize import Bounds, LinearConstraint, milp

    splits, (count, types) = len(quotas), offer.shape
    share = sparse.kron(sparse.eye_array(splits), sparse.coo_array(offer.T))  # (splits * types, splits * units)
    missing = sparse.eye_array(splits * types)
    enough = LinearConstraint(sparse.hstack([share, missing], "csc"), lb=np.repeat(quotas, types))
    chosen = sparse.kron(np.ones((1, splits)), sparse.eye_array(count))  # (units, splits * units)
    once = sparse.hstack([chosen, sparse.coo_array((count, splits * types))], "csc")
    upper = np.concatenate([np.ones(splits * count), np.full(splits * types, np.inf)])
    cost = np.concatenate([np.zeros(splits * count), np.ones(splits * types)])
    found = milp(
        cost,
        constraints=[enough, LinearConstraint(once, ub=1)],
        bounds=Bounds(0, upper),
        integrality=np.ones(len(cost), dtype=int),
        options={"node_limit": NODES},
    )
    if found.x is None:
        return None
    member = found.x[: splits * count].reshape(splits, count) > 0.5
    return np.where(member.any(axis=0), member.argmax(axis=0), splits)


def assign(offer: np.ndarray, quotas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The split of each unit, (units,), that meets the quotas or comes nearest to it: by chance if that finds one."""
    best = by_chance(offer, quotas, rng)
    if not shortfall(best, offer, quotas).any():
        return best
    exact = exactly(offer, quotas)
    better = exact is not None and shortfall(exact, offer, quotas).sum() < shortfall(best, offer, quotas).sum()
    return exact if exact is not None and better else best


def lacking(missing: np.ndarray, quotas: np.ndarray) -> list[str]:
    """What each shot type lacks, in words; nothing for one whose quotas are met."""
    found = []
    for kind, short in zip(SHOT_TYPES, missing.T, strict=True):
        parts = ", ".join(f"{split} {count}" for split, count in zip(SPLITS, short, strict=True) if count)
        if parts:
            found.append(f"{kind} lacks {short.sum()} of {quotas.sum()} frames ({parts})")
    return found


def check_quotas(missing: np.ndarray, quotas: np.ndarray, params: Select) -> None:
    """Raise a StudyError that names every quota that is not met."""
    short = lacking(missing, quotas)
    if short:
        apart = "no film in two splits" if params.film_disjoint else "no near-duplicates in two splits"
        raise StudyError(
            f"select: {', '.join(short)}; {apart}, at most {params.max_per_film} a film and type: label more, or lower "
            f"select.* in params.yaml"
        )


def choose(rows: pd.DataFrame, quota: int) -> pd.DataFrame:
    """``quota`` drawn rows of one split and shot type: the first of every film, then the second of every film, ..."""
    return rows.sort_values(["turn", "draw"]).head(quota)[["frame", "film", "shot_type", "split"]]


def select(rows: pd.DataFrame, params: Select, study_seed: int, alike: Sequence[tuple[int, int]] = ()) -> pd.DataFrame:
    """Rows frame, film, shot_type, split from candidates (frame, film, shot_type).

    Args:
        alike: pairs of row numbers that are nearly the same.

    Raises:
        StudyError: no assignment to splits meets the quotas.
    """
    rows = rows.assign(unit=units(rows, alike, params.film_disjoint))
    rows = capped(drawn(rows, study_seed), params.max_per_film)
    offer = offers(rows)
    quotas = np.array([getattr(params, split) for split in SPLITS])
    rng = np.random.default_rng(seed(study_seed, "select", "films"))
    split_of = assign(offer.to_numpy(), quotas, rng)
    check_quotas(shortfall(split_of, offer.to_numpy(), quotas), quotas, params)
    names = {unit: SPLITS[split] for unit, split in zip(offer.index, split_of, strict=True) if split < len(SPLITS)}
    rows = rows.assign(split=rows["unit"].map(names)).dropna(subset="split")
    chosen = [choose(part, getattr(params, str(key[0]))) for key, part in rows.groupby(["split", "shot_type"])]
    return pd.concat(chosen)


def find_alike(rows: pd.DataFrame, params: Select) -> list[tuple[int, int]]:
    """The pairs of candidates, by their places, that are nearly the same."""
    pool = Pool(INGEST / "shards")
    frames = rows["frame"].tolist()
    looks = [Look(*row) for row in zip(rows["dhash"], rows["width"], rows["height"], strict=True)]
    return links(looks, params.near_duplicate, lambda place: shrink(pool.image(frames[place])))


def labels_hash(path: Path) -> str:
    """SHA-256 (hex) of the labels' files."""
    return digest(*(part for file in label_tables(path) for part in (file.name, file_hash(file))))


def shared_films(chosen: pd.DataFrame) -> int:
    """How many films are in more than one split."""
    return int((chosen.groupby("film")["split"].nunique() > 1).sum())


def not_current(labels: pd.DataFrame) -> int:
    """How many labelled frames have no label of a crop as it is now: rejected by ingest, or cropped anew since."""
    return int((~labels.groupby("frame")["current"].any()).sum())


def told(chosen: pd.DataFrame, labels: pd.DataFrame, params: Select) -> str:
    """The summary line."""
    films = Counter(chosen.drop_duplicates(["film", "split"])["split"])
    parts = ", ".join(f"{split} {getattr(params, split)} a shot type from {films[split]} films" for split in SPLITS)
    both = f"; {shared_films(chosen)} films are in more than one split" if not params.film_disjoint else ""
    return (
        f"select: {parts}{both}; {len(labels)} labels of {labels['frame'].nunique()} frames, of which "
        f"{not_current(labels)} were rejected or cropped anew since"
    )


def run() -> None:
    profile = load_params()
    params, path = profile.select, Path(profile.labels)
    seen = read_seen()
    labels = label_table(read_labels(path, seen), seen.films, read_squares())
    if labels.empty:
        raise StudyError(f"{path}: no labels there; run `make label`, or see README, Your own stills")
    rows = candidates(labels, read_table(FRAMES), params)
    chosen = select(rows, params, profile.seed, find_alike(rows, params))
    clean(SELECT)
    write_table(chosen, SELECT_ROWS, by="frame")
    write_table(labels, LABEL_ROWS, by=["frame", "turn"])
    facts: dict[str, Any] = {
        "labels": len(labels),
        "frames_not_current": not_current(labels),
        "films_in_two_splits": shared_films(chosen),
        "labels_sha256": labels_hash(path),
    }
    write_run(SELECT, params, seed=profile.seed, **facts)
    print(told(chosen, labels, params))


if __name__ == "__main__":
    main(run)
