"""The local autoregressive likelihood against sums over all images of a few pixels, and against its own definition."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from latentia.distributions import autoregressive
from latentia.distributions.autoregressive import blocks, images
from latentia.errors import ConfigError
from latentia.networks import MLP
from latentia.parts.autoregressive import LocalAutoregressiveLikelihood
from tests.tolerance import assert_mean

pytestmark = pytest.mark.usefixtures("float64")

LATENT = 3
SHAPES = [((2, 3), 1), ((3, 3), 1), ((2, 2), 2), ((2, 4), 2), ((4, 2), 2)]
each_shape = pytest.mark.parametrize(("shape", "block"), SHAPES, ids=[f"{s[0]}x{s[1]}, block {b}" for s, b in SHAPES])


def _part(shape: Sequence[int], block: int, **options: Any) -> LocalAutoregressiveLikelihood:
    """A small part with large weights, none of them zero."""
    torch.manual_seed(0)
    network = MLP(LATENT, [5], 3 * shape[0] * shape[1])
    options = {"window": 3, "channels": 6, "features": 2, "hidden": (5,), "layers": 1, **options}
    part = LocalAutoregressiveLikelihood(network, shape, block=block, **options)
    for weight in part.parameters():
        nn.init.normal_(weight, std=0.4)
    return part.requires_grad_(False)


def _z(*batch: int, seed: int = 1) -> Tensor:
    return torch.randn(*batch, LATENT, generator=torch.Generator().manual_seed(seed))


def _all_images(shape: Sequence[int]) -> Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=shape[0] * shape[1]))).reshape(-1, *shape)


def _place(pixel: int, shape: Sequence[int], block: int) -> tuple[int, int, int]:
    """Row and column of a pixel's block, and its number within the block."""
    i, j = divmod(pixel, shape[1])
    return i // block, j // block, (i % block) * block + j % block


@each_shape
def test_probabilities_of_all_images_sum_to_one(shape: tuple[int, int], block: int) -> None:
    p = _part(shape, block)(_z(4))
    log_p = p.log_prob(_all_images(shape).unsqueeze(1))
    assert log_p.shape == (2 ** (shape[0] * shape[1]), 4)
    torch.testing.assert_close(log_p.exp().sum(0), torch.ones(4), rtol=0.0, atol=1e-12)
    assert log_p.exp().std(0).min() > 1e-4  # and they are not all the same


@pytest.mark.parametrize(
    ("shape", "block", "window"), [((4, 5), 1, 3), ((4, 8), 1, 5), ((6, 10), 2, 3), ((6, 14), 2, 5)]
)
def test_a_logit_depends_on_earlier_pixels_of_its_window_and_block_and_on_no_others(
    shape: tuple[int, int], block: int, window: int
) -> None:
    """Flip each pixel in turn: that is the Jacobian of a function of bits."""
    pixels, radius = shape[0] * shape[1], window // 2
    p = _part(shape, block, window=window, layers=0, channels=32, hidden=(32,))(_z())
    x = (torch.rand(shape, generator=torch.Generator().manual_seed(2)) < 0.5).double()
    flipped = torch.where(torch.eye(pixels, dtype=torch.bool), 1 - x.flatten(), x.flatten()).reshape(-1, *shape)
    change = (p.logits(flipped) - p.logits(x)).flatten(1).abs() > 1e-9  # (flipped pixel, logit)
    for s, t in itertools.product(range(pixels), repeat=2):
        (i, j, m), (a, c, n) = _place(t, shape, block), _place(s, shape, block)
        before = (a, c) < (i, j) and i - a <= radius and abs(j - c) <= radius
        assert change[s, t] == (before or ((a, c) == (i, j) and n < m)), f"logit of pixel {t} and pixel {s}"


def test_jacobian_is_strictly_lower_triangular() -> None:
    p = _part((3, 4), 1, layers=2)(_z())
    jacobian = torch.autograd.functional.jacobian(p.logits, torch.rand(3, 4)).reshape(12, 12)
    assert torch.equal(jacobian, jacobian.tril(-1))
    assert bool((jacobian.diagonal(-1) != 0).sum() >= 9)  # every pixel but those that begin a row sees the last one


@pytest.mark.parametrize("block", [1, 2])
def test_samples_have_the_frequencies_of_the_density(block: int) -> None:
    p = _part((2, 2), block)(_z(2))
    draws = p.sample((20000,), generator=torch.Generator().manual_seed(0))
    assert draws.shape == (20000, 2, 2, 2)
    number = (draws.flatten(-2) @ torch.tensor([8.0, 4.0, 2.0, 1.0])).long()
    exact = p.log_prob(_all_images((2, 2)).unsqueeze(1)).exp()  # (16, 2)
    assert_mean(nn.functional.one_hot(number, 16).numpy(), exact.T.numpy())


def test_samples_of_a_larger_image_have_its_moments() -> None:
    """Pixels and products of neighbours, across blocks and rows, of all 256 images with two blocks."""
    p = _part((2, 4), 2, window=5)(_z())
    every = _all_images((2, 4))
    draws = p.sample((20000,), generator=torch.Generator().manual_seed(1)).flatten(1)
    products = draws.unsqueeze(-1) * draws.unsqueeze(-2)
    flat = every.flatten(1)
    exact = torch.einsum("n,ni,nj->ij", p.log_prob(every).exp(), flat, flat)
    assert_mean(products.numpy(), exact.numpy())


def test_samples_repeat_with_their_generator_and_do_not_depend_on_the_number_of_rows_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    p = _part((4, 4), 2)(_z(5))
    first = p.sample((3,), generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(autoregressive, "_ROWS_PER_WALK", 4)
    assert torch.equal(p.sample((3,), generator=torch.Generator().manual_seed(3)), first)
    assert not torch.equal(p.sample((3,), generator=torch.Generator().manual_seed(4)), first)
    assert p.sample().shape == (5, 4, 4)


def test_mean_is_the_exact_one_within_the_error_of_its_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    shape, draws = (2, 4), 4000
    part, z = _part(shape, 2), _z(3)
    every = _all_images(shape)
    exact = torch.einsum("nb,nij->bij", part(z).log_prob(every.unsqueeze(1)).exp(), every)
    assert float((part(z).mean - exact).abs().max()) <= 5 * 0.5 / autoregressive.MEAN_DRAWS**0.5
    monkeypatch.setattr(autoregressive, "MEAN_DRAWS", draws)
    mean = part(z).mean
    assert mean.shape == (3, *shape)
    assert float((mean - exact).abs().max()) <= 5 * 0.5 / draws**0.5
    torch.testing.assert_close(mean[:, 0, 0], exact[:, 0, 0])  # nothing comes before the first pixel
    torch.testing.assert_close(part(z).variance, mean * (1 - mean))


def test_mean_of_a_row_does_not_depend_on_its_neighbours_or_on_the_call() -> None:
    part, z = _part((4, 4), 2), _z(6)
    together = part(z).mean
    torch.testing.assert_close(part(z).mean, together, rtol=0.0, atol=0.0)
    torch.testing.assert_close(part(z[2]).mean, together[2])


def test_no_rows_are_no_rows() -> None:
    p = _part((4, 4), 2)(_z(0))
    assert p.sample((2,)).shape == (2, 0, 4, 4)
    assert p.mean.shape == (0, 4, 4)
    assert p.log_prob(torch.zeros(4, 4)).shape == (0,)


@each_shape
def test_samples_axis_and_batch_axis_give_the_same_as_a_loop(shape: tuple[int, int], block: int) -> None:
    part, z = _part(shape, block), _z(4, 3)  # K, B
    x = (torch.rand(3, *shape, generator=torch.Generator().manual_seed(4)) < 0.5).double()
    log_p = part(z).log_prob(x)
    assert log_p.shape == (4, 3)
    for k, b in itertools.product(range(4), range(3)):
        torch.testing.assert_close(log_p[k, b], part(z[k, b]).log_prob(x[b]))


def test_contexts_are_computed_once_for_each_image() -> None:
    part, seen = _part((4, 4), 2), list[int]()
    part.conditional.context.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    part(_z(50, 3)).log_prob(torch.zeros(3, 4, 4))
    assert seen == [3]


def test_gradients_are_those_of_finite_differences() -> None:
    part, z = _part((4, 4), 2), _z(2, 3).requires_grad_()
    x = (torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(5)) < 0.5).double()
    assert torch.autograd.gradcheck(lambda z: part(z).log_prob(x), (z,))
    part.requires_grad_(True)
    out = part(z).log_prob(x).sum()
    gradients = torch.autograd.grad(out, list(part.parameters()))
    step = 1e-6
    for weight, gradient in zip(part.parameters(), gradients, strict=True):
        direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(6))
        with torch.no_grad():
            values = []
            for sign in (1, -1):
                weight.add_(sign * step * direction)
                values.append(part(z).log_prob(x).sum())
                weight.sub_(sign * step * direction)
        numeric = (values[0] - values[1]) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), numeric, rtol=1e-5, atol=1e-6)


def test_a_fresh_part_is_the_independent_pixel_model() -> None:
    shape, mean = (2, 4), torch.tensor([[0.2, 0.7, 0.4, 0.5], [0.1, 0.9, 0.6, 0.3]])
    part = LocalAutoregressiveLikelihood(nn.Identity(), shape)
    raw = part.raw_from_moments(mean, mean * (1 - mean))
    assert raw.shape == (part.num_outputs,) == (part.outputs_per_element * 8,)
    x = _all_images(shape)
    expected = torch.where(x == 1, mean, 1 - mean).log().sum((-1, -2))
    torch.testing.assert_close(part(raw).log_prob(x), expected)
    torch.testing.assert_close(part(raw).mean, mean)


def test_all_paths_of_a_block_have_logits_of_their_own() -> None:
    """One block with free biases fits any law of its four pixels: here that of a given table."""
    table = torch.rand(2, 2, 2, 2, generator=torch.Generator().manual_seed(7))
    table /= table.sum()
    part = LocalAutoregressiveLikelihood(nn.Identity(), (2, 2))
    logits = []
    for depth in range(4):  # P(next = 1 | path) from sums over what comes after
        sums = table.flatten(depth + 1).sum(-1).reshape(-1, 2) if depth < 3 else table.reshape(-1, 2)
        logits.append((sums[:, 1] / sums[:, 0]).log())
    with torch.no_grad():
        part.conditional.last.bias.copy_(torch.cat(logits))
    p = part(torch.zeros(part.num_outputs))
    torch.testing.assert_close(p.log_prob(_all_images((2, 2))).exp(), table.flatten())


def test_blocks_are_cut_in_raster_order() -> None:
    x = torch.arange(24.0).reshape(4, 6)
    cut = blocks(x, 2)
    assert cut.shape == (2, 3, 4)
    assert cut[1, 2].tolist() == [16.0, 17.0, 22.0, 23.0]
    assert torch.equal(images(cut, 2), x)
    assert torch.equal(blocks(x, 1).squeeze(-1), x)


def test_half_precision_networks_give_densities_in_single_precision() -> None:
    part = _part((4, 4), 2).float()
    z, x = _z(3).float(), torch.ones(3, 4, 4)
    exact = part(z).log_prob(x)
    with torch.autocast("cpu", torch.bfloat16):
        log_p = part(z).log_prob(x)
    assert log_p.dtype == torch.float32
    torch.testing.assert_close(log_p, exact, rtol=0.05, atol=0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 4}, "window must be an odd number"),
        ({"window": 1}, "window must be an odd number"),
        ({"block": 3}, "block must be 1 or 2"),
        ({"channels": 0}, "channels must be at least 1"),
        ({"features": 0}, "features must be at least 1"),
        ({"layers": -1}, "layers must be at least 0"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LocalAutoregressiveLikelihood(nn.Identity(), (4, 4), **options)


@pytest.mark.parametrize("shape", [(4, 5), (5, 4), (16,), (4, 4, 3), (0, 4)])
def test_items_that_are_no_images_of_whole_blocks_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"needs grey images \(H, W\) with sides that are multiples of block=2"):
        LocalAutoregressiveLikelihood(nn.Identity(), shape)


def test_a_network_with_another_number_of_outputs_is_refused() -> None:
    part = LocalAutoregressiveLikelihood(nn.Identity(), (4, 4), features=3)
    with pytest.raises(ConfigError, match="needs a network with 4 × 16 outputs"):
        part(torch.zeros(2, 16))


def test_a_traced_gradient_holds_for_other_numbers() -> None:
    """What the compiler sees must not depend on the values that it was traced with."""
    part = _part((4, 4), 2)

    def gradient(z: Tensor, x: Tensor) -> Tensor:
        z = z.requires_grad_()
        return torch.autograd.grad(part(z).log_prob(x).sum(), z)[0]

    first, second = ((_z(3, seed=s), (_z(3, 4, 4, seed=s)[..., 0] > 0).double()) for s in (1, 2))
    graph = make_fx(gradient)(*first)
    torch.testing.assert_close(graph(*second), gradient(*second))
