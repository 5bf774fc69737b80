"""A LoRA on the UNet's attention and, where asked, the text encoder's: for diffusers, and for kohya and its readers."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamshot.errors import StudyError
from dreamshot.params import ShotType, Train
from dreamshot.paths import LORA_FILE
from dreamshot.seeds import seed as derived

if TYPE_CHECKING:
    import torch

TEXT_TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj"]
PARTS = ("unet", "text_encoder")
KOHYA_PREFIX = {"unet": "lora_unet_", "text_encoder": "lora_te_"}


def kohya_file(shot_type: ShotType) -> str:
    """The name by which A1111's prompts call the LoRA is the file's stem."""
    return f"dreamshot_{shot_type}.safetensors"


# --- training ---


def begin(pipeline: Any, shot_type: ShotType, params: Train, seed: int) -> "dict[str, torch.nn.Parameter]":
    """Add an adapter to the UNet and, where asked, to the text encoder, its A drawn from ``seed`` and its B zero.

    Raises:
        StudyError: a target names no layer of the UNet that a LoRA can change.
    """
    check_targets(pipeline.unet, params.targets)
    weights = add_adapter(pipeline, "unet", params.targets, params, seed)
    if params.text_encoder.train:
        weights |= add_adapter(pipeline, "text_encoder", TEXT_TARGETS, params, derived(seed, "text encoder"))
    return weights


def add_adapter(
    pipeline: Any, part: str, targets: list[str], params: Train, seed: int
) -> "dict[str, torch.nn.Parameter]":
    """Add an adapter to one network; return its weights (float32) by name."""
    import torch
    from peft import LoraConfig

    network = getattr(pipeline, part)
    config = LoraConfig(
        r=params.rank, lora_alpha=params.lora_alpha, target_modules=list(targets), init_lora_weights="gaussian"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.add_adapter(config)
    weights = {f"{part}.{name}": weight for name, weight in network.named_parameters() if weight.requires_grad}
    for weight in weights.values():
        weight.data = weight.data.float()
    return weights


def check_targets(unet: Any, targets: list[str]) -> None:
    """Each target must be the end of the names of linear or convolutional layers, which a LoRA can change.

    peft itself objects to a name that no layer has only where none of the targets has one.
    """
    import torch

    modules = [(f".{name}", module) for name, module in unet.named_modules()]
    for target in targets:
        found = [module for name, module in modules if name.endswith(f".{target}")]
        if not found or not all(isinstance(module, torch.nn.Linear | torch.nn.Conv2d) for module in found):
            raise StudyError(
                f"train.targets: {target!r} is no linear or convolutional layer of the UNet; "
                f"usual ones are to_k, to_q, to_v, to_out.0"
            )


# --- what there is ---


def layers(network: Any) -> Iterator[tuple[str, Any]]:
    """(name, layer) of the layers that have an adapter."""
    from peft.tuners.lora import LoraLayer

    return ((name, module) for name, module in network.named_modules() if isinstance(module, LoraLayer))


def changes(pipeline: Any) -> "dict[str, torch.Tensor]":
    """dW of each layer, (out, in) float32, from the one adapter that the pipeline has: scaling x B A.

    B and A are rounded to the network's dtype, as a loader rounds them.
    """
    found = {}
    for part in PARTS:
        network = getattr(pipeline, part)
        for name, layer in layers(network):
            (adapter,) = layer.lora_A
            down, up = (
                half[adapter].weight.detach().to(network.dtype).float().flatten(1)
                for half in (layer.lora_A, layer.lora_B)
            )
            found[f"{part}.{name}"] = layer.scaling[adapter] * up @ down
    return found


def alike(one: "torch.Tensor", other: "torch.Tensor") -> bool:
    """Whether two changes are equal up to the rounding of float32, seen from their own size."""
    return float((one - other).abs().max()) <= 1e-5 * float(one.abs().max())


# --- writing ---


def save(pipeline: Any, shot_type: ShotType, params: Train, folder: Path) -> None:
    """Write the adapter twice, for diffusers and for kohya, load each again and compare; the adapter is gone then.

    Raises:
        RuntimeError: a file does not give back what was trained.
    """
    trained = changes(pipeline)
    files = [save_diffusers(pipeline, folder), save_kohya(pipeline, folder / kohya_file(shot_type))]
    unload(pipeline)
    for path in files:
        compare(pipeline, path, trained)


def compare(pipeline: Any, path: Path, trained: "dict[str, torch.Tensor]") -> None:
    """Load a file by diffusers' own loader and compare the change of every layer with the trained one."""
    with quiet():
        pipeline.load_lora_weights(path.parent, weight_name=path.name, adapter_name="again")
    loaded = changes(pipeline)
    unload(pipeline)
    wrong = [
        name
        for name in trained.keys() | loaded.keys()
        if name not in trained or name not in loaded or not alike(trained[name], loaded[name])
    ]
    if wrong:
        raise RuntimeError(f"{path}: loaded again, {len(wrong)} of {len(trained)} layers differ, as {min(wrong)}")


@contextmanager
def quiet() -> Iterator[None]:
    """Without diffusers' warning about a file that has nothing for the text encoder."""
    from diffusers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def unload(pipeline: Any) -> None:
    """Take every adapter out."""
    pipeline.unload_lora_weights()


def adapter_state(network: Any) -> "dict[str, torch.Tensor]":
    """The adapter's weights as diffusers names them, on the CPU; none where there is no adapter.

    diffusers' own conversion renames attention's layers alone, and its loader, which looks at one name, then loses
    them where others learn too: what it has left is renamed here.
    """
    from diffusers.utils.state_dict_utils import convert_state_dict_to_diffusers
    from peft import get_peft_model_state_dict

    if not getattr(network, "peft_config", None):
        return {}
    state = convert_state_dict_to_diffusers(get_peft_model_state_dict(network))
    return {
        name.replace(".lora_A.", ".lora.down.").replace(".lora_B.", ".lora.up."): tensor.detach().cpu().contiguous()
        for name, tensor in state.items()
    }


def adapter_metadata(network: Any) -> dict[str, Any] | None:
    """peft's configuration of the adapter, without the base's place on this disk.

    Sets are sorted lists: their own order changes with every process.
    """
    if not getattr(network, "peft_config", None):
        return None
    config = {**network.peft_config["default"].to_dict(), "base_model_name_or_path": None}
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}


def save_diffusers(pipeline: Any, folder: Path) -> Path:
    """Write the adapter so that ``load_lora_weights`` finds its lora_alpha; equal LoRA, equal bytes."""
    from diffusers import StableDiffusionPipeline

    text = {with_text_model(name): value for name, value in adapter_state(pipeline.text_encoder).items()}
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=adapter_state(pipeline.unet),
        text_encoder_lora_layers=text or None,
        unet_lora_adapter_metadata=adapter_metadata(pipeline.unet),
        text_encoder_lora_adapter_metadata=adapter_metadata(pipeline.text_encoder),
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


def with_text_model(layer: str) -> str:
    """A text encoder's layer as files name it: transformers no longer has a ``text_model`` in its ``CLIPTextModel``."""
    return layer if layer.startswith("text_model.") else f"text_model.{layer}"


def kohya_name(part: str, layer: str) -> str:
    """A layer's name in kohya's files, which A1111 and ComfyUI read: dots become underscores."""
    if part == "text_encoder":
        layer = with_text_model(layer)
    return KOHYA_PREFIX[part] + layer.replace(".", "_")


def save_kohya(pipeline: Any, path: Path) -> Path:
    """Write the adapter as kohya's sd-scripts does, each layer with its true alpha; equal LoRA, equal bytes."""
    import torch
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    for part in PARTS:
        for name, layer in layers(getattr(pipeline, part)):
            (adapter,) = layer.lora_A
            key = kohya_name(part, name)
            tensors[f"{key}.lora_down.weight"] = layer.lora_A[adapter].weight
            tensors[f"{key}.lora_up.weight"] = layer.lora_B[adapter].weight
            tensors[f"{key}.alpha"] = torch.tensor(float(layer.lora_alpha[adapter]))
    save_file(
        {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, path, kohya_metadata(pipeline)
    )
    sort_header(path)
    return path


def kohya_metadata(pipeline: Any) -> dict[str, str]:
    """What A1111 and ComfyUI show of a LoRA."""
    config = pipeline.unet.peft_config["default"]
    return {
        "ss_base_model_version": "sd_v1",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(config.r),
        "ss_network_alpha": str(float(config.lora_alpha)),
    }


# --- reading ---


class Adapter:
    """A loaded LoRA. Every row of a call has a strength of its own: a hook scales what the adapter adds to the row."""

    mixed = True

    def __init__(self, pipeline: Any) -> None:
        import torch

        self._pipeline = pipeline
        self._rows = torch.zeros(0)
        self.text = any(True for _ in layers(pipeline.text_encoder))
        self._hooks = [
            up.register_forward_hook(self._scale)
            for part in PARTS
            for _, layer in layers(getattr(pipeline, part))
            for up in layer.lora_B.values()
        ]

    def at(self, strengths: Sequence[float]) -> None:
        import torch

        self._rows = torch.tensor(strengths, dtype=torch.float32, device=self._pipeline.device)

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()
        unload(self._pipeline)

    def _scale(self, _: Any, __: Any, added: "torch.Tensor") -> "torch.Tensor":
        rows = self._rows.view(-1, *[1] * (added.ndim - 1))
        return (added.float() * rows).to(added.dtype)


def load(pipeline: Any, shot_type: ShotType, folder: Path) -> Adapter:
    """Put the LoRA into the pipeline's networks, in their dtype.

    Raises:
        StudyError: it does not fit the base.
    """
    try:
        with quiet():
            pipeline.load_lora_weights(folder, weight_name=LORA_FILE, adapter_name=shot_type)
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise StudyError(
            f"{folder / LORA_FILE}: does not fit the base ({reason}); run `python -m stages.train {shot_type}`"
        ) from None
    for network in (pipeline.unet, pipeline.text_encoder):
        network.requires_grad_(False)
    return Adapter(pipeline)
