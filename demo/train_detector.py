"""Train the tiny RT-DETR to find people and their heads: ``python -m demo.train_detector``.

Writes demo/models/detector as transformers loads it. The library's start weights are meant for a backbone that has
learned already: its batch norms let a hundredth through. Here everything begins from nothing, so they let all through
(``wake``). The features are computed in bfloat16, the boxes, whose last bits are parts of a pixel, in float32. What is
saved is the running average of the weights.
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from demo import learn, measure
from demo.wide import CLASSES, HEIGHT, WIDTH

if TYPE_CHECKING:
    import torch

    from demo.wide import Wide

SEED = 2024
FOLDER = Path("demo/models/detector")
STEM, STAGES = 24, [24, 48, 80, 128]  # channels
FEATURES, HIDDEN, HEADS, LAYERS, QUERIES = 64, 128, 4, 2, 20
STEPS, BATCH, RATE, WARMUP, DECAY = 3200, 16, 1e-3, 100, 1e-4
MOMENTUM = 0.998  # of the average
JITTER, TINT = 0.15, 0.05
LOOK_EVERY = 300


def make_config() -> Any:
    """A small ResNet whose last three stages go into RT-DETR's encoder and decoder."""
    from transformers import RTDetrConfig, RTDetrResNetConfig

    stages = [2, 3, 4]
    backbone = RTDetrResNetConfig(
        embedding_size=STEM, hidden_sizes=STAGES, depths=[1] * len(STAGES), layer_type="basic", out_indices=stages
    )
    names = dict(enumerate(CLASSES))
    return RTDetrConfig(
        backbone_config=backbone, freeze_backbone_batch_norms=False, encoder_in_channels=STAGES[1:],
        encoder_hidden_dim=FEATURES, encoder_ffn_dim=HIDDEN, encoder_attention_heads=HEADS, hidden_expansion=0.5,
        d_model=FEATURES, decoder_in_channels=[FEATURES] * len(stages), decoder_ffn_dim=HIDDEN,
        decoder_attention_heads=HEADS, decoder_layers=LAYERS, num_queries=QUERIES, num_denoising=QUERIES,
        initializer_range=0.02, id2label=names, label2id={name: index for index, name in names.items()},
    )  # fmt: skip


def make_processor() -> Any:
    """Any picture to (3, HEIGHT, WIDTH) in [0, 1], whatever its shape."""
    from transformers import RTDetrImageProcessor

    return RTDetrImageProcessor(size={"height": HEIGHT, "width": WIDTH})


def wake(model: Any) -> Any:
    """The model with batch norms that change nothing at first."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
    return model


def make_model() -> Any:
    """The detector before its first step, laid out in memory as the CPU's convolutions want it."""
    import torch
    from transformers import RTDetrForObjectDetection

    from dreamshot.models import device

    return wake(RTDetrForObjectDetection(make_config())).to(device(), memory_format=torch.channels_last)


def mirrored(pixels: np.ndarray, boxes: np.ndarray, turned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pictures and boxes with those mirrored for which ``turned`` says so."""
    pixels, boxes = pixels.copy(), boxes.copy()
    pixels[turned] = pixels[turned, :, ::-1]
    boxes[turned] = (1, 0, 1, 0) + boxes[turned][..., (2, 1, 0, 3)] * np.array((-1, 1, -1, 1), np.float32)
    return pixels, boxes


def targets(boxes: np.ndarray) -> "list[dict[str, torch.Tensor]]":
    """Each picture's boxes as DETR wants them: class numbers, and (middle, size) in parts of the frame."""
    import torch

    from dreamshot.models import device

    found = []
    for people in boxes:
        there = np.isfinite(people[..., 0])
        corners = torch.from_numpy(people[there])
        middle, size = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
        labels = torch.from_numpy(np.nonzero(there)[1])
        found.append({"class_labels": labels.to(device()), "boxes": torch.cat([middle, size], 1).to(device())})
    return found


def detect(model: Any, images: "torch.Tensor", labels: "list[dict[str, torch.Tensor]] | None" = None) -> Any:
    """The model's own forward pass, with its features from bfloat16."""
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    images = images.contiguous(memory_format=torch.channels_last)
    inner = model.model
    with learn.half():
        seen = inner.backbone(images, images.new_ones(images[:, 0].shape))
        features = [project(level) for project, (level, _) in zip(inner.encoder_input_proj, seen, strict=True)]
        maps = [level.float() for level in inner.encoder(features).last_hidden_state]
    encoded = BaseModelOutput(last_hidden_state=maps)
    return model(pixel_values=None, inputs_embeds=images, encoder_outputs=encoded, labels=labels)


def follow(average: Any, model: Any, momentum: float) -> None:
    """Move the average's weights and statistics towards the model's."""
    import torch

    with torch.no_grad():
        for kept, now in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
            kept.lerp_(now, 1 - momentum) if kept.is_floating_point() else kept.copy_(now)


def save(model: Any, folder: Path) -> None:
    """The folder that ``dreamshot.models.load_detector`` loads."""
    learn.empty_folder(folder)
    copy.deepcopy(model).half().save_pretrained(folder)
    make_processor().save_pretrained(folder)


def look(folder: Path, frames: "Wide", limit: int = 300) -> str:
    """The shares found in unseen frames by the model as it was saved."""
    rows = np.random.default_rng(SEED).permutation(len(frames.pixels))[:limit]
    shares = measure.detector_shares(folder, frames, rows)
    return ", ".join(f"{key} {share:.3f}" for key, share in shares.items())


def train(frames: "Wide", valid: "Wide", folder: Path, steps: int = STEPS, batch: int = BATCH) -> None:
    """Train on ``frames``, look at ``valid`` now and then, leave the averaged model in ``folder``."""
    import torch

    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    model = make_model().train()
    average = copy.deepcopy(model).eval()
    optimizer = learn.optimiser([model], RATE, DECAY)
    bar = tqdm(learn.batches(len(frames.pixels), batch, steps, SEED), total=steps, desc="detector")
    for step, chosen in enumerate(bar):
        pixels, boxes = mirrored(frames.pixels[chosen], frames.boxes[chosen], rng.random(len(chosen)) < 0.5)
        images = learn.coloured(learn.pictures(pixels), JITTER, TINT)
        loss = detect(model, images, targets(boxes)).loss
        learn.descend(loss, optimizer, learn.learning_rate(step, steps, RATE, WARMUP))
        follow(average, model, min(MOMENTUM, (1 + step) / (10 + step)))
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if (step + 1) % LOOK_EVERY == 0 or step + 1 == steps:
            save(average, folder)
            tqdm.write(f"detector step {step + 1}: loss {loss.item():.3f}, {look(folder, valid)}")


def main() -> None:
    """Train on the films of the tiny models and save."""
    from demo.wide import load_wide

    train(load_wide("train"), load_wide("valid"), FOLDER)


if __name__ == "__main__":
    main()
