"""A training step of the demo's small ViT: its patch embedding as one matrix product against PyTorch's convolution.

    python -m benchmarks.patches

Prints seconds a step of both, taken in turns, and their ratio. Both compute the same (a test compares them).
"""

import statistics
import time

import torch

from demo import learn, train_dino

BATCH, ROUNDS = 256, 7


def seconds(backbone: torch.nn.Module, images: torch.Tensor) -> float:
    """One forward and backward pass."""
    start = time.perf_counter()
    with learn.half():
        found = backbone(images)
    found.float().square().mean().backward()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    torch.manual_seed(0)
    images = torch.rand(BATCH, 3, train_dino.SIDE, train_dino.SIDE)
    plain, quick = train_dino.make_backbone(), train_dino.make_backbone()
    learn.quick_patches(quick.patch_embed.proj)
    seconds(plain, images), seconds(quick, images)
    times = [(seconds(plain, images), seconds(quick, images)) for _ in range(ROUNDS)]
    convolution, product = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"{BATCH} pictures, {torch.get_num_threads()} threads, median of {ROUNDS}")
    print(f"convolution {convolution:.3f} s, matrix product {product:.3f} s, ratio {convolution / product:.2f}")


if __name__ == "__main__":
    main()
