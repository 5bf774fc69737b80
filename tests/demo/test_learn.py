"""What the trainers share: windows on pictures, and a patch embedding that is quicker and the same."""

import numpy as np
import pytest
import torch

from demo import learn, train_captioner


def test_a_quick_patch_embedding_gives_the_convolution_s_values_and_gradients() -> None:
    torch.manual_seed(1)
    plain = torch.nn.Conv2d(3, 20, kernel_size=16, stride=16)
    quick = torch.nn.Conv2d(3, 20, kernel_size=16, stride=16)
    quick.load_state_dict(plain.state_dict())
    learn.quick_patches(quick)
    images = torch.rand(2, 3, 64, 48)
    wanted, found = plain(images), quick(images)
    torch.testing.assert_close(found, wanted)
    for convolution, out in ((plain, wanted), (quick, found)):
        out.square().sum().backward()
        assert convolution.weight.grad is not None
    torch.testing.assert_close(quick.weight.grad, plain.weight.grad, rtol=1e-4, atol=1e-4)


def test_a_whole_window_is_the_picture_and_a_mirrored_one_its_mirror() -> None:
    images = torch.rand(2, 3, 8, 8)
    seen = learn.seen_through(images, torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]), 8)
    torch.testing.assert_close(seen[0], images[0])
    torch.testing.assert_close(seen[1], images[1].flip(2))


def test_windows_stay_inside_the_picture() -> None:
    torch.manual_seed(1)
    size, *middle = learn.windows(500, (0.7, 1.0), mirror=True).unbind(1)
    assert all(bool((place.abs() + size.abs() <= 1 + 1e-6).all()) for place in middle)
    assert 0.4 < float((size < 0).float().mean()) < 0.6
    assert bool((learn.windows(50, (0.7, 1.0), mirror=False)[:, 0] > 0).all())


def test_windows_lie_within_the_picture() -> None:
    torch.manual_seed(1)
    size, across, down = learn.windows(500, (0.7, 0.9), mirror=False).unbind(1)
    assert 0.7 <= size.min() < size.max() <= 0.9
    assert (across.abs() <= 1 - size + 1e-6).all()
    assert (down.abs() <= 1 - size + 1e-6).all()


def test_the_patches_of_a_head_are_those_that_its_box_covers() -> None:
    box = torch.tensor([[32, 16, 64, 48]]) / 64 - 1  # two patches of 16 pixels each way
    held = train_captioner.patches_of_heads(box, torch.tensor([[1.0, 0, 0]])).view(8, 8)
    assert held.nonzero().tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]
    half = train_captioner.patches_of_heads(box, torch.tensor([[0.5, -0.5, -0.5]])).view(8, 8)  # the upper left quarter
    assert held.sum() * 4 == half.sum()
    assert half[2:6, 4:8].all()


def test_patches_that_name_their_head_rightly_cost_little() -> None:
    held = torch.zeros(1, 64, dtype=torch.bool)
    held[0, :3] = True
    right = torch.full((1, 64, 3), -20.0)
    right[0, :, 2], right[0, :3] = 20.0, torch.tensor([20.0, -20.0, -20.0])
    wanted = np.array([[0]])
    assert train_captioner.patch_loss(right, [2], wanted, held).item() == pytest.approx(0, abs=1e-6)
    assert train_captioner.patch_loss(-right, [2], wanted, held).item() > 10
