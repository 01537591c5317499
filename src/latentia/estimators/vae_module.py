"""The module of a variational autoencoder: its parts by name, and where their weights start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from latentia.errors import ConfigError
from latentia.estimators.base import Array
from latentia.estimators.latent_parts import FamilyChoice, PriorChoice
from latentia.estimators.likelihoods import LikelihoodChoice
from latentia.estimators.networks import build_networks, own_networks, widths_of
from latentia.estimators.preprocessing import column_moments
from latentia.models import VariationalAutoencoder
from latentia.networks import MLP
from latentia.parts import (
    Likelihood,
    LocationScaleLikelihood,
    MixedLikelihood,
    VampPrior,
    initial_pseudo_inputs,
)

if TYPE_CHECKING:
    from latentia.estimators.vae import VAE

T = TypeVar("T", float, npt.NDArray[np.float64])

__all__ = ["build_module", "check_encoder", "start_at_data"]


def build_module(vae: VAE, spec: Mapping[str, Any]) -> VariationalAutoencoder:
    """Return the module that the specification describes, with any weights.

    Parameters
    ----------
    vae
        With its preprocessing.
    spec
        Of ``VAE._spec``: likelihood, network, and prior and family where they are not the plain ones.
    """
    pre, latents = vae.preprocessing_, vae._latents
    likelihood = LikelihoodChoice.from_json(spec["likelihood"])
    family = (
        FamilyChoice.from_json(spec["variational_family"]) if "variational_family" in spec else FamilyChoice("diagonal")
    )
    prior = PriorChoice.from_json(spec["prior"]) if "prior" in spec else PriorChoice("standard")
    support = pre.model_support
    if spec["network"] == "own":
        networks = own_networks(vae.network, vae.event_shape_)
    else:
        networks = build_networks(
            spec["network"],
            event_shape=vae.event_shape_,
            support=support,
            latent_dim=latents,
            encoder_outputs=family.outputs(latents),
            decoder_outputs=likelihood.outputs(support, vae.event_shape_),
            hidden=widths_of(vae.hidden),
            activation=vae.activation,
            initialisation=vae.initialisation,
        )
    encoder = family.build(networks[0], latents)
    module = VariationalAutoencoder(
        prior=prior.build(latents, encoder, vae.event_shape_, support),
        encoder=encoder,
        decoder=likelihood.build(networks[1], vae.event_shape_, support),
    )
    return module.to(torch.float64 if vae.precision == "float64" else torch.float32)


def start_at_data(vae: VAE, rows: Array) -> None:
    """Start the decoder's output bias at the independent-pixel model of the rows, pseudo-inputs at draws from it.

    Parameters
    ----------
    vae
        With its module.
    rows
        Stored training rows, shape (N, *E). None of them enters the module: only means and variances do.
    """
    mean, variance = column_moments(rows.reshape(len(rows), -1))
    top = float((vae.support_.levels or 2) - 1)
    grey = top if vae.preprocessing_.binarize == "dynamic" else 1.0  # then the rows are still grey
    if vae.preprocessing_.binarize:
        mean, top = mean / grey, 1.0
    prior: Any = vae.module_.prior
    if isinstance(prior, VampPrior):
        moments = (torch.from_numpy(mean), torch.from_numpy(np.sqrt(variance) / grey))
        generator = torch.Generator().manual_seed(vae.seed_)
        drawn = initial_pseudo_inputs(*moments, len(prior.pseudo_inputs), prior.low, prior.high, generator)
        with torch.no_grad():
            prior.pseudo_inputs.copy_(drawn.view_as(prior.pseudo_inputs))
    likelihood: Any = vae.module_.decoder
    if vae._discrete_dims and vae.support_.columns is None:
        mean = _smoothed(mean, top, len(rows))
    for i, part in enumerate(vae.support_.columns or ()):
        if part.is_discrete:
            mean[i] = _smoothed(mean[i], float((part.levels or 2) - 1), len(rows))
    given = torch.from_numpy(mean), torch.from_numpy(variance)
    likelihood.start_at_moments(*given)
    if not isinstance(likelihood.network, MLP):
        return
    with torch.no_grad():
        likelihood.network.last_bias.copy_(likelihood.raw_from_moments(*given))
        if not (variance > 0).all():
            _hold_constants(likelihood, likelihood.network.last_weight, torch.from_numpy(variance == 0))


def _hold_constants(part: Likelihood, weight: Tensor, constant: Tensor) -> None:
    """Start at what is known of constant elements: no weights, no spread, and so no gradient that would move them."""
    if isinstance(part, MixedLikelihood):
        slices = weight.split([block.num_outputs for block, _ in part.blocks])
        for (block, at), own in zip(part.blocks, slices, strict=True):
            _hold_constants(block, own, constant[at])
    elif isinstance(part, LocationScaleLikelihood):
        weight.unflatten(0, (-1, len(constant)))[:, constant] = 0.0
        if part.scale == "per_output":
            part.log_scale.view(-1)[constant] = math.log(part.min_scale)


def _smoothed(mean: T, top: float, n: int) -> T:
    """Return the mean of n discrete values and one more of either end."""
    return (n * mean + top) / (n + 2.0)


@torch.no_grad()
def check_encoder(vae: VAE, row: Array) -> None:
    """Refuse an encoder of the user's own whose output has another length than the posterior needs.

    Parameters
    ----------
    vae
        With its module.
    row
        One stored row, shape (1, *E).
    """
    encoder: Any = vae.module_.eval().encoder
    out = encoder.network(torch.from_numpy(row).to(vae.device_, vae._dtype))
    wanted = FamilyChoice.resolve(vae.variational_family).outputs(vae._latents)
    if tuple(out.shape) != (1, wanted):
        what = "a mean and a log-scale" if wanted == 2 * vae._latents else "all that its posterior takes"
        raise ConfigError(
            f"the encoder's network must map (n, {', '.join(map(str, vae.event_shape_))}) to "
            f"(n, {wanted}), {what} for each of the {vae._latents} latent "
            f"dimensions, but it maps one row to shape {tuple(out.shape)}"
        )
