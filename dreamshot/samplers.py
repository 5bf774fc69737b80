"""The samplers by the names that A1111 gives them: which class of diffusers each is, and with which settings.

"DPM++ SDE Karras" is the paper's. The others are diffusers' own versions of what A1111 calls so; diffusers draws their
noise otherwise, so that the stochastic ones among them make other pictures there from the same seed.

A sampler's settings are its own: of the scheduler that a base came with only what the base was trained with is taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SamplerName = Literal[
    "DPM++ SDE Karras",
    "DPM++ SDE",
    "DPM++ 2M SDE Karras",
    "DPM++ 2M Karras",
    "DPM++ 2M",
    "Euler a",
    "Euler",
    "Heun",
    "DPM2 Karras",
    "DPM2 a Karras",
    "LMS Karras",
    "LMS",
    "UniPC",
    "DDIM",
]


@dataclass(frozen=True)
class Sampler:
    """A scheduler class of diffusers and the settings that make it the sampler of that name."""

    scheduler: str
    settings: Mapping[str, Any] = field(default_factory=dict)


OF_THE_BASE = (
    "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr",
    "prediction_type",
)  # fmt: skip

KARRAS = {"use_karras_sigmas": True, "timestep_spacing": "linspace"}
PLAIN = {"use_karras_sigmas": False, "timestep_spacing": "linspace"}
ANCESTRAL = {"timestep_spacing": "linspace"}
LEADING = {"timestep_spacing": "leading", "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False}
MULTISTEP = "DPMSolverMultistepScheduler"

SAMPLERS: dict[SamplerName, Sampler] = {
    "DPM++ SDE Karras": Sampler("DPMSolverSDEScheduler", KARRAS),
    "DPM++ SDE": Sampler("DPMSolverSDEScheduler", PLAIN),
    "DPM++ 2M SDE Karras": Sampler(MULTISTEP, {**KARRAS, "algorithm_type": "sde-dpmsolver++"}),
    "DPM++ 2M Karras": Sampler(MULTISTEP, KARRAS),
    "DPM++ 2M": Sampler(MULTISTEP, PLAIN),
    "Euler a": Sampler("EulerAncestralDiscreteScheduler", ANCESTRAL),
    "Euler": Sampler("EulerDiscreteScheduler", PLAIN),
    "Heun": Sampler("HeunDiscreteScheduler", PLAIN),
    "DPM2 Karras": Sampler("KDPM2DiscreteScheduler", KARRAS),
    "DPM2 a Karras": Sampler("KDPM2AncestralDiscreteScheduler", KARRAS),
    "LMS Karras": Sampler("LMSDiscreteScheduler", KARRAS),
    "LMS": Sampler("LMSDiscreteScheduler", PLAIN),
    "UniPC": Sampler("UniPCMultistepScheduler", PLAIN),
    "DDIM": Sampler("DDIMScheduler", LEADING),
}
