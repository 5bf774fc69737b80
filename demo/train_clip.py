"""Train the tiny CLIP, contrastively, on frames and their captions: ``python -m demo.train_clip``.

Writes demo/models/clip as open_clip loads it with ``local-dir:``: configuration, weights in half precision, tokenizer.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from demo import learn, measure

if TYPE_CHECKING:
    import torch

    from demo.data import Frames

SEED = 2024
FOLDER = Path("demo/models/clip")
SIDE, PATCH, WIDTH, LAYERS, HEAD = 128, 16, 192, 4, 64
TEXT_WIDTH, TEXT_LAYERS, TEXT_HEADS, CONTEXT = 128, 2, 4, 40
EMBEDDING, MLP_RATIO = 128, 2.0
STEPS, BATCH, RATE, WARMUP, DECAY = 240, 256, 1.5e-3, 30, 0.1
PROMPTED = 0.5  # the share of captions that stand in a prompt
LOOK_EVERY = 50


def model_config(vocabulary: int) -> dict[str, Any]:
    """open_clip's ``model_cfg``. The activation is plain GELU, as ``quick_gelu`` says; the vision tower is made
    like BLIP-2's (no first layer norm), so that the captioner can begin from it."""
    vision = {"image_size": SIDE, "patch_size": PATCH, "width": WIDTH, "layers": LAYERS, "head_width": HEAD}
    text = {"context_length": CONTEXT, "vocab_size": vocabulary, "hf_tokenizer_name": "words", "width": TEXT_WIDTH}
    return {
        "embed_dim": EMBEDDING,
        "quick_gelu": False,
        "vision_cfg": {**vision, "mlp_ratio": MLP_RATIO, "no_ln_pre": True},
        "text_cfg": {**text, "heads": TEXT_HEADS, "layers": TEXT_LAYERS, "pool_type": "eos", "eos_id": 3},
    }


def make_model(config: dict[str, Any]) -> Any:
    """The model as open_clip builds it from its configuration."""
    from open_clip import CLIP

    from dreamshot.models import device

    return CLIP(**config).to(device())


def in_prompt(caption: str, rng: np.random.Generator) -> str:
    """The caption, or the caption in a prompt of the study, with an unknown word for the shot type."""
    if rng.random() >= PROMPTED:
        return caption
    prompt = learn.PROMPTS[int(rng.integers(len(learn.PROMPTS)))]
    return prompt.format(learn.UNKNOWN) + caption


def view(pixels: np.ndarray) -> "torch.Tensor":
    """Augmented pictures, normalised: (batch, 128, 128, 3) uint8 -> (batch, 3, SIDE, SIDE)."""
    images = learn.moved(learn.pictures(pixels), (0.85, 1.0), SIDE)
    images = learn.softened(learn.coloured(images, 0.12), 0.4, 0.04)
    return learn.normalise(images, learn.CLIP_MEAN, learn.CLIP_STD)


def tokens(tokenizer: Any, texts: list[str]) -> "torch.Tensor":
    """(batch, CONTEXT) token numbers, cut and padded as open_clip does."""
    from dreamshot.models import device

    encoded = tokenizer(texts, padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt")
    return encoded.input_ids.to(device())


def look(model: Any, tokenizer: Any, frames: "Frames", limit: int = 512) -> float:
    """The share of frames whose own caption is picked among 64, in quick."""
    import torch

    chosen = measure.some(frames, limit)
    captions = measure.captions_of(frames, chosen)
    model.eval()
    with torch.no_grad(), learn.half():
        images = learn.normalise(learn.pictures(frames.pixels[chosen]), learn.CLIP_MEAN, learn.CLIP_STD)
        pictures = model.encode_image(images, normalize=True).float().cpu().numpy()
        texts = model.encode_text(tokens(tokenizer, captions), normalize=True).float().cpu().numpy()
    model.train()
    return measure.picks(pictures, texts, captions)


def save(model: Any, tokenizer: Any, config: dict[str, Any], folder: Path) -> None:
    """The folder that ``dreamshot.models.load_clip`` loads."""
    from safetensors.torch import save_file

    learn.empty_folder(folder)
    tokenizer.save_pretrained(folder)
    preprocess = {"size": SIDE, "mean": learn.CLIP_MEAN, "std": learn.CLIP_STD, "interpolation": "bicubic"}
    record = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(record, indent=2) + "\n")
    weights = {name: value.half().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")


def train(frames: "Frames", valid: "Frames", folder: Path, steps: int = STEPS, batch: int = BATCH) -> None:
    """Train on ``frames``, look at ``valid`` now and then, leave the model in ``folder``."""
    import torch
    from open_clip import ClipLoss

    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    captions = frames.captions
    tokenizer = learn.word_tokenizer([*captions, *learn.PROMPTS])
    config = model_config(len(tokenizer))
    model, loss_of = make_model(config), ClipLoss()
    optimizer = learn.optimiser([model], RATE, DECAY)
    bar = tqdm(learn.batches(len(captions), batch, steps, SEED), total=steps, desc="clip")
    for step, chosen in enumerate(bar):
        texts = tokens(tokenizer, [in_prompt(captions[index], rng) for index in chosen])
        images = view(frames.pixels[chosen])
        with learn.half():
            pictures, words, scale = model(images, texts)
        loss = loss_of(pictures.float(), words.float(), scale)
        learn.descend(loss, optimizer, learn.learning_rate(step, steps, RATE, WARMUP))
        model.logit_scale.data.clamp_(0, np.log(100))
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if (step + 1) % LOOK_EVERY == 0 or step + 1 == steps:
            tqdm.write(f"clip step {step + 1}: loss {loss.item():.3f}, picks {look(model, tokenizer, valid):.3f}")
            save(model, tokenizer, config, folder)


def main() -> None:
    """Train on the films of the tiny models and save."""
    from demo.data import load_split

    train(load_split("train"), load_split("valid"), FOLDER)


if __name__ == "__main__":
    main()
