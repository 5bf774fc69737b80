"""Pictures as functions of prompt, seed and strength: bits, shared noise, true strengths, and every failure seen."""

import math
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dreamshot.errors import StudyError
from dreamshot.models import load_base
from dreamshot.params import Dtype, Method, Profile
from dreamshot.paths import LORA_FILE, TUNED
from stages import artist as module
from stages import sampler
from stages.artist import Artist, Manner, Picture, Request, artist_for, decode, developed, failure_of, slabs, to_pixels
from stages.diffusion import cast, reproducible
from stages.sampler import scheduler_for
from stages.tuning import Tuning, Untuned, tuner
from tests.tiny_models import base_pipeline
from tests.tiny_study import write_params, write_study
from tests.tiny_tunings import write_tuning

METHODS: list[Method] = ["lora", "dreambooth", "textual_inversion"]
WORDS = "a high-quality close_shot picture of a"
PROMPTS = [f"{WORDS} man in a red coat", f"{WORDS} dog on a street", f"{WORDS} woman holding a cup", f"{WORDS} hat"]
SEEDS = [21, 22, 23, 2**53 - 1]
STRENGTHS = (0.0, 0.25, 1.0, 2.0)


def manner(slab: int = 0, batch: int = 0, guidance: float = 3.0, negative: str = "", steps: int = 2) -> Manner:
    return Manner("DPM++ SDE Karras", steps, guidance, 16, negative, slab, batch)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Profile]:
    """A study with a fine-tuning of each method, a shot type a method, in the current directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("tuned"))
        reproducible(1)
        params = write_study()
        for method in METHODS:
            write_tuning(params, "close", method)
            (TUNED / "close").rename(TUNED / method)
        yield params


def opened(params: Profile, how: Manner, method: Method | None = None) -> Artist:
    """An artist of the study's base, with the fine-tuning of a method for close shots."""
    made = artist_for(load_base(params.models.base), how, "float32", "float32")
    if method:
        made.use(method, lambda: tuner(method).load(made.pipeline, "close", TUNED / method))
    return made


def plain(how: Manner) -> Artist:
    pipeline = base_pipeline()
    pipeline.unet.eval().requires_grad_(False)
    return Artist(pipeline, how)


def requests(*strengths: float) -> list[Request]:
    """Each prompt with its seed at each of the strengths."""
    return [Request(*both, strength) for both in zip(PROMPTS, SEEDS, strict=True) for strength in strengths]


def hashed(pictures: list[Picture]) -> list[bytes]:
    return [picture.pixels.tobytes() for picture in pictures]


def latents(artist: Artist, wanted: list[Request]) -> torch.Tensor:
    with torch.inference_mode():
        return artist._latents(wanted)


# --- the reproducible mode ---


@pytest.mark.parametrize(("count", "size"), [(0, 3), (1, 3), (3, 3), (7, 3), (7, 1), (7, 0), (2, 16)])
def test_slabs_are_of_one_size_and_hold_each_place_once(count: int, size: int) -> None:
    parts = slabs(count, size)
    assert [place for part in parts for place in part.places[: part.count]] == list(range(count))
    assert {len(part.places) for part in parts} <= {size or count}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("slab", [1, 3])
def test_a_picture_is_the_same_to_the_bit_in_any_batch_order_and_company(
    tuned: Profile, slab: int, method: Method
) -> None:
    artist, wanted = opened(tuned, manner(slab), method), requests(0.0, 1.0)
    whole = latents(artist, wanted)
    turned = latents(artist, wanted[::-1]).flip(0)
    shuffled = [5, 2, 7, 0, 3, 6, 1, 4]
    back = torch.empty_like(whole)
    back[shuffled] = latents(artist, [wanted[place] for place in shuffled])
    parts = torch.cat([latents(artist, wanted[:1]), latents(artist, wanted[1:5]), latents(artist, wanted[5:])])
    assert torch.equal(whole, turned)
    assert torch.equal(whole, back)
    assert torch.equal(whole, parts)
    assert len({row.numpy().tobytes() for row in whole}) == len(wanted)


def test_half_precision_is_bit_equal_too() -> None:
    artist = plain(manner(slab=3))
    cast(artist.pipeline.unet, "bfloat16")
    wanted = requests(0.0)
    whole = latents(artist, wanted)
    assert torch.equal(whole, torch.cat([latents(artist, [item]) for item in wanted]))
    assert torch.equal(whole, latents(artist, wanted[::-1]).flip(0))


@pytest.mark.parametrize(("slab", "count", "called"), [(3, 4, [6, 6]), (0, 4, [8]), (8, 1, [16])])
def test_the_unet_is_called_with_whole_slabs(slab: int, count: int, called: list[int]) -> None:
    artist, sizes = plain(manner(slab)), []
    artist.pipeline.unet.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    latents(artist, requests(0.0)[:count])
    assert sizes == called * 3


@pytest.mark.parametrize("method", METHODS)
def test_without_slabs_a_picture_is_the_same_but_for_rounding(tuned: Profile, method: Method) -> None:
    """Within 1e-4 of the latents' largest value, which moves no level of the picture by more than one."""
    wanted = requests(*STRENGTHS)
    free, fixed = opened(tuned, manner(0), method), opened(tuned, manner(2), method)
    one, other = latents(free, wanted), latents(fixed, wanted)
    assert float((one - other).abs().max()) < 1e-4 * float(other.abs().max())
    for first, second in zip(free.draw(wanted), fixed.draw(wanted), strict=True):
        assert int(np.abs(first.pixels.astype(int) - second.pixels).max()) <= 1


# --- noise ---


def test_both_arms_start_from_the_same_noise_and_walk_the_same_path(tuned: Profile) -> None:
    """With a LoRA that does nothing a pair is one picture at any strength."""
    write_tuning(tuned, "long", spread=0.0)
    artist = opened(tuned, manner(2))
    artist.use("long", lambda: tuner("lora").load(artist.pipeline, "long", TUNED / "long"))
    found = latents(artist, requests(0.0, 1.0))
    assert torch.equal(found[0::2], found[1::2])


@pytest.mark.parametrize("method", METHODS)
def test_the_noise_of_a_seed_is_computed_once_for_all_strengths(
    tuned: Profile, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    unit_noise = sampler.unit_noise
    monkeypatch.setattr(sampler, "unit_noise", lambda *given: (drawn.append(given[0]), unit_noise(*given))[1])
    artist = opened(tuned, manner(), method)
    latents(artist, requests(0.0)[:1])
    alone = len(drawn)
    drawn.clear()
    latents(artist, [Request(PROMPTS[0], SEEDS[0], strength) for strength in STRENGTHS])
    assert len(drawn) == alone > 10


@pytest.mark.parametrize("mixed", [True, False])
def test_from_the_first_noise_to_the_last_latents_no_number_is_read_from_the_device(mixed: bool) -> None:
    """A meta tensor has none to be read; a GPU would be waited for."""

    class Idle(Untuned):
        pass

    artist = plain(manner(slab=3))
    artist.pipeline.to("meta")
    tuning = Idle()
    tuning.mixed = mixed
    artist.use("idle", lambda: tuning)
    found = latents(artist, requests(0.0, 1.0))
    assert (found.device.type, tuple(found.shape)) == ("meta", (8, 4, 8, 8))


# --- strength ---


@pytest.mark.parametrize("method", METHODS)
def test_strength_zero_is_the_base_to_the_bit(tuned: Profile, method: Method) -> None:
    """Beside pictures of other strengths in one call, after others, and with the fine-tuning taken out again."""
    base = latents(opened(tuned, manner(2)), requests(0.0))
    artist = opened(tuned, manner(2), method)
    for _ in range(2):
        found = latents(artist, requests(*STRENGTHS))
        assert torch.equal(found[0 :: len(STRENGTHS)], base)
        assert all(not torch.equal(found[place :: len(STRENGTHS)], base) for place in (1, 2, 3))
    artist.use("none", Untuned)
    assert torch.equal(latents(artist, requests(0.0)), base)


@pytest.mark.parametrize("method", METHODS)
def test_strengths_compound_nothing_and_more_moves_further(tuned: Profile, method: Method) -> None:
    artist = opened(tuned, manner(1), method)
    there = {strength: latents(artist, requests(strength)) for strength in STRENGTHS}
    back = {strength: latents(artist, requests(strength)) for strength in (*STRENGTHS[::-1], 0.5, *STRENGTHS)}
    assert all(torch.equal(there[strength], back[strength]) for strength in STRENGTHS)
    moved = [float((there[strength] - there[0.0]).square().mean()) for strength in STRENGTHS]
    assert moved == sorted(moved)
    assert moved[1] > 0


def pipeline_of(params: Profile) -> Any:
    """diffusers' own pipeline with our sampler."""
    pipeline: Any = load_base(params.models.base)
    pipeline.scheduler = scheduler_for(pipeline.scheduler.config)
    return pipeline


def theirs(pipeline: Any, request: Request, how: Manner, prompt: str = "") -> torch.Tensor:
    """What the pipeline draws by one plain call: its latents."""
    pipeline.scheduler.noise_sampler_seed = [request.seed]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pipeline(
            prompt or request.prompt, height=16, width=16, num_inference_steps=how.steps, output_type="latent",
            guidance_scale=how.guidance, negative_prompt=how.negative_prompt or None,
            generator=torch.Generator().manual_seed(request.seed),
        ).images[0]  # fmt: skip


def agree(ours: torch.Tensor, other: torch.Tensor, bound: float = 1e-4) -> bool:
    return float((ours - other).abs().max()) < bound * float(other.abs().max())


def test_every_strength_of_a_lora_is_diffusers_set_adapters_at_that_weight(tuned: Profile) -> None:
    how, pipeline = manner(slab=3), pipeline_of(tuned)
    pipeline.load_lora_weights(TUNED / "lora", weight_name=LORA_FILE, adapter_name="close")
    wanted = requests(*STRENGTHS)
    for request, found in zip(wanted, latents(opened(tuned, how, "lora"), wanted), strict=True):
        pipeline.set_adapters(["close"], [request.strength])
        assert agree(found, theirs(pipeline, request, how), 5e-4)  # rounding grows with weights as wild as these


@pytest.mark.parametrize("strength", STRENGTHS)
def test_every_strength_of_dreambooth_is_diffusers_pipeline_with_the_unet_on_the_way(
    tuned: Profile, strength: float
) -> None:
    from diffusers import UNet2DConditionModel

    pipeline, request = pipeline_of(tuned), Request(PROMPTS[0], SEEDS[0], strength)
    learned = UNet2DConditionModel.from_pretrained(TUNED / "dreambooth" / "unet").state_dict()
    base = pipeline.unet.state_dict()
    pipeline.unet.load_state_dict({key: base[key] + strength * (learned[key] - base[key]) for key in base})
    (found,) = latents(opened(tuned, manner(1), "dreambooth"), [request])
    assert agree(found, theirs(pipeline, request, manner(1)))


def test_textual_inversion_is_diffusers_load_textual_inversion(tuned: Profile) -> None:
    from stages.tuning.inversion import embedding_file, token

    pipeline, request = pipeline_of(tuned), Request(PROMPTS[0], SEEDS[0], 1.0)
    pipeline.load_textual_inversion(TUNED / "textual_inversion" / embedding_file("close"))
    (found,) = latents(opened(tuned, manner(1), "textual_inversion"), [request])
    named = request.prompt.replace("close_shot", token("close"))
    assert agree(found, theirs(pipeline, request, manner(1), named))


@pytest.mark.parametrize("how", [manner(guidance=1.0), manner(guidance=6.0), manner(negative="a dog at night")])
def test_guidance_and_negative_prompt_are_diffusers_own(tuned: Profile, how: Manner) -> None:
    request = Request(PROMPTS[0], SEEDS[0])
    (found,) = latents(opened(tuned, how), [request])
    assert agree(found, theirs(pipeline_of(tuned), request, how))


def test_each_of_guidance_negative_prompt_and_steps_changes_the_picture() -> None:
    ways = [manner(), manner(guidance=6.0), manner(negative="a dog at night"), manner(steps=3)]
    found = [latents(plain(how), requests(0.0)[:1]).numpy().tobytes() for how in ways]
    assert len(set(found)) == len(ways)


# --- nothing twice ---


class Watched(Untuned):
    """Does nothing, and remembers the strengths that it was set to."""

    def __init__(self, mixed: bool = True, text: bool = False) -> None:
        self.mixed, self.text = mixed, text
        self.seen: list[list[float]] = []

    def at(self, strengths: Any) -> None:
        self.seen.append(list(strengths))


def test_strengths_are_set_only_when_they_change() -> None:
    artist, watched = plain(manner()), Watched()
    artist.use("watched", lambda: watched)
    latents(artist, requests(0.0, 1.0))
    latents(artist, requests(0.0, 1.0))
    assert watched.seen == [[0.0, 1.0] * 8]


def test_strengths_that_cannot_be_mixed_take_turns_and_the_one_that_stands_goes_first() -> None:
    artist, watched = plain(manner()), Watched(mixed=False)
    artist.use("watched", lambda: watched)
    for _ in range(3):
        latents(artist, requests(0.0, 1.0))
    assert [set(seen) for seen in watched.seen] == [{0.0}, {1.0}, {0.0}, {1.0}]


def test_a_prompt_is_encoded_once_and_once_for_each_strength_where_words_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[str] = []
    encode = module.encode_prompts
    monkeypatch.setattr(module, "encode_prompts", lambda *given: (encoded.extend(given[1]), encode(*given))[1])
    artist = plain(manner())
    for _ in range(2):
        artist.draw(requests(0.0, 1.0))
    assert encoded == [*PROMPTS, ""]
    encoded.clear()
    artist.use("words", lambda: Watched(text=True))
    artist.draw(requests(0.0, 1.0)[:2])
    assert sorted(encoded) == sorted([PROMPTS[0], "", PROMPTS[0], ""])


def test_equal_requests_are_one_picture_drawn_once() -> None:
    artist, sizes = plain(manner()), []
    artist.pipeline.unet.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    first, other, again = artist.draw([requests(0.0)[0], requests(0.0)[1], requests(0.0)[0]])
    assert set(sizes) == {4}
    assert first is again
    assert not np.array_equal(first.pixels, other.pixels)


def test_many_strengths_are_drawn_a_batch_at_a_time(tuned: Profile) -> None:
    wanted = [Request(PROMPTS[0], SEEDS[0], place / 10) for place in range(7)]
    sizes: list[int] = []
    artist = opened(tuned, manner(batch=3), "lora")
    artist.pipeline.unet.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    few = artist.draw(wanted)
    assert max(sizes) == 6
    whole = opened(tuned, manner(), "lora").draw(wanted)
    assert all(np.abs(a.pixels.astype(int) - b.pixels).max() <= 1 for a, b in zip(few, whole, strict=True))


def test_a_fine_tuning_is_loaded_once_and_taken_out_for_the_next() -> None:
    artist, told = plain(manner()), []

    class Loud(Watched):
        def __init__(self, name: str) -> None:
            super().__init__()
            told.append(f"load {name}")
            self._name = name

        def remove(self) -> None:
            told.append(f"remove {self._name}")

    def load(name: str) -> Callable[[], Tuning]:
        return lambda: Loud(name)

    for name in ("close", "close", "long", "close"):
        artist.use(name, load(name))
    assert told == ["load close", "remove close", "load long", "remove long", "load close"]


def test_a_fine_tuning_that_cannot_be_loaded_leaves_the_base() -> None:
    artist = plain(manner())

    def fail() -> Tuning:
        raise StudyError("does not fit")

    artist.use("close", Watched)
    with pytest.raises(StudyError):
        artist.use("long", fail)
    assert isinstance(artist.tuning, Untuned)
    assert not isinstance(artist.tuning, Watched)
    artist.use("close", Watched)
    assert isinstance(artist.tuning, Watched)


# --- decoding, and what goes wrong ---


def test_decoding_is_diffusers_own() -> None:
    pipeline = base_pipeline()
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours = np.stack([picture.pixels for picture in developed(pipeline.vae, list(noise))])
        decoded = pipeline.vae.decode(noise / pipeline.vae.config.scaling_factor).sample
        others = pipeline.image_processor.postprocess(decoded, output_type="pil")
    assert np.array_equal(ours, np.stack([np.asarray(image) for image in others]))


def test_a_shift_of_the_latents_is_undone() -> None:
    pipeline = base_pipeline(shift_factor=0.3)
    noise = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        decoded = pipeline.vae.decode(noise.unsqueeze(0) / 0.7 + 0.3).sample[0]
        assert torch.allclose(decode(pipeline.vae, noise), (decoded / 2 + 0.5).clamp(0, 1).permute(1, 2, 0), atol=1e-6)


@pytest.mark.parametrize(
    ("low", "high", "failure"),
    [
        (math.nan, 1.0, "nan"), (0.0, math.nan, "nan"), (0.0, 0.0, "black"), (0.0, 2 / 255, "black"),
        (0.0, 3.1 / 255, ""), (0.5, 0.5, "flat"), (1.0, 1.0, "flat"), (0.2, 0.2 + 2.1 / 255, ""), (0.0, 1.0, ""),
    ],
)  # fmt: skip
def test_what_shows_nothing_has_failed(low: float, high: float, failure: str) -> None:
    assert failure_of(low, high) == failure


def broken(vae: Any, spoil: Callable[[torch.Tensor], None], dtype: Dtype = "bfloat16") -> tuple[Any, list[Any]]:
    """A copy of an autoencoder in whose pictures ``spoil`` changes something, and what it is asked to decode."""
    made, asked = deepcopy(vae), []
    cast(made, dtype)
    whole = made.decode

    def decode(noise: torch.Tensor) -> Any:
        asked.append(noise)
        found = whole(noise)
        spoil(found.sample)
        return found

    made.decode = decode
    return made, asked


def a_nan(sample: torch.Tensor) -> None:
    sample[0, 1, 3, 5] = math.nan


def overflow(sample: torch.Tensor) -> None:
    sample[0, 1, 3, 5] = math.inf


def black(sample: torch.Tensor) -> None:
    sample.fill_(-1.0)


def flat(sample: torch.Tensor) -> None:
    sample.fill_(0.25)


SPOILED = [(a_nan, "nan"), (overflow, "nan"), (black, "black"), (flat, "flat")]


@pytest.mark.parametrize(("spoil", "failure"), SPOILED)
def test_what_the_half_precision_decoder_fails_at_is_decoded_again_in_float32(
    spoil: Callable[[torch.Tensor], None], failure: str
) -> None:
    pipeline = base_pipeline()
    good = Artist(pipeline, manner()).draw(requests(0.0))
    artist = Artist(pipeline, manner(), decoder=broken(pipeline.vae, spoil)[0])
    found = artist.draw(requests(0.0))
    assert all(picture.retried and not picture.failure for picture in found)
    assert hashed(found) == hashed(good)
    assert not any(picture.retried for picture in good)


def test_only_what_has_failed_is_decoded_again() -> None:
    pipeline = base_pipeline()
    calls: list[int] = []

    def second(sample: torch.Tensor) -> None:
        calls.append(0)
        if len(calls) == 2:
            a_nan(sample)

    found = Artist(pipeline, manner(), decoder=broken(pipeline.vae, second)[0]).draw(requests(0.0))
    assert [picture.retried for picture in found] == [False, True, False, False]


@pytest.mark.parametrize(("spoil", "failure"), SPOILED)
def test_what_fails_twice_has_failed_and_no_third_time_is_tried(
    spoil: Callable[[torch.Tensor], None], failure: str
) -> None:
    pipeline = base_pipeline()
    half, of_half = broken(pipeline.vae, spoil)
    pipeline.vae, of_whole = broken(pipeline.vae, spoil, "float32")
    found = Artist(pipeline, manner(), decoder=half).draw(requests(0.0)[:2])
    assert [(picture.failure, picture.retried) for picture in found] == [(failure, True)] * 2
    assert (len(of_half), len(of_whole)) == (2, 2)


def test_a_float32_decoder_is_not_asked_twice() -> None:
    pipeline = base_pipeline()
    pipeline.vae, asked = broken(pipeline.vae, a_nan, "float32")
    (found,) = Artist(pipeline, manner()).draw(requests(0.0)[:1])
    assert (found.failure, found.retried, len(asked)) == ("nan", False, 1)


def test_latents_that_are_not_finite_fail_and_leave_the_others_alone() -> None:
    artist = plain(manner(slab=2))
    good = artist.draw(requests(0.0))

    def spoil(_: Any, __: Any, found: Any) -> None:
        found.sample[0] = math.nan

    where = artist.pipeline.unet.register_forward_hook(spoil)
    bad = artist.draw(requests(0.0))
    where.remove()
    assert [picture.failure for picture in bad] == ["nan", "", "nan", ""]
    assert bad[0].pixels.shape == (16, 16, 3)
    assert hashed(bad)[1::2] == hashed(good)[1::2]


def test_a_picture_that_is_not_a_number_anywhere_has_pixels_all_the_same() -> None:
    picture = torch.full((4, 4, 3), 0.5)
    picture[0, 0, 0] = math.nan
    pixels = to_pixels(picture)
    assert (pixels.dtype, pixels[0, 0, 0], pixels[1, 1, 1]) == (np.uint8, 0, 128)
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize(
    ("dtype", "decoder"), [("float32", "float32"), ("bfloat16", "bfloat16"), ("float16", "float32")]
)
def test_dtypes_are_those_asked_for_and_float32_stays_at_hand(dtype: Any, decoder: Any) -> None:
    artist = artist_for(base_pipeline(), manner(), dtype, decoder)
    assert str(artist.pipeline.unet.dtype) == f"torch.{dtype}"
    assert str(artist._decoder.dtype) == f"torch.{decoder}"
    assert artist.pipeline.vae.dtype == torch.float32
    assert (artist._decoder is artist.pipeline.vae) == (decoder == "float32")
    assert artist.pipeline.text_encoder.dtype == torch.float32


def test_a_half_precision_decoder_draws_nearly_the_same_picture() -> None:
    whole = artist_for(base_pipeline(), manner(), "float32", "float32").draw(requests(0.0))
    half = artist_for(base_pipeline(), manner(), "float32", "bfloat16").draw(requests(0.0))
    for one, other in zip(whole, half, strict=True):
        apart = np.abs(one.pixels.astype(int) - other.pixels)
        assert 0 < apart.max() <= 6
        assert not other.retried


def test_the_size_of_a_picture_is_the_one_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = write_params(generate={"size": 32}).generate
    (picture,) = plain(Manner(settings.sampler, 2, 3.0, settings.size)).draw(requests(0.0)[:1])
    assert picture.pixels.shape == (32, 32, 3)
