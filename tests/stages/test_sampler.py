"""The sampler against the published algorithm, against diffusers' own pipeline, and against closed forms."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from stages.sampler import BrownianNoise, guided, sample, scheduler_for, start_noise
from tests.tiny_models import base_pipeline

STEPS = 16
SHAPE = (4, 8, 8)
CONFIG = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
Noise = Callable[[float, float], torch.Tensor]


def train_sigmas() -> np.ndarray:
    """Sigma of each of the 1,000 training time steps, from the published betas, in float64."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    kept = np.cumprod(1 - betas)
    return np.asarray(np.sqrt((1 - kept) / kept))


def karras_sigmas(steps: int) -> np.ndarray:
    """Karras et al. 2022, equation 5, rho 7, between the ends of the training schedule; then 0."""
    low, high = train_sigmas()[[0, -1]] ** (1 / 7)
    return np.append((high + np.linspace(0, 1, steps) * (low - high)) ** 7, 0.0)


def ancestral(sigma_from: float, sigma_to: float) -> tuple[float, float]:
    """(sigma_down, sigma_up) with eta 1."""
    up = min(sigma_to, math.sqrt(sigma_to**2 * (sigma_from**2 - sigma_to**2) / sigma_from**2))
    return math.sqrt(sigma_to**2 - up**2), up


def reference(denoise: Callable[[Any, float], Any], x: torch.Tensor, sigmas: np.ndarray, noise: Noise) -> torch.Tensor:
    """k-diffusion's sample_dpmpp_sde with eta 1, s_noise 1, r 1/2, written from its formulas in float64.

    With r 1/2 the second stage takes the denoised midpoint alone.
    """
    for sigma, sigma_next in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            return x + (x - denoised) / sigma * (sigma_next - sigma)
        middle = math.exp((math.log(sigma) + math.log(sigma_next)) / 2)
        down, up = ancestral(sigma, middle)
        x_middle = down / sigma * x + (1 - down / sigma) * denoised + up * noise(sigma, middle)
        down, up = ancestral(sigma, sigma_next)
        x = down / sigma * x + (1 - down / sigma) * denoise(x_middle, middle) + up * noise(sigma, sigma_next)
    raise AssertionError("sigmas end in 0")


def gaussian(spread: float) -> Callable[[Any, float], Any]:
    """The ideal denoiser of data that is N(0, spread^2): its samples are known."""
    return lambda x, sigma: x * spread**2 / (spread**2 + sigma**2)


def as_predict(denoise: Callable[[Any, float], Any]) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A denoiser as the UNet's epsilon: from an input scaled to unit variance, and a time step."""
    kept = scheduler().alphas_cumprod.double().numpy()
    logs = np.log((1 - kept) / kept) / 2

    def predict(model_input: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        sigma = float(np.exp(np.interp(float(time), np.arange(1000), logs)))
        x = model_input * math.sqrt(sigma**2 + 1)
        return (x - denoise(x, sigma)) / sigma

    return predict


def scheduler() -> Any:
    """The study's scheduler, its time steps set."""
    from diffusers import PNDMScheduler

    made = scheduler_for(PNDMScheduler(**CONFIG, steps_offset=1, skip_prk_steps=True).config)
    made.set_timesteps(STEPS)
    return made


def brownian(seeds: list[int]) -> BrownianNoise:
    return BrownianNoise(seeds, SHAPE, scheduler().sigmas)


def lookup(noise: BrownianNoise) -> Noise:
    """The increments that a finished run has taken, by float64 sigmas.

    To the run's own float32 sigmas: a Brownian path is rough, and 1e-6 further along it is already 1e-3 away.
    """

    def nearest(sigma: float, sigma_next: float) -> torch.Tensor:
        key = min(noise._known, key=lambda known: abs(known[0] - sigma) + abs(known[1] - sigma_next))
        assert key == pytest.approx((sigma, sigma_next), rel=1e-6)
        return noise._known[key].double()

    return nearest


def test_the_schedule_is_karras_between_the_ends_of_training() -> None:
    sigmas = scheduler().sigmas
    assert np.allclose(
        np.append(sigmas[0:-1:2], 0.0), karras_sigmas(STEPS), rtol=2e-5
    )  # diffusers takes 1 - beta in float32
    assert sigmas[0].item() == pytest.approx(14.6146, abs=1e-4)
    assert sigmas[-2].item() == pytest.approx(0.0292, abs=1e-4)


@pytest.mark.parametrize("spread", [0.3, 1.0, 2.5])
def test_the_trajectory_is_the_published_algorithms(spread: float) -> None:
    seeds = [11, 2**62 + 5]
    start, noise = start_noise(seeds, SHAPE), brownian(seeds)
    sigmas = np.append(scheduler().sigmas[0:-1:2].double(), 0.0)
    drawn = sample(as_predict(gaussian(spread)), scheduler(), STEPS, start, noise)
    expected = reference(gaussian(spread), start.double() * sigmas[0], sigmas, lookup(noise))
    assert drawn.dtype == torch.float32
    assert float((drawn - expected).abs().max()) < 1e-5 * spread


def test_another_sampler_would_be_noticed() -> None:
    """Independent normals in place of the Brownian path (another sampler, by the field notes) end elsewhere."""
    start, noise = start_noise([3], SHAPE), brownian([3])
    drawn = sample(as_predict(gaussian(1.0)), scheduler(), STEPS, start, noise)
    generator = torch.Generator().manual_seed(0)
    other = sample(
        as_predict(gaussian(1.0)), scheduler(), STEPS, start, lambda *_: torch.randn((1, *SHAPE), generator=generator)
    )
    assert float((drawn - other).abs().max()) > 0.1


def test_samples_of_known_data_have_its_mean_and_spread() -> None:
    seeds = list(range(12))
    start, noise = start_noise(seeds, SHAPE), brownian(seeds)
    drawn = sample(as_predict(lambda x, sigma: 0.5 + gaussian(0.8)(x - 0.5, sigma)), scheduler(), STEPS, start, noise)
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(drawn.std()) == pytest.approx(0.8, rel=0.1)


def test_a_known_picture_is_reached_exactly() -> None:
    seeds = [1, 2]
    picture = torch.linspace(-1, 1, math.prod(SHAPE)).reshape(SHAPE)
    predict = as_predict(lambda x, sigma: picture.expand_as(x))
    drawn = sample(predict, scheduler(), STEPS, start_noise(seeds, SHAPE), brownian(seeds))
    assert float((drawn - picture).abs().max()) < 1e-4


def test_sixteen_steps_evaluate_the_unet_31_times() -> None:
    calls = []
    predict = as_predict(gaussian(1.0))
    sample(
        lambda x, time: (calls.append(float(time)), predict(x, time))[1],
        scheduler(), STEPS, start_noise([1], SHAPE), brownian([1]),
    )  # fmt: skip
    assert len(calls) == 31
    assert calls == sorted(calls, reverse=True)


def test_a_picture_does_not_depend_on_its_batch_or_place() -> None:
    seeds = [5, 6, 7, 8]  # batch 4 against batch 1, forth and back
    predict = as_predict(gaussian(1.0))
    whole = sample(predict, scheduler(), STEPS, start_noise(seeds, SHAPE), brownian(seeds))
    turned = sample(predict, scheduler(), STEPS, start_noise(seeds[::-1], SHAPE), brownian(seeds[::-1]))
    assert torch.equal(whole, turned.flip(0))
    for place, seed in enumerate(seeds):
        alone = sample(predict, scheduler(), STEPS, start_noise([seed], SHAPE), brownian([seed]))
        assert torch.equal(whole[place], alone[0])


def test_the_noise_is_diffusers_own_to_the_bit() -> None:
    from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

    seeds, sigmas = [9, 10], scheduler().sigmas
    theirs = BrownianTreeNoiseSampler(torch.zeros(2, *SHAPE), sigmas[-2].item(), sigmas[0].item(), seeds)
    ours = brownian(seeds)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for high, low in zip(sigmas[:-2:2], sigmas[2:-1:2], strict=True):
            middle = (high * low).sqrt()
            for end in (middle, low):
                assert torch.equal(ours(high, end), theirs(high, end))


def test_a_steps_noise_is_the_sum_of_its_parts_and_has_unit_variance() -> None:
    noise = brownian(list(range(40)))
    high, middle, low = torch.tensor(5.0), torch.tensor(3.0), torch.tensor(1.0)
    whole = noise(high, low) * 2.0
    assert torch.allclose(whole, noise(high, middle) * math.sqrt(2) + noise(middle, low) * math.sqrt(2), atol=1e-5)
    for part in (noise(high, low), noise(high, middle), noise(middle, low)):
        assert float(part.std()) == pytest.approx(1.0, abs=0.03)
    apart = (noise(high, middle) * noise(middle, low)).mean()
    assert abs(float(apart)) < 0.03


def test_what_torchsde_warns_of_is_its_own_rounding() -> None:
    """The lowest sigma lies within the tolerance of the tree's end, and only the last step asks for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        noise = brownian([1])
        sample(as_predict(gaussian(1.0)), scheduler(), STEPS, start_noise([1], SHAPE), noise)
    lowest = min(low for _, low in noise._known)
    assert 0 < noise._trees[0]._start - lowest < 1e-6
    assert sum(low < noise._trees[0]._start for _, low in noise._known) == 1


def test_start_noise_comes_from_each_pictures_own_seed() -> None:
    both = start_noise([1, 2], SHAPE)
    assert torch.equal(both[1], torch.randn(SHAPE, generator=torch.Generator().manual_seed(2)))
    assert not torch.equal(both[0], both[1])


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_loop_draws_what_diffusers_pipeline_draws(prediction_type: str) -> None:
    """One call of StableDiffusionPipeline with the same scheduler, seeds, prompts and guidance."""
    pipeline = base_pipeline(prediction_type=prediction_type)
    pipeline.set_progress_bar_config(disable=True)
    seeds, prompts = [21, 22], ["a man in a red coat", "a dog on a street"]
    pipeline.scheduler = scheduler_for(pipeline.scheduler.config)
    pipeline.scheduler.noise_sampler_seed = seeds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pipeline(
            prompts, height=16, width=16, num_inference_steps=4, guidance_scale=6.0, output_type="latent",
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
        ).images  # fmt: skip
    made = scheduler_for(pipeline.scheduler.config)
    made.set_timesteps(4)
    with torch.inference_mode():
        text = pipeline.encode_prompt(prompts, "cpu", 1, False)[0]
        empty = pipeline.encode_prompt([""] * 2, "cpu", 1, False)[0]
        start, noise = start_noise(seeds, SHAPE), BrownianNoise(seeds, SHAPE, made.sigmas)
        ours = sample(guided(pipeline.unet, text, empty, 6.0), made, 4, start, noise)
    assert float((ours - theirs).abs().max()) < 1e-4 * float(theirs.abs().max())


def test_half_precision_touches_the_unet_and_nothing_else() -> None:
    pipeline = base_pipeline()
    pipeline.unet.to(torch.bfloat16)
    seen: list[torch.dtype] = []
    pipeline.unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    made = scheduler()
    with torch.inference_mode():
        text = pipeline.encode_prompt(["a dog"], "cpu", 1, False)[0].float()
        predict = guided(pipeline.unet, text, text, 2.0)
        drawn = sample(predict, made, 2, start_noise([1], SHAPE), BrownianNoise([1], SHAPE, made.sigmas))
    assert drawn.dtype == torch.float32
    assert set(seen) == {torch.bfloat16}


def test_guidance_one_asks_the_unet_once_a_picture() -> None:
    pipeline = base_pipeline()
    sizes: list[int] = []
    pipeline.unet.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    with torch.inference_mode():
        text = pipeline.encode_prompt(["a dog", "a cup"], "cpu", 1, False)[0]
        empty = pipeline.encode_prompt(["", ""], "cpu", 1, False)[0]
        x, time = start_noise([1, 2], SHAPE), torch.tensor(500.0)
        alone = guided(pipeline.unet, text, empty, 1.0)(x, time)
        without = guided(pipeline.unet, empty, text, 1.0)(x, time)
        mixed = guided(pipeline.unet, text, empty, 3.0)(x, time)
    assert sizes == [2, 2, 4]
    assert torch.allclose(mixed, without + 3.0 * (alone - without), atol=1e-4)
