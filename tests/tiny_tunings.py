"""Fine-tunings of tiny bases with random weights, in the folders that training leaves: far enough from the base to see.

Each is the real method's: what it makes learn is moved by noise from ``number``, and saved as training saves it.
"""

from typing import Any

import torch

from dreamshot.models import load_base
from dreamshot.params import SHOT_TYPES, Method, Profile, ShotType
from dreamshot.paths import TUNED
from dreamshot.provenance import write_run
from dreamshot.work import clean
from stages.tuning import tuner

SPREAD: dict[Method, float] = {"lora": 0.3, "dreambooth": 0.05, "textual_inversion": 1.0}


def moved(pipeline: Any, params: Profile, shot_type: ShotType, method: Method, number: int, spread: float) -> Any:
    """The settings of training; what learns by them in the pipeline is moved."""
    settings = params.train.model_copy(update={"method": method})
    generator = torch.Generator().manual_seed(number)
    for weight in tuner(method).begin(pipeline, shot_type, settings, number).values():
        weight.data += spread * torch.randn(weight.shape, generator=generator)
    return settings


def write_tuning(
    params: Profile, shot_type: ShotType, method: Method = "lora", number: int = 0, spread: float | None = None
) -> None:
    """Write one shot type's, in place of what is there; spread 0: it changes nothing."""
    pipeline, folder = load_base(params.models.base), clean(TUNED / shot_type)
    wanted = SPREAD[method] if spread is None else spread
    settings = moved(pipeline, params, shot_type, method, number, wanted)
    tuner(method).save(pipeline, shot_type, settings, folder)
    write_run(folder, settings)


def write_tunings(params: Profile, method: Method = "lora", spread: float | None = None) -> None:
    """Write every shot type's, each other weights."""
    for number, shot_type in enumerate(SHOT_TYPES):
        write_tuning(params, shot_type, method, number, spread)
