"""Flows against zuko's own densities, against Jacobians, and what keeping the density of a draw must not break."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from latentia.distributions import Flow, UnitNormal, flow
from latentia.distributions.flow import compose, flow_layers
from latentia.errors import ConfigError
from latentia.parts import FlowPosterior, FlowPrior
from tests.parts.latent_cases import HAS_ZUKO, raw, stirred

pytestmark = [pytest.mark.usefixtures("float64"), pytest.mark.skipif(not HAS_ZUKO, reason="zuko is not installed")]

Z = 3
KINDS = pytest.mark.parametrize("bins", [None, 5], ids=["affine", "splines"])


def _prior(bins: int | None) -> Any:
    torch.manual_seed(0)
    return stirred(FlowPrior(Z, transforms=2, width=8, bins=bins))


def _posterior(bins: int | None, rows: int = 2) -> Any:
    torch.manual_seed(0)
    part = stirred(FlowPosterior(torch.nn.Identity(), Z, transforms=3, width=8, bins=bins))
    return part(torch.stack([raw(FlowPosterior.outputs(Z, width=8), seed) for seed in range(rows)]))


def _noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@KINDS
def test_the_prior_is_zukos_flow(bins: int | None) -> None:
    """The same layers inside zuko's own NormalizingFlow, on the standardised values."""
    zuko = flow._zuko()
    prior = _prior(bins)
    base = zuko.distributions.DiagNormal(torch.zeros(Z), torch.ones(Z))
    theirs = zuko.distributions.NormalizingFlow(compose(list(prior.layers), None), base)
    x = 2.0 * _noise(20, Z)
    expected = theirs.log_prob((x - prior.loc) / prior.log_scale.exp()) - prior.log_scale.sum()
    torch.testing.assert_close(prior().log_prob(x), expected)


@pytest.mark.parametrize("kind", ["MAF", "NSF"])
def test_any_flow_of_zuko_can_be_wrapped(kind: str) -> None:
    zuko = flow._zuko()
    torch.manual_seed(0)
    theirs = getattr(zuko.flows, kind)(Z, transforms=2, hidden_features=(8, 8)).double()()
    ours = Flow(theirs.transform.inv, torch.zeros(Z), torch.zeros(Z))
    x = _noise(20, Z)
    torch.testing.assert_close(ours.log_prob(x), theirs.log_prob(x))
    torch.testing.assert_close(ours.rsample_from(x), theirs.transform.inv(x))


@KINDS
def test_the_density_of_a_draw_is_that_of_its_noise_over_the_jacobian(bins: int | None) -> None:
    q, noise = _posterior(bins, rows=1), _noise(1, 1, Z)
    jacobian: Any = torch.autograd.functional.jacobian(lambda e: q.rsample_from(e), noise)
    expected = UnitNormal(torch.zeros(Z)).log_prob(noise) - jacobian.reshape(Z, Z).det().abs().log()
    torch.testing.assert_close(q.log_prob(q.rsample_from(noise)), expected)
    torch.testing.assert_close(q.log_prob(q.rsample_from(noise).detach()), expected)


@KINDS
def test_they_start_as_gaussians(bins: int | None) -> None:
    prior = FlowPrior(Z, transforms=2, width=8, bins=bins).double()
    x = _noise(20, Z)
    torch.testing.assert_close(prior().log_prob(x), UnitNormal(torch.zeros(Z)).log_prob(x))
    count = FlowPosterior.outputs(Z, width=8)
    part, row = FlowPosterior(torch.nn.Identity(), Z, width=8, bins=bins).double(), raw(count).unsqueeze(0)
    q = part(row)
    torch.testing.assert_close(q.rsample_from(x.unsqueeze(1)), row[:, :Z] + row[:, Z : 2 * Z].exp() * x.unsqueeze(1))
    torch.testing.assert_close(q.mean, row[:, :Z])
    torch.testing.assert_close(q.stddev, row[:, Z : 2 * Z].exp())


@KINDS
@pytest.mark.parametrize("size", [1, Z])
def test_they_leave_their_start(bins: int | None, size: int) -> None:
    """The last layers have a gradient at once, and the others after one step: none of them is dead."""
    part = FlowPosterior(torch.nn.Identity(), size, transforms=2, width=8, bins=bins).double()
    row, x = raw(FlowPosterior.outputs(size, width=8)).unsqueeze(0), _noise(20, 1, size)
    for _ in range(3):
        part.zero_grad()
        q = part(row)
        q.log_prob(q.rsample_from(x).detach()).sum().backward()
        with torch.no_grad():
            for parameter in part.parameters():
                assert parameter.grad is not None
                parameter.add_(0.01 * parameter.grad)
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in part.parameters())


def test_one_dimension_is_a_flow_too() -> None:
    for bins in (None, 5):
        torch.manual_seed(0)
        p = stirred(FlowPrior(1, transforms=2, width=8, bins=bins))()
        x = torch.arange(-12.0, 12.0, 0.05).unsqueeze(-1)
        assert float(p.log_prob(x).detach().exp().sum() * 0.05) == pytest.approx(1.0, abs=1e-3)
        part = stirred(FlowPosterior(torch.nn.Identity(), 1, width=8, bins=bins))
        q = part(raw(FlowPosterior.outputs(1, width=8)).unsqueeze(0))
        assert float(q.log_prob(x.unsqueeze(1)).detach().exp().sum() * 0.05) == pytest.approx(1.0, abs=1e-3)


def test_moments_do_not_change_from_call_to_call_nor_with_the_batch() -> None:
    q = _posterior(None, rows=300)
    assert torch.equal(q.mean, _posterior(None, rows=300).mean)
    torch.testing.assert_close(q.mean[:2], _posterior(None, rows=2).mean)  # blocks of other sizes
    before = torch.get_rng_state()
    flow._even_noise.cache_clear()
    assert q.mean.shape == (300, Z)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("size", "width"), [(7, 9), (20, 16)])
def test_a_rows_moments_do_not_depend_on_its_place(size: int, width: int) -> None:
    """Bit for bit, in single precision, where kernels treat rows differently that are not aligned."""
    torch.manual_seed(0)
    part = stirred(FlowPosterior(torch.nn.Identity(), size, width=width)).float()
    rows = torch.randn(128, FlowPosterior.outputs(size, width=width)).float()
    order = torch.randperm(128)
    with torch.inference_mode():
        q, shuffled, alone = part(rows), part(rows[order]), part(rows[:1].expand(128, -1))
        assert torch.equal(q.mean[order], shuffled.mean)
        assert torch.equal(q.stddev[order], shuffled.stddev)
        assert torch.equal(q.mean[0], alone.mean[5])


@pytest.mark.parametrize("size", [2, 60, 200])
def test_even_noise_has_the_moments_of_a_standard_normal(size: int) -> None:
    noise = flow._even_noise(128, size)
    torch.testing.assert_close(noise.mean(0), torch.zeros(size))
    torch.testing.assert_close(noise.square().mean(0), torch.ones(size))
    if size == 2:
        torch.testing.assert_close(noise.T @ noise / 128, torch.eye(2))


# The density that is kept from the draw


def _count_inverses(q: Any) -> list[int]:
    """Count how often the density goes through the inverse."""
    calls: list[int] = []
    original = q.transform

    class Counting:
        def call_and_ladj(self, x: Tensor) -> Any:
            return original.call_and_ladj(x)

        @property
        def inv(self) -> Any:
            calls.append(1)
            return original.inv

    q.transform = Counting()
    return calls


def test_only_the_very_draw_saves_the_inverse() -> None:
    q = _posterior(None)
    calls = _count_inverses(q)
    z = q.rsample_from(_noise(4, 2, Z))
    expected = q.log_prob(z)
    assert len(calls) == 0
    torch.testing.assert_close(q.log_prob(z.clone()), expected)
    assert len(calls) == 1


def test_a_draw_that_was_changed_in_place_has_another_density() -> None:
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            q = _posterior(None)
            z = q.rsample_from(_noise(4, 2, Z))
            first = q.log_prob(z)
            z += 1.0
            torch.testing.assert_close(q.log_prob(z), _posterior(None).log_prob(z))
            assert not torch.equal(q.log_prob(z), first)


def test_inference_saves_the_inverse_too() -> None:
    with torch.inference_mode():
        q = _posterior(None)
        calls = _count_inverses(q)
        z = q.rsample_from(_noise(4, 2, Z))
        torch.testing.assert_close(q.log_prob(z), _posterior(None).log_prob(z))
        assert len(calls) == 0


def test_a_draw_without_gradient_still_gives_the_parameters_theirs() -> None:
    """The score-function estimator: z is a number, and log q(z) a function of the parameters."""
    part = stirred(FlowPosterior(torch.nn.Identity(), Z, width=8))
    row = raw(FlowPosterior.outputs(Z, width=8)).unsqueeze(0).requires_grad_()
    gradients = []
    for detached in (False, True):
        q = part(row)
        with torch.no_grad():
            z = q.rsample_from(_noise(1, 1, Z))
        gradients.append(torch.autograd.grad(q.log_prob(z.clone() if detached else z).sum(), row)[0])
    assert gradients[0].any()
    torch.testing.assert_close(gradients[0], gradients[1])


def test_total_gradients_agree_with_and_without_the_inverse() -> None:
    part = stirred(FlowPosterior(torch.nn.Identity(), Z, width=8, bins=5))
    row = raw(FlowPosterior.outputs(Z, width=8)).unsqueeze(0).requires_grad_()
    gradients = []
    for through_inverse in (False, True):
        q = part(row)
        z = q.rsample_from(_noise(3, 1, Z))
        gradients.append(torch.autograd.grad(q.log_prob(z.clone() if through_inverse else z).sum(), row)[0])
    torch.testing.assert_close(gradients[0], gradients[1])


@KINDS
def test_single_precision_stays_finite_far_out(bins: int | None) -> None:
    """Layers far from the identity, values to ±100, both directions."""
    torch.manual_seed(0)
    part = stirred(FlowPosterior(torch.nn.Identity(), Z, width=16, bins=bins), scale=1.0).float()
    rows = torch.randn(500, FlowPosterior.outputs(Z, width=16)).float().requires_grad_()
    q = part(rows)
    values = torch.cat([_noise(8, 500, Z), 100.0 * _noise(2, 500, Z)]).float()
    z = q.rsample_from(values)
    assert z.isfinite().all()
    assert q.log_prob(z).isfinite().all()
    log_p = q.log_prob(values)
    assert log_p.isfinite().all()
    assert all(one.isfinite().all() for one in torch.autograd.grad(log_p.sum() + q.log_prob(z).sum(), rows))


# zuko itself


@pytest.fixture
def _forgotten() -> Iterator[None]:
    flow._zuko.cache_clear()
    yield
    flow._zuko.cache_clear()


@pytest.mark.usefixtures("_forgotten")
def test_without_zuko_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zuko", None)
    with pytest.raises(ConfigError, match=r"a flow needs zuko: pip install 'latentia\[flows\]'"):
        FlowPrior(2)
    assert FlowPosterior.outputs(2) == 2 * 2 + 64  # known without it


def test_torchs_validation_survives_the_import_of_zuko() -> None:
    """Importing zuko alone switches it off, for every distribution of the process; and we import zuko late."""
    program = (
        "import sys, torch; from torch.distributions import Distribution, Normal\n"
        "from latentia.parts import FlowPrior\n"
        "assert 'zuko' not in sys.modules\n"
        "FlowPrior(2)().sample()\n"
        "assert 'zuko' in sys.modules and Distribution._validate_args\n"
        "try: Normal(torch.zeros(1), -torch.ones(1))\n"
        "except ValueError: print('validated')\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "validated\n"


def test_layers_couple_and_turn_round() -> None:
    """Two coupling layers: in the first the second half follows the first, in the next the other way round."""
    torch.manual_seed(0)
    for i, layer in enumerate(flow_layers(4, layers=2, width=8, coupling=True)):
        transform = compose([stirred(layer)], None)
        jacobian: Any = torch.autograd.functional.jacobian(transform, _noise(4))
        depends = jacobian.abs() > 0
        expected = (torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]) > 0) | torch.eye(4).bool()
        assert torch.equal(depends, expected if i == 0 else expected.flip(0, 1))
