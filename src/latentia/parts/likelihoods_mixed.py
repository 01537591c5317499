"""The likelihood of tables whose columns are of different kinds.

Letters: D columns, L latent.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from latentia.distributions import Columns, FactorisedDistribution, full_precision
from latentia.errors import ConfigError
from latentia.parts.likelihoods import Likelihood

__all__ = ["MixedLikelihood"]


class MixedLikelihood(Likelihood):
    r"""p(x | z) = ∏ p_b(x_b | z): columns in blocks, each block with a likelihood on its own slice of one output.

    Parameters
    ----------
    network
        Maps (..., L) to the outputs of all parts, one part after the other.
    parts
        A likelihood for each block of columns, whose own network is ``torch.nn.Identity()`` and whose items have the
        shape (number of columns,).
    columns
        The columns of each block: every whole number from 0 to D − 1 in one of them.

    Raises
    ------
    ConfigError
        If the columns are not each in one block, a part has another number of columns, or a part's elements are
        correlated given z.

    Examples
    --------
    >>> import torch
    >>> from latentia.parts import BernoulliLikelihood, GaussianLikelihood
    >>> ages, smokes = GaussianLikelihood(nn.Identity(), (2,)), BernoulliLikelihood(nn.Identity(), (1,))
    >>> part = MixedLikelihood(nn.Linear(1, 3), [ages, smokes], [[0, 2], [1]])
    >>> part(torch.zeros(4, 1)).sample().shape
    torch.Size([4, 3])
    """

    outputs_per_element = 0

    def __init__(self, network: nn.Module, parts: Sequence[Likelihood], columns: Sequence[Sequence[int]]) -> None:
        every = sorted(i for block in columns for i in block)
        if len(parts) != len(columns) or not every or every != list(range(len(every))):
            msg = f"columns must give every column from 0 on to one of the {len(parts)} parts, got {list(columns)}"
            raise ConfigError(msg)
        super().__init__(network, (len(every),))
        for part, block in zip(parts, columns, strict=True):
            if part.event_shape != (len(block),):
                msg = f"a {type(part).__name__} for items of shape {part.event_shape} cannot take columns {list(block)}"
                raise ConfigError(msg)
            if not part.outputs_per_element:
                msg = f"a {type(part).__name__} cannot be a block of a MixedLikelihood, whose columns are independent"
                raise ConfigError(msg)
        self.parts = nn.ModuleList(parts)
        for i, block in enumerate(columns):
            self.register_buffer(f"columns_{i}", torch.tensor(list(block)), persistent=False)

    @property
    def blocks(self) -> list[tuple[Likelihood, Tensor]]:
        """Each part with its columns."""
        return [(part, getattr(self, f"columns_{i}")) for i, part in enumerate(self.parts)]  # type: ignore[misc]  # they are

    @property
    def num_outputs(self) -> int:
        """The sum of those of the parts."""
        return sum(part.num_outputs for part, _ in self.blocks)

    def forward(self, z: Tensor) -> Columns:
        """Return p(x | z), batch shape (...), event shape (D,)."""
        out = full_precision(self.read(z)).split([part.num_outputs for part, _ in self.blocks], -1)
        densities: list[FactorisedDistribution] = [
            part(piece) for (part, _), piece in zip(self.blocks, out, strict=True)
        ]
        return Columns(densities, [columns for _, columns in self.blocks])

    def raw_from_moments(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return the outputs at which each column has about these moments, shape (num_outputs,)."""
        return torch.cat([part.raw_from_moments(mean[at], variance[at]) for part, at in self.blocks])

    def start_at_moments(self, mean: Tensor, variance: Tensor) -> None:
        """Start the parts' own parameters at the moments of their columns."""
        for part, at in self.blocks:
            part.start_at_moments(mean[at], variance[at])
