r"""The variational autoencoder's story.

.. math:: z \sim p(z), \qquad x \sim p_\theta(x \mid z), \qquad q_\phi(z \mid x) \approx p_\theta(z \mid x)

| variable | meaning | name in the code |
| --- | --- | --- |
| z | latent vector, L numbers | ``z`` |
| p(z) | prior | ``prior()`` |
| p(x given z) | likelihood | ``decoder(z)`` |
| q(z given x) | approximate posterior | ``encoder(x)`` |

Kingma and Welling 2014; Rezende, Mohamed and Wierstra 2014.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentia.errors import ConfigError


class VariationalAutoencoder(nn.Module):
    """A prior, a likelihood and an approximate posterior; how they are joined is the objective's business.

    Parameters
    ----------
    prior
        Part without context: p(z), event shape (L,).
    encoder
        Part of x: q(z | x), event shape (L,).
    decoder
        Part of z: p(x | z), event shape E.

    Raises
    ------
    ConfigError
        If prior and encoder know their latent dimensions and differ in them.

    Examples
    --------
    >>> from latentia.networks import MLP
    >>> from latentia.parts import BernoulliLikelihood, DiagonalGaussian, StandardNormal
    >>> model = VariationalAutoencoder(
    ...     prior=StandardNormal(2),
    ...     encoder=DiagonalGaussian(MLP((8, 8), [32], 4)),
    ...     decoder=BernoulliLikelihood(MLP(2, [32], 64), event_shape=(8, 8)),
    ... )
    >>> model.sample(3).shape
    torch.Size([3, 8, 8])
    """

    prior: nn.Module
    encoder: nn.Module
    decoder: nn.Module

    def __init__(self, *, prior: nn.Module, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        # Parts that know their dimension must agree: broadcasting would let one of 1 pass for any other.
        dims = {name: getattr(part, "latent_dim", None) for name, part in (("prior", prior), ("encoder", encoder))}
        if None not in dims.values() and dims["prior"] != dims["encoder"]:
            raise ConfigError(
                f"the prior has {dims['prior']} latent dimensions and the encoder {dims['encoder']}: give both the same"
            )
        self.prior = prior
        self.encoder = encoder
        self.decoder = decoder

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n items from p(x) = ∫ p(x | z) p(z) dz, shape (n, *E)."""
        z = self.prior().sample((n,), generator=generator)
        drawn: Tensor = self.decoder(z).sample(generator=generator)
        return drawn
