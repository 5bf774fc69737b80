"""What a fine-tuning changes, a module a method: LoRA, the whole UNet (DreamBooth), words (textual inversion).

At strength s a pipeline computes with W + s dW, the paper's alpha: at 0 it is the base to the bit, at 1 what was
trained. The strength is not a LoRA's own lora_alpha, which is part of dW.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from dreamshot.errors import StudyError
from dreamshot.params import Method, ShotType, Train
from dreamshot.paths import RUN, TUNED
from dreamshot.seeds import digest
from dreamshot.work import file_hash

if TYPE_CHECKING:
    import torch

Weights = dict[str, "torch.nn.Parameter"]


class Tuning(Protocol):
    """A fine-tuning that is in a pipeline.

    mixed: whether the rows of one call may have different strengths. text: whether prompts' embeddings change.
    """

    mixed: bool
    text: bool

    def at(self, strengths: Sequence[float]) -> None:
        """Set the strength of each row of the calls that follow."""

    def remove(self) -> None:
        """Leave the pipeline as it was before."""


class Tuner(Protocol):
    """What the module of a method offers."""

    def begin(self, pipeline: Any, shot_type: ShotType, params: Train, seed: int) -> Weights:
        """Make the pipeline ready to learn; return what learns, float32, named "unet." or "text_encoder." and on."""

    def save(self, pipeline: Any, shot_type: ShotType, params: Train, folder: Path) -> None:
        """Write what was learned, in each of the formats that others read; equal weights, equal bytes."""

    def load(self, pipeline: Any, shot_type: ShotType, folder: Path) -> Tuning:
        """Put what ``save`` has written into a pipeline."""


MODULES: dict[Method, str] = {"lora": "lora", "dreambooth": "full", "textual_inversion": "inversion"}


def tuner(method: Method) -> Tuner:
    """The module of a method."""
    return cast(Tuner, import_module(f"{__name__}.{MODULES[method]}"))


class Untuned:
    """The base as it is."""

    mixed = True
    text = False

    def at(self, strengths: Sequence[float]) -> None:
        pass

    def remove(self) -> None:
        pass


def weights_hash(shot_type: ShotType) -> str:
    """SHA-256 (hex) of the weights of a shot type's fine-tuning.

    Raises:
        StudyError: there are none.
    """
    folder = TUNED / shot_type
    files = sorted(folder.rglob("*.safetensors"))
    if not files or not (folder / RUN).is_file():
        raise StudyError(f"{folder}: no fine-tuned weights; run `python -m stages.train {shot_type}`")
    return digest(*(part for path in files for part in (str(path.relative_to(folder)), file_hash(path))))
