"""A1111's infotext, both ways: the text that the web UI prints below a picture and reads with its paste button.

    python -m dreamshot.infotext "<text>"

turns any such text (or a file of it, or ``-`` for the standard input) into the parameters of ``generate``, as YAML, and
says in comments below what cannot match, and why.

``write`` gives the text of one of our pictures. Source of the format and of what the prompt's signs mean: AUTOMATIC1111
stable-diffusion-webui 1.10.1, ``create_infotext`` in modules/processing.py, modules/infotext_utils.py,
modules/prompt_parser.py and modules/extra_networks.py.

Samplers. Up to 1.8 A1111 wrote ``Sampler: DPM++ SDE Karras``, since 1.9 it writes ``Sampler: DPM++ SDE, Schedule type:
Karras``. ``write`` gives the older form, which pastes in both: newer versions part the name themselves, older ones fail
at the newer form, for they spell that value "karras". Only "DPM++ SDE" and "DPM++ 2M" without Karras sigmas get
``Schedule type: Uniform``, since newer versions take them for Karras unless told otherwise; in 1.8 delete these words.

Noise. ``RNG: CPU`` makes A1111 draw on the CPU, in float32 from the picture's own seed, both the noise at the start and
that of torchsde's Brownian tree (modules/rng.py, modules/sd_samplers_common.py), as stages/sampler.py does. Without it
A1111 draws on the GPU: another picture. Its seed field is a JavaScript number, so a seed above 2^53 is rounded when it
is pasted, unless A1111 was started with ``--use-textbox-seed``.

Prompts. ``escaped`` says what is kept from being read as syntax. What cannot be: A1111 takes all from ``#`` to the end
of the line for a comment (setting "Enable comments") and has no escape for it; an extension may read other signs, such
as ``{a|b}`` or ``__name__``; and with its setting "Emphasis" at "None" A1111 passes the escapes on to CLIP.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from dreamshot.captions import CLIP_TOKENS, one_line
from dreamshot.errors import StudyError, main
from dreamshot.params import Generate, Strength
from dreamshot.samplers import SamplerName
from dreamshot.tables import shown

LORA_HASH, EMBEDDING_HASH, MODEL_HASH = 12, 12, 10  # hex digits that A1111 shows

# What A1111 since 1.9 takes "Automatic" for; "Uniform" for any other sampler.
AUTOMATIC = {
    "DPM++ 2M": "Karras",
    "DPM++ SDE": "Karras",
    "DPM++ 2M SDE": "Exponential",
    "DPM++ 2M SDE Heun": "Exponential",
    "DPM++ 2S a": "Karras",
    "DPM++ 3M SDE": "Exponential",
    "DPM2": "Karras",
    "DPM2 a": "Karras",
}
SCHEDULES = {"karras": "Karras", "uniform": "Uniform", "automatic": ""}  # as A1111's versions spell them
SAME_NOISE = ("DPM++ SDE Karras", "DPM++ SDE")
OTHER_NOISE = ("DPM++ 2M SDE Karras", "Euler a", "DPM2 a Karras")


@dataclass(frozen=True)
class Lora:
    """A LoRA in a prompt: the name of its file without suffix, its strength, and A1111's hash of it ("": not known)."""

    name: str
    strength: float
    hash: str = ""


@dataclass(frozen=True)
class Embedding:
    """A textual inversion: the word in the prompt, which is its file's name without suffix, and A1111's hash of it."""

    name: str
    hash: str


@dataclass(frozen=True)
class Picture:
    """What an infotext says of a picture.

    prompt, negative_prompt: as the text encoder read them; with a textual inversion the word is the embedding's name.
    lora: None for a baseline and for any fine-tuning that is no LoRA; of a full fine-tuning ``model`` is the tuned one.
    size: the side of the square, in pixels. model_hash: "" where the model is no single file. version: of this project.
    """

    prompt: str
    negative_prompt: str
    sampler: SamplerName
    steps: int
    guidance: float
    seed: int
    size: int
    model: str
    model_hash: str
    version: str
    lora: Lora | None = None
    embeddings: tuple[Embedding, ...] = ()


# --- hashes ---


def lora_hash(path: Path) -> str:
    """A1111's hash of a LoRA: twelve hex digits of the SHA-256 of a safetensors file without its header.

    The header is eight bytes with its length (little-endian) and JSON of that length: the same tensors have the same
    hash whatever metadata goes with them. Source: ``addnet_hash_safetensors`` in A1111's modules/hashes.py (kohya's
    ``sshs_model_hash``, Civitai's AutoV3).

    Raises:
        StudyError: no safetensors file.
    """
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        if not 10 <= start <= path.stat().st_size:
            raise StudyError(
                f"{path}: no safetensors file, its header would end at byte {start}; export the LoRA again"
            )
        file.seek(start)
        return hashlib.file_digest(file, "sha256").hexdigest()[:LORA_HASH]


def model_hash(path: Path) -> str:
    """A1111's hash of a checkpoint: the first ten hex digits of its SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:MODEL_HASH]


def embedding_hash(path: Path) -> str:
    """A1111's hash of a textual inversion: the first twelve hex digits of its SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:EMBEDDING_HASH]


# --- writing ---

NUMBER_AT_END = r"\s*[-+]?(?:\d+\.?|\d*\.\d+)\s*$"


def escaped(text: str) -> str:
    """The text as one line that A1111 reads as these words and nothing else.

    Brackets (attention, prompt editing) and backslashes get a backslash. A backslash before any other sign means
    nothing to A1111 and is not passed on to CLIP, but parts what would be syntax: ``<lora:``, the words AND and BREAK,
    a number after a colon at the end (a weight of the whole prompt), ``Negative prompt:`` at the start. Line breaks
    and other white space become single spaces, which CLIP does too. For ``#`` there is no escape.
    """
    text = re.sub(r"([\\()\[\]])", r"\\\1", one_line(text))
    text = re.sub(r"<(?=\w+:)", r"<\\", text)
    text = re.sub(r"\b(A(?=ND\b)|B(?=REAK\b))", r"\1\\", text)
    text = re.sub(rf":(?={NUMBER_AT_END})", r":\\", text)
    return re.sub(r"^(?=Negative prompt:)", r"\\", text)


def number(value: float) -> str:
    """The shortest decimal that is this number: 6 for 6.0, 0.75 for 0.75."""
    return repr(float(value)).removesuffix(".0")


def quoted(value: str) -> str:
    """A field's value, in JSON where A1111 could not tell its end otherwise."""
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:\n]|^"', value) else value


def tag(lora: Lora) -> str:
    """What calls a LoRA in a prompt.

    Raises:
        ValueError: a name that A1111 could not read.
    """
    if not lora.name or re.search(r"[<>:,=\r\n]", lora.name):
        raise ValueError(f"a LoRA cannot be called {lora.name!r} in a prompt")
    return f"<lora:{lora.name}:{number(lora.strength)}>"


def sampler_fields(sampler: SamplerName) -> dict[str, str]:
    """The sampler as every version of A1111 takes it; why, says the module's docstring."""
    return {"Sampler": sampler} | ({"Schedule type": "Uniform"} if sampler in AUTOMATIC else {})


def fields_of(picture: Picture) -> dict[str, str]:
    """The fields in A1111's order; those that are "" are not written.

    ``Version`` is no version number: below 1.7 such a one would make A1111 draw as it once did.
    """
    lora = picture.lora if picture.lora and picture.lora.strength > 0 else None
    return {
        "Steps": str(picture.steps),
        **sampler_fields(picture.sampler),
        "CFG scale": number(picture.guidance),
        "Seed": str(picture.seed),
        "Size": f"{picture.size}x{picture.size}",
        "Model hash": picture.model_hash,
        "Model": picture.model,
        "RNG": "CPU",
        "Lora hashes": f"{lora.name}: {lora.hash}" if lora and lora.hash else "",
        "TI hashes": ", ".join(f"{embedding.name}: {embedding.hash}" for embedding in picture.embeddings),
        "Version": f"DreamShot {picture.version}".strip(),
    }


def write(picture: Picture) -> str:
    """The picture's infotext: prompt, negative prompt where there is one, and the fields, a line each."""
    lora = picture.lora
    words = [escaped(picture.prompt), tag(lora) if lora and lora.strength > 0 else ""]
    lines = [" ".join(filter(None, words))]
    if picture.negative_prompt.strip():
        lines.append(f"Negative prompt: {escaped(picture.negative_prompt)}")
    lines.append(", ".join(f"{key}: {quoted(value)}" for key, value in fields_of(picture).items() if value))
    return "\n".join(lines).strip()


# --- reading the format ---


@dataclass(frozen=True)
class Infotext:
    """An infotext's parts as they stand there: fields in order, values unquoted; ``rest``: lines below the fields."""

    prompt: str
    negative_prompt: str
    fields: tuple[tuple[str, str], ...]
    rest: tuple[str, ...] = ()


KEY = re.compile(r'([^,:"]*):\s*')
END = re.compile(r"\s*(,|$)")
NEGATIVE = "Negative prompt:"


def value_at(line: str, start: int) -> tuple[str, int]:
    """The value that begins at ``start`` and where it ends: JSON (a quoted text, a list), or all up to a comma."""
    if line[start : start + 1] in ('"', "[", "{"):
        try:
            value, end = json.JSONDecoder(strict=False).raw_decode(line, start)
        except (ValueError, RecursionError):
            end = -1
        if end >= 0 and END.match(line, end):
            return (value if isinstance(value, str) else line[start:end]), end
    end = line.find(",", start)
    end = len(line) if end < 0 else end
    return line[start:end].strip(), end


def fields_in(line: str) -> list[tuple[str, str]]:
    """The fields of a line; a word alone is a field whose name is its value, which A1111 writes once."""
    found: list[tuple[str, str]] = []
    position = 0
    while position < len(line):
        key = KEY.match(line, position)
        value, end = value_at(line, key.end() if key else position)
        if key or value:
            found.append((key[1].strip() if key else value, value))
        comma = line.find(",", end)
        position = len(line) if comma < 0 else comma + 1
    return found


def holds_fields(line: str) -> bool:
    """Whether a line is that of the fields: at least three, Steps among them."""
    found = fields_in(line) if "Steps:" in line else []
    return len(found) >= 3 and "Steps" in dict(found)


def split(text: str) -> Infotext:
    """Part an infotext as A1111 does it, but what stands below the fields is no prompt.

    Raises:
        StudyError: no line of fields.
    """
    lines = [line.strip() for line in text.strip().split("\n")]
    last = max((row for row, line in enumerate(lines) if holds_fields(line)), default=None)
    if last is None:
        raise StudyError(
            f"infotext {shown(text.strip())}: no line of fields (Steps: ..., Sampler: ..., ...); "
            "give all that A1111 shows below a picture, or the path of a file that holds it"
        )
    turn = next((row for row, line in enumerate(lines[:last]) if line.startswith(NEGATIVE)), last)
    negative = [line.removeprefix(NEGATIVE).strip() for line in lines[turn:last]]
    rest = tuple(line for line in lines[last + 1 :] if line)
    return Infotext("\n".join(lines[:turn]), "\n".join(negative), tuple(fields_in(lines[last])), rest)


# --- what a prompt says ---

NETWORK = re.compile(r"<(\w+):([^>]+)>")
SIGN = re.compile(r"\\[\\()\[\]]|\\|[(\[\])]|:\s*([-+]?[.\d]+)\s*\)|[^\\()\[\]:]+|:")
EDITING = re.compile(r"(?<!\\)\||(?<!\\):\s*[-+]?[.\d]+\s*$")
BREAK = re.compile(r"\s*\bBREAK\b\s*")
NOT_WEIGHED = "words are not weighed here"


@dataclass(frozen=True)
class Opened:
    """A bracket that is open: where it stands in the text, and how many pieces of the words came before it."""

    bracket: str
    start: int
    before: int


def is_one(weight: str) -> bool:
    try:
        return float(weight) == 1
    except ValueError:
        return False


def meaning(raw: str, weight: str | None) -> str:
    """What a closed bracket says that cannot be said here; "" where that is nothing."""
    if EDITING.search(raw[1:-1]) and raw[0] == "[":
        return f"{shown(raw)}: a prompt is the same in every step here; left as it stands"
    return "" if weight is not None and is_one(weight) else f"{shown(raw)}: {NOT_WEIGHED}"


def closed_by(opened: list[Opened], sign: str) -> Opened | None:
    """The last open bracket that this sign closes, taken from the list."""
    bracket = "[" if sign[-1] == "]" else "("
    for row in reversed(range(len(opened))):
        if opened[row].bracket == bracket:
            return opened.pop(row)
    return None


def unweighed(text: str) -> tuple[str, list[str]]:
    """The words without the signs of attention, and what those said: a line for each outermost bracket.

    ``(words)`` weighs by 1.1, ``[words]`` by 1/1.1, ``(words:1.2)`` by 1.2; ``[from:to:when]`` and ``[one|other]``
    change the prompt from step to step and are left as they stand. A bracket that is never closed weighs all that
    follows, one that was never opened is a letter. BREAK begins a new piece of 75 tokens.
    """
    words: list[str] = []
    opened: list[Opened] = []
    told: list[tuple[int, str]] = []
    for found in SIGN.finditer(text):
        sign = found[0]
        if sign[0] == "\\":
            words.append(sign[1:])
        elif sign in ("(", "["):
            opened.append(Opened(sign, found.start(), len(words)))
        elif sign[-1] in (")", "]") and (own := closed_by(opened, sign)):
            raw = text[own.start : found.end()]
            line = meaning(raw, found[1])
            if line:
                while told and told[-1][0] > own.start:
                    told.pop()
                told.append((own.start, line))
            if raw[0] == "[" and EDITING.search(raw[1:-1]):
                words[own.before :] = [raw]
        else:
            plain, breaks = BREAK.subn(" ", sign)
            words.append(plain)
            told += [(found.start(), "BREAK: a prompt is read in one piece here; left out")] * bool(breaks)
    told += [(own.start, f"{shown(text[own.start :])}: {NOT_WEIGHED}") for own in opened]
    return "".join(words), [line for _, line in told]


def words_of(text: str) -> tuple[str, list[str]]:
    """A prompt's words in one line, as they are read here, and what else it said."""
    words, unmatched = unweighed(text)
    words = one_line(words)
    if "#" in text:
        unmatched.append("'#': newer A1111 leaves out the rest of that line; here it is read")
    if len(words.split()) > CLIP_TOKENS:
        unmatched.append(f"over {CLIP_TOKENS} tokens: A1111 reads all, piece by piece; here CLIP reads the beginning")
    return words, unmatched


def prompt_of(text: str) -> tuple[str, list[str]]:
    """The same for a positive prompt without its networks, which may be several, and weighed as a whole."""
    weight = re.search(rf":({NUMBER_AT_END})", text)
    several = re.search(r"\bAND\b", text)
    words, unmatched = words_of(text[: weight.start()] if weight and not several else text)
    if several:
        unmatched.append("AND: A1111 draws from several prompts at once; here it is a word")
    elif weight and not is_one(weight[1]):
        unmatched.append(f"weight {weight[1].strip()} of the whole: A1111 multiplies the guidance by it; left out")
    return words, unmatched


# --- translating it to our parameters ---


@dataclass(frozen=True)
class Reading:
    """An infotext in the terms of this study.

    prompt, negative_prompt: the words, each in one line. sampler, steps, guidance, size: values of ``generate``, None
    where there is none or none that is allowed there. loras: all that the prompt calls, in order. version: of A1111,
    "" where it is not said. unmatched: what no parameter can say, a line each with the reason.
    """

    prompt: str
    negative_prompt: str
    sampler: SamplerName | None
    steps: int | None
    guidance: float | None
    size: int | None
    seed: int | None
    loras: tuple[Lora, ...]
    version: str
    unmatched: tuple[str, ...]


def limits(name: str) -> Any:
    """The type of ``generate.<name>`` with the limits that params.py sets."""
    field = Generate.model_fields[name]
    return Annotated[(field.annotation, *field.metadata)]


LIMITS: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(limits(name)) for name in ("steps", "guidance", "size")}
LIMITS["strength"] = TypeAdapter(Strength)

READ = ("Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Lora hashes", "Version")
NEUTRAL = (
    ("Clip skip", "1"), ("ENSD", "0"), ("Eta", "1"), ("Eta", "1.0"), ("Eta DDIM", "0"), ("Eta DDIM", "0.0"),
    ("RNG", "CPU"),
)  # fmt: skip

NO_PICTURE = "pictures start from noise alone here"
ONE_SEED = "a picture has one seed here"
ONE_PASS = "a picture is drawn once, at its size, here"
AS_DRAWN = "pictures stay as they are drawn here"
OWN_SETTINGS = "a sampler has its own settings here"
EVERY_STEP = "every step has the same guidance here"
COMPATIBLE = "A1111 drew as an older version of it"
REASONS = {
    "Clip skip": "CLIP's last layer is read here",
    "ENSD": "the noise of the steps comes from the picture's own seed here",
    "RNG": "noise is drawn on the CPU here, which gives other numbers",
    "Eta": OWN_SETTINGS,
    "Sigma": OWN_SETTINGS,
    "Schedule": OWN_SETTINGS,
    "Discard penultimate sigma": OWN_SETTINGS,
    "UniPC": OWN_SETTINGS,
    "Variation seed": ONE_SEED,
    "Seed resize from": ONE_SEED,
    "Face restoration": AS_DRAWN,
    "ADetailer": AS_DRAWN,
    "Denoising strength": f"{NO_PICTURE}, and {ONE_PASS}",
    "Hires": ONE_PASS,
    "First pass size": ONE_PASS,
    "Init image hash": NO_PICTURE,
    "Mask": NO_PICTURE,
    "Masked": NO_PICTURE,
    "Inpaint": NO_PICTURE,
    "Conditional mask weight": NO_PICTURE,
    "Image CFG scale": NO_PICTURE,
    "Model": "models.base names the base; whether it is this one is not known",
    "VAE": "the base's own autoencoder decodes here",
    "TI hashes": "no words but those that training wrote are known here",
    "Hypernet": "there are no hypernetworks here",
    "Refiner": "one model draws the whole picture here",
    "ControlNet": "nothing but the prompt leads a picture here",
    "Tiling": "pictures do not tile here",
    "Token merging ratio": "no tokens are merged here",
    "NGMS": EVERY_STEP,
    "Skip Early CFG": EVERY_STEP,
    "FP8 weight": "generate.dtype has no such number",
    "Emphasis": NOT_WEIGHED,
    "Batch size": "a picture does not depend on its batch here",
    "Batch pos": "a picture does not depend on its batch here",
    "Pad conds": COMPATIBLE,
    "Downcast alphas_cumprod": COMPATIBLE,
    "Old prompt editing timelines": COMPATIBLE,
}


def refusal(name: str, value: float) -> list[str]:
    """What params.py has against a value of ``name``, a line; none where it may be."""
    try:
        LIMITS[name].validate_python(value, strict=True)
    except ValidationError as error:
        return [f"{name} {number(value)}: {error.errors()[0]['msg'].removeprefix('Input ')} in params.yaml"]
    return []


def a_number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise StudyError(f"infotext: {what} {shown(text)} is no number; correct it") from None


def a_count(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise StudyError(f"infotext: {what} {shown(text)} is no whole number; correct it") from None


def lora_of(arguments: list[str], hashes: Mapping[str, str]) -> tuple[Lora, list[str]]:
    """One ``<lora:name:text encoder:UNet>``: 1 where no strength is given, the UNet's that of the other if it is not.

    Raises:
        StudyError: a strength is no number.
    """
    name, *places = [text for text in arguments if "=" not in text] or [""]
    named = dict(text.split("=", 1) for text in arguments if "=" in text)
    what = f"LoRA {shown(name)}"
    encoder = a_number(named.pop("te", places[0] if places else "1"), f"{what}: strength")
    unet = a_number(named.pop("unet", places[1] if len(places) > 1 else str(encoder)), f"{what}: strength")
    unmatched = [f"{what}: {line}" for line in refusal("strength", unet)]
    if encoder != unet:
        unmatched.append(
            f"{what}: {number(encoder)} for the text encoder and {number(unet)} for the UNet; "
            "one strength is for both here, and the UNet's is taken"
        )
    if named or len(places) > 2:
        unmatched.append(f"{what}: {shown(':'.join(arguments))}: a LoRA has nothing but a strength here")
    return Lora(name, unet, hashes.get(name.replace(",", ""), "")), unmatched


def hashes_in(text: str) -> dict[str, str]:
    """A1111's hashes by name, from a field such as ``Lora hashes``."""
    parts = (part.partition(":") for part in text.split(","))
    return {name.strip(): value.strip() for name, _, value in parts}


def loras_of(prompt: str, hashes: Mapping[str, str]) -> tuple[tuple[Lora, ...], list[str]]:
    """The LoRAs that a prompt calls, and what cannot be said of these and of its other calls."""
    found: list[Lora] = []
    unmatched: list[str] = []
    for call in NETWORK.finditer(prompt):
        if call[1] not in ("lora", "lyco"):
            unmatched.append(f"{shown(call[0])}: there is no such network here; taken out of the prompt")
            continue
        lora, lines = lora_of(call[2].split(":"), hashes)
        unmatched += lines
        if found:
            unmatched.append(f"{shown(call[0])}: a picture has one LoRA here, and the first is taken")
        found.append(lora)
    unmatched += [f"Lora hashes: {shown(name)} is not called" for name in hashes if name and not called(name, found)]
    return tuple(found), unmatched


def called(name: str, loras: list[Lora]) -> bool:
    return any(lora.name.replace(",", "") == name for lora in loras)


def sampler_of(fields: Mapping[str, str]) -> tuple[SamplerName | None, list[str]]:
    """The sampler in either spelling, with its schedule; without one A1111 before 1.9 meant the name as it stands."""
    if "Sampler" not in fields:
        return None, ["Sampler: not given"]
    name, schedule = fields["Sampler"], fields.get("Schedule type", "Uniform")
    if schedule.lower() in SCHEDULES:
        schedule = SCHEDULES[schedule.lower()] or AUTOMATIC.get(name, "Uniform")
    whole = name if schedule == "Uniform" or name.endswith(" Karras") else f"{name} {schedule}"
    known: SamplerName | None = next((ours for ours in get_args(SamplerName) if ours == whole), None)
    if known is None:
        return None, [f"Sampler: {shown(whole)} is not one of {', '.join(get_args(SamplerName))}"]
    if known in OTHER_NOISE:
        return known, [f"Sampler: {known} draws its noise otherwise here: another picture from the same seed"]
    if known not in SAME_NOISE:
        return known, [f"Sampler: {known} is diffusers' own here, which may differ a little from A1111's"]
    return known, []


def size_of(fields: Mapping[str, str]) -> tuple[int | None, list[str]]:
    """The side of a square picture, in pixels."""
    if "Size" not in fields:
        return None, ["Size: not given"]
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", fields["Size"])
    if match is None:
        raise StudyError(f"infotext: Size {shown(fields['Size'])} is no width and height such as 512x512; correct it")
    if match[1] != match[2]:
        return None, [f"Size: {match[0]}: pictures are square here"]
    unmatched = refusal("size", int(match[1]))
    return None if unmatched else int(match[1]), unmatched


def steps_of(fields: Mapping[str, str]) -> tuple[int | None, list[str]]:
    steps = a_count(fields["Steps"], "Steps")
    unmatched = refusal("steps", steps)
    return None if unmatched else steps, unmatched


def guidance_of(fields: Mapping[str, str]) -> tuple[float | None, list[str]]:
    if "CFG scale" not in fields:
        return None, ["CFG scale: not given"]
    guidance = a_number(fields["CFG scale"], "CFG scale")
    unmatched = refusal("guidance", guidance)
    return None if unmatched else guidance, unmatched


def reason(key: str) -> str:
    """Why a field has no parameter."""
    return next((why for name, why in REASONS.items() if key == name or key.startswith(f"{name} ")), "not known here")


def others(text: Infotext) -> list[str]:
    """What the fields say that are not read, but for those that say what is so here anyway."""
    keys = [key for key, _ in text.fields]
    twice = [f"{key}: given {keys.count(key)} times, and the last is read" for key in READ if keys.count(key) > 1]
    unread = [
        f"{shown(key)[1:-1]}: {shown(value)}: {reason(key)}"
        for key, value in text.fields
        if key not in READ and (key, value) not in NEUTRAL
    ]
    silent = [] if "RNG" in keys else [f"RNG: not given, so A1111 drew on the GPU: {REASONS['RNG']}"]
    return twice + unread + silent + [f"{shown(line)}: a line below the fields is not read" for line in text.rest]


def translate(text: Infotext) -> Reading:
    """The parts of an infotext in the terms of this study.

    Raises:
        StudyError: a number is none.
    """
    fields = dict(text.fields)
    prompt, of_prompt = prompt_of(NETWORK.sub("", text.prompt))
    negative, of_negative = words_of(text.negative_prompt)
    loras, of_loras = loras_of(text.prompt, hashes_in(fields.get("Lora hashes", "")))
    sampler, of_sampler = sampler_of(fields)
    steps, of_steps = steps_of(fields)
    guidance, of_guidance = guidance_of(fields)
    size, of_size = size_of(fields)
    seed = a_count(fields["Seed"], "Seed") if "Seed" in fields else None
    unmatched = [
        "prompt: generate.prompt is a template; write [shot_type] and [caption] in the place of this picture's words",
        *(f"prompt: {line}" for line in of_prompt),
        *(f"negative prompt: {line}" for line in of_negative),
        *of_loras, *of_sampler, *of_steps, *of_guidance, *of_size,
        "Seed: a picture's seed comes from the study's seed and the pair's id; no parameter sets it",
        *others(text),
    ]  # fmt: skip
    return Reading(
        prompt, negative, sampler, steps, guidance, size, seed, loras, fields.get("Version", ""), tuple(unmatched)
    )


def parse(text: str) -> Reading:
    """Any infotext of A1111's in the terms of this study.

    Raises:
        StudyError: it has no line of fields, or a number there is none.
    """
    return translate(split(text))


# --- the command ---


def page(reading: Reading) -> str:
    """The reading as YAML: the keys of ``generate``, then comments."""
    values: dict[str, Any] = {
        "prompt": reading.prompt, "negative_prompt": reading.negative_prompt, "sampler": reading.sampler,
        "steps": reading.steps, "guidance": reading.guidance, "size": reading.size,
    }  # fmt: skip
    if reading.loras and not refusal("strength", reading.loras[0].strength):
        values["sets"] = {"main": {"strengths": [reading.loras[0].strength]}}
    given = {key: value for key, value in values.items() if value is not None}
    comments = [
        *(["no LoRA: what the baseline draws"] if not reading.loras else []),
        *(f"LoRA {shown(one.name)}: strength {number(one.strength)}, hash {one.hash!r}" for one in reading.loras),
        *([f"seed: {reading.seed}"] if reading.seed is not None else []),
        *([f"version: {shown(reading.version)}"] if reading.version else []),
        "cannot match:",
        *(f"- {line}" for line in reading.unmatched),
    ]
    text = yaml.safe_dump({"generate": given}, sort_keys=False, allow_unicode=True, width=10**9)
    return text + "".join(f"# {line}\n" for line in comments)


def is_file(argument: str) -> bool:
    """Whether the argument is a file's path; a long text or one with a NUL can be none."""
    try:
        return Path(argument).is_file()
    except (OSError, ValueError):
        return False


def content(argument: str) -> str:
    """The text that the argument is, or whose file it names, or that stands on the standard input.

    Raises:
        StudyError: it is not UTF-8.
    """
    if argument == "-":
        what, data = "standard input", sys.stdin.buffer.read()
    elif is_file(argument):
        what, data = argument, Path(argument).read_bytes()
    else:
        what, data = "argument", os.fsencode(argument)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = data[error.start]
        raise StudyError(f"{what}: not UTF-8 (byte 0x{bad:02x}); give A1111's text, not a picture") from None


def run(arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise StudyError('give one argument: python -m dreamshot.infotext "<text>", a file\'s path, or - to read stdin')
    print(page(parse(content(arguments[0]))), end="")


if __name__ == "__main__":
    main(lambda: run(sys.argv[1:]))
