from pathlib import Path

import pytest
import yaml

from dreamshot.errors import StudyError
from dreamshot.params import load_params, set_argument, shot_type_argument

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The project's parameters as a dict, and a function that loads them after a change."""
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load(PARAMS.read_text())

    def load():
        Path("params.yaml").write_text(yaml.safe_dump(content))
        return load_params()

    return content, load


def test_both_profiles_have_the_same_keys():
    def keys(value, path=()):
        return {path} if not isinstance(value, dict) else {path}.union(*(keys(v, (*path, k)) for k, v in value.items()))

    profiles = yaml.safe_load(PARAMS.read_text())["profiles"]
    assert keys(profiles["demo"]) == keys(profiles["paper"])


def test_the_profile_picks_its_block(study):
    content, load = study
    assert load().world == "demo"
    content["profile"] = "paper"
    assert load().generate.size == 512


MISTAKES = {
    "unknown key": (("train", "rnak"), 8, "profiles.demo.train.rnak: unknown key, value 8"),
    "wrong type": (("train", "steps"), "many", "profiles.demo.train.steps = 'many'"),
    "a float for a count": (("train", "batch"), 2.5, "profiles.demo.train.batch = 2.5"),
    "a truth value for a number": (("ingest", "min_year"), True, "profiles.demo.ingest.min_year = True"),
    "impossible value": (("select", "train"), 0, "profiles.demo.select.train = 0"),
    "year out of range": (("ingest", "min_year"), 13, "profiles.demo.ingest.min_year = 13"),
    "unknown crop": (("crop", "method"), "zoom", "profiles.demo.crop.method = 'zoom'"),
    "prompt without its caption": (("generate", "prompt"), "a [shot_type]", "must hold [shot_type] and [caption]"),
    "crop larger than picture": (("score", "dino_crop"), 512, "dino_crop 512 is larger than dino_resize"),
    "more pairs than captions": (("select", "test"), 5, "exceeds select.test 5"),
    "a mapping for a number": (("seed",), {"a": 1}, "profiles.demo.seed"),
    "unknown method": (("train", "method"), "hypernetwork", "profiles.demo.train.method = 'hypernetwork'"),
    "unknown optimiser": (("train", "optimizer"), "sgd", "profiles.demo.train.optimizer = 'sgd'"),
    "unknown schedule": (("train", "schedule"), "steps", "profiles.demo.train.schedule = 'steps'"),
    "unknown precision": (("train", "dtype"), "fp16", "profiles.demo.train.dtype = 'fp16'"),
    "unknown sampler": (("train", "drawing", "sampler"), "DPM", "profiles.demo.train.drawing.sampler = 'DPM'"),
    "too few steps to draw": (("train", "drawing", "steps"), 1, "profiles.demo.train.drawing.steps = 1"),
    "pieces that are not equal": (
        ("train", "accumulate"), 5, "profiles.demo.train: accumulate 5 does not divide batch 16",
    ),
    "weight without class pictures": (
        ("train", "prior", "weight"), 1.0, "profiles.demo.train.prior: weight 1.0 and pictures 0 must both be 0",
    ),
    "class pictures without weight": (
        ("train", "prior", "pictures"), 9, "profiles.demo.train.prior: weight 0.0 and pictures 9 must both be 0",
    ),
    "no targets": (("train", "targets"), [], "profiles.demo.train.targets = []"),
    "no rank": (("train", "rank"), 0, "profiles.demo.train.rank = 0"),
    "no lora_alpha": (("train", "lora_alpha"), 0.0, "profiles.demo.train.lora_alpha = 0.0"),
    "all captions dropped": (("train", "caption_dropout"), 1.0, "profiles.demo.train.caption_dropout = 1.0"),
    "an average that never moves": (("train", "ema_decay"), 1.0, "profiles.demo.train.ema_decay = 1.0"),
    "no learning rate": (("train", "learning_rate"), 0.0, "profiles.demo.train.learning_rate = 0.0"),
    "a negative offset": (("train", "noise_offset"), -0.1, "profiles.demo.train.noise_offset = -0.1"),
    "no validation steps": (("train", "validation", "every"), 0, "profiles.demo.train.validation.every = 0"),
    "text encoder that does not learn": (
        ("train", "text_encoder", "learning_rate"), 0.0, "profiles.demo.train.text_encoder.learning_rate = 0.0",
    ),
    "a strength beyond the grid": (
        ("generate", "sets", "main", "strengths"), [2.5], "profiles.demo.generate.sets.main.strengths.0 = 2.5",
    ),
    "a slab below none": (("generate", "slab"), -1, "profiles.demo.generate.slab = -1"),
    "base without a licence": (("models", "base", "licence"), "", "profiles.demo.models.base.licence = ''"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_key_and_value_in_one_line(study, mistake):
    content, load = study
    path, value, expected = MISTAKES[mistake]
    block = content["profiles"]["demo"]
    for key in path[:-1]:
        block = block[key]
    block[path[-1]] = value
    with pytest.raises(StudyError) as caught:
        load()
    assert expected in str(caught.value)
    assert str(caught.value).startswith("params.yaml: ")
    assert "\n" not in str(caught.value)


def test_textual_inversion_with_a_text_encoder_that_learns_is_named(study):
    content, load = study
    content["profiles"]["demo"]["train"].update(method="textual_inversion")
    assert load().train.method == "textual_inversion"
    content["profiles"]["demo"]["train"]["text_encoder"]["train"] = True
    with pytest.raises(StudyError, match=r"profiles\.demo\.train: text_encoder\.train is for lora and dreambooth"):
        load()


def test_the_identifier_stands_before_the_shot_type(study):
    content, load = study
    assert load().generate.template == "a high-quality [shot_type] picture of [caption]"
    content["profiles"]["demo"]["generate"]["identifier"] = "sks"
    assert load().generate.template == "a high-quality sks [shot_type] picture of [caption]"


def test_a_mistake_in_the_profile_that_is_not_in_use_stops_too(study):
    content, load = study
    del content["profiles"]["paper"]["crop"]["size"]
    with pytest.raises(StudyError, match=r"profiles\.paper\.crop\.size: missing"):
        load()


def test_a_missing_profile_is_named(study):
    content, load = study
    del content["profiles"]["paper"]
    with pytest.raises(StudyError, match=r"profiles\.paper is missing"):
        load()


@pytest.mark.parametrize(("text", "expected"), [(None, "no such file"), ("a: [", "not valid YAML"), ("7", "top level")])
def test_an_unreadable_file_is_named(tmp_path, monkeypatch, text, expected):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("params.yaml").write_text(text)
    with pytest.raises(StudyError, match=rf"params\.yaml: .*{expected}"):
        load_params()


def test_a_stage_argument_that_is_none_of_the_words_is_named():
    assert shot_type_argument("long") == "long"
    assert set_argument("control") == "control"
    with pytest.raises(StudyError, match="'wide': no such shot type; one of close, medium, long"):
        shot_type_argument("wide")
    with pytest.raises(StudyError, match="'best': no such set"):
        set_argument("best")
