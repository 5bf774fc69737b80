"""Train the tiny DINO by self-distillation, without labels: ``python -m demo.train_dino``.

Writes demo/models/dino as timm loads it with ``local-dir:``. The two views of a step are the two moments of a take
(``demo.takes``): what self-distillation keeps is what they have in common, the place and the distance. The crops are
mild on purpose: views of different scales would teach the features to ignore the shot scale, which the study measures.

Two things make minutes enough where DINO has days. The start weights are larger than the library's
(``wake``), so that the class token takes in where in the picture a colour is. And a linear decoder, thrown away at the
end, draws the view's thumbnail from the class token until half of the way, when self-distillation goes on alone.
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from demo import learn, measure

if TYPE_CHECKING:
    import torch

    from demo.data import Frames

SEED = 2024
FOLDER = Path("demo/models/dino")
SIDE, ARCHITECTURE = 112, "vit_tiny_patch16_224"
SHAPE = {
    "img_size": SIDE, "patch_size": 28, "embed_dim": 192, "depth": 4, "num_heads": 12, "mlp_ratio": 2.0,
    "num_classes": 0,
}  # fmt: skip
HEAD_HIDDEN, HEAD_BOTTLENECK, HEAD_OUT = 512, 128, 512
STEPS, BATCH, RATE, WARMUP, DECAY = 1400, 128, 1e-3, 60, 0.04
MOMENTUM = 0.96  # of the teacher; rises to 1 along a cosine
FREEZE = 20  # steps in which the last layer of the head stays as it is, which keeps the start steady
TEACHER_TEMPERATURE, STUDENT_TEMPERATURE = 0.02, 0.1
WINDOW = (0.84, 0.92)  # the side of a view in sides of the frame; the study's centre crop is 112 / 128 = 0.875
JITTER, TINT = 0.15, 0.08  # mild: behind a near face the colours are what is left of a place
SPREAD = 0.02  # weight of DINOv2's KoLeo term, which keeps the features of a batch apart
POSITION, CLASS, GAIN = 1.0, 0.5, 3.0  # deviations of the embeddings of place and class, factor of the blocks' matrices
THUMBNAIL, DECODING = 8, 3.0  # pixels of the thumbnail's side; weight of its error, which falls to 0 at the half
LOOK_EVERY, LOOK_BANK = 350, 4000


def view(pixels: np.ndarray) -> "torch.Tensor":
    """One random view of each frame: (batch, 128, 128, 3) uint8 -> (batch, 3, SIDE, SIDE) in [0, 1]."""
    images = learn.moved(learn.pictures(pixels), WINDOW, SIDE)
    return learn.softened(learn.coloured(images, JITTER, TINT), 0.4, 0.04)


def centre(pixels: np.ndarray) -> "torch.Tensor":
    """The study's own view: the centre crop, normalised."""
    edge = (pixels.shape[1] - SIDE) // 2
    images = learn.pictures(pixels[:, edge : edge + SIDE, edge : edge + SIDE])
    return learn.normalise(images, learn.IMAGENET_MEAN, learn.IMAGENET_STD)


def make_backbone() -> Any:
    """timm's ``VisionTransformer``, whose feature is the class token: (batch, 3, SIDE, SIDE) -> (batch, 192)."""
    import timm

    return timm.create_model(ARCHITECTURE, pretrained=False, global_pool="token", **SHAPE)


def wake(backbone: Any) -> Any:
    """The backbone with larger start weights, among them the embedding of where a patch is.

    With timm's own, k-NN on the untrained class token finds 68% of the shot types, with these 80%.
    """
    import torch

    with torch.no_grad():
        torch.nn.init.normal_(backbone.pos_embed, std=POSITION)
        torch.nn.init.normal_(backbone.cls_token, std=CLASS)
        for weight in backbone.blocks.parameters():
            if weight.ndim == 2:
                weight.mul_(GAIN)
    return backbone


def thumbnails(images: "torch.Tensor") -> "torch.Tensor":
    """(batch, 3, SIDE, SIDE) in [0, 1] -> (batch, 3 THUMBNAIL**2) in [-1, 1]."""
    import torch

    return torch.nn.functional.adaptive_avg_pool2d(images, THUMBNAIL).flatten(1) * 2 - 1


def decoding_weight(step: int, steps: int) -> float:
    """DECODING at first, a straight line to 0 at the half."""
    return DECODING * max(0.0, 1 - 2 * step / steps)


def make_networks() -> tuple[Any, Any]:
    """Student and teacher, equal at first: backbone, then projection head."""
    from lightly.models.modules.heads import DINOProjectionHead
    from torch import nn

    from dreamshot.models import device

    def network() -> nn.Sequential:
        head = DINOProjectionHead(int(SHAPE["embed_dim"]), HEAD_HIDDEN, HEAD_BOTTLENECK, HEAD_OUT)
        backbone = wake(make_backbone())
        learn.quick_patches(backbone.patch_embed.proj)
        return nn.Sequential(backbone, head).to(device())

    student, teacher = network(), network()
    teacher.load_state_dict(student.state_dict())
    return student, teacher.requires_grad_(False).eval()


def balanced(taught: "torch.Tensor") -> "torch.Tensor":
    """The teacher's outputs, shifted so that their softmax uses all of the head's outputs equally over the batch.

    Sinkhorn-Knopp in place of a moving centre, as DINOv2 does: a centre needs far longer runs and larger
    batches before it keeps a small model from answering the same to every picture.
    """
    from lightly.loss.swav_loss import sinkhorn

    shares = sinkhorn(taught, iterations=3, epsilon=TEACHER_TEMPERATURE, gather_distributed=False)
    return TEACHER_TEMPERATURE * (shares + 1e-8).log()


def features(backbone: Any, pixels: np.ndarray, batch: int = 256) -> np.ndarray:
    """(frames, width) unit vectors of the class token."""
    import torch

    found = []
    with torch.no_grad(), learn.half(fused=True):
        for start in range(0, len(pixels), batch):
            out = backbone(centre(pixels[start : start + batch])).float()
            found.append(torch.nn.functional.normalize(out, dim=1).cpu().numpy())
    return np.concatenate(found)


def look(backbone: Any, frames: "Frames", valid: "Frames", limit: int = LOOK_BANK) -> str:
    """k-NN shares with a small bank, and how spread the features are (0: collapsed)."""
    known, asked = measure.some(frames, limit), measure.some(valid, limit // 4)
    bank, queries = features(backbone, frames.pixels[known]), features(backbone, valid.pixels[asked])
    shares = {
        key: measure.knn_share(bank, frames.truth[key].to_numpy()[known], queries, valid.truth[key].to_numpy()[asked])
        for key in ("shot_type", "place")
    }
    said = ", ".join(f"{key} {share:.3f}" for key, share in shares.items())
    return f"k-NN {said}, spread {1 - float(np.linalg.norm(queries.mean(0))):.3f}"


def save(backbone: Any, folder: Path) -> None:
    """The folder that ``dreamshot.models.load_dino`` loads."""
    from timm.models import save_for_hf

    learn.empty_folder(folder)
    data = {"input_size": (3, SIDE, SIDE), "crop_pct": SIDE / 128, "interpolation": "bicubic"}
    normal = {"mean": learn.IMAGENET_MEAN, "std": learn.IMAGENET_STD}
    tiny = copy.deepcopy(backbone).cpu().half()
    save_for_hf(tiny, str(folder), model_config={"pretrained_cfg": {**data, **normal}}, safe_serialization=True)


def train(
    takes: np.ndarray, frames: "Frames", valid: "Frames", folder: Path, steps: int = STEPS, batch: int = BATCH
) -> None:
    """Self-distil on ``takes``; the frames and their labels serve only to look at the features now and then."""
    import torch
    from lightly.loss import DINOLoss, KoLeoLoss
    from lightly.models.utils import update_momentum
    from lightly.utils.scheduler import cosine_schedule

    from dreamshot.models import device

    torch.manual_seed(SEED)
    student, teacher = make_networks()
    decoder = torch.nn.Linear(int(SHAPE["embed_dim"]), 3 * THUMBNAIL**2).to(device())
    loss_of = DINOLoss(HEAD_OUT, student_temp=STUDENT_TEMPERATURE, center_momentum=1.0).to(device())
    apart = KoLeoLoss()
    optimizer = learn.optimiser([student, decoder], RATE, DECAY)
    bar = tqdm(learn.batches(len(takes), batch, steps, SEED), total=steps, desc="dino")
    for step, chosen in enumerate(bar):
        student[1].last_layer.weight_v.requires_grad_(step >= FREEZE)
        views = torch.cat([view(takes[chosen, moment]) for moment in (0, 1)])
        both = learn.normalise(views, learn.IMAGENET_MEAN, learn.IMAGENET_STD)
        with learn.half():
            found = student[0](both)
            seen, drawn = student[1](found), decoder(found)
        with torch.no_grad(), learn.half(fused=True):
            taught = teacher(both)
        taught = balanced(taught.float())
        loss = loss_of(list(taught.chunk(2)), list(seen.float().chunk(2)), teacher_temp=TEACHER_TEMPERATURE)
        loss = loss + SPREAD * sum(apart(half) for half in found.float().chunk(2)) / 2
        drawing = torch.nn.functional.mse_loss(drawn.float(), thumbnails(views))
        loss = loss + decoding_weight(step, steps) * drawing
        learn.descend(loss, optimizer, learn.learning_rate(step, steps, RATE, WARMUP))
        update_momentum(student, teacher, cosine_schedule(step, steps, MOMENTUM, 1.0))
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if (step + 1) % LOOK_EVERY == 0 or step + 1 == steps:
            tqdm.write(f"dino step {step + 1}: loss {loss.item():.3f}, {look(teacher[0], frames, valid)}")
            save(teacher[0], folder)


def main() -> None:
    """Train on the films of the tiny models and save."""
    from demo.data import load_split
    from demo.takes import load_takes

    train(load_takes(), load_split("train"), load_split("valid"), FOLDER)


if __name__ == "__main__":
    main()
