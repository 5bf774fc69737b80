"""The model card of a fine-tuning: what it is, what it was made of, how to use it, the licence that goes with it."""

from typing import Any

import yaml

from dreamshot.models import local_folder
from dreamshot.params import Profile, ShotType
from dreamshot.paths import CARD, LORA_FILE
from stages.train.loop import Run
from stages.tuning import inversion, lora

KINDS = {
    "lora": "LoRA",
    "dreambooth": "fine-tuning in full (DreamBooth)",
    "textual_inversion": "textual inversion",
}


def front_matter(params: Profile, run: Run) -> str:
    """What the hub reads of a card; it knows no base that is a local folder."""
    base = params.models.base
    facts: dict[str, Any] = {"license": base.licence}
    if local_folder(base) is None:
        facts["base_model"] = base.source
    facts["library_name"] = "diffusers"
    facts["tags"] = ["stable-diffusion", "text-to-image", "diffusers", run.params.method]
    return f"---\n{yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)}---"


def usage(params: Profile, shot_type: ShotType) -> str:
    """How to load it."""
    method, text = params.train.method, params.train.text_encoder.train
    prompt = params.generate.template.replace("[shot_type]", f"{shot_type}_shot").replace("[caption]", "...")
    if method == "lora":
        stem = lora.kohya_file(shot_type).removesuffix(".safetensors")
        return (
            f'diffusers: `pipeline.load_lora_weights(folder, weight_name="{LORA_FILE}")`, then the prompt\n'
            f"`{prompt}`. A1111, ComfyUI, kohya: `{stem}.safetensors`, in A1111's prompt `<lora:{stem}:1>`."
        )
    if method == "textual_inversion":
        name, word = inversion.embedding_file(shot_type), inversion.token(shot_type)
        own = prompt.replace(f"{shot_type}_shot", word)
        stem = name.removesuffix(".safetensors")
        return (
            f'diffusers: `pipeline.load_textual_inversion(folder, weight_name="{name}", token="{word}")`, then the\n'
            f"prompt `{own}`. A1111: put `{name}` into its embeddings and write `{stem}`\nfor `{shot_type}_shot`."
        )
    loads = ['`UNet2DConditionModel.from_pretrained(folder, subfolder="unet")`']
    if text:
        loads.append('`CLIPTextModel.from_pretrained(folder, subfolder="text_encoder")`')
    return f"diffusers: {' and '.join(loads)}\nin the base's pipeline, then the prompt `{prompt}`."


def licence(params: Profile) -> str:
    """What the base's licence asks."""
    name = params.models.base.licence
    more = " Its use restrictions apply to these weights and must be passed on with them." if "openrail" in name else ""
    return f"That of the base, {name}.{more} The stills' own licences stand in `{CARD / 'README.md'}`."


def losses(run: Run) -> str:
    """What training came to."""
    held = run.log.held_out
    if not held:
        return "No loss was held out."
    return (
        f"Loss at fixed noises and time steps on {len(run.data.held_out)} frames that were not trained on: "
        f"{held[0]:.4f} before, {held[max(held)]:.4f} after."
    )


def table(rows: dict[str, Any]) -> str:
    return "\n".join(["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items())])


def card(params: Profile, shot_type: ShotType, run: Run, base: dict[str, str], weights: str) -> str:
    """The card as Markdown; the same run, the same bytes."""
    settings = run.params
    rows = {
        "base": base["source"],
        "revision": base["revision"] or "a local folder",
        "base, SHA-256": f"`{base['sha256']}`",
        "data, SHA-256": f"`{run.data.hash}` (pixels and prompts)",
        "weights, SHA-256": f"`{weights}`",
        "frames": len(run.data.train),
        "class pictures": f"{len(run.data.prior)}, weight {settings.prior.weight:g}" if run.data.prior else "none",
        "steps": f"{settings.steps} of {settings.batch} pictures",
        "optimiser": f"{settings.optimizer}, learning rate {settings.learning_rate:g}, {settings.schedule}",
        "precision": settings.dtype,
    }
    if settings.method == "lora":
        rows |= {"rank": settings.rank, "lora_alpha": f"{settings.lora_alpha:g}", "layers": ", ".join(settings.targets)}
    if settings.text_encoder.train:
        rows["text encoder"] = f"trained, learning rate {settings.text_encoder.learning_rate:g}"
    return f"""{front_matter(params, run)}

# DreamShot: {shot_type} shots

A {KINDS[settings.method]}, taught {shot_type} shots by film stills with a caption each. A strength of 1 is what was
trained, 0 the base. All numbers stand in `run.json`, losses and validation pictures in `training/`.

{table(rows)}

{losses(run)}

## Use

{usage(params, shot_type)}

## Licence

{licence(params)}
"""
