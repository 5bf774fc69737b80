"""``run.json``: what a stage ran with, written beside its output."""

import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from dreamshot.errors import StudyError
from dreamshot.paths import RUN

PACKAGES = (
    "torch", "diffusers", "transformers", "peft", "torchsde", "open_clip_torch", "timm", "numpy", "scipy",
    "scikit-learn", "pandas", "pyarrow", "Pillow", "pyvips-binary",
)  # fmt: skip

CPU_NUMBERS = ("cpu family", "model", "stepping", "cache size")
CPU_FLAGS = {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16"}


def versions() -> dict[str, str]:
    """The versions of the packages on which the study's numbers depend."""
    return {name: metadata.version(name) for name in PACKAGES}


def cpu_facts() -> dict[str, str]:
    """What /proc/cpuinfo says of the first processor, nothing where there is no such file."""
    info = Path("/proc/cpuinfo")
    first = info.read_text().split("\n\n")[0].splitlines() if info.is_file() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first)}


def cpu_name(facts: dict[str, str]) -> str:
    """The processor's model name where the system tells it, else its architecture."""
    return facts.get("model name", platform.machine())


def cpu_kind(facts: dict[str, str]) -> str:
    """What else decides which kernels compute: processors of one name may differ in all of it."""
    numbers = [f"{key} {facts[key]}" for key in CPU_NUMBERS if key in facts]
    return ", ".join([*numbers, *sorted(CPU_FLAGS & set(facts.get("flags", "").split()))])


def commit() -> str:
    """The commit that is checked out, "" outside git."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def threads() -> int:
    """The cores that training, captions and drawing share out among threads or processes: DREAMSHOT_THREADS, or 2.

    A fixed number, not the machine's: of training and captions it decides the last bits.
    """
    text = os.environ.get("DREAMSHOT_THREADS", "2")
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise StudyError(f"DREAMSHOT_THREADS = {text!r} is not a whole number above 0; correct or unset it")
    return int(text)


def environment() -> dict[str, Any]:
    """What must agree between two machines for their pixels to be bit-equal."""
    facts = cpu_facts()
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(facts),
        "cpu_kind": cpu_kind(facts),
        "threads": threads(),
        "versions": versions(),
    }


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, by one atomic rename; NaN is refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")
    part.replace(path)


def write_run(folder: Path, params: Any, models: dict[str, str] | None = None, **facts: Any) -> None:
    """Write ``folder/run.json``: the resolved parameters, model hashes, processor, threads, versions and other facts.

    The commit is left out on purpose: the same content must have the same bytes, or every later stage
    would run again after every commit. The report names it.
    """
    record = {"params": params.model_dump(mode="json"), "models": models or {}, **environment(), **facts}
    write_json(folder / RUN, record)
