"""The training examples and their cache: each caption with its picture, encoded once, whatever the run."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dreamshot.errors import StudyError
from dreamshot.models import load_base, model_hash
from dreamshot.params import ShotType, load_params
from dreamshot.paths import CAPTION_ROWS, CROPS, SELECT_ROWS
from dreamshot.records import picture_hash, read_table, write_shards, write_table
from stages.diffusion import Pipeline, encode_prompts
from stages.train import data as subject
from stages.train.data import Cache, Data, cache_folder, cached, latents_file, read_data, text_file, to_tensor
from tests.tiny_models import base_pipeline
from tests.tiny_runs import alone, content
from tests.tiny_study import caption_of, pixels_of, write_params


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the frozen models are asked for, as it is asked: "picture" or a prompt."""
    asked: list[str] = []
    latents_of, text_of = subject.latents_of, subject.text_of
    monkeypatch.setattr(
        subject, "latents_of", lambda pipeline, pixels: (asked.append("picture"), latents_of(pipeline, pixels))[1]
    )
    monkeypatch.setattr(subject, "text_of", lambda pipeline, text: (asked.append(text), text_of(pipeline, text))[1])
    return asked


def fill(shot_type: ShotType = "close", with_text: bool = True) -> tuple[Data, Cache]:
    """The data of a shot type and its cache, as the parameters here want it."""
    params = load_params()
    data = read_data(params, shot_type)
    load: Callable[[], Pipeline] = cache(lambda: load_base(params.models.base))
    return data, cached(load, data, model_hash("base"), with_text, alone())


def frames_of(shot_type: str, split: str) -> list[str]:
    rows = read_table(SELECT_ROWS)
    return list(rows.loc[(rows["shot_type"] == shot_type) & (rows["split"] == split), "frame"])


def change_caption(frame: str, change: Callable[[str], str]) -> None:
    rows = read_table(CAPTION_ROWS)
    rows.loc[rows["frame"] == frame, "caption"] = rows.loc[rows["frame"] == frame, "caption"].map(change)
    write_table(rows, CAPTION_ROWS, by="frame")


def check(found: Cache) -> None:
    """Each frame's picture and prompt against what the base says of them, without a cache."""
    pipeline = base_pipeline()
    for frame in frames_of("close", "train"):
        prompt = f"a high-quality close_shot picture of {caption_of(frame)}"
        assert torch.equal(found.text[prompt], encode_prompts(pipeline, [prompt])[prompt][0]), prompt
        with torch.inference_mode():
            posterior = pipeline.vae.encode(to_tensor([pixels_of(frame)])).latent_dist
        picture = picture_hash(pixels_of(frame))
        assert torch.allclose(found.mean[picture], posterior.mean[0], atol=1e-5), frame
        assert torch.allclose(found.std[picture], posterior.std[0], atol=1e-5), frame


def test_each_example_has_its_own_caption(study: Path) -> None:
    data = read_data(load_params(), "close")
    prompts = {item.picture: item.prompt for item in [*data.train, *data.held_out]}
    wanted = [*frames_of("close", "train"), *frames_of("close", "test")]
    for frame in wanted:
        if picture_hash(pixels_of(frame)) in prompts:
            prompt = f"a high-quality close_shot picture of {caption_of(frame)}"
            assert prompts[picture_hash(pixels_of(frame))] == prompt
    assert len(data.train) == 4
    assert len(data.held_out) == 2
    assert {item.picture for item in data.held_out} <= {picture_hash(pixels_of(f)) for f in frames_of("close", "test")}


def test_the_cache_says_what_the_base_says_of_each_picture_and_prompt(study: Path) -> None:
    _, found = fill()
    check(found)
    assert torch.equal(found.text[""], encode_prompts(base_pipeline(), [""])[""][0])


@pytest.mark.parametrize("kind", ["latents", "text"])
def test_two_entries_swapped_on_the_disk_are_noticed(study: Path, kind: str) -> None:
    data, _ = fill()
    names = [latents_file(item.picture) if kind == "latents" else text_file(item.prompt) for item in data.train]
    first, second = (cache_folder(model_hash("base")) / name for name in names[:2])
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    with pytest.raises(AssertionError):
        check(fill()[1])


def test_filled_in_another_order_the_cache_holds_the_same(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill()
    folder = cache_folder(model_hash("base"))
    first = content(folder)
    for path in folder.iterdir():
        path.unlink()
    share_of = subject.share_of
    monkeypatch.setattr(subject, "share_of", lambda items, accelerator: share_of(items, accelerator)[::-1])
    _, found = fill()
    assert content(folder) == first
    assert len(first) == 6 + 7
    check(found)


def test_the_processes_share_the_work_and_leave_nothing_out() -> None:
    team = [SimpleNamespace(process_index=index, num_processes=3) for index in range(3)]
    parts = [subject.share_of(list("abcdefgh"), process) for process in team]
    assert sorted("".join(letter for part in parts for letter in part)) == list("abcdefgh")
    assert {len(part) for part in parts} == {2, 3}


def test_nothing_is_encoded_twice_whatever_the_run(study: Path, encoded: list[str]) -> None:
    fill()
    assert len(encoded) == 13
    assert encoded.count("picture") == 6
    for train in ({"rank": 3}, {"steps": 9, "batch": 2}, {"method": "dreambooth"}, {"dtype": "bfloat16"}):
        write_params(train=train)
        fill()
    assert len(encoded) == 13


def test_the_shot_types_share_what_they_have_in_common(study: Path, encoded: list[str]) -> None:
    fill("close")
    rows = read_table(CAPTION_ROWS)
    rows.loc[rows["split"] == "train", "shot_type"] = "medium"
    write_table(rows, CAPTION_ROWS, by="frame")
    encoded.clear()
    fill("medium")
    assert encoded.count("picture") == 8 + 2  # the training frames of two more shot types, held out ones of medium
    assert "" not in encoded


def test_a_caption_changed_by_a_letter_is_encoded_anew_and_nothing_else(study: Path, encoded: list[str]) -> None:
    fill()
    encoded.clear()
    frame = frames_of("close", "train")[1]
    change_caption(frame, lambda caption: f"{caption}s")
    data, found = fill()
    assert encoded == [f"a high-quality close_shot picture of {caption_of(frame)}s"]
    assert encoded[0] in found.text
    assert encoded[0] in {item.prompt for item in data.train}


def test_a_picture_changed_by_a_level_is_encoded_anew_and_nothing_else(study: Path, encoded: list[str]) -> None:
    fill()
    encoded.clear()
    frames = sorted(read_table(SELECT_ROWS)["frame"])
    changed = frames_of("close", "train")[0]

    def pixels(frame: str) -> np.ndarray:
        found = pixels_of(frame)
        if frame == changed:
            found[0, 0, 0] ^= 1
        return found

    write_shards(((frame, pixels(frame)) for frame in frames), CROPS / "shards")
    fill()
    assert encoded == ["picture"]


def test_another_base_has_a_cache_of_its_own(study: Path) -> None:
    here, there = cache_folder("one base"), cache_folder("another")
    assert here != there
    assert here.parent == there.parent


def test_killed_while_it_encodes_it_goes_on_with_the_rest(
    study: Path, encoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(pipeline: Pipeline, text: str) -> dict[str, torch.Tensor]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(subject, "text_of", killed)
        with pytest.raises(KeyboardInterrupt):
            fill()
    assert encoded == ["picture"] * 6
    encoded.clear()
    check(fill()[1])
    assert len(encoded) == 7


def test_where_the_text_encoder_learns_no_text_is_cached(study: Path, encoded: list[str]) -> None:
    _, found = fill(with_text=False)
    assert encoded == ["picture"] * 6
    assert found.text == {}


def test_the_held_out_frames_are_drawn_from_the_seed_and_more_of_them_keep_the_first(study: Path) -> None:
    def held_out(count: int) -> list[str]:
        validation = {"every": 4, "frames": count, "draws": 2, "pictures": 1}
        return [item.picture for item in read_data(write_params(train={"validation": validation}), "close").held_out]

    assert held_out(0) == []
    assert held_out(1) == held_out(3)[:1]
    assert len(held_out(9)) == 3


def test_the_data_s_hash_hangs_on_every_picture_prompt_and_its_place(study: Path) -> None:
    def hash_now() -> str:
        return read_data(load_params(), "close").hash

    whole = hash_now()
    assert whole == hash_now()
    frame = frames_of("close", "train")[0]
    change_caption(frame, str.upper)
    assert hash_now() != whole
    data = read_data(load_params(), "close")
    assert Data(data.train, data.held_out, [], data.pixels).hash != data.hash


def test_a_shot_type_without_training_frames_is_named(study: Path) -> None:
    rows = read_table(CAPTION_ROWS)
    write_table(rows[(rows["shot_type"] != "close") | (rows["split"] != "train")], CAPTION_ROWS, by="frame")
    with pytest.raises(StudyError, match="no training frame of shot type 'close'; label some"):
        read_data(load_params(), "close")
