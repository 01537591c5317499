"""Exact means of per-row terms over an epoch, kept on the device and read back rarely."""

from __future__ import annotations

import torch
from torch import Tensor

from latentia.errors import ConfigError
from latentia.training.players import Terms

__all__ = ["WINDOW", "TermMeans"]

WINDOW = 32
"""Steps between two readings of the device."""


class TermMeans:
    """Sums in float64 of the terms of one player, step by step.

    The steps of a window are kept apart until `flush`, so that the terms of skipped steps can be left out without
    asking the device in each step. Windows end at fixed steps of the epoch, so the sums have one order whatever
    happens in between.

    Parameters
    ----------
    device
        Where the terms are.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bad = torch.zeros(WINDOW, dtype=torch.float32, device=device)  # the dtype that fused optimisers read
        self._flags = self.bad.unbind(0)
        self._window: dict[str, Tensor] = {}
        self._slots: dict[str, tuple[Tensor, ...]] = {}
        self._sums: dict[str, Tensor] = {}
        self._rows: list[int] = []
        self.count = 0

    def flag(self) -> Tensor:
        """Return where the coming step writes 1 if it was skipped, else 0 (float32, 0-dimensional)."""
        return self._flags[len(self._rows)]

    def add(self, terms: Terms, rows: int, first: bool = True) -> None:
        """Add the terms of a slice of the coming step's batch; `first` for the first slice."""
        slot = len(self._rows)
        if terms.keys() != self._slots.keys():
            self._open(terms)
        with torch.no_grad():
            for name, term in terms.items():
                if term.dim() == 0 or term.shape[0] != rows:
                    raise ConfigError(
                        f"Term {name!r} has shape {tuple(term.shape)}; a term has one value (or one vector) per row, "
                        f"so its first axis must be {rows}."
                    )
                place = self._slots[name][slot]
                if first:
                    torch.sum(term, 0, dtype=torch.float64, out=place)
                else:
                    place.add_(term.sum(0, dtype=torch.float64))

    def close(self, rows: int) -> None:
        """End the step: `rows` rows were in its batch."""
        self._rows.append(rows)

    def flush(self) -> list[bool]:
        """Add the window to the sums and return, for each of its steps, whether it was skipped."""
        steps = len(self._rows)
        if steps == 0:
            return []
        good = self.bad[:steps] == 0
        for name, window in self._window.items():
            kept = torch.where(good.view(-1, *[1] * (window.dim() - 1)), window[:steps], 0.0)
            self._sums[name] += kept.sum(0)
        skipped = [not value for value in good.tolist()]
        self.count += sum(rows for rows, bad in zip(self._rows, skipped, strict=True) if not bad)
        self._rows.clear()
        return skipped

    def means(self) -> dict[str, float | list[float]]:
        """Return the mean of each term over the rows of the epoch's steps that were not skipped."""
        count = self.count or torch.nan
        return {name: (total / count).tolist() for name, total in self._sums.items()}

    def reset(self) -> None:
        """Start an epoch."""
        for total in self._sums.values():
            total.zero_()
        self._rows.clear()
        self.count = 0

    def tensors(self) -> dict[str, Tensor]:
        """Return the state in the middle of an epoch; the rows of the window's steps are part of it."""
        steps = len(self._rows)
        state = {f"sum/{name}": total for name, total in self._sums.items()}
        state |= {f"window/{name}": window[:steps] for name, window in self._window.items()}
        state["bad"] = self.bad[:steps]
        state["rows"] = torch.tensor(self._rows, dtype=torch.int64)
        state["count"] = torch.tensor(self.count, dtype=torch.int64)
        return state

    def load_tensors(self, state: dict[str, Tensor]) -> None:
        """Take over what `tensors` returned."""
        self.reset()
        self._rows = [int(rows) for rows in state["rows"].tolist()]
        steps = len(self._rows)
        self.count = int(state["count"])
        self.bad[:steps] = state["bad"].to(self.device)
        for name in [key.removeprefix("sum/") for key in state if key.startswith("sum/")]:
            total = state[f"sum/{name}"].to(self.device)
            self._allocate(name, tuple(total.shape))
            self._sums[name].copy_(total)
            self._window[name][:steps] = state[f"window/{name}"].to(self.device)

    def _open(self, terms: Terms) -> None:
        if self._slots:
            raise ConfigError(
                f"The loss returned the terms {sorted(terms)} after {sorted(self._slots)} in earlier steps; "
                "return the same terms in every step."
            )
        for name, term in terms.items():
            self._allocate(name, tuple(term.shape[1:]))

    def _allocate(self, name: str, shape: tuple[int, ...]) -> None:
        self._sums[name] = torch.zeros(shape, dtype=torch.float64, device=self.device)
        self._window[name] = torch.zeros((WINDOW, *shape), dtype=torch.float64, device=self.device)
        self._slots[name] = self._window[name].unbind(0)
