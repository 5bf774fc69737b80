"""What the trainers of the tiny CLIP, DINO and captioner share: batches, augmentation, schedule, word tokenizer.

Pictures are (batch, 128, 128, 3) uint8 RGB on disk and (batch, 3, side, side) float in [0, 1] in here.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<s>", "</s>"
PROMPTS = ("a high-quality {} picture of ", "a high-quality picture of ", "a picture of ")


def batches(count: int, size: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """``steps`` index arrays of ``size``, one pass after another over ``count`` items, each in a new order."""
    rng = np.random.default_rng(seed)
    waiting = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        while len(waiting) < size:
            waiting = np.concatenate([waiting, rng.permutation(count)])
        yield np.sort(waiting[:size])
        waiting = waiting[size:]


def pictures(pixels: np.ndarray) -> "torch.Tensor":
    """(batch, side, side, 3) uint8 -> (batch, 3, side, side) float in [0, 1], on the device."""
    import torch

    from dreamshot.models import device

    return torch.from_numpy(np.ascontiguousarray(pixels)).to(device()).permute(0, 3, 1, 2).float() / 255


def normalise(images: "torch.Tensor", mean: tuple[float, ...], std: tuple[float, ...]) -> "torch.Tensor":
    """(batch, 3, side, side) in [0, 1] -> the same with the given mean and deviation taken out."""
    shape = (1, 3, 1, 1)
    return (images - images.new_tensor(mean).view(shape)) / images.new_tensor(std).view(shape)


def windows(count: int, scale: tuple[float, float], mirror: bool) -> "torch.Tensor":
    """(count, 3) random windows of a picture: half their side, and their middle across and down.

    In halves of the picture's side from its middle, so the whole picture is (1, 0, 0). ``scale`` bounds the side.
    Half of them are mirrored, where asked: their first number, which stands for the side across, is negative.
    """
    import torch

    from dreamshot.models import device

    size = torch.empty(count, device=device()).uniform_(*scale)
    middle = (torch.rand(count, 2, device=device()) * 2 - 1) * (1 - size).clamp(min=0).unsqueeze(1)
    turn = torch.where(torch.rand(count, device=device()) < 0.5, -1.0, 1.0) if mirror else torch.ones_like(size)
    return torch.cat([(size * turn).unsqueeze(1), middle], dim=1)


def seen_through(images: "torch.Tensor", windows: "torch.Tensor", side: int) -> "torch.Tensor":
    """A window of each picture as (batch, 3, side, side), the picture mirrored beyond its edges."""
    import torch

    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = windows[:, 0], windows[:, 0].abs(), windows[:, 1:]
    grid = torch.nn.functional.affine_grid(theta, [len(images), 3, side, side], align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def moved(images: "torch.Tensor", scale: tuple[float, float], side: int) -> "torch.Tensor":
    """A random window of each picture, ``scale`` times its width, as (batch, 3, side, side); half are mirrored."""
    return seen_through(images, windows(len(images), scale, mirror=True), side)


def coloured(images: "torch.Tensor", amount: float, tint: float = 0.0) -> "torch.Tensor":
    """Brightness, contrast and saturation of each picture changed by factors up to 1 +- ``amount``.

    One matrix product a picture: its colours are drawn to their grey, then to the picture's mean level, then
    each channel is changed by a factor up to 1 +- ``tint``, as a film's grade does; without it hues stay.
    """
    import torch

    count = len(images)
    light, contrast, saturation = 1 + amount * (2 * torch.rand(3, count, 1, 1, device=images.device) - 1)
    same, grey = torch.eye(3, device=images.device), torch.full((3, 3), 1 / 3, device=images.device)
    gains = 1 + tint * (2 * torch.rand(count, 3, 1, device=images.device) - 1)
    matrix = gains * contrast * (saturation * same + (1 - saturation) * grey)
    level = images.mean((1, 2, 3)).view(count, 1, 1)
    mixed = torch.baddbmm(gains * level * (light - contrast), matrix, images.flatten(2))
    return mixed.view_as(images).clamp_(0, 1)


def softened(images: "torch.Tensor", share: float, noise: float) -> "torch.Tensor":
    """A share of the pictures blurred, all with a little noise: what a tiny autoencoder's pictures look like."""
    import torch
    from torch.nn import functional as F

    count = len(images)
    blurred = torch.rand(count) < share
    soft = F.avg_pool2d(images[blurred], 2)
    soft = F.interpolate(soft, size=images.shape[-2:], mode="bilinear", align_corners=False)
    images[blurred] = images[blurred].lerp(soft, torch.rand(len(soft), 1, 1, 1, device=images.device))
    patterns = torch.randn(8, *images.shape[1:], device=images.device)  # eight patterns a batch: drawing is slow
    level = noise * torch.rand(count, 1, 1, 1, device=images.device)
    return images.addcmul_(level, patterns[torch.randint(8, (count,))]).clamp_(0, 1)


def optimiser(modules: Iterable["torch.nn.Module"], rate: float, decay: float) -> "torch.optim.Optimizer":
    """AdamW that decays matrices only."""
    import torch

    weights = [weight for module in modules for weight in module.parameters() if weight.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then a cosine down to 1% of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)


def descend(loss: "torch.Tensor", optimizer: "torch.optim.Optimizer", rate: float) -> None:
    """One step of the optimiser at the given rate, the gradient's norm clipped at 1."""
    import torch

    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()


def quick_patches(convolution: "torch.nn.Conv2d") -> None:
    """Let a vision transformer's patch embedding compute itself as one matrix product, its weights as they are.

    Its kernel is as wide as its step, so the two are the same; the convolution's gradient takes the CPU about as long
    as all the rest of a small tower. ``benchmarks/patches.py`` measures it. Only this instance's forward is replaced,
    so its state dict keeps the library's names.
    """
    convolution.forward = partial(embed_patches, convolution)  # type: ignore[method-assign]


def embed_patches(convolution: "torch.nn.Conv2d", images: "torch.Tensor") -> "torch.Tensor":
    """(batch, 3, side, side) -> (batch, width, side / patch, side / patch)."""
    import torch

    count, channels, height, width = images.shape
    side = int(convolution.kernel_size[0])
    rows, columns = height // side, width // side
    patches = images.reshape(count, channels, rows, side, columns, side).permute(0, 2, 4, 1, 3, 5)
    weight = convolution.weight.flatten(1)
    found = torch.nn.functional.linear(patches.reshape(count, rows * columns, -1), weight, convolution.bias)
    return found.transpose(1, 2).reshape(count, -1, rows, columns)


@contextmanager
def half(fused: bool = False) -> Iterator[None]:
    """bfloat16 matrix products, which the CPU and the GPU both have.

    Attention as plain matrix products unless ``fused``: with so few tokens the CPU's fused kernel is quicker
    forward and three times slower backward.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from dreamshot.models import device

    kernels = [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH] if fused else [SDPBackend.MATH]
    with torch.autocast(device(), dtype=torch.bfloat16), sdpa_kernel(kernels):
        yield


def word_tokenizer(texts: Iterable[str]) -> Any:
    """A ``PreTrainedTokenizerFast`` with a token for each word of ``texts``; any other word is ``<unk>``.

    Text is put in lower case and split at spaces and punctuation; START and END stand around it.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Whitespace()
    words = {word for text in set(texts) for word, _ in split.pre_tokenize_str(text.lower())}
    vocabulary = {word: index for index, word in enumerate((PAD, UNKNOWN, START, END, *sorted(words)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = split
    ends = [(START, vocabulary[START]), (END, vocabulary[END])]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, unk_token=UNKNOWN, bos_token=START, eos_token=END
    )


def empty_folder(folder: Path) -> Path:
    """The folder, made if new, without the files of an earlier training."""
    from dreamshot.work import clean

    return clean(folder)
