"""What people did by hand, as numbers: ``reports/metrics/labels.json`` and ``captions.json``.

What cannot be computed is left out: ``seconds_median`` where no label's time is known; ``second_look`` where nobody has
looked twice, and of it ``kappa``, ``ci_lo`` and ``ci_hi`` where ``metrics.agreement`` has none; ``edit_distance_mean``
where nothing has been edited.
"""

from typing import Any

import pandas as pd

from dreamshot.captions import FLAGS, edit_distance
from dreamshot.labels import DECISIONS, looked_twice
from metrics.agreement import Agreement, agreement

DECIMALS = 6
NO_REASON = "not given"


def share(part: int, whole: int) -> float:
    """``part / whole``, 0 of nothing."""
    return round(part / whole, DECIMALS) if whole else 0.0


def in_use(labels: pd.DataFrame) -> pd.DataFrame:
    """The labels that count: of each frame the first one of its crop as it is now."""
    return labels[(labels["turn"] == 0) & labels["current"]]


def reasons(rejected: pd.DataFrame) -> dict[str, int]:
    """How many frames were labelled reject for each reason, the most frequent first."""
    given = rejected["reason"].where(rejected["reason"] != "", NO_REASON)
    counts = sorted(given.value_counts().items(), key=lambda item: (-item[1], str(item[0])))
    return {str(reason): int(count) for reason, count in counts}


def second_looks(labels: pd.DataFrame, confidence: float) -> Agreement | None:
    """How the first two people who looked at the same crops agree, None where nobody has looked twice."""
    both = looked_twice(labels)
    if both.empty:
        return None
    return agreement(both["shot_type_first"], both["shot_type_second"], both["film"], DECISIONS, confidence)


def second_look_facts(found: Agreement) -> dict[str, Any]:
    """An agreement as scalars; ``confusion`` is <first look>.<second look>."""
    values = {"observed": found.observed, "kappa": found.kappa, "ci_lo": found.ci_lo, "ci_hi": found.ci_hi}
    return {
        "n": found.n,
        "films": found.clusters,
        "confusion": {
            kind: dict(zip(found.categories, row, strict=True))
            for kind, row in zip(found.categories, found.table, strict=True)
        },
        **{key: round(value, DECIMALS) for key, value in values.items() if value is not None},
    }


def labels(table: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """The content of ``labels.json`` from the rows of ``labels.parquet``.

    ``people`` are those whose labels count. ``outdated`` counts the frames whose labels are all of another crop than
    today's; they are in no other number. ``seconds_median`` is over all looks whose time is known, first and second.
    """
    used, timed = in_use(table), table.loc[table["current"], "seconds"].dropna()
    kinds = used["shot_type"].value_counts()
    near = used[used["shot_type"].isin(("close", "medium"))]
    facts: dict[str, Any] = {
        "people": int(used["who"].nunique()),
        "labels": len(used),
        "outdated": int(table["frame"].nunique() - len(used)),
        "by_type": {kind: int(kinds.get(kind, 0)) for kind in DECISIONS},
        "reasons": reasons(used[used["shot_type"] == "reject"]),
        "medium_close_ups": {
            "labels": int(near["medium_close_up"].sum()),
            "share": share(int(near["medium_close_up"].sum()), len(near)),
        },
        "timed": len(timed),
    }
    if len(timed):
        facts["seconds_median"] = round(float(timed.median()), 2)
    found = second_looks(table, confidence)
    return facts | ({"second_look": second_look_facts(found)} if found else {})


def flag_counts(rows: pd.DataFrame) -> dict[str, int]:
    """How many captions carry each flag."""
    found = rows["flags"].str.split(",").explode()
    return {flag: int((found == flag).sum()) for flag in FLAGS}


def captions(table: pd.DataFrame) -> dict[str, Any]:
    """The content of ``captions.json`` from the rows of ``captions.parquet``.

    Of the training captions: ``reviewed`` have been looked at by a person (one that find and replace has changed has
    an editor and no time), ``edited`` are not the captioner's any more; ``edit_distance_mean`` is the mean Levenshtein
    distance of the edited ones from the captioner's, in characters.
    """
    train, test = (table[table["split"] == split] for split in ("train", "test"))
    touched = train[train["reviewed"] != ""]
    reviewed = touched[(touched["time"] != "") | (touched["editor"] == "")]
    edited = touched[touched["reviewed"] != touched["raw"]]
    facts: dict[str, Any] = {
        "train": {
            "captions": len(train),
            "reviewed": len(reviewed),
            "reviewed_share": share(len(reviewed), len(train)),
            "edited": len(edited),
            "edited_share": share(len(edited), len(train)),
            "editors": int(touched.loc[touched["editor"] != "", "editor"].nunique()),
            "flagged": flag_counts(train),
        },
        "test": {"captions": len(test), "flagged": flag_counts(test)},
    }
    if len(edited):
        distances = map(edit_distance, edited["raw"], edited["reviewed"])
        facts["train"]["edit_distance_mean"] = round(sum(distances) / len(edited), 3)
    return facts
