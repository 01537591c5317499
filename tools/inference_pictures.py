"""Draw the pictures of docs/inference.md from models that this script fits: ``python tools/inference_pictures.py``.

Takes some minutes on one thread. Everything is seeded, so that the pictures change only where the numbers do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import latentia as lt
from latentia.estimators.gradients import gradients
from latentia.evaluation.bandit import learn_bandit
from latentia.report import diagnosis as shown
from latentia.report import plots
from latentia.report.style import LIGHT, class_colour, dress, figure_of, new_axes, panels, show_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGES = Path(__file__).parents[1] / "docs" / "images"
ARMS = torch.tensor([1.0, 1.2, 1.5, 2.0], dtype=torch.float64)
RUNS = 20


def save(ax: Axes, name: str) -> None:
    """Write a figure at twice the page's resolution."""
    figure_of(ax).savefig(IMAGES / f"{name}.png", dpi=144, facecolor=LIGHT["paper"], bbox_inches="tight")


def draw_bandit() -> None:
    """Draw the expected reward of policies that learn by their score function, with and without baselines."""
    ax = new_axes(560, 300)
    dress(ax, x="step", y="expected reward", frame="left bottom", grid="y")
    settings: dict[str, dict[str, Any]] = {
        "no baseline, 2 pulls a step": {"num_samples": 2, "baseline": "none"},
        "leave one out, 2 pulls": {"num_samples": 2, "baseline": "leave_one_out"},
        "leave one out, 16 pulls": {"num_samples": 16, "baseline": "leave_one_out"},
    }
    for colour, (label, options) in zip(("data", "model", "best"), settings.items(), strict=True):
        values = np.stack(
            [
                learn_bandit(ARMS, steps=300, generator=torch.Generator().manual_seed(seed), **options).values
                for seed in range(RUNS)
            ]
        )
        ax.plot(values.mean(0), color=LIGHT[colour], label=label)
        low, high = np.quantile(values, (0.1, 0.9), axis=0)
        ax.fill_between(np.arange(values.shape[1]), low, high, color=LIGHT[colour], alpha=0.15, linewidth=0)
    ax.axhline(float(ARMS.max()), color=LIGHT["ink"], linewidth=0.8, linestyle=(0, (4, 3)))
    ax.annotate("the best arm", (300, float(ARMS.max())), ha="right", va="bottom")
    show_legend(ax)
    save(ax, "bandit")


def draw_priors(digits: Any) -> None:
    """Draw what the encoder makes of the digits in two dimensions, and the density that each prior lays over it."""
    choices = {
        "standard normal": "standard",
        "mixture of 10 Gaussians": "mixture",
        "VampPrior of 50": "vamp:components=50",
    }
    ax = new_axes(900, 330)
    for panel, (title, prior) in zip(panels(ax, 3, 3), choices.items(), strict=True):
        model = fitted(digits, latent_dim=2, prior=prior, max_epochs=300)
        z, y = model.transform(digits.test.x), digits.test.y
        evaluation = model.evaluate(digits.test, num_samples=500)
        reach = 1.1 * np.abs(z).max()
        grid = np.linspace(-reach, reach, 120)
        points = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
        with torch.no_grad():
            density = model.module_.prior().log_prob(torch.from_numpy(points).float()).numpy().reshape(120, 120)
        levels = np.linspace(-6.0, 0.0, 13)  # nats below the peak
        panel.contourf(grid, grid, density - density.max(), levels=levels, cmap="Greys", alpha=0.7)
        for label in range(10):
            panel.plot(*z[y == label].T, linestyle="none", marker="o", markersize=2.5, color=class_colour(label))
        dress(panel, title=f"{title}: {evaluation.log_prob:.1f} nats", frame="")
        panel.set_aspect("equal")
    save(ax, "priors")


def fitted(digits: Any, **arguments: Any) -> lt.VAE:
    """Fit a VAE to the digits."""
    settings: dict[str, Any] = {"likelihood": "discretized_logistic", "random_state": 0, "patience": 40}
    return lt.VAE(**{**settings, **arguments}).fit(digits.train)


def main() -> None:
    """Draw all pictures."""
    IMAGES.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    digits = lt.data.load("digits")
    draw_bandit()
    draw_priors(digits)
    model = fitted(digits, latent_dim=8, max_epochs=200)
    rows = digits.test.x[:100]
    found = model.diagnose(rows, num_samples=1000, num_chains=16, num_temperatures=300)
    document = shown.document(found, model.evaluate(rows, num_samples=1000), "100 digits")
    save(plots.bound_ladder(shown.read(document)), "ladder")
    save(plots.gradient_curves(gradients(model, rows[:32])), "gradients")


if __name__ == "__main__":
    main()
