"""A picture's row: every column true, and an infotext that says the same to A1111."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from dreamshot import infotext, seeds
from dreamshot.params import SHOT_TYPES, Profile, SetName, load_params
from dreamshot.paths import CAPTION_ROWS, TUNED
from dreamshot.provenance import versions
from dreamshot.records import read_table, write_table
from stages.diffusion import caption_rows
from stages.generate import __main__ as stage
from stages.generate.manifest import Outcome, counts, job_for, model_name, row_of
from stages.generate.plan import arms_of, plan
from stages.tuning.inversion import embedding_file
from stages.tuning.lora import kohya_file
from tests.tiny_study import caption_of, write_params, write_study
from tests.tiny_tunings import write_tuning, write_tunings

COLUMNS = {
    "picture", "pair", "set", "shot_type", "frame", "film", "repetition", "arm", "strength", "prompt",
    "negative_prompt", "tokens", "cut", "seed", "sampler", "steps", "guidance", "size", "sigmas", "weights", "pixels",
    "failed", "failure", "retried", "versions", "device", "infotext",
}  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a LoRA for each shot type."""
    root = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_tunings(write_study())
    return root


def rows_of(params: Profile, set_name: SetName, outcomes: Sequence[Outcome] = ()) -> pd.DataFrame:
    """The rows of a set as the stage would write them, its pictures being all well unless it is said."""
    chunks = plan(set_name, caption_rows("test"), params)
    arms = arms_of(set_name, getattr(params.generate.sets, set_name))
    weights = stage.hashes_of(chunks, arms)
    job = job_for(params, chunks, {shot_type: stage.method_of(shot_type) for shot_type in weights}, weights)
    wanted = [(pair, arm) for chunk in chunks for pair in chunk.pairs for arm in arms]
    known = [*outcomes, *[Outcome("0" * 64, "", False)] * (len(wanted) - len(outcomes))]
    return pd.DataFrame([row_of(set_name, job, *item, out) for item, out in zip(wanted, known, strict=True)])


def karras_hash(steps: int) -> str:
    """Of the schedule from the published betas in float32, each sigma but the ends twice: once a half step."""
    kept = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2, dim=0)
    sigmas = (((1 - kept) / kept) ** 0.5).double().numpy()
    low, high = sigmas[0] ** (1 / 7), sigmas[-1] ** (1 / 7)
    single = ((high + np.linspace(0, 1, steps) * (low - high)) ** 7).astype(np.float32)
    both = [single[0], *np.repeat(single[1:], 2), 0.0]
    return seeds.digest(np.array(both, dtype=np.float64).tobytes())


def test_each_column_says_what_was_asked_for(study: Path) -> None:
    params = write_params(generate={"negative_prompt": "a dog", "guidance": 5.5, "steps": 4})
    rows = rows_of(params, "main")
    assert set(rows) == COLUMNS
    assert len(rows) == 3 * 3 * 2
    for row in rows.itertuples():
        assert row.pair == seeds.pair_id("main", row.shot_type, row.frame, row.repetition)
        assert row.picture == seeds.picture_id(row.pair, row.arm, row.strength)
        assert row.seed == seeds.picture_seed(params.seed, row.pair) < 2**53
        assert row.prompt == f"a high-quality {row.shot_type}_shot picture of {caption_of(row.frame)}"
        assert (row.arm, row.strength) in {("baseline", 0.0), ("ours", 1.0)}
        assert bool(row.weights) == (row.arm == "ours")
    one = {column: set(rows[column]) for column in ("set", "negative_prompt", "guidance", "steps", "size", "sampler")}
    assert one == {
        "set": {"main"}, "negative_prompt": {"a dog"}, "guidance": {5.5}, "steps": {4}, "size": {16},
        "sampler": {"DPM++ SDE Karras"},
    }  # fmt: skip
    assert rows["picture"].is_unique
    assert not rows["failed"].any()
    assert set(rows["device"]) == {"cpu"}
    known = versions()
    assert set(rows["versions"]) == {
        ", ".join(f"{name} {known[name]}" for name in ("torch", "diffusers", "transformers", "peft", "torchsde"))
    }


def test_the_hash_of_the_sigmas_is_that_of_the_karras_schedule(study: Path) -> None:
    for steps in (3, 16):
        assert set(rows_of(write_params(generate={"steps": steps}), "control")["sigmas"]) == {karras_hash(steps)}
    other = write_params(generate={"steps": 16, "sampler": "DPM++ SDE"})
    assert karras_hash(16) not in set(rows_of(other, "control")["sigmas"])


def test_the_weights_hash_changes_with_a_weight_and_so_does_the_infotexts(study: Path) -> None:
    params = load_params()
    before = rows_of(params, "main")
    assert before[before["arm"] == "ours"].groupby("shot_type")["weights"].nunique().tolist() == [1, 1, 1]
    write_tuning(params, "close", number=9)
    after = rows_of(params, "main")
    moved = (before["shot_type"] == "close") & (before["arm"] == "ours")
    for column in ("weights", "infotext"):
        assert ((before[column] != after[column]) == moved).all()
    told = infotext.parse(after.loc[moved, "infotext"].iloc[0])
    assert told.loras[0].hash == infotext.lora_hash(TUNED / "close" / kohya_file("close"))


@pytest.mark.parametrize("set_name", ["main", "ablation", "control", "strengths"])
def test_the_infotext_parses_back_to_the_same_picture(study: Path, set_name: SetName) -> None:
    params = write_params(generate={"negative_prompt": "a dog (in the street)", "guidance": 5.5, "steps": 16})
    for row in rows_of(params, set_name).itertuples():
        told = infotext.parse(row.infotext)
        assert (told.prompt, told.negative_prompt) == (row.prompt, row.negative_prompt)
        assert (told.seed, told.steps, told.sampler) == (row.seed, row.steps, row.sampler)
        assert (told.guidance, told.size) == (row.guidance, row.size)
        strong = row.arm == "ours" and row.strength > 0
        assert [lora.strength for lora in told.loras] == ([row.strength] if strong else [])
        assert [lora.name for lora in told.loras] == ([f"dreamshot_{row.shot_type}"] if strong else [])
        assert "DreamShot" in told.version


AWKWARD = "a (woman) in [a] coat <lora:evil:2> AND a dog: 1.5, Steps: 3, BREAK"


def test_a_caption_of_signs_that_a1111_reads_comes_back_as_it_was(study: Path) -> None:
    rows = read_table(CAPTION_ROWS)
    write_table(rows.assign(caption=AWKWARD), CAPTION_ROWS, by="frame")
    for row in rows_of(load_params(), "ablation").itertuples():
        assert row.prompt.endswith(AWKWARD)
        assert infotext.parse(row.infotext).prompt == row.prompt


def words(row: Any) -> tuple[str, str]:
    """(model, prompt) as the infotext has them."""
    text = infotext.split(row.infotext)
    return dict(text.fields)["Model"], infotext.parse(row.infotext).prompt


def test_a_full_fine_tuning_is_a_model_of_its_own_at_each_strength(study: Path) -> None:
    params = load_params()
    write_tunings(params, "dreambooth")
    found = {(row.arm, row.strength): words(row)[0] for row in rows_of(params, "strengths").itertuples()}
    names = {found["ours", 0.5], found["ours", 1.0]}
    assert found["baseline", 0.0] == found["ours", 0.0] == "base"
    assert len(names) == 2
    assert found["ours", 1.0].startswith("dreamshot_")
    assert found["ours", 0.5] == f"{found['ours', 1.0]}_0.5"


def test_textual_inversion_calls_its_words_by_their_file(study: Path) -> None:
    params = load_params()
    write_tunings(params, "textual_inversion")
    for row in rows_of(params, "strengths").itertuples():
        model, prompt = words(row)
        path = TUNED / row.shot_type / embedding_file(row.shot_type)
        assert model == "base"
        assert row.prompt.count(f"{row.shot_type}_shot") == 1
        named = {0.0: f"{row.shot_type}_shot", 0.5: f"{path.stem}_0.5", 1.0: path.stem}[row.strength]
        assert prompt == row.prompt.replace(f"{row.shot_type}_shot", named)
        assert (infotext.embedding_hash(path) in row.infotext) == (row.strength == 1.0)


@pytest.mark.parametrize(("words", "cut"), [(75, False), (76, True)])
def test_a_prompt_is_cut_above_75_tokens_beside_its_beginning_and_end(study: Path, words: int, cut: bool) -> None:
    params = write_params(generate={"prompt": "[caption] [shot_type]", "prompt_ablation": "[caption]"})
    rows = read_table(CAPTION_ROWS)
    write_table(rows.assign(caption=" ".join(["dog"] * words)), CAPTION_ROWS, by="frame")
    found = rows_of(params, "ablation")
    assert set(found["tokens"]) == {words}
    assert set(found["cut"]) == {cut}
    assert counts(found)["cut"] == len(found) * cut


def test_what_came_of_a_picture_is_told_and_counted(study: Path) -> None:
    outcomes = [Outcome("a" * 64, "nan", True), Outcome("b" * 64, "", True), Outcome("c" * 64, "black", False)]
    rows = rows_of(load_params(), "main", outcomes)
    assert rows["pixels"].tolist()[:3] == ["a" * 64, "b" * 64, "c" * 64]
    assert rows["failure"].tolist()[:4] == ["nan", "", "black", ""]
    assert rows["failed"].tolist()[:4] == [True, False, True, False]
    assert rows["retried"].tolist()[:4] == [True, True, False, False]
    assert counts(rows) == {"pairs": 9, "pictures": 18, "failed": 2, "retried": 2, "cut": 0}


def test_the_other_arm_of_control_is_the_baseline_from_another_seed(study: Path) -> None:
    params = load_params()
    rows = rows_of(params, "control")
    assert set(zip(rows["arm"], rows["strength"], rows["weights"], strict=True)) == {
        ("baseline", 0.0, ""), ("other", 0.0, "")
    }  # fmt: skip
    for row in rows.itertuples():
        names = ("other",) if row.arm == "other" else ()
        assert row.seed == seeds.picture_seed(params.seed, row.pair, *names)
    assert rows["seed"].is_unique


def test_an_identifier_stands_before_the_shot_type_and_nowhere_else(study: Path) -> None:
    params = write_params(generate={"identifier": "sks"})
    for row in rows_of(params, "main").itertuples():
        assert row.prompt == f"a high-quality sks {row.shot_type}_shot picture of {caption_of(row.frame)}"
    for row in rows_of(params, "ablation").itertuples():
        assert row.prompt == f"a high-quality picture of {caption_of(row.frame)}"
        assert not any(shot_type in row.prompt for shot_type in SHOT_TYPES)


@pytest.mark.parametrize(
    ("source", "name"),
    [("models/sd15", "sd15"), ("stable-diffusion-v1-5/stable-diffusion-v1-5", "stable-diffusion-v1-5")],
)
def test_the_base_is_called_by_the_last_part_of_its_name(source: str, name: str) -> None:
    assert model_name(source) == name
