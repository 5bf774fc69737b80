"""``run.json``: what a stage ran with, written beside its output."""

import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from dreamshot.paths import RUN

PACKAGES = (
    "torch", "diffusers", "transformers", "peft", "torchsde", "open_clip_torch", "timm", "numpy", "scipy",
    "scikit-learn", "pandas", "pyarrow", "Pillow", "pyvips-binary",
)  # fmt: skip


def versions() -> dict[str, str]:
    """The versions of the packages on which the study's numbers depend."""
    return {name: metadata.version(name) for name in PACKAGES}


def cpu_name() -> str:
    """The processor's model name where the system tells it, else its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    """The commit that is checked out, "" outside git."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def environment() -> dict[str, Any]:
    """What must agree between two machines for their pixels to be bit-equal."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "versions": versions(),
    }


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, by one atomic rename; NaN is refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")
    part.replace(path)


def write_run(folder: Path, params: Any, models: dict[str, str] | None = None, **facts: Any) -> None:
    """Write ``folder/run.json``: the resolved parameters, model hashes, versions, device and other facts.

    The commit is left out on purpose: the same content must have the same bytes, or every later stage
    would run again after every commit. The report names it.
    """
    record = {"params": params.model_dump(mode="json"), "models": models or {}, **environment(), **facts}
    write_json(folder / RUN, record)
