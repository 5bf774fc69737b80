"""What a killed run goes on from: one safetensors file, replaced by one atomic rename."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamshot.work import atomic
from stages.train.loop import Run

if TYPE_CHECKING:
    import torch


def state_of(run: Run) -> "dict[str, torch.Tensor]":
    """Weights, the optimiser's memory of each, and their moving average, by name."""
    tensors: dict[str, torch.Tensor] = {}
    for place, (name, weight) in enumerate(run.weights.items()):
        tensors[f"weight/{name}"] = weight.detach()
        for key, value in run.optimizer.state[weight].items():
            if value is not None:
                tensors[f"optimizer/{key}/{name}"] = value
        if run.average is not None:
            tensors[f"average/{name}"] = run.average.shadow_params[place]
    return {key: tensor.cpu().contiguous() for key, tensor in tensors.items()}


def save_checkpoint(run: Run, path: Path) -> None:
    """Write the run's state; floats in the log keep every bit."""
    from safetensors.torch import save_file

    told = {
        "losses": run.log.losses,
        "held_out": run.log.held_out,
        "scaler": run.scaler.state_dict(),
        "averaged": run.average.optimization_step if run.average is not None else 0,
    }
    with atomic(path) as part:
        save_file(state_of(run), part, metadata={"log": json.dumps(told)})


def placed(value: "torch.Tensor", weight: "torch.Tensor") -> "torch.Tensor":
    """What an optimiser remembers of a weight, on its device and in its memory format; a count of steps stays."""
    import torch

    if value.shape == weight.shape:
        return torch.empty_like(weight, dtype=value.dtype).copy_(value)
    return value.to(weight.device) if value.ndim else value


def load_checkpoint(run: Run, path: Path) -> None:
    """Put the run where the checkpoint left it."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["log"])
        run.log.losses = told["losses"]
        run.log.held_out = {int(step): loss for step, loss in told["held_out"].items()}
        if told["scaler"]:
            run.scaler.load_state_dict(told["scaler"])
        memory: dict[str, dict[str, Any]] = {}
        for key in file.keys():  # noqa: SIM118  a safetensors file is no mapping
            kind, rest = key.split("/", 1)
            if kind == "optimizer":
                what, name = rest.split("/", 1)
                memory.setdefault(name, {})[what] = file.get_tensor(key)
        for place, (name, weight) in enumerate(run.weights.items()):
            weight.data.copy_(file.get_tensor(f"weight/{name}"))
            if name in memory:
                run.optimizer.state[weight] = {key: placed(value, weight) for key, value in memory[name].items()}
            if run.average is not None:
                run.average.shadow_params[place].copy_(file.get_tensor(f"average/{name}"))
    if run.average is not None:
        run.average.optimization_step = told["averaged"]
