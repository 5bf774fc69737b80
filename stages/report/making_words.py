"""The words for how pictures were made: the method of fine-tuning, and what became of the pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dreamshot.captions import CLIP_TOKENS
from dreamshot.params import Generate, Method, Train
from stages.report.words import count, series


@dataclass(frozen=True)
class MethodWords:
    """A method in words.

    name: what the paper calls it. tuned: what a pair's second picture is drawn with. subject: what has the strength.
    learned: a heading. use: what training frames are for.
    """

    name: str
    tuned: str
    subject: str
    learned: str
    use: str


METHODS: dict[Method, MethodWords] = {
    "lora": MethodWords(
        name="DreamBooth with LoRA",
        tuned="the LoRA of its shot type",
        subject="the LoRA",
        learned="How the LoRAs learned",
        use="train the LoRAs",
    ),
    "dreambooth": MethodWords(
        name="DreamBooth in full",
        tuned="the networks fine-tuned for its shot type",
        subject="the fine-tuning",
        learned="How the networks learned",
        use="fine-tune the networks",
    ),
    "textual_inversion": MethodWords(
        name="textual inversion",
        tuned="the vectors learned for the words of its shot type",
        subject="the learned words",
        learned="How the words were learned",
        use="learn the words",
    ),
}
FAILURE_NAMES = {"nan": "not a number", "black": "black", "flat": "flat"}


def beside_the_paper(method: Method) -> str:
    """How far the comparison with the paper's tables holds, "" where the method is theirs."""
    if method == "lora":
        return ""
    ablation = (
        " Without the shot type in the prompt its learned words are not there: as table 4 the baseline stands beside "
        "itself, and nothing can differ."
    )
    return (
        f"The paper’s numbers are of DreamBooth with LoRA, those here of {METHODS[method].name}."
        f"{ablation if method == 'textual_inversion' else ''}"
    )


def learner(train: Train) -> str:
    """What learns."""
    if train.method == "textual_inversion":
        return "the vectors of the shot type’s words"
    more = " and the text encoder" if train.text_encoder.train else ""
    if train.method == "dreambooth":
        return f"the whole UNet{more}"
    rank = f"rank {train.rank}, lora_alpha {train.lora_alpha:g}"
    return f"{rank}, on {series(train.targets)} of the UNet’s attention{more}"


def prior(train: Train) -> str:
    """What keeps the prior, "" where nothing does."""
    if not train.prior.pictures:
        return ""
    return f" and as many of {count(train.prior.pictures, 'class picture')}, weight {train.prior.weight:g},"


def trained(train: Train) -> str:
    """How the fine-tuning was made."""
    name = METHODS[train.method].name
    return (
        f"Fine-tuning: {name}, {learner(train)}, {count(train.steps, 'step')} of {train.batch} frames{prior(train)} "
        f"for each shot type."
    )


def learning(method: Method, panels: Sequence[dict[str, Any]]) -> str:
    """What the panels of training show."""
    name = METHODS[method].name
    told = [f"One fine-tuning a shot type, by {name}. The loss, step by step, is weighed as it was trained on."]
    if any("held_out" in panel for panel in panels):
        told.append(
            "The held-out loss is of test frames at noises and time steps that stay the same, all of which count "
            "alike; where training weighs them otherwise (min_snr_gamma) the two need not fall together. Its charts "
            "have one span, each around its own level."
        )
    if any(panel["pictures"] for panel in panels):
        told.append(
            "The pictures are of one test frame’s prompt, drawn from one seed before, during and after training."
        )
    return " ".join(told)


def drawn(generate: Generate) -> str:
    """How the pictures were drawn."""
    negative = f", negative prompt “{generate.negative_prompt}”" if generate.negative_prompt else ""
    return (
        f"Sampler: {generate.sampler}, {count(generate.steps, 'step')}, guidance {generate.guidance:g}, "
        f"{generate.size} × {generate.size} pixels{negative}."
    )


def failures(failed: dict[str, int], pictures: int, left_out: int) -> str:
    """How many pictures failed, why, and what follows."""
    if not failed["total"]:
        return f"None of {count(pictures, 'picture')} failed."
    why = series([f"{failed[reason]:,} {name}" for reason, name in FAILURE_NAMES.items() if failed[reason]])
    return (
        f"{failed['total']:,} of {count(pictures, 'picture')} failed to be drawn ({why}): "
        f"{count(left_out, 'pair is', 'pairs are')} left out of every comparison, not scored as zero."
    )


def pictures(facts: dict[str, Any]) -> str:
    """What became of the pictures of all sets, from the content of ``pictures.json``."""
    sets = list(facts.values())
    total, left_out, retried, cut = (
        sum(part[key] for part in sets) for key in ("pictures", "pairs_left_out", "retried", "cut")
    )
    failed = {key: sum(part["failed"][key] for part in sets) for key in ("total", *FAILURE_NAMES)}
    told = [failures(failed, total, left_out)]
    if retried:
        told.append(f"{count(retried, 'picture was', 'pictures were')} decoded a second time, in float32.")
    if cut:
        told.append(
            f"{count(cut, 'picture has', 'pictures have')} a prompt of more than the {CLIP_TOKENS} tokens that the "
            f"text encoder reads; it saw only the beginning."
        )
    return " ".join(told)
