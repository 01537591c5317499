"""The matrix product under every network: the fastest kernel at hand, and the same arithmetic for every row.

Torch's single-precision ``F.linear`` runs in MKL, which uses half the width of an AVX-512 machine that is not Intel's;
oneDNN, which torch ships as well, uses all of it: a training step takes 0.6 of the time there. MKL also rounds
differently for rows that are not aligned to 16 bytes, so that a row's value would depend on its place in the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

__all__ = ["Linear", "linear"]


@functools.cache
def _onednn() -> Callable[..., Tensor] | None:
    """Return oneDNN's product where torch has it and the machine gains by it; a fixed rule, so that results repeat."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() == "AVX512"):
        return None
    try:
        operator: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.default
        operator(torch.zeros(1, 1), torch.zeros(1, 1), None, "none", [], "")
    except (AttributeError, RuntimeError):  # an operator that torch may drop or change
        return None
    return operator


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    operator = _onednn()
    return F.linear(x, weight, bias) if operator is None else operator(x, weight, bias, "none", [], "")


class _OneDNNLinear(torch.autograd.Function):
    """x Wᵀ + b with all three products in oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        g = gradients[0]
        need_x, need_weight, need_bias = ctx.needs_input_grad
        if torch.is_grad_enabled():  # a gradient that will itself be differentiated needs products that can be
            grad_x, grad_weight = g @ weight if need_x else None, g.t() @ x if need_weight else None
        else:
            grad_x = _product(g, weight.t(), None) if need_x else None
            grad_weight = _product(g.t(), x.t(), None) if need_weight else None
        return grad_x, grad_weight, g.sum(0) if need_bias else None


_differentiable: Callable[[Tensor, Tensor, Tensor | None], Tensor] = _OneDNNLinear.apply


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x Wᵀ + b, shape (..., out), for x of shape (..., in) and W of shape (out, in).

    In calls with the same number of rows, a multiple of 64, a row's result does not depend on its place, bit for bit.
    """
    if (
        x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and _onednn() is not None
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._len_torch_dispatch_stack()  # traced for the compiler, which cannot lower the operator
        and x.numel() > 0
    ):
        flat = x.reshape(-1, x.shape[-1])
        if torch.is_grad_enabled() and (flat.requires_grad or weight.requires_grad):
            out = _differentiable(flat, weight, bias)
        else:
            out = _product(flat, weight, bias)
        return out.reshape(*x.shape[:-1], -1)
    odd = -x.shape[-1] % 4
    if odd and x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64):
        x, weight = F.pad(x, (0, odd)), F.pad(weight, (0, odd))
    return F.linear(x, weight, bias)


class Linear(nn.Linear):
    """``torch.nn.Linear`` by way of ``linear``: the same parameters, names and initial values."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Map (..., in) to (..., out)."""
        return linear(input, self.weight, self.bias)
