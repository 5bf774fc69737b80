"""A1111's infotext: what is written is read there as it was meant; what is read loses nothing without saying so."""

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version
from safetensors.numpy import save_file

from dreamshot.captions import one_line
from dreamshot.errors import StudyError
from dreamshot.infotext import (
    AUTOMATIC,
    OTHER_NOISE,
    REASONS,
    SAME_NOISE,
    Embedding,
    Infotext,
    Lora,
    Picture,
    embedding_hash,
    escaped,
    lora_hash,
    model_hash,
    page,
    parse,
    split,
    write,
)
from dreamshot.samplers import SamplerName

ROOT = Path(__file__).parents[2]
SAMPLER_NAMES: tuple[SamplerName, ...] = get_args(SamplerName)
LORA = Lora("close", 0.75, "0123456789ab")
PICTURE = Picture(
    prompt="a high-quality close_shot picture of a man",
    negative_prompt="",
    sampler="DPM++ SDE Karras",
    steps=16,
    guidance=6.0,
    seed=1234567890,
    size=512,
    model="v1-5-pruned-emaonly",
    model_hash="6ce0161689",
    version="0.1.0",
)

OLD = """dusk over a harbour, <lora:close:0.8>
two people talking
Negative prompt: text, watermark,
frame
Steps: 24, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 31, Size: 640x640, Model hash: a1b2c3d4, RNG: CPU"""
NEW = """a quiet street
Negative prompt: rain
Steps: 20, Sampler: DPM++ SDE, Schedule type: Karras, CFG scale: 5, Seed: 77, Size: 512x512, Model hash: 0a1b2c3d4e, \
Model: "mine: second, try", RNG: CPU, Version: v1.10.1"""
BARE = "Steps: 20, Sampler: DPM++ SDE Karras, CFG scale: 7, Seed: 1, Size: 512x512, RNG: CPU"


def told(text: str) -> str:
    """What a text that should match otherwise cannot say, without what no text can."""
    common = set(parse(BARE).unmatched)
    return "\n".join(line for line in parse(text).unmatched if line not in common)


# --- A1111's side, as its documentation describes it ---


@dataclass(frozen=True)
class Understood:
    """What A1111 makes of a prompt: the networks, the parts joined by AND, and each part's words with their weight."""

    networks: list[str]
    parts: list[list[tuple[str, float]]]
    weights: list[str]


def weighed(text: str) -> list[tuple[str, float]]:
    """Words and weights, sign by sign; ("BREAK", -1) for a break; fails at what changes from step to step."""
    pieces: list[tuple[str, int]] = []  # a run of letters and how deep it stands, above 0 in (), below in []
    depth, run, place = 0, "", 0
    while place < len(text):
        sign = text[place]
        if sign == "\\" or sign in "()[]:":
            pieces.append((run, depth))
            run = ""
        if sign == "\\" and text[place + 1 : place + 2] in ("\\", "(", ")", "[", "]"):
            pieces.append((text[place + 1], depth))
            place += 1
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign in "[]":
            depth -= 1 if sign == "[" else -1
        elif sign == ":":
            pieces.append((":", depth))
        elif sign != "\\":
            run += sign
        place += 1
    pieces.append((run, depth))
    found: list[tuple[str, float]] = []
    for words, level in pieces:
        for number, part in enumerate(re.split(r"\bBREAK\b", words)):
            found += [("BREAK", -1)] if number else []
            found.append((part, 1.1**level))
    joined = found[:1]
    for words, weight in found[1:]:
        if weight == joined[-1][1]:
            joined[-1] = (joined[-1][0] + words, weight)
        else:
            joined.append((words, weight))
    return joined


def understood(prompt: str) -> Understood:
    networks = re.findall(r"<\w+:[^>]+>", prompt)
    parts = re.split(r"\bAND\b", re.sub(r"<\w+:[^>]+>", "", prompt))
    weights = [part.rpartition(":")[2].strip() if ":" in part else "" for part in parts]
    weights = [text for text in weights if re.fullmatch(r"[-+]?(\d+\.?|\d*\.\d+)", text)]
    return Understood(networks, [weighed(part) for part in parts], weights)


def pasted(text: str) -> tuple[str, str, dict[str, str]]:
    """The prompt, the negative prompt and the fields that A1111's paste button finds; the last line holds those."""
    *lines, last = text.strip().split("\n")
    prompt: list[str] = []
    negative: list[str] = []
    into = prompt
    for line in lines:
        if line.strip().startswith("Negative prompt:"):
            into = negative
        into.append(line.strip().removeprefix("Negative prompt:").strip())
    fields = re.findall(r'(\w[\w /-]+): ("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)', last)
    values = {key: json.loads(value) if value.startswith('"') else value for key, value in fields}
    return "\n".join(prompt), "\n".join(negative), values


SIGNS = [
    "AND", "BREAK", "and", "(", ")", "[", "]", "\\", ":", "1.2", "9", " ", "\n", "\r\n", "\t", "\u2028", "|", ",", '"',
    "<lora:x:1>", "<AND:", "<", ">", "Negative prompt:", "Steps: 3, Sampler: x, Size: 1x1", "a man", "é", "_", "-", "٣",
]  # fmt: skip
TEXTS = st.one_of(st.lists(st.sampled_from(SIGNS), max_size=12).map("".join), st.text(max_size=40))
UNMARKED = TEXTS.map(lambda text: text.replace("#", ""))


# --- writing ---


def test_a_picture_of_a_lora_is_written_as_a1111_prints_it():
    assert write(replace(PICTURE, negative_prompt="blurry", lora=LORA)) == (
        "a high-quality close_shot picture of a man <lora:close:0.75>\n"
        "Negative prompt: blurry\n"
        "Steps: 16, Sampler: DPM++ SDE Karras, CFG scale: 6, Seed: 1234567890, Size: 512x512, Model hash: 6ce0161689, "
        'Model: v1-5-pruned-emaonly, RNG: CPU, Lora hashes: "close: 0123456789ab", Version: DreamShot 0.1.0'
    )


@pytest.mark.parametrize("picture", [PICTURE, replace(PICTURE, lora=replace(LORA, strength=0.0))])
def test_a_baseline_and_strength_0_have_no_lora(picture):
    prompt, negative, fields = pasted(write(picture))
    assert (prompt, negative) == (PICTURE.prompt, "")
    assert "Lora hashes" not in fields
    assert "Negative prompt" not in write(picture)


@pytest.mark.parametrize(("strength", "digits"), [(1.0, "1"), (0.25, "0.25"), (0.1, "0.1"), (1.5, "1.5")])
def test_a_strength_has_no_needless_digits(strength, digits):
    prompt, _, _ = pasted(write(replace(PICTURE, lora=Lora("close", strength))))
    assert prompt.endswith(f" <lora:close:{digits}>")


@pytest.mark.parametrize("name", ["", "a:b", "a>b", "a,b", "a=b", "a\nb"])
def test_a_lora_whose_name_a1111_could_not_read_is_refused(name):
    with pytest.raises(ValueError, match="cannot be called"):
        write(replace(PICTURE, lora=Lora(name, 1.0)))


def test_a_textual_inversion_is_named_by_its_hash():
    picture = replace(PICTURE, embeddings=(Embedding("close_shot", "aa"), Embedding("far_shot", "bb")))
    assert pasted(write(picture))[2]["TI hashes"] == "close_shot: aa, far_shot: bb"


def test_a_model_without_a_hash_has_none():
    assert "Model hash" not in pasted(write(replace(PICTURE, model_hash="")))[2]


@pytest.mark.parametrize("version", ["", "0.1.0", "1.5.0", "0.1.0-7-gabcdef"])
def test_the_version_is_none_that_a1111_could_take_for_an_old_one_of_its_own(version):
    with pytest.raises(InvalidVersion):
        Version(pasted(write(replace(PICTURE, version=version)))[2]["Version"])


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_a_sampler_is_the_same_in_a1111_before_and_since_1_9(sampler):
    fields = pasted(write(replace(PICTURE, sampler=sampler)))[2]
    name = fields["Sampler"]
    assert name == sampler  # what 1.8 and older know it as
    since = fields.get("Schedule type") or ("Karras" if name.endswith(" Karras") else "Automatic")
    base = name.removesuffix(" Karras")
    drawn = AUTOMATIC.get(base, "Uniform") if since == "Automatic" else since
    assert (base, drawn) == (sampler.removesuffix(" Karras"), "Karras" if sampler.endswith(" Karras") else "Uniform")


@given(model=st.text(max_size=20).map(str.strip), version=st.text(alphabet='01.-, :"\\ab\n', max_size=8).map(str.strip))
def test_fields_with_commas_colons_quotes_and_newlines_are_quoted(model, version):
    fields = pasted(write(replace(PICTURE, model=model, version=version)))[2]
    assert fields.get("Model", "") == model
    assert fields["Version"] == f"DreamShot {version}".strip()
    assert fields["RNG"] == "CPU"


@settings(max_examples=500, deadline=None)
@given(prompt=UNMARKED, negative=UNMARKED, strength=st.sampled_from([0.0, 0.3, 1.0]))
def test_a1111_reads_every_prompt_as_its_words_and_nothing_else(prompt, negative, strength):
    text = write(replace(PICTURE, prompt=prompt, negative_prompt=negative, lora=replace(LORA, strength=strength)))
    found_prompt, found_negative, fields = pasted(text)
    assert fields["Steps"] == "16"
    positive, negated = understood(found_prompt), understood(found_negative)
    assert positive.networks == ([f"<lora:close:{str(strength).removesuffix('.0')}>"] if strength else [])
    assert positive.weights == negated.weights == negated.networks == []
    for found, meant in ((positive, prompt), (negated, negative)):
        ((words, weight),) = [pieces for part in found.parts for pieces in part] or [("", 1.0)]
        assert (words.strip(), weight) == (one_line(meant), 1.0)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a man (old) in [blue]", r"a man \(old\) in \[blue\]"),
        ("a\\b", r"a\\b"),
        ("salt AND pepper", r"salt A\ND pepper"),
        ("a BREAK in", r"a B\REAK in"),
        ("BRAND and ANDREA", "BRAND and ANDREA"),
        ("<lora:x:1>", r"<\lora:x:1>"),
        ("a < b", "a < b"),
        ("shot in 16:9", r"shot in 16:\9"),
        ("at 16:9 in colour", "at 16:9 in colour"),
        ("Negative prompt: a man", r"\Negative prompt: a man"),
        ("a\n man ", "a man"),
    ],
)
def test_only_what_would_be_syntax_is_escaped(text, written):
    assert escaped(text) == written


# --- hashes ---


@pytest.fixture
def weights(tmp_path):
    def made(name: str, **metadata: str) -> Path:
        path = tmp_path / name
        save_file({"lora_unet.alpha": np.arange(6, dtype=np.float32)}, path, metadata or None)
        return path

    return made


def test_a_loras_hash_is_of_its_tensors_without_the_header(weights):
    tensors = hashlib.sha256(np.arange(6, dtype=np.float32).tobytes()).hexdigest()
    assert lora_hash(weights("a.safetensors")) == tensors[:12]
    assert lora_hash(weights("b.safetensors", ss_network_alpha="16")) == tensors[:12]


def test_a_models_and_an_embeddings_hash_are_of_the_whole_file(weights):
    path = weights("a.safetensors")
    whole = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (model_hash(path), embedding_hash(path)) == (whole[:10], whole[:12])
    assert model_hash(path) != model_hash(weights("b.safetensors", note="x"))


@pytest.mark.parametrize(
    "content", [b"", b"\x02\0\0", b"\x80\x02}q\x01X\x06\0\0\0weightq\x02", b"\xff" * 20, b"\0" * 20]
)
def test_a_lora_that_is_no_safetensors_file_is_named(tmp_path, content):
    path = tmp_path / "lora.pt"
    path.write_bytes(content)
    with pytest.raises(StudyError, match=r"lora\.pt: no safetensors file"):
        lora_hash(path)


# --- reading ---


def test_the_older_spelling_is_read():
    reading = parse(OLD)
    assert reading.prompt == "dusk over a harbour, two people talking"
    assert reading.negative_prompt == "text, watermark, frame"
    assert (reading.sampler, reading.steps, reading.guidance) == ("DPM++ 2M Karras", 24, 7.5)
    assert (reading.size, reading.seed, reading.loras) == (640, 31, (Lora("close", 0.8),))


def test_the_newer_spelling_is_read():
    reading = parse(NEW)
    assert (reading.prompt, reading.negative_prompt) == ("a quiet street", "rain")
    assert (reading.sampler, reading.steps, reading.guidance) == ("DPM++ SDE Karras", 20, 5.0)
    assert (reading.size, reading.seed, reading.version) == (512, 77, "v1.10.1")
    assert dict(split(NEW).fields)["Model"] == "mine: second, try"


def test_the_parts_stand_as_they_were_written():
    fields = 'Steps: 2, Sampler: Euler, Note: "a\\n\\"b\\", c", List: [{"a": 1}, 2], Alone, Seed: 3'
    assert split(f"one \r\n (two)\nNegative prompt: three\nfour\n{fields}\nTemplate: five\n") == Infotext(
        prompt="one\n(two)",
        negative_prompt="three\nfour",
        fields=(
            ("Steps", "2"),
            ("Sampler", "Euler"),
            ("Note", 'a\n"b", c'),
            ("List", '[{"a": 1}, 2]'),
            ("Alone", "Alone"),
            ("Seed", "3"),
        ),
        rest=("Template: five",),
    )


@pytest.mark.parametrize("value", ['"not, closed', '"closed" not', "[1, 2", "{"])
def test_a_value_that_is_no_json_is_read_up_to_the_comma(value):
    fields = dict(split(f"Steps: 2, Odd: {value}, Seed: 3").fields)
    assert fields["Odd"] == value.partition(",")[0]
    assert fields["Seed"] == "3"


@settings(max_examples=300, deadline=None)
@given(prompt=TEXTS, negative=TEXTS, sampler=st.sampled_from(SAMPLER_NAMES), data=st.data())
def test_what_is_written_is_read(prompt, negative, sampler, data):
    guidance = data.draw(st.floats(1, 30))
    strength = data.draw(st.floats(0, 2))
    size = 8 * data.draw(st.integers(2, 200))
    seed = data.draw(st.integers(0, 2**63 - 1))
    lora = replace(LORA, strength=strength)
    picture = replace(
        PICTURE, prompt=prompt, negative_prompt=negative, sampler=sampler, guidance=guidance, size=size, seed=seed,
        lora=lora,
    )  # fmt: skip
    reading = parse(write(picture))
    assert (reading.prompt, reading.negative_prompt) == (one_line(prompt), one_line(negative))
    assert (reading.sampler, reading.steps, reading.guidance) == (sampler, 16, guidance)
    assert (reading.size, reading.seed) == (size, seed)
    assert reading.loras == ((lora,) if strength else ())


def test_of_our_own_text_only_what_no_parameter_sets_is_unmatched():
    lines = parse(write(replace(PICTURE, lora=LORA, negative_prompt="a (b)"))).unmatched
    assert [line.partition(":")[0] for line in lines] == ["prompt", "Seed", "Model hash", "Model"]


@given(text=TEXTS, fields=st.lists(st.sampled_from([*SIGNS, "Steps: 4", "Seed: 1", "Size: 8x8", "{", "[", ", "])))
def test_whatever_it_is_is_read_or_refused_in_a_line(text, fields):
    try:
        printed, refused = page(parse(f"{text}\n{BARE}, {''.join(fields)}")), ""
    except StudyError as error:
        printed, refused = "generate: {}", str(error)
    assert set(yaml.safe_load(printed)) == {"generate"}
    assert len(refused.splitlines()) <= 1


# --- what cannot match ---


@pytest.mark.parametrize(
    ("prompt", "words", "lost"),
    [
        ("a (red:1.2) hat", "a red hat", "(red:1.2)"),
        ("a ((red)) hat", "a red hat", "((red))"),
        ("a [red] hat", "a red hat", "[red]"),
        ("a (red hat", "a red hat", "(red hat"),
        ("(a (b:1.3) c:1.0) d", "a b c d", "(b:1.3)"),
        ("a [cat:dog:0.5] here", "a [cat:dog:0.5] here", "same in every step"),
        ("a [cat|(dog:1.1)] here", "a [cat|(dog:1.1)] here", "same in every step"),
        ("a BREAK b", "a b", "BREAK"),
        ("a AND b :0.5", "a AND b :0.5", "AND"),
        ("a hat:1.4", "a hat", "weight 1.4"),
        ("a # b", "a # b", "'#'"),
        ("a <hypernet:old:0.4> b", "a b", "<hypernet:old:0.4>"),
    ],
)
def test_what_a_prompt_says_beside_its_words_is_told(prompt, words, lost):
    text = f"{prompt}\n{BARE}"
    assert parse(text).prompt == words
    assert lost in told(text)
    assert len(told(text).splitlines()) == 1


@pytest.mark.parametrize("prompt", [r"a \(red\) \[hat\]", "a (red:1.0) hat", r"B\REAK A\ND", "16:9 frame)", r"c:\\d"])
def test_signs_that_say_nothing_are_not_told(prompt):
    assert told(f"{prompt}\n{BARE}") == ""


def test_a_negative_prompt_is_weighed_too():
    text = f"a\nNegative prompt: (ugly:1.4), text\n{BARE}"
    assert parse(text).negative_prompt == "ugly, text"
    assert told(text) == "negative prompt: '(ugly:1.4)': words are not weighed here"


def test_a_prompt_that_must_be_too_long_is_told():
    assert "75 tokens" in told(f"{'word ' * 76}\n{BARE}")
    assert told(f"{'word ' * 75}\n{BARE}") == ""


@pytest.mark.parametrize(
    ("call", "strength", "lost"),
    [
        ("<lora:a:0.8>", 0.8, ""),
        ("<lora:a>", 1.0, ""),
        ("<lyco:a:0.5>", 0.5, ""),
        ("<lora:a:0.8:0.8>", 0.8, ""),
        ("<lora:a:0.8:0.5>", 0.5, "0.8 for the text encoder and 0.5 for the UNet"),
        ("<lora:a:te=0.2:unet=0.4>", 0.4, "0.2 for the text encoder and 0.4 for the UNet"),
        ("<lora:a:1:1:32>", 1.0, "nothing but a strength"),
        ("<lora:a:1:dyn=4>", 1.0, "nothing but a strength"),
        ("<lora:a:-0.5>", -0.5, "strength -0.5: should be greater than or equal to 0"),
        ("<lora:a:2.5>", 2.5, "strength 2.5: should be less than or equal to 2"),
    ],
)
def test_a_lora_is_taken_out_of_the_prompt(call, strength, lost):
    text = f'x {call} y\n{BARE}, Lora hashes: "a: beef"'
    assert parse(text).prompt == "x y"
    assert parse(text).loras == (Lora("a", strength, "beef"),)
    assert lost in told(text)
    assert bool(lost) == bool(told(text))


@pytest.mark.parametrize(
    ("strength", "given"), [("0.5", [0.5]), ("0", [0.0]), ("-1", None), ("3", None), ("nan", None)]
)
def test_a_strength_is_given_where_params_may_have_it(strength, given):
    sets = yaml.safe_load(page(parse(f"<lora:a:{strength}>\n{BARE}")))["generate"].get("sets")
    assert sets == (None if given is None else {"main": {"strengths": given}})


def test_several_loras_are_told():
    text = f"<lora:a:1> x <lora:b:0.5>\n{BARE}"
    assert parse(text).loras == (Lora("a", 1.0), Lora("b", 0.5))
    assert told(text) == "'<lora:b:0.5>': a picture has one LoRA here, and the first is taken"


def test_a_hash_without_its_lora_is_told():
    assert told(f'<lora:a:1>\n{BARE}, Lora hashes: "a: 12, b: 34"') == "Lora hashes: 'b' is not called"


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        ("DPM++ SDE Karras", "DPM++ SDE Karras"),
        ("DPM++ SDE, Schedule type: Karras", "DPM++ SDE Karras"),
        ("DPM++ SDE, Schedule type: karras", "DPM++ SDE Karras"),
        ("DPM++ SDE, Schedule type: Automatic", "DPM++ SDE Karras"),
        ("DPM++ SDE Karras, Schedule type: Automatic", "DPM++ SDE Karras"),
        ("DPM++ SDE Karras, Schedule type: Karras", "DPM++ SDE Karras"),
        ("DPM++ SDE, Schedule type: Uniform", "DPM++ SDE"),
        ("DPM++ SDE", "DPM++ SDE"),
        ("Euler, Schedule type: Automatic", "Euler"),
        ("DPM2, Schedule type: Automatic", "DPM2 Karras"),
    ],
)
def test_a_sampler_is_found_in_either_spelling(said, ours):
    assert parse(BARE.replace("DPM++ SDE Karras", said)).sampler == ours


@pytest.mark.parametrize(
    "said", ["DPM fast", "DPM++ 2M SDE, Schedule type: Automatic", "Euler, Schedule type: SGM Uniform", "euler a"]
)
def test_a_sampler_that_we_have_not_is_told(said):
    reading = parse(BARE.replace("DPM++ SDE Karras", said))
    assert reading.sampler is None
    assert any(line.startswith(f"Sampler: '{said.partition(',')[0]}") for line in reading.unmatched)


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_only_dpmpp_sde_draws_the_same_noise(sampler):
    lost = told(BARE.replace("DPM++ SDE Karras", sampler))
    stochastic = "SDE" in sampler or " a" in sampler
    assert (lost == "") == (sampler in SAME_NOISE)
    assert ("another picture" in lost) == (stochastic and sampler not in SAME_NOISE) == (sampler in OTHER_NOISE)


@pytest.mark.parametrize(
    "field",
    [
        "Clip skip: 2", "ENSD: 31337", "Eta: 0.4", "Variation seed: 5", "Variation seed strength: 0.1",
        "Seed resize from: 512x512", "Face restoration: CodeFormer", "Denoising strength: 0.5", "Hires upscale: 2",
        "Hires upscaler: Latent", "First pass size: 0x0", "VAE: x.pt", "VAE hash: ab", "Model: m", "Model hash: ab",
        "TI hashes: bad: ab", "Hypernet: h", "Refiner: r", "ControlNet 0: c", "Tiling: True",
        "Token merging ratio: 0.5", "Schedule rho: 5", "NGMS: 1", "Batch pos: 3", "Emphasis: No norm",
        "Something new: 4", "Alone",
    ],
)  # fmt: skip
def test_every_other_field_is_told_with_its_reason(field):
    key, _, value = field.partition(": ")
    line = told(f"{BARE}, {field}")
    assert line.startswith(f"{key}: {(value or key)!r}: ")
    assert ("not known here" in line) == (key in ("Something new", "Alone"))


@pytest.mark.parametrize("name", REASONS)
def test_every_known_field_has_a_reason_of_its_own(name):
    field = f"{name} x" if name in ("Schedule", "Sigma", "Hires", "Inpaint") else name
    text = BARE.replace("RNG: CPU", "RNG: NV") if name == "RNG" else f"{BARE}, {field}: odd"
    assert told(text).endswith(REASONS[name])


@pytest.mark.parametrize("field", ["Clip skip: 1", "ENSD: 0", "Eta: 1.0", "Version: v1.6.0"])
def test_fields_that_say_what_is_so_anyway_are_not_told(field):
    assert told(f"{BARE}, {field}") == ""


def test_noise_that_is_not_of_the_cpu_is_told():
    assert "RNG: 'NV'" in told(BARE.replace("RNG: CPU", "RNG: NV"))
    assert "RNG: not given, so A1111 drew on the GPU" in told(BARE.replace(", RNG: CPU", ""))


@pytest.mark.parametrize(
    ("old", "new", "name", "lost"),
    [
        ("Size: 512x512", "Size: 512x768", "size", "Size: 512x768: pictures are square here"),
        ("Size: 512x512", "Size: 500x500", "size", "size 500: should be a multiple of 8"),
        ("Steps: 20", "Steps: 1", "steps", "steps 1: should be greater than or equal to 2"),
        ("CFG scale: 7", "CFG scale: 0.5", "guidance", "guidance 0.5: should be greater than or equal to 1"),
        ("CFG scale: 7, ", "", "guidance", "CFG scale: not given"),
        ("Size: 512x512, ", "", "size", "Size: not given"),
        ("Sampler: DPM++ SDE Karras, ", "", "sampler", "Sampler: not given"),
    ],
)
def test_a_value_that_no_parameter_may_have_is_told_and_left_out(old, new, name, lost):
    text = BARE.replace(old, new)
    assert getattr(parse(text), name) is None
    assert name not in yaml.safe_load(page(parse(text)))["generate"]
    assert told(text).startswith(lost)


def test_a_field_that_is_given_twice_and_a_line_below_are_told():
    assert told(f"{BARE}, Seed: 2\nTemplate: x") == (
        "Seed: given 2 times, and the last is read\n'Template: x': a line below the fields is not read"
    )


# --- the command ---


def command(argument: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "dreamshot.infotext", argument],
        cwd=ROOT, input=stdin, capture_output=True, check=False, timeout=120,
    )  # fmt: skip


def test_the_command_prints_parameters_and_what_cannot_match():
    done = command(OLD)
    text = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert yaml.safe_load(text) == {
        "generate": {
            "prompt": "dusk over a harbour, two people talking",
            "negative_prompt": "text, watermark, frame",
            "sampler": "DPM++ 2M Karras",
            "steps": 24,
            "guidance": 7.5,
            "size": 640,
            "sets": {"main": {"strengths": [0.8]}},
        }
    }
    known, _, lost = text.partition("# cannot match:\n")
    assert "# LoRA 'close': strength 0.8" in known
    assert "# seed: 31" in known
    assert [line for line in lost.splitlines() if not line.startswith("# - ")] == []
    assert lost.count("\n") == len(parse(OLD).unmatched)


def test_the_command_reads_a_file_and_the_standard_input(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(f"\ufeffeine Frau in Köln\n{BARE}\n", encoding="utf-8")
    from_file, from_stdin = command(str(path)), command("-", path.read_bytes())
    assert from_file.returncode == from_stdin.returncode == 0
    assert from_file.stdout == from_stdin.stdout
    assert yaml.safe_load(from_file.stdout)["generate"]["prompt"] == "eine Frau in Köln"


@pytest.mark.parametrize(
    ("argument", "stdin", "named"),
    [
        ("a man in the rain", b"", "no line of fields"),
        ("no/such/file.txt", b"", "no/such/file.txt"),
        (BARE.replace("20", "many"), b"", "Steps 'many' is no whole number"),
        (BARE.replace("Seed: 1", "Seed: 1.5"), b"", "Seed '1.5' is no whole number"),
        (BARE.replace("CFG scale: 7", "CFG scale: x"), b"", "CFG scale 'x' is no number"),
        (BARE.replace("512x512", "512"), b"", "Size '512' is no width and height"),
        (f"<lora:a:much>\n{BARE}", b"", "LoRA 'a': strength 'much' is no number"),
        ("-", b"\x89PNG\r\n", "standard input: not UTF-8 (byte 0x89)"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(argument, stdin, named):
    done = command(argument, stdin)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith("error: ")
    assert named in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_the_command_wants_one_argument():
    done = subprocess.run([sys.executable, "-m", "dreamshot.infotext"], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
