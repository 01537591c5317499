"""An evaluation prints its numbers with their errors, units and what they are."""

from __future__ import annotations

from latentia.evaluation import EXACT, IMPORTANCE_WEIGHTED, Evaluation


def test_text_of_a_bound_and_of_an_exact_value() -> None:
    bound = Evaluation(
        "VAE",
        "binomial",
        180,
        IMPORTANCE_WEIGHTED,
        -138.444,
        4.5,
        num_parameters=7,
        num_samples=1000,
        bits_per_dim=3.1208,
        elbo=-142.1,
        elbo_standard_error=4.6,
        rate=10.25,
        distortion=131.85,
        kl_per_dimension=[10.0, 0.25],
        active_units=1,
        latent_dim=2,
    )
    assert str(bound).splitlines() == [
        "VAE (binomial likelihood) on 180 rows",
        "  log p(x)     -138.44 ± 4.50 nats: importance-weighted lower bound, K = 1,000",
        "  bits/dim     3.121",
        "  ELBO         -142.10 ± 4.60 nats",
        "  rate         10.25 nats, distortion 131.85 nats",
        "  active units 1 of 2",
    ]
    exact = Evaluation("PPCA", "gaussian_shared", 3, EXACT, -1.0, 0.1, num_parameters=7)
    assert str(exact).splitlines()[1:] == ["  log p(x)     -1.00 ± 0.10 nats: exact"]
