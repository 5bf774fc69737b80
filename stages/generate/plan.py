"""What a set of pairs consists of: which captions, which arms, which seeds. Nothing here depends on an order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from dreamshot.captions import prompt
from dreamshot.errors import StudyError
from dreamshot.params import SHOT_TYPES, PairSet, Profile, SetName, ShotType
from dreamshot.seeds import digest, pair_id, picture_id, picture_seed

ArmName = Literal["baseline", "ours", "other"]


@dataclass(frozen=True)
class Arm:
    """One way to draw a pair's picture. "other" is the baseline with another seed."""

    name: ArmName
    strength: float = 0.0

    @property
    def tuned(self) -> bool:
        return self.name == "ours"


@dataclass(frozen=True)
class Pair:
    """One caption and one seed; ``frame`` is the real frame that the caption describes, its counterpart."""

    pair: str
    shot_type: ShotType
    frame: str
    film: str
    repetition: int
    prompt: str
    seed: int
    other_seed: int

    def seed_of(self, arm: Arm) -> int:
        return self.other_seed if arm.name == "other" else self.seed

    def picture(self, arm: Arm) -> str:
        return picture_id(self.pair, arm.name, arm.strength)


@dataclass(frozen=True)
class Chunk:
    """Pairs of one shot type that are drawn together: the unit of a batch and of resuming."""

    shot_type: ShotType
    pairs: tuple[Pair, ...]


def arms_of(set_name: SetName, settings: PairSet) -> list[Arm]:
    """The baseline, then the other arms."""
    if set_name == "control":
        return [Arm("baseline"), Arm("other")]
    if len({f"{strength:.2f}" for strength in settings.strengths}) < len(settings.strengths):
        raise StudyError(
            f"generate.sets.{set_name}.strengths = {settings.strengths}: two agree in two decimals; keep one"
        )
    return [Arm("baseline"), *(Arm("ours", strength) for strength in settings.strengths)]


def chosen(rows: pd.DataFrame, shot_type: ShotType, count: int, study_seed: int) -> pd.DataFrame:
    """``count`` test frames of a shot type: the same for every set, a smaller set's among a larger one's."""
    rows = rows[rows["shot_type"] == shot_type]
    if len(rows) < count:
        raise StudyError(
            f"generate.sets: {count} captions wanted of shot type {shot_type!r}, the test split has {len(rows)}; "
            f"lower per_type or label more frames"
        )
    rank = rows["frame"].map(lambda frame: digest(study_seed, "choice", frame))
    return rows.loc[rank.sort_values().index[:count]]


def pairs_of(set_name: SetName, shot_type: ShotType, rows: pd.DataFrame, params: Profile) -> list[Pair]:
    """A set's pairs of one shot type, by id."""
    settings: PairSet = getattr(params.generate.sets, set_name)
    template = params.generate.prompt_ablation if set_name == "ablation" else params.generate.template
    pairs = []
    for row in chosen(rows, shot_type, settings.per_type, params.seed).itertuples():
        for repetition in range(settings.repetitions):
            pair = pair_id(set_name, shot_type, str(row.frame), repetition)
            pairs.append(
                Pair(
                    pair=pair, shot_type=shot_type, frame=str(row.frame), film=str(row.film), repetition=repetition,
                    prompt=prompt(template, shot_type, str(row.caption)),
                    seed=picture_seed(params.seed, pair), other_seed=picture_seed(params.seed, pair, "other"),
                )
            )  # fmt: skip
    return sorted(pairs, key=lambda item: item.pair)


def chunks_of(pairs: Sequence[Pair], size: int) -> list[Chunk]:
    """The pairs of one shot type, ``size`` at a time."""
    return [Chunk(pairs[start].shot_type, tuple(pairs[start : start + size])) for start in range(0, len(pairs), size)]


def plan(set_name: SetName, rows: pd.DataFrame, params: Profile) -> list[Chunk]:
    """All chunks of a set, shot type after shot type: of ``generate.batch`` pictures, or one pair if it has more."""
    arms = arms_of(set_name, getattr(params.generate.sets, set_name))
    size = max(1, params.generate.batch // len(arms))
    return [chunk for shot_type in SHOT_TYPES for chunk in chunks_of(pairs_of(set_name, shot_type, rows, params), size)]
