"""What an objective returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Result:
    """What an objective returns, per row.

    Attributes
    ----------
    value
        The bound itself, shape (B,), nats: what may be logged, selected on and reported.
    terms
        Its parts by name, each (B,) or (B, Z), nats.
    surrogate
        What to maximise instead of ``value`` where the two differ (a weight β, free bits, an estimator of the gradient
        that is not the gradient of the value); never reported.
    """

    value: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    surrogate: Tensor | None = None

    @property
    def maximand(self) -> Tensor:
        """The surrogate where there is one, else the value, shape (B,)."""
        return self.value if self.surrogate is None else self.surrogate


def with_gradient_of(value: Tensor, surrogate: Tensor) -> Tensor:
    """Return a tensor with the numbers of one and the gradient of the other."""
    return value.detach() + (surrogate - surrogate.detach())
