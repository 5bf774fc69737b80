"""Train the tiny BLIP-2 on frames and their captions: ``python -m demo.train_captioner``.

A Q-Former that begins from nothing learns slowly from the words alone. Three things help it: the vision tower
begins as the tiny CLIP's (demo/models/clip, trained first); linear heads name what the caption names from the
Q-Former's output; and others name, from each patch that holds the first person's head, whose it is, for a head is
seldom larger than two patches and a tower that must first find it takes ever so long. The heads are thrown away.
Pictures are never mirrored: a caption names the person on the left first.
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
STEPS, BATCH, RATE, WARMUP, DECAY = 1600, 128, 1.5e-3, 60, 0.05
LOOK_EVERY = 100
WINDOW = (0.88, 1.0)  # the side of a view in sides of the frame
IMAGE_TOKEN = "<image>"
NAMED = (*measure.ATTRIBUTES, "time", "people")  # what the heads on the Q-Former name
ON_HEADS = ("who", "hair")  # what the heads on the patches name
ELSEWHERE = 0.3  # weight of the patches that hold no head


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
    learn.quick_patches(model.vision_model.embeddings.patch_embedding)
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


def view(pixels: np.ndarray, windows: "torch.Tensor") -> "torch.Tensor":
    """Augmented pictures, normalised: (batch, 128, 128, 3) uint8 -> (batch, 3, SIDE, SIDE)."""
    images = learn.seen_through(learn.pictures(pixels), windows, SIDE)
    images = learn.softened(learn.coloured(images, 0.12), 0.4, 0.04)
    return learn.normalise(images, learn.CLIP_MEAN, learn.CLIP_STD)


def patches_of_heads(boxes: "torch.Tensor", windows: "torch.Tensor") -> "torch.Tensor":
    """(batch, patches) whether a patch of the view holds a good part of the head, or the head a good part of it.

    Args:
        boxes: (batch, 4) x0, y0, x1, y1 in halves of the picture's side from its middle.
        windows: (batch, 3) of ``learn.windows``.
    """
    import torch

    size, middle = windows[:, :1, None], windows[:, 1:, None]
    low, high = (boxes[:, :2, None] - middle) / size, (boxes[:, 2:, None] - middle) / size
    edges = torch.linspace(-1, 1, SIDE // PATCH + 1, device=boxes.device)
    shared = (torch.minimum(high, edges[1:]) - torch.maximum(low, edges[:-1])).clamp(min=0)
    shares = shared / torch.minimum(high - low, torch.diff(edges))
    across, down = shares.unbind(1)
    return (down.unsqueeze(2) * across.unsqueeze(1)).flatten(1) > 0.3


def patch_loss(named: "torch.Tensor", sizes: list[int], wanted: np.ndarray, held: "torch.Tensor") -> "torch.Tensor":
    """Cross-entropy of the heads on the patches, every picture's head counting the same however large.

    Args:
        named: (batch, patches, sum of sizes + 1 each) the outputs side by side, the last of each for no head.
        wanted: (batch, len(sizes)) the right number where a head is.
        held: (batch, patches) where it is.
    """
    import torch

    weights = held / held.sum(1, keepdim=True).clamp(min=1) + ELSEWHERE * ~held / (~held).sum(1, keepdim=True)
    losses = []
    right = torch.from_numpy(wanted).to(named.device).unbind(1)
    for part, true, size in zip(named.float().split([size + 1 for size in sizes], 2), right, sizes, strict=True):
        targets = torch.where(held, true.unsqueeze(1), size)
        found = torch.nn.functional.cross_entropy(part.flatten(0, 1), targets.flatten(), reduction="none")
        losses.append((found.view_as(weights) * weights).sum(1).mean())
    return torch.stack(losses).mean()


def head_boxes(frames: "Frames") -> np.ndarray:
    """(frames, 4) float32 boxes of the first person's head in halves of the picture's side from its middle."""
    boxes = frames.truth[[f"head_{axis}" for axis in ("x0", "y0", "x1", "y1")]].to_numpy(np.float32)
    return np.asarray(boxes * (2 / frames.pixels.shape[1]) - 1)


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
    boxes, on_heads = head_boxes(frames), [NAMED.index(key) for key in ON_HEADS]
    patch_sizes = [sizes[index] for index in on_heads]
    heads = torch.nn.Linear(QUERIES * QFORMER_WIDTH, sum(sizes)).to(model.device)
    patch_heads = torch.nn.Linear(WIDTH, sum(patch_sizes) + len(patch_sizes)).to(model.device)
    optimizer = learn.optimiser([model, heads, patch_heads], RATE, DECAY)
    bar = tqdm(learn.batches(len(captions), batch, steps, SEED), total=steps, desc="captioner")
    for step, chosen in enumerate(bar):
        labels = targets(processor.tokenizer, [captions[index] for index in chosen])
        windows = learn.windows(len(chosen), WINDOW, mirror=False)
        images, ids = view(frames.pixels[chosen], windows), prompt_ids(config, len(chosen))
        with learn.half():
            out = model(pixel_values=images, input_ids=ids, labels=labels)
            named = heads(out.qformer_outputs.last_hidden_state.flatten(1))
            of_patches = patch_heads(out.vision_outputs.last_hidden_state[:, 1:])
        naming = naming_loss(named, sizes, wanted[chosen])
        held = patches_of_heads(torch.from_numpy(boxes[chosen]).to(windows.device), windows)
        finding = patch_loss(of_patches, patch_sizes, wanted[chosen][:, on_heads], held)
        loss = out.loss + naming + finding
        learn.descend(loss, optimizer, learn.learning_rate(step, steps, RATE, WARMUP))
        bar.set_postfix(loss=f"{out.loss.item():.3f}", naming=f"{naming.item():.3f}", finding=f"{finding.item():.3f}",
                        refresh=False)  # fmt: skip
        if (step + 1) % LOOK_EVERY == 0 or step + 1 == steps:
            tqdm.write(f"captioner step {step + 1}: loss {out.loss.item():.3f}, {look(model, processor, valid)}")
            save(model, processor, folder)


def main() -> None:
    """Train on the films of the tiny models and save."""
    from demo.data import load_split

    train(load_split("train"), load_split("valid"), FOLDER, train_clip.FOLDER)


if __name__ == "__main__":
    main()
