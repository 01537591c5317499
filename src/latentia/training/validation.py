"""Means of terms over the validation rows, with the same noise in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from latentia.errors import ConfigError
from latentia.training.noise import Inputs, Noise, draw
from latentia.training.players import Terms

__all__ = ["Validation"]


class Validation:
    """Validation rows and what to compute on them.

    Parameters
    ----------
    rows
        In their storage dtype, on the device.
    terms
        (rows, inputs) to terms.
    noise
        What `terms` finds in its inputs; drawn once for all rows and kept, so that epochs differ only by the weights.
    batch_size
        Rows per call; the means do not depend on it.
    seed
        Of the noise.
    dtype
        Of the noise.
    """

    def __init__(
        self,
        rows: Tensor,
        terms: Callable[[Tensor, Inputs], Terms],
        noise: Mapping[str, Noise],
        batch_size: int,
        seed: int,
        dtype: torch.dtype,
    ) -> None:
        self.rows = rows
        self.terms = terms
        self.batch_size = batch_size
        self.noise = {
            name: draw(one, len(rows), seed, f"valid/{name}", 0, rows.device, dtype) for name, one in noise.items()
        }

    @torch.no_grad()
    def means(self, scheduled: Inputs) -> dict[str, float | list[float]]:
        """Return the mean of each term over all rows (sums in float64); `scheduled` joins the noise in the inputs."""
        sums: dict[str, Tensor] = {}
        for start in range(0, len(self.rows), self.batch_size):
            part = slice(start, start + self.batch_size)
            batch = self.rows[part]
            terms = self.terms(batch, {**scheduled, **{name: noise[part] for name, noise in self.noise.items()}})
            for name, term in terms.items():
                if term.dim() == 0 or term.shape[0] != batch.shape[0]:
                    raise ConfigError(
                        f"Validation term {name!r} has shape {tuple(term.shape)}; a term has one value (or one vector) "
                        f"per row, so its first axis must be {batch.shape[0]}."
                    )
                total = term.sum(0, dtype=torch.float64)
                sums[name] = sums[name] + total if name in sums else total
        return {name: (total / len(self.rows)).tolist() for name, total in sums.items()}
