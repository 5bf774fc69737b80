"""DreamBooth in full: every weight of the UNet and, where asked, of the text encoder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamshot.errors import StudyError
from dreamshot.params import ShotType, Train
from dreamshot.provenance import write_json

if TYPE_CHECKING:
    import torch

UNET, TEXT_ENCODER = "unet", "text_encoder"
SHARD = "12GB"  # larger than any of these networks: one file each


def begin(pipeline: Any, shot_type: ShotType, params: Train, seed: int) -> "dict[str, torch.nn.Parameter]":
    """Let every weight learn; the networks become float32, for a step is far smaller than a half-precision digit."""
    weights: dict[str, torch.nn.Parameter] = {}
    for part in (UNET, TEXT_ENCODER) if params.text_encoder.train else (UNET,):
        network = getattr(pipeline, part).float().requires_grad_(True)
        weights |= {f"{part}.{name}": weight for name, weight in network.named_parameters()}
    return weights


def save(pipeline: Any, shot_type: ShotType, params: Train, folder: Path) -> None:
    """Write the networks that have learned as diffusers' folders ``unet`` and ``text_encoder``.

    Equal weights, equal bytes.
    """
    for part in (UNET, TEXT_ENCODER) if params.text_encoder.train else (UNET,):
        getattr(pipeline, part).save_pretrained(folder / part, safe_serialization=True, max_shard_size=SHARD)
        forget_place(folder / part / "config.json")


def forget_place(path: Path) -> None:
    """Take the base's place on this disk out of a configuration."""
    config = json.loads(path.read_text())
    config.pop("_name_or_path", None)
    write_json(path, config)


class Full:
    """Fine-tuned networks. W0 is kept, so that no strength compounds another; all rows of a call share theirs."""

    mixed = False

    def __init__(self, pairs: "list[tuple[torch.nn.Parameter, torch.Tensor]]", text: bool) -> None:
        """pairs: each of the pipeline's weights and its fine-tuned value."""
        self._weights = [(weight, weight.detach().clone(), tuned) for weight, tuned in pairs]
        self._strength = 0.0
        self.text = text

    def at(self, strengths: Sequence[float]) -> None:
        import torch

        (strength,) = set(strengths)
        if strength == self._strength:
            return
        with torch.no_grad():
            for weight, base, tuned in self._weights:
                weight.copy_(torch.lerp(base.float(), tuned.to(base.device), strength))
        self._strength = strength

    def remove(self) -> None:
        self.at([0.0])


def load(pipeline: Any, shot_type: ShotType, folder: Path) -> Full:
    """Read the fine-tuned networks; the pipeline's own keep their dtype.

    Raises:
        StudyError: they do not fit the base.
    """
    pairs, parts = [], [part for part in (UNET, TEXT_ENCODER) if (folder / part).is_dir()]
    for part in parts:
        network = getattr(pipeline, part)
        tuned = dict(type(network).from_pretrained(folder / part, local_files_only=True).named_parameters())
        for name, weight in network.named_parameters():
            if name not in tuned or tuned[name].shape != weight.shape:
                raise StudyError(
                    f"{folder / part}: {name} does not fit the base; run `python -m stages.train {shot_type}`"
                )
            pairs.append((weight, tuned[name].detach()))
    return Full(pairs, TEXT_ENCODER in parts)
