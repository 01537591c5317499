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
    """Sums in float64 of the terms of one player, over the rows of an epoch.

    The terms of a window of steps are kept as they come and summed in `flush`, so that a step costs next to nothing and
    the terms of skipped steps can be left out without asking the device in each step. Windows end at fixed steps of the
    epoch, so the sums have one order whatever happens in between.

    Parameters
    ----------
    device
        Where the terms are.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bad = torch.zeros(WINDOW, dtype=torch.float32, device=device)  # the dtype that fused optimisers read
        self._flags = self.bad.unbind(0)
        self._kept: dict[str, list[Tensor]] = {}  # per term, one tensor per slice of a batch
        self._slices: list[tuple[int, int]] = []  # of each slice: its step in the window, its rows
        self._steps = 0
        self._sums: dict[str, Tensor] = {}
        self.count = 0

    def flag(self) -> Tensor:
        """Return where the coming step writes 1 if it is skipped (float32, 0-dimensional); it holds 0."""
        return self._flags[self._steps]

    def add(self, terms: Terms, rows: int) -> None:
        """Add the terms of a slice of the coming step's batch."""
        if terms.keys() != self._sums.keys():
            self._open(terms)
        for name, term in terms.items():
            if term.dim() == 0 or term.shape[0] != rows:
                raise ConfigError(
                    f"Term {name!r} has shape {tuple(term.shape)}; a term has one value (or one vector) per row, "
                    f"so its first axis must be {rows}."
                )
            self._kept[name].append(term.detach())
        self._slices.append((self._steps, rows))

    def close(self) -> None:
        """End the step."""
        self._steps += 1

    def flush(self) -> list[bool]:
        """Add the window to the sums and return, for each of its steps, whether it was skipped."""
        if self._steps == 0:
            return []
        skipped = [flag != 0 for flag in self.bad[: self._steps].tolist()]
        for name, kept in self._kept.items():
            used = [part for part, (step, _) in zip(kept, self._slices, strict=True) if not skipped[step]]
            if used:
                self._sums[name] += torch.cat(used).sum(0, dtype=torch.float64)
        self.count += sum(rows for step, rows in self._slices if not skipped[step])
        self._clear()
        return skipped

    def means(self) -> dict[str, float | list[float]]:
        """Return the mean of each term over the rows of the epoch's steps that were not skipped."""
        count = self.count or torch.nan
        return {name: (total / count).tolist() for name, total in self._sums.items()}

    def reset(self) -> None:
        """Start an epoch."""
        for total in self._sums.values():
            total.zero_()
        self._clear()
        self.count = 0

    def tensors(self) -> dict[str, Tensor]:
        """Return the state in the middle of an epoch, the terms of the window's steps included."""
        state = {f"sum/{name}": total for name, total in self._sums.items()}
        state |= {f"window/{name}": torch.cat(kept) for name, kept in self._kept.items() if kept}
        state["bad"] = self.bad[: self._steps]
        state["slices"] = torch.tensor(self._slices, dtype=torch.int64).reshape(-1, 2)
        state["count"] = torch.tensor(self.count, dtype=torch.int64)
        return state

    def load_tensors(self, state: dict[str, Tensor]) -> None:
        """Take over what `tensors` returned."""
        self._sums = {
            name.removeprefix("sum/"): total.to(self.device) for name, total in state.items() if name.startswith("sum/")
        }
        self._clear()
        self._slices = [(step, rows) for step, rows in state["slices"].tolist()]
        self._steps = len(state["bad"])
        self.bad[: self._steps] = state["bad"].to(self.device)
        self.count = int(state["count"])
        sizes = [rows for _, rows in self._slices]
        for name in self._sums if self._slices else []:
            self._kept[name] = list(state[f"window/{name}"].to(self.device).split(sizes))

    def _open(self, terms: Terms) -> None:
        if self._sums:
            raise ConfigError(
                f"The loss returned the terms {sorted(terms)} after {sorted(self._sums)} in earlier steps; "
                "return the same terms in every step."
            )
        for name, term in terms.items():
            self._sums[name] = torch.zeros(term.shape[1:], dtype=torch.float64, device=self.device)
            self._kept[name] = []

    def _clear(self) -> None:
        self._kept = {name: [] for name in self._sums}
        self._slices = []
        self._steps = 0
        self.bad.zero_()
