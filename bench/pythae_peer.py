"""Pythae's side of the benchmarks; imported in its own environment only."""

from __future__ import annotations

import logging
import tempfile
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

from bench.twin import BATCH, LATENT, PIXELS, Autoencoder, Watch


class _Encoder(BaseEncoder):  # type: ignore[misc]  # no stubs
    def __init__(self, net: Autoencoder) -> None:
        BaseEncoder.__init__(self)
        self.first, self.mean, self.log_variance = net.first, net.mean, net.log_variance

    def forward(self, x: Tensor) -> Any:
        hidden = F.relu(self.first(x))
        return ModelOutput(embedding=self.mean(hidden), log_covariance=self.log_variance(hidden))


class _Decoder(BaseDecoder):  # type: ignore[misc]  # no stubs
    def __init__(self, net: Autoencoder) -> None:
        BaseDecoder.__init__(self)
        self.second, self.last = net.second, net.last

    def forward(self, z: Tensor) -> Any:
        return ModelOutput(reconstruction=torch.sigmoid(self.last(F.relu(self.second(z)))))


def model(net: Autoencoder) -> Any:
    """Return Pythae's VAE around the same networks."""
    config = VAEConfig(input_dim=(PIXELS,), latent_dim=LATENT, reconstruction_loss="bce")
    return VAE(config, _Encoder(net), _Decoder(net))


class _Watching(TrainingCallback):  # type: ignore[misc]  # no stubs
    def __init__(self, watch: Watch) -> None:
        self.watch, self.loss = watch, float("nan")

    def on_log(self, training_config: Any, logs: dict[str, float], **_: Any) -> None:
        self.loss = float(logs["train_epoch_loss"])
        self.watch(self.loss)


def train(rows: Tensor, epochs: int, watch: Watch) -> None:
    """Train with Pythae's trainer at its defaults, on the CPU."""
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=epochs,
            learning_rate=1e-3,
            per_device_train_batch_size=BATCH,
            no_cuda=True,
        )
        data = BaseDataset(rows.float(), torch.zeros(len(rows)))
        BaseTrainer(model(Autoencoder()), data, None, config, callbacks=[_Watching(watch)]).train()
