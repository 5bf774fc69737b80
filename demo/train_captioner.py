"""Train the tiny BLIP-2 on frames and their captions: ``python -m demo.train_captioner``.

A Q-Former that begins from nothing learns slowly from the words alone. Two things help it: the vision tower begins
as the tiny CLIP's (demo/models/clip, trained first), and beside the language model's loss stand linear heads that
name what the caption names from the Q-Former's output; the heads are thrown away.
Writes demo/models/captioner as transformers loads it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from demo import learn, measure, train_clip

if TYPE_CHECKING:
    import torch

    from demo.data import Frames

SEED = 2024
FOLDER = Path("demo/models/captioner")
SIDE, PATCH, WIDTH, LAYERS = train_clip.SIDE, train_clip.PATCH, train_clip.WIDTH, train_clip.LAYERS
QUERIES, QFORMER_WIDTH, QFORMER_LAYERS = 12, 128, 2
TEXT_WIDTH, TEXT_LAYERS, HEADS, HIDDEN, CONTEXT = 128, 2, 4, 256, 32
STEPS, BATCH, RATE, WARMUP, DECAY = 700, 128, 1.5e-3, 40, 0.05
LOOK_EVERY = 50
IMAGE_TOKEN = "<image>"
NAMED = (*measure.ATTRIBUTES, "time", "people")  # what the helping heads name


def make_processor(tokenizer: Any) -> Any:
    """Pictures to 128 x 128 normalised tensors, captions to word numbers, and the number of query tokens."""
    from transformers import Blip2Processor, BlipImageProcessor

    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    tokenizer.image_token = IMAGE_TOKEN
    images = BlipImageProcessor(
        size={"height": SIDE, "width": SIDE}, image_mean=learn.CLIP_MEAN, image_std=learn.CLIP_STD
    )
    return Blip2Processor(images, tokenizer, num_query_tokens=QUERIES)


def model_config(tokenizer: Any) -> Any:
    """The three parts' configurations; the vision tower's shape is that of the tiny CLIP's."""
    from transformers import Blip2Config, Blip2QFormerConfig, Blip2VisionConfig, T5Config

    vision = Blip2VisionConfig(
        hidden_size=WIDTH, intermediate_size=int(WIDTH * train_clip.MLP_RATIO), num_hidden_layers=LAYERS,
        num_attention_heads=WIDTH // train_clip.HEAD, image_size=SIDE, patch_size=PATCH, layer_norm_eps=1e-5,
        initializer_range=0.02,
    )  # fmt: skip
    qformer = Blip2QFormerConfig(
        vocab_size=len(tokenizer), hidden_size=QFORMER_WIDTH, num_hidden_layers=QFORMER_LAYERS,
        num_attention_heads=HEADS, intermediate_size=HIDDEN, cross_attention_frequency=1, encoder_hidden_size=WIDTH,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, max_position_embeddings=CONTEXT,
    )  # fmt: skip
    text = T5Config(
        vocab_size=len(tokenizer), d_model=TEXT_WIDTH, d_kv=TEXT_WIDTH // HEADS, d_ff=HIDDEN, num_layers=TEXT_LAYERS,
        num_heads=HEADS, dropout_rate=0.0, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id, decoder_start_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return Blip2Config(
        vision_config=vision, qformer_config=qformer, text_config=text, num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
    )  # fmt: skip


def make_model(config: Any, clip: Path | None) -> Any:
    """BLIP-2 from nothing but the vision tower, which is that of the CLIP in the folder ``clip`` if one is given.

    The library begins with all queries at zero, that is with all alike; trained from nothing they must differ.
    """
    import torch
    from transformers import Blip2ForConditionalGeneration

    from dreamshot.models import device

    model = Blip2ForConditionalGeneration(config)
    torch.nn.init.normal_(model.query_tokens, std=0.5)
    if clip is not None:
        model.vision_model.load_state_dict(tower_weights(clip))
    return model.to(device())


def tower_weights(clip: Path) -> dict[str, "torch.Tensor"]:
    """The tiny CLIP's vision tower under the names of BLIP-2's."""
    import torch
    from safetensors.torch import load_file

    saved = load_file(clip / "open_clip_model.safetensors")
    visual = {name.removeprefix("visual."): value.float() for name, value in saved.items() if "visual." in name}
    weights = {
        "embeddings.class_embedding": visual["class_embedding"].view(1, 1, -1),
        "embeddings.position_embedding": visual["positional_embedding"].unsqueeze(0),
        "embeddings.patch_embedding.weight": visual["conv1.weight"],
        "embeddings.patch_embedding.bias": torch.zeros(len(visual["conv1.weight"])),
        "post_layernorm.weight": visual["ln_post.weight"],
        "post_layernorm.bias": visual["ln_post.bias"],
    }
    layers = 1 + max(int(name.split(".")[2]) for name in visual if name.startswith("transformer.resblocks."))
    for layer in range(layers):
        weights |= layer_weights(visual, layer)
    return weights


def layer_weights(visual: dict[str, "torch.Tensor"], layer: int) -> dict[str, "torch.Tensor"]:
    """One layer of the tower under its new names."""
    old, new = f"transformer.resblocks.{layer}", f"encoder.layers.{layer}"
    names = {"attn.in_proj_": "self_attn.qkv.", "attn.out_proj.": "self_attn.projection.", "ln_1.": "layer_norm1."}
    names |= {"ln_2.": "layer_norm2.", "mlp.c_fc.": "mlp.fc1.", "mlp.c_proj.": "mlp.fc2."}
    return {
        f"{new}.{after}{part}": visual[f"{old}.{before}{part}"]
        for before, after in names.items()
        for part in ("weight", "bias")
    }


def view(pixels: np.ndarray) -> "torch.Tensor":
    """Augmented pictures, normalised: (batch, 128, 128, 3) uint8 -> (batch, 3, SIDE, SIDE)."""
    images = learn.moved(learn.pictures(pixels), (0.88, 1.0), SIDE)
    images = learn.softened(learn.coloured(images, 0.12), 0.4, 0.04)
    return learn.normalise(images, learn.CLIP_MEAN, learn.CLIP_STD)


def names_of(frames: "Frames") -> tuple[np.ndarray, list[int]]:
    """What is to be named, as numbers (frames, len(NAMED)), and how many names each of NAMED has."""
    found = [np.unique(frames.truth[key].astype(str), return_inverse=True) for key in NAMED]
    return np.stack([codes for _, codes in found], axis=1), [len(names) for names, _ in found]


def naming_loss(named: "torch.Tensor", sizes: list[int], wanted: np.ndarray) -> "torch.Tensor":
    """Mean cross-entropy of the helping heads.

    Args:
        named: (batch, sum of sizes) the heads' outputs side by side.
        wanted: (batch, len(sizes)) the right number in each head.
    """
    import torch

    right = torch.from_numpy(wanted).to(named.device).unbind(1)
    losses = [
        torch.nn.functional.cross_entropy(part, true)
        for part, true in zip(named.float().split(sizes, 1), right, strict=True)
    ]
    return torch.stack(losses).mean()


def prompt_ids(config: Any, count: int) -> "torch.Tensor":
    """What the language model reads: the places of the picture's tokens, then the start token, as in ``generate``."""
    import torch

    from dreamshot.models import device

    ids = [config.image_token_index] * config.num_query_tokens + [config.text_config.bos_token_id]
    return torch.tensor([ids], device=device()).repeat(count, 1)


def targets(tokenizer: Any, captions: list[str]) -> "torch.Tensor":
    """(batch, length) the words to write, then the end token; -100 where nothing is asked."""
    from dreamshot.models import device

    ids = tokenizer(captions, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt").input_ids[:, 1:]
    return ids.masked_fill(ids == tokenizer.pad_token_id, -100).to(device())


def look(model: Any, processor: Any, frames: "Frames", limit: int = 256) -> str:
    """The share of each attribute that captions of unseen frames state rightly, in quick."""
    import torch

    chosen = measure.some(frames, limit)
    model.eval()
    with torch.no_grad(), learn.half():
        images = learn.normalise(learn.pictures(frames.pixels[chosen]), learn.CLIP_MEAN, learn.CLIP_STD)
        written = model.generate(pixel_values=images, max_new_tokens=CONTEXT, do_sample=False)
    model.train()
    said = processor.batch_decode(written, skip_special_tokens=True)
    truth = frames.truth.iloc[chosen][list(measure.ATTRIBUTES)].astype(str).to_dict("records")
    shares = measure.attribute_shares(said, truth)
    return f"right {np.mean(list(shares.values())):.3f}: {', '.join(f'{k} {v:.2f}' for k, v in shares.items())}"


def save(model: Any, processor: Any, folder: Path) -> None:
    """The folder that ``dreamshot.models.load_captioner`` loads."""
    import copy

    learn.empty_folder(folder)
    copy.deepcopy(model).half().save_pretrained(folder)
    processor.save_pretrained(folder)


def train(
    frames: "Frames", valid: "Frames", folder: Path, clip: Path | None, steps: int = STEPS, batch: int = BATCH
) -> None:
    """Train on ``frames``, look at ``valid`` now and then, leave the model in ``folder``."""
    import torch

    torch.manual_seed(SEED)
    captions = frames.captions
    processor = make_processor(learn.word_tokenizer(captions))
    config = model_config(processor.tokenizer)
    model = make_model(config, clip).train()
    wanted, sizes = names_of(frames)
    heads = torch.nn.Linear(QUERIES * QFORMER_WIDTH, sum(sizes)).to(model.device)
    optimizer = learn.optimiser([model, heads], RATE, DECAY)
    bar = tqdm(learn.batches(len(captions), batch, steps, SEED), total=steps, desc="captioner")
    for step, chosen in enumerate(bar):
        labels = targets(processor.tokenizer, [captions[index] for index in chosen])
        images, ids = view(frames.pixels[chosen]), prompt_ids(config, len(chosen))
        with learn.half():
            out = model(pixel_values=images, input_ids=ids, labels=labels)
            named = heads(out.qformer_outputs.last_hidden_state.flatten(1))
        naming = naming_loss(named, sizes, wanted[chosen])
        loss = out.loss + naming
        learn.descend(loss, optimizer, learn.learning_rate(step, steps, RATE, WARMUP))
        bar.set_postfix(loss=f"{out.loss.item():.3f}", naming=f"{naming.item():.3f}", refresh=False)
        if (step + 1) % LOOK_EVERY == 0 or step + 1 == steps:
            tqdm.write(f"captioner step {step + 1}: loss {out.loss.item():.3f}, {look(model, processor, valid)}")
            save(model, processor, folder)


def main() -> None:
    """Train on the films of the tiny models and save."""
    from demo.data import load_split

    train(load_split("train"), load_split("valid"), FOLDER, train_clip.FOLDER)


if __name__ == "__main__":
    main()
