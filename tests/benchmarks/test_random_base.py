"""The random base has Stable Diffusion 1.5's sizes, schedule and tokens, loads as a base, and is whole or not there."""

import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer, basic_clean

from benchmarks import random_base
from benchmarks.random_base import RECORD, SD15, build
from dreamshot.errors import StudyError
from dreamshot.models import load_base
from dreamshot.params import Weights
from dreamshot.work import folder_hash

PUBLISHED = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}
START, END = 49406, 49407
TINY: dict[str, dict[str, Any]] = {
    "text_encoder": {
        **SD15["text_encoder"], "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2,
    },
    "vae": {**SD15["vae"], "block_out_channels": (8, 8, 16, 16), "norm_num_groups": 4, "layers_per_block": 1},
    "unet": {
        **SD15["unet"], "block_out_channels": (16, 16, 32, 32), "norm_num_groups": 8, "cross_attention_dim": 16,
        "attention_head_dim": 2, "layers_per_block": 1,
    },
}  # fmt: skip


# --- the published sizes ---


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    return random_base.skeletons(SD15)


def test_each_part_has_the_published_number_of_parameters(published: dict[str, Any]) -> None:
    assert {part: random_base.parameters(network) for part, network in published.items()} == PUBLISHED


def test_the_attention_has_the_published_heads(published: dict[str, Any]) -> None:
    unet, text = published["unet"], published["text_encoder"]
    assert {module.heads for name, module in unet.named_modules() if name.endswith(("attn1", "attn2"))} == {8}
    assert {module.num_heads for name, module in text.named_modules() if name.endswith("self_attn")} == {12}


def test_latents_are_an_eighth_of_the_side_and_scaled_as_published(published: dict[str, Any]) -> None:
    vae, unet = published["vae"], published["unet"]
    with torch.device("meta"):
        assert vae.encode(torch.zeros(1, 3, 512, 512)).latent_dist.mean.shape == (1, 4, 64, 64)
    assert unet.config.sample_size == 64
    assert vae.config.scaling_factor == 0.18215


def test_the_noise_schedule_is_the_published_one() -> None:
    scheduler = random_base.make_scheduler()
    sigmas = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod).sqrt()
    assert sigmas[[0, -1]].tolist() == pytest.approx([0.0292, 14.6146], abs=1e-4)
    assert scheduler.final_alpha_cumprod == scheduler.alphas_cumprod[0]
    config = {"prediction_type": "epsilon", "steps_offset": 1, "skip_prk_steps": True, "num_train_timesteps": 1000}
    assert config.items() <= scheduler.config.items()


# --- the tokens ---


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return random_base.make_tokenizer()


@pytest.fixture(scope="module")
def peer() -> SimpleTokenizer:
    return SimpleTokenizer()


def test_the_vocabulary_is_clip_s(tokenizer: Any) -> None:
    assert len(tokenizer) == 49408
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|startoftext|>", "<|endoftext|>")
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (START, END, END)


def test_a_known_prompt_has_its_known_tokens(tokenizer: Any) -> None:
    found = tokenizer("a photograph of an astronaut riding a horse").input_ids
    assert found == [START, 320, 8853, 539, 550, 18376, 6765, 320, 4558, END]


TEXTS = [
    "",
    "a high-quality close_shot picture of a woman, in a red coat",
    "medium_shot long_shot __ _x_ snake_case_2",
    "Café à la crème; naïve Ångström, señor Łódź",
    "e\N{COMBINING ACUTE ACCENT} is one letter",
    "35mm, f/1.8, 1920x1080, 3.14 and 100%",
    "it's they're I'LL we'd o'clock",
    "!!! ??? ... (wide) [shot] {a:1.2} <b> a&b #1 @home ~/x \\ |",
    "  tabs\tand\nlines   and spaces ",
    "日本語 Привет Ελλάδα 한국어 עברית",
    "😀👩\N{ZERO WIDTH JOINER}🚀 ½ ² №5 ™",
    "Supercalifragilisticexpialidocious qzxvkj",
    "the quick brown fox jumps over the lazy dog " * 20,
]  # fmt: skip


def ids(peer: SimpleTokenizer, text: str) -> list[int]:
    return [START, *peer.encode(text), END]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:12] or "empty")
def test_a_text_has_open_clip_s_tokens(tokenizer: Any, peer: SimpleTokenizer, text: str) -> None:
    assert tokenizer(text, verbose=False).input_ids == ids(peer, text)


PROMPTS = st.lists(
    st.sampled_from(["a", "in", "with", "close_shot", "picture", "woman's", "1950s", "café", "-"])
    | st.text("abcXYZ019_-'.,!:;()/ éüñß", max_size=8)
    | st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=6),
    max_size=12,
).map(" ".join)


@given(PROMPTS)
@settings(max_examples=300, deadline=None)
def test_any_text_that_needs_no_mending_has_open_clip_s_tokens(
    tokenizer: Any, peer: SimpleTokenizer, text: str
) -> None:
    text = unicodedata.normalize("NFC", basic_clean(text))
    assume(basic_clean(text) == text)  # open_clip mends mojibake and entities; transformers does not
    assume(text.lower() == "".join(letter.lower() for letter in text))  # Python alone knows the final sigma
    assert tokenizer(text, verbose=False).input_ids == ids(peer, text)


def test_a_long_text_is_cut_to_77_tokens_with_the_last_kept(tokenizer: Any, peer: SimpleTokenizer) -> None:
    text = TEXTS[-1]
    assert len(tokenizer(text, verbose=False).input_ids) == 182
    found = tokenizer(text, padding="max_length", truncation=True).input_ids
    assert found == peer(text)[0].tolist()
    assert (len(found), found[0], found[-1]) == (77, START, END)


def test_a_short_text_is_padded_to_77_with_the_last_token(tokenizer: Any, peer: SimpleTokenizer) -> None:
    found = tokenizer("a cat", padding="max_length", truncation=True).input_ids
    assert found == ids(peer, "a cat") + [END] * 73


# --- the folder ---


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base, not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "random"
    build(folder, 0, sizes=TINY)
    return folder


@pytest.fixture
def tiny(once: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(once, tmp_path / "random"))


def weights(folder: Path) -> Weights:
    return Weights(source=str(folder), revision="")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_folder_loads_as_a_base_whose_pictures_are_finite_and_not_flat(once: Path, dtype: Any) -> None:
    base: Any = load_base(weights(once), dtype)
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1)).to(base.unet.dtype)
    with torch.inference_mode():
        text = base.encode_prompt("a close_shot picture", base.device, 2, False)[0]
        noise = base.unet(latents, 500, encoder_hidden_states=text).sample
        pictures = base.vae.decode(latents / base.vae.config.scaling_factor).sample
    assert text.shape == (2, 77, 16)
    assert noise.isfinite().all()
    assert noise.std() > 0.1
    assert pictures.shape == (2, 3, 64, 64)
    assert pictures.isfinite().all()
    assert pictures.float().std() > 0.1


WHENCE = {"_name_or_path", "is_local", "local_files_only"}


def content(path: Path) -> Any:
    """A file's bytes; of JSON what it says, but for where it was loaded from."""
    if path.suffix != ".json":
        return path.read_bytes()
    return {key: value for key, value in json.loads(path.read_text()).items() if key not in WHENCE}


def test_the_folder_is_what_the_pipeline_itself_saves(once: Path, tmp_path: Path) -> None:
    load_base(weights(once)).save_pretrained(tmp_path)
    names = {str(path.relative_to(once)) for path in once.rglob("*") if path.is_file()}
    assert names == {RECORD} | {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert not [name for name in names if not name.endswith((".json", ".safetensors"))]
    for name in names - {RECORD}:
        assert content(once / name) == content(tmp_path / name), name


def test_the_loaded_tokenizer_is_the_built_one(once: Path, tokenizer: Any) -> None:
    loaded: Any = load_base(weights(once)).tokenizer
    assert [loaded(text, truncation=True).input_ids for text in TEXTS] == [
        tokenizer(text, truncation=True).input_ids for text in TEXTS
    ]
    assert (loaded.model_max_length, loaded.pad_token_id) == (77, END)


def test_the_same_seed_gives_the_same_bytes_and_draws_from_no_one_else(once: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    build(tmp_path / "again", 0, sizes=TINY)
    assert folder_hash(tmp_path / "again") == folder_hash(once)
    assert torch.equal(before, torch.random.get_rng_state())


def test_another_seed_gives_other_weights_in_every_part(once: Path, tmp_path: Path) -> None:
    build(tmp_path / "other", 1, sizes=TINY)
    for path in once.rglob("*.safetensors"):
        assert path.read_bytes() != (tmp_path / "other" / path.relative_to(once)).read_bytes()


def test_a_build_says_what_it_has_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random_base.run(["--folder", str(tmp_path / "new" / "base"), "--seed", "3"], sizes=TINY)
    told = capsys.readouterr()
    counts = {part: random_base.parameters(network) for part, network in random_base.skeletons(TINY).items()}
    for part, count in counts.items():
        assert f"{part} {count:,}" in told.out
    assert "random base: 100%" in told.err
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["base"]


def test_a_complete_folder_is_said_to_be_there_and_left_alone(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in [tiny, *tiny.rglob("*")]}
    random_base.run(["--folder", str(tiny)], sizes=TINY)
    assert "is there, 0.01 GB of seed 0" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in [tiny, *tiny.rglob("*")]} == before


def test_another_seed_than_the_folder_s_is_an_error(tiny: Path) -> None:
    with pytest.raises(StudyError, match=r"seed 0, not 7; --force"):
        build(tiny, 7, sizes=TINY)


@pytest.mark.parametrize("name", ["unet/diffusion_pytorch_model.safetensors", "model_index.json"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_file_that_is_missing_or_cut_short_is_named_and_force_mends_it(
    tiny: Path, once: Path, name: str, damage: Any
) -> None:
    damage(tiny / name)
    with pytest.raises(StudyError, match=rf"{name}: missing or of another size; --force"):
        build(tiny, 0, sizes=TINY)
    build(tiny, 0, force=True, sizes=TINY)
    assert folder_hash(tiny) == folder_hash(once)
    assert [path.name for path in tiny.parent.iterdir()] == [tiny.name]


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_something_else_is_never_touched(tmp_path: Path, force: bool) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(StudyError, match="holds something else"):
        build(tmp_path / "mine", 0, force, TINY)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_link_to_another_disk_stays_a_link(once: Path, tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "large")
    build(tmp_path / "link", 0, sizes=TINY)
    assert (tmp_path / "link").is_symlink()
    assert folder_hash(tmp_path / "large") == folder_hash(once)


def fail_at(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on a build breaks once this part's weights are written."""
    whole = random_base.write_weights

    def broken(folder: Path, now: str, seed: int, settings: Any) -> None:
        whole(folder, now, seed, settings)
        if now == part:
            raise KeyboardInterrupt

    monkeypatch.setattr(random_base, "write_weights", broken)


@pytest.mark.parametrize("part", TINY)
def test_a_build_that_breaks_off_leaves_nothing(tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_at(part, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "base", 0, sizes=TINY)
    assert list(tmp_path.iterdir()) == []


def test_a_rebuild_that_breaks_off_leaves_the_old_one(tiny: Path, once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_at("vae", monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        build(tiny, 1, force=True, sizes=TINY)
    assert folder_hash(tiny) == folder_hash(once)
    assert [path.name for path in tiny.parent.iterdir()] == [tiny.name]


@pytest.mark.parametrize("force", [False, True])
def test_what_a_killed_build_left_is_cleared_up(tiny: Path, once: Path, force: bool) -> None:
    for name in (".random.part", ".random.old"):
        (tiny.parent / name / "unet").mkdir(parents=True)
        (tiny.parent / name / "unet" / "half").write_text("half")
    if not force:
        shutil.rmtree(tiny)
    build(tiny, 0, force, TINY)
    assert [path.name for path in tiny.parent.iterdir()] == [tiny.name]
    assert folder_hash(tiny) == folder_hash(once)


def test_a_disk_without_room_is_an_error_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=4_000_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(StudyError, match=r"4\.3 GB are needed, 4\.0 GB are free"):
        build(tmp_path / "base", 0)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match=r"file/base: .*--folder"):
        build(tmp_path / "file" / "base", 0, sizes=TINY)
