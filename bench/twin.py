"""The minimal hand-tuned twin and the classic loop: what torch does when nothing stands between it and the data.

784-400-(20, 20)-400-784, ReLU, Bernoulli. The twin's step is one gather, logits, closed-form KL and fused Adam.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own idiom
from torch.utils.data import DataLoader, TensorDataset

LATENT, HIDDEN, PIXELS = 20, 400, 784
BATCH = 128

Watch = Callable[[float], None]
"""Called after every epoch with the mean loss of its last steps."""


class Autoencoder(nn.Module):
    """Encoder with two heads, decoder to logits."""

    def __init__(self, linear: type[nn.Linear] = nn.Linear) -> None:
        super().__init__()
        self.first = linear(PIXELS, HIDDEN)
        self.mean = linear(HIDDEN, LATENT)
        self.log_variance = linear(HIDDEN, LATENT)
        self.second = linear(LATENT, HIDDEN)
        self.last = linear(HIDDEN, PIXELS)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance."""
        hidden = F.relu(self.first(x))
        return self.mean(hidden), self.log_variance(hidden)

    def decode(self, z: Tensor) -> Tensor:
        """Return logits."""
        out: Tensor = self.last(F.relu(self.second(z)))
        return out


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(q‖N(0, I)) of every row."""
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(-1)


def batches(n: int) -> Iterator[Tensor]:
    """Yield the rows of the full batches of an epoch."""
    order = torch.randperm(n)
    for start in range(0, n - BATCH + 1, BATCH):
        yield order[start : start + BATCH]


def train_twin(
    rows: Tensor, epochs: int, watch: Watch, *, bfloat16: bool, dynamic: bool, linear: type[nn.Linear] = nn.Linear
) -> None:
    """Train on rows (N, 784) of ``uint8``: zeros and ones, or grey values that are binarised anew in each step."""
    model = Autoencoder(linear)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    precision = torch.autocast("cpu", torch.bfloat16) if bfloat16 else contextlib.nullcontext()
    loss = torch.zeros(())
    for _ in range(epochs):
        for index in batches(len(rows)):
            x = rows.index_select(0, index).float()
            if dynamic:
                x = (torch.rand(x.shape) < x / 255.0).float()
            with precision:
                mean, log_variance = (part.float() for part in model.encode(x))
                z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape)
                logits = model.decode(z).float()
            reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
            loss = (reconstruction + kl(mean, log_variance)).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        watch(float(loss.detach()))


def train_classic(rows: Tensor, epochs: int, watch: Watch) -> None:
    """Train as the classic example does: a loader over a TensorDataset, probabilities, default Adam, loss.item()."""
    model = Autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(rows.float()), batch_size=BATCH, shuffle=True)
    for _ in range(epochs):
        total = 0.0
        for (x,) in loader:
            optimizer.zero_grad()
            mean, log_variance = model.encode(x)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            probability = torch.sigmoid(model.decode(z))
            reconstruction = F.binary_cross_entropy(probability, x, reduction="sum")
            divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            loss = (reconstruction + divergence) / len(x)
            loss.backward()
            total += loss.item()
            optimizer.step()
        watch(total / len(loader))


def matmul_seconds(product: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype, repeats: int = 150) -> float:
    """Return the CPU-seconds of a step's matrix products alone: those forward and both gradients of each layer."""
    shapes = [(PIXELS, HIDDEN), (HIDDEN, 2 * LATENT), (LATENT, HIDDEN), (HIDDEN, PIXELS)]
    layers = [
        (torch.randn(BATCH, a).to(dtype), torch.randn(b, a).to(dtype), torch.randn(BATCH, b).to(dtype))
        for a, b in shapes
    ]

    def step() -> None:
        for i, (x, weight, gradient) in enumerate(layers):
            product(x, weight)  # x Wᵀ
            product(gradient.t(), x.t())  # the weights' gradient; product(a, b) is a bᵀ
            if i > 0:
                product(gradient, weight.t())  # the input's gradient

    with torch.inference_mode():
        for _ in range(20):
            step()
        begun = time.process_time()
        for _ in range(repeats):
            step()
    return (time.process_time() - begun) / repeats
