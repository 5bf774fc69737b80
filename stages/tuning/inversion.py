"""Textual inversion: the base stays, and the words of the shot type ("close_shot") get vectors of their own.

The vectors begin as the words' own, a vector a token, and take their places wherever the words stand in a prompt. So
both arms of a pair have one prompt, and at strength 0 the words are the base's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamshot.errors import StudyError
from dreamshot.params import ShotType, Train

if TYPE_CHECKING:
    import torch

VECTORS = "text_encoder.words"


def embedding_file(shot_type: ShotType) -> str:
    """A1111's prompts call an embedding by its file's stem."""
    return f"dreamshot_{shot_type}_words.safetensors"


def token(shot_type: ShotType) -> str:
    """The name by which diffusers' ``load_textual_inversion`` adds the words to a tokenizer."""
    return f"<dreamshot-{shot_type}>"


class Words:
    """Vectors in the places of a phrase: (tokens of the phrase, width), float32."""

    mixed = True
    text = True

    def __init__(self, pipeline: Any, shot_type: ShotType, vectors: "torch.Tensor | None" = None) -> None:
        """vectors: the base's own where none are given."""
        import torch

        table = pipeline.text_encoder.get_input_embeddings()
        ids = pipeline.tokenizer(f"{shot_type}_shot", add_special_tokens=False).input_ids
        self._phrase = torch.tensor(ids, device=table.weight.device)
        self._base = table.weight.detach()[self._phrase].clone()
        own = self._base if vectors is None else vectors.to(self._base)
        if own.shape != self._base.shape:
            raise StudyError(
                f"{embedding_file(shot_type)}: vectors of shape {tuple(own.shape)} do not fit the base's "
                f"{tuple(self._base.shape)}; run `python -m stages.train {shot_type}`"
            )
        self.vectors = torch.nn.Parameter(own.clone())
        self._rows = torch.ones(1, device=table.weight.device)
        self._hook = table.register_forward_hook(self._replace)

    def at(self, strengths: Sequence[float]) -> None:
        import torch

        self._rows = torch.tensor(strengths, dtype=torch.float32, device=self._base.device)

    def remove(self) -> None:
        self._hook.remove()

    def _replace(self, _: Any, inputs: "tuple[torch.Tensor, ...]", found: "torch.Tensor") -> "torch.Tensor":
        """found: (rows, tokens, width), what the base's table says of the ids in ``inputs``."""
        import torch

        ids, length = inputs[0], len(self._phrase)
        starts = (ids.unfold(1, length, 1) == self._phrase).all(-1)
        words = torch.lerp(self._base, self.vectors, self._rows.view(-1, 1, 1)).to(found.dtype)
        for place in range(length):
            here = torch.nn.functional.pad(starts, (place, length - 1 - place))
            found = torch.where(here.unsqueeze(-1), words[:, place : place + 1], found)
        return found


def begin(pipeline: Any, shot_type: ShotType, params: Train, seed: int) -> "dict[str, torch.nn.Parameter]":
    """Give the words vectors of their own, which alone learn."""
    pipeline.text_encoder.words = Words(pipeline, shot_type)
    return {VECTORS: pipeline.text_encoder.words.vectors}


def save(pipeline: Any, shot_type: ShotType, params: Train, folder: Path) -> None:
    """Write the vectors as the one tensor that ``load_textual_inversion`` and A1111 read."""
    from safetensors.torch import save_file

    vectors = pipeline.text_encoder.words.vectors.detach().cpu().contiguous()
    save_file({token(shot_type): vectors}, folder / embedding_file(shot_type), {"format": "pt"})


def load(pipeline: Any, shot_type: ShotType, folder: Path) -> Words:
    """Put the learned vectors in the words' places."""
    from safetensors.torch import load_file

    return Words(pipeline, shot_type, load_file(folder / embedding_file(shot_type))[token(shot_type)])
