"""The LoRA: put into the UNet, and written in diffusers' format with the scaling that it was trained with."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamshot.errors import StudyError
from dreamshot.params import Train
from dreamshot.paths import LORA_FILE
from stages.diffusion import Unet

if TYPE_CHECKING:
    import torch


def add_lora(unet: Unet, params: Train, seed: int) -> "dict[str, torch.nn.Parameter]":
    """Add an adapter, its A drawn from ``seed`` and its B zero; return its weights (float32) by name.

    Raises:
        StudyError: a target names no layer of the UNet.
    """
    import torch
    from peft import LoraConfig

    check_targets(unet, params.targets)
    config = LoraConfig(
        r=params.rank,
        lora_alpha=params.lora_alpha,
        target_modules=list(params.targets),
        init_lora_weights="gaussian",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet.add_adapter(config)
    weights = {name: weight for name, weight in unet.named_parameters() if weight.requires_grad}
    for weight in weights.values():
        weight.data = weight.data.float()
    return weights


def check_targets(unet: Unet, targets: list[str]) -> None:
    """Each target must be the end of a layer's name: peft itself only objects when none of them is."""
    names = [name for name, _ in unet.named_modules()]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            raise StudyError(
                f"train.targets: {target!r} is no layer of the UNet; usual ones are to_k, to_q, to_v, to_out.0"
            )


def adapter_metadata(unet: Unet) -> dict[str, Any]:
    """peft's configuration of the adapter, with sets as sorted lists: their own order changes with every process."""
    config = unet.peft_config["default"].to_dict()
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}


def save_lora(unet: Unet, folder: Path) -> Path:
    """Write the adapter into ``folder`` so that ``load_lora_weights`` finds its lora_alpha; equal LoRA, equal bytes."""
    from diffusers import StableDiffusionPipeline
    from diffusers.utils.state_dict_utils import convert_state_dict_to_diffusers
    from peft import get_peft_model_state_dict

    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=convert_state_dict_to_diffusers(get_peft_model_state_dict(unet)),
        unet_lora_adapter_metadata=adapter_metadata(unet),
    )
    sort_header(folder / LORA_FILE)
    return folder / LORA_FILE


def sort_header(path: Path) -> None:
    """Rewrite a safetensors file with its header in sorted order: the library writes metadata in a random one."""
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[end:])
