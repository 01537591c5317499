"""The variational autoencoder behind scikit-learn's verbs."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from latentia.data import split_rows
from latentia.errors import ConfigError, warn
from latentia.estimators.attempts import Resumed, fit_within_memory, read_resumed
from latentia.estimators.base import Array, LatentEstimator
from latentia.estimators.choices import Named
from latentia.estimators.devices import resolve_device
from latentia.estimators.diagnosis import Diagnosis, diagnose, posterior_health
from latentia.estimators.latent_parts import FamilyChoice, PriorChoice
from latentia.estimators.likelihoods import LikelihoodChoice
from latentia.estimators.limits import Choice, Flag, Limit, Number, Whole
from latentia.estimators.networks import NETWORKS, building, choose_network, described_networks
from latentia.estimators.objectives import ObjectiveChoice
from latentia.estimators.preprocessing import Preprocessing, warn_of_constants
from latentia.estimators.vae_module import build_module, check_encoder, start_at_data
from latentia.estimators.vae_run import RunMode, Schedule, train_vae
from latentia.evaluation import Evaluation, RowEstimates, RowNoise, estimate_log_prob, sampled_evaluation
from latentia.models import VariationalAutoencoder
from latentia.networks import ACTIVATIONS
from latentia.training import Callback, TrainingResult

__all__ = ["VAE"]

_log = logging.getLogger("latentia")

_MIN_ROWS_TO_SPLIT = 10
# Before that many steps an unused latent space is no sign of anything.
_STEPS_TO_JUDGE = 1000


class VAE(LatentEstimator):
    r"""Variational autoencoder: z ~ p(z), x ~ p(x | z), fitted by the evidence lower bound or a relative of it.

    .. math:: \log p(x) \ge E_{q(z|x)}[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \,\|\, p(z))

    Kingma and Welling 2014; Rezende, Mohamed and Wierstra 2014. Shapes: n rows, E the shape of one item, L latent
    dimensions; all log-probabilities in nats, summed over the item.

    Parameters
    ----------
    latent_dim
        Number of latent dimensions L, from 1.
    network
        "auto" (fully connected; convolutional for colour and for images above 32 × 32), "linear", "mlp", "conv", or a
        pair of modules: the encoder's from (n, *E) to (n, 2 L), the decoder's from (n, L) to (n, k·D).
    hidden
        Widths of the encoder's hidden layers; the decoder mirrors them. For "mlp".
    activation
        Non-linearity: "relu", "tanh", "softplus", "elu", "gelu", "silu", or "gated" (each unit times a gate; fully
        connected networks only).
    initialisation
        Initial weights of "mlp" and "linear": "torch" or "xavier" (Glorot-uniform, zero biases).
    likelihood
        "auto" (by the data's support), "bernoulli", "bernoulli_local" (images), "binomial", "categorical",
        "discretized_logistic", "discretized_logistic_mixture", "negative_binomial", "gaussian", "gaussian_shared",
        "gaussian_network", "gaussian_fixed", "gaussian_full", "gaussian_low_rank", "laplace", "student_t",
        "continuous_bernoulli", "log_normal", "mixed" (tables), a name with options such as
        "gaussian_low_rank:rank=10", or what ``latentia.likelihood`` returns.
    support
        What values the data can take, such as "levels:256", "count" or "real", for a table with columns of different
        kinds "columns:real*2;categories:3;count"; None to tell from the data set or the array.
    binarize
        None; "dynamic" (grey values are probabilities, drawn anew each step), "static" (drawn once) or "threshold".
    prior
        "standard" (N(0, I)), "learned" (a diagonal Gaussian), "mixture" (of Gaussians), "vamp" (Tomczak and Welling
        2018), "flow", a name with options such as "vamp:components=100", or what ``latentia.prior`` returns.
    variational_family
        Of the approximate posterior q(z | x): "diagonal" (Gaussian), "full" (Gaussian with every covariance),
        "mixture", "flow", a name with options such as "mixture:components=3", or what ``latentia.variational_family``
        returns.
    objective
        "elbo", "iwae" (the importance-weighted bound with ``num_samples`` samples), "iwae_dreg", "miwae", "ciwae",
        "piwae", "score_function", "beta_tc", "mmd", a name with options such as "elbo:free_bits=0.1", or what
        ``latentia.objective`` returns.
    num_samples
        Samples of z for each row and step (of each of the sets, where the objective has several).
    beta
        Weight of the divergence while training (Higgins et al. 2017); reported values never use it.
    kl_warmup_epochs
        Epochs over which that weight grows from 0.
    kl_annealing
        "linear" (it grows once) or "cyclic" (again and again, in the first half of cycles of twice as many epochs: Fu
        et al. 2019).
    max_epochs
        Passes over the training rows, at most.
    batch_size
        Rows per step.
    learning_rate
        Of the optimiser.
    learning_rate_schedule
        "constant", "cosine" (to 0 at ``max_epochs``), "exponential" (to a twentieth), "stages" (3^i epochs at a factor
        of 10^(−i/7), i = 0, 1, …: Burda et al. 2016), or a function of the epoch that returns a factor.
    optimizer
        "adam" or "adagrad".
    epsilon
        Small number in the optimiser's denominator; None for its own default.
    patience
        Epochs without a better validation bound after which training stops; None never stops.
    clip_norm
        Largest norm of the gradient; None does not clip.
    ema_decay
        Decay of a moving average of the weights, which is then used everywhere; None for none.
    precision
        "float32", "bfloat16" (matrix products only) or "float64".
    compile
        Whether to compile the training step; needs a C++ compiler.
    validation_fraction
        Share of the training rows held out where no validation rows are given; 0 for none.
    num_importance_samples
        Samples K behind each log p(x) of ``score_samples`` and ``evaluate``.
    run_dir
        Folder for checkpoints and metrics; None for none.
    run_mode
        "new" (refuse a folder that is not empty), "resume" (go on where the run stopped), "overwrite", or
        "resume-force" (resume although versions, device or threads have changed, and numbers with them).
    callbacks
        Functions called after every epoch; one that returns True stops the training.
    device
        "auto" (a GPU if there is one), "cpu", "cuda", …
    num_threads
        CPU threads; None for one thread where ``random_state`` is given, and otherwise what is measured to be faster.
    random_state
        Seed of the initial weights, the order of the rows and all noise.
    verbose
        0 is silent; 1 shows a progress bar on a terminal.

    Examples
    --------
    >>> import latentia as lt
    >>> digits = lt.data.load("digits")
    >>> vae = lt.VAE(latent_dim=2, max_epochs=2, random_state=0).fit(digits.train)
    >>> vae.transform(digits.test.x).shape
    (180, 2)
    """

    module_: VariationalAutoencoder
    _citations: ClassVar[tuple[str, ...]] = ("kingma2014", "rezende2014", "burda2016")
    _limits: ClassVar[Mapping[str, Limit]] = {
        "latent_dim": Whole(1, 100_000),
        "network": Choice(NETWORKS, or_object="a pair of modules"),
        "activation": Choice(tuple(ACTIVATIONS)),
        "initialisation": Choice(("torch", "xavier")),
        "likelihood": Named(LikelihoodChoice),
        "binarize": Choice(("static", "dynamic", "threshold"), optional=True),
        "prior": Named(PriorChoice),
        "variational_family": Named(FamilyChoice),
        "objective": Named(ObjectiveChoice),
        "num_samples": Whole(1, 100_000),
        "beta": Number(0.0, math.inf),
        "kl_warmup_epochs": Whole(0, 1_000_000),
        "kl_annealing": Choice(("linear", "cyclic")),
        "max_epochs": Whole(1, 10_000_000),
        "batch_size": Whole(1, 10_000_000),
        "learning_rate": Number(0.0, math.inf, open_low=True),
        "learning_rate_schedule": Choice(
            ("constant", "cosine", "exponential", "stages"), or_object="a function of the epoch", test=callable
        ),
        "optimizer": Choice(("adam", "adagrad")),
        "epsilon": Number(0.0, 1.0, optional=True, open_low=True),
        "patience": Whole(1, 10_000_000, optional=True),
        "clip_norm": Number(0.0, math.inf, optional=True, open_low=True),
        "ema_decay": Number(0.0, 1.0, optional=True, open_low=True),
        "precision": Choice(("float32", "bfloat16", "float64")),
        "compile": Flag(),
        "validation_fraction": Number(0.0, 0.9),
        "num_importance_samples": Whole(1, 10_000_000),
        "run_mode": Choice(("new", "resume", "overwrite", "resume-force")),
        "num_threads": Whole(1, 4096, optional=True),
        "verbose": Whole(0, 10),
    }

    def __init__(
        self,
        *,
        latent_dim: int = 10,
        network: str | tuple[nn.Module, nn.Module] = "auto",
        hidden: Sequence[int] = (400,),
        activation: str = "relu",
        initialisation: str = "torch",
        likelihood: str | LikelihoodChoice = "auto",
        support: str | None = None,
        binarize: str | None = None,
        prior: str | PriorChoice = "standard",
        variational_family: str | FamilyChoice = "diagonal",
        objective: str | ObjectiveChoice = "elbo",
        num_samples: int = 1,
        beta: float = 1.0,
        kl_warmup_epochs: int = 0,
        kl_annealing: str = "linear",
        max_epochs: int = 100,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        learning_rate_schedule: str | Schedule = "constant",
        optimizer: str = "adam",
        epsilon: float | None = None,
        patience: int | None = None,
        clip_norm: float | None = None,
        ema_decay: float | None = None,
        precision: str = "float32",
        compile: bool = False,  # noqa: A002 - torch's word for it
        validation_fraction: float = 0.1,
        num_importance_samples: int = 128,
        run_dir: str | Path | None = None,
        run_mode: RunMode = "new",
        callbacks: Sequence[Callback] = (),
        device: str = "auto",
        num_threads: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.latent_dim = latent_dim
        self.network = network
        self.hidden = hidden
        self.activation = activation
        self.initialisation = initialisation
        self.likelihood = likelihood
        self.support = support
        self.binarize = binarize
        self.prior = prior
        self.variational_family = variational_family
        self.objective = objective
        self.num_samples = num_samples
        self.beta = beta
        self.kl_warmup_epochs = kl_warmup_epochs
        self.kl_annealing = kl_annealing
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.optimizer = optimizer
        self.epsilon = epsilon
        self.patience = patience
        self.clip_norm = clip_norm
        self.ema_decay = ema_decay
        self.precision = precision
        self.compile = compile
        self.validation_fraction = validation_fraction
        self.num_importance_samples = num_importance_samples
        self.run_dir = run_dir
        self.run_mode = run_mode
        self.callbacks = callbacks
        self.device = device
        self.num_threads = num_threads
        self.random_state = random_state
        self.verbose = verbose

    def _fit_rows(self, rows: Array, valid: Array | None) -> None:
        dtype = "float64" if self.precision == "float64" else "float32"
        weighs = self.beta != 1.0 or self.kl_warmup_epochs > 0
        objective = ObjectiveChoice.resolve(self.objective)
        objective.check(num_samples=int(self.num_samples), weighs_divergence=weighs)
        self._resolve_likelihood(rows)
        if valid is None and self.validation_fraction > 0 and len(rows) >= _MIN_ROWS_TO_SPLIT:
            kept, held = split_rows(len(rows), self.seed_, 1.0 - self.validation_fraction)
            rows, valid = rows[kept], rows[held]
            self.info_["n_train"] = len(kept)
        objective.check_batches(len(rows), int(self.batch_size))
        if self.patience is not None and (valid is None or len(valid) == 0):
            raise ConfigError("patience needs validation rows: pass X_valid or a validation_fraction above 0")
        binarize, names = self._binarizing(), self._names()
        units = self.likelihood_.units(self.support_)
        pre = Preprocessing.fit(rows, self.support_, self.event_shape_, binarize, self.seed_, dtype, names, units)
        self.preprocessing_ = pre
        self.network_name_ = choose_network(self.network, self.event_shape_) if isinstance(self.network, str) else "own"
        self.device_ = resolve_device(self.device)
        chosen = (pre.model_support, self.likelihood_.name, self.network_name_, self.device_)
        _log.info("support: %s; likelihood: %s; network: %s; device: %s", *chosen)
        rows, valid = pre.store(rows, training=True), None if valid is None else pre.store(valid)
        if self.likelihood_.floor is not None:
            warn_of_constants(pre, rows, self.likelihood_.floor, names)
        self.num_threads_, self.interrupted_ = self.num_threads or 1, None
        resumed = self._resumed()

        def attempt(micro_batch_size: int | None) -> TrainingResult:
            # A second attempt, after memory ran out, begins anew in the folder that the first one has made.
            mode = "overwrite" if micro_batch_size and resumed is None else self.run_mode
            return self._train(rows, valid, micro_batch_size, mode)

        result = fit_within_memory(
            attempt,
            min(int(self.batch_size), len(rows)),
            micro_batch_size=None if resumed is None else resumed.micro_batch_size,
            # With other steps it would not be the run that was begun, nor the objective that compares a batch's rows.
            retry=resumed is None and not objective.whole_batches,
        )
        self.history_ = [dict(row) for row in result.history]
        self.n_iter_, self.best_epoch_, self.skipped_steps_ = result.epochs, result.best_epoch, result.skipped_steps
        self.num_threads_ = result.num_threads
        self.interrupted_ = result.interrupted
        if result.steps >= _STEPS_TO_JUDGE and (trouble := posterior_health(self, rows).warning) is not None:
            warn(trouble)
        if result.interrupted is not None and self.run_dir is not None:
            raise result.interrupted

    def _new_seed(self) -> int:
        resumed = self._resumed()
        return super()._new_seed() if self.random_state is not None or resumed is None else resumed.seed

    def _resumed(self) -> Resumed | None:
        """Return what a resumed run takes over from its checkpoint beside the weights."""
        resumes = self.run_mode in ("resume", "resume-force")
        return read_resumed(self.run_dir) if self.run_dir is not None and resumes else None

    def _spec(self) -> dict[str, Any]:
        prior, family = PriorChoice.resolve(self.prior), FamilyChoice.resolve(self.variational_family)
        return {
            "likelihood": self.likelihood_.to_json(),
            # The plain ones go without saying: the first release had no others.
            **({} if prior == PriorChoice("standard") else {"prior": prior.to_json()}),
            **({} if family == FamilyChoice("diagonal") else {"variational_family": family.to_json()}),
            "network": self.network_name_,
            **({"networks": described_networks(self.network)} if self.network_name_ == "own" else {}),
        }

    def _build(self, spec: Mapping[str, Any]) -> VariationalAutoencoder:
        return build_module(self, spec)

    def _train(
        self, rows: Array, valid: Array | None, micro_batch_size: int | None, run_mode: RunMode
    ) -> TrainingResult:
        with building(self.seed_):
            self.module_ = self._build(self._spec())
        start_at_data(self, rows)
        self.module_.to(self.device_)
        if self.network_name_ == "own":
            check_encoder(self, rows[:1])
        self.history_: list[dict[str, Any]] = []
        self.best_epoch_, self.skipped_steps_ = None, 0
        try:
            return train_vae(self, rows, valid, micro_batch_size=micro_batch_size, run_mode=run_mode)
        finally:  # also after divergence, when the module has its last good weights
            self.module_.eval()
            self.n_iter_ = len(self.history_)

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q = self.module_.encoder(x)
        return q.mean, q.stddev

    def _decode(self, z: Tensor) -> Tensor:
        return self.preprocessing_.expectation(self.module_.decoder(z))

    def _sample_rows(self, n: int, generator: torch.Generator) -> Tensor:
        z = self.module_.prior().sample((n,), generator=generator)
        drawn: Tensor = self.module_.decoder(z).sample(generator=generator)
        return drawn

    def diagnose(
        self,
        X: Any,
        *,
        num_samples: int = 1000,
        num_chains: int = 8,
        num_temperatures: int = 200,
        num_leapfrog_steps: int = 10,
        progress: Callable[[str], None] | None = None,
    ) -> Diagnosis:
        """Put every ruler to the same rows: what the bound lacks, which part loses it, and how sure log p(x) is.

        Parameters
        ----------
        X
            Rows in any of the forms that ``fit`` takes; a hundred tell much, and the cost grows with them.
        num_samples
            Importance samples, and draws from the prior, a row.
        num_chains, num_temperatures, num_leapfrog_steps
            Of annealed importance sampling; more temperatures are tighter.
        progress
            Called with the name of each ruler before its turn.
        """
        rows = self._rows(X)
        return diagnose(
            self,
            rows,
            num_samples=num_samples,
            num_chains=num_chains,
            num_temperatures=num_temperatures,
            num_leapfrog_steps=num_leapfrog_steps,
            progress=progress,
        )

    def _evaluate_rows(
        self, rows: Array, num_samples: int | None, precision: str, progress: Callable[[int], None] | None
    ) -> Evaluation:
        k = int(num_samples or self.num_importance_samples)
        parts, size = [], self._rows_per_block
        for start in range(0, len(rows), size):
            done = None if progress is None else (lambda i, start=start: progress(start + i))
            parts.append(self._estimate(rows[start : start + size], k, precision, done))
        joined = (np.concatenate([getattr(part, f.name) for part in parts]) for f in dataclasses.fields(RowEstimates))
        return sampled_evaluation(
            type(self).__name__,
            self.likelihood_name_,
            RowEstimates(*joined),
            num_samples=k,
            num_parameters=self.num_parameters_,
            discrete_dims=self._discrete_dims,
            log_jacobian=self.preprocessing_.log_jacobian(rows),
            precision=precision if self._dtype == torch.float32 else "float64",
        )

    def _estimate(self, rows: Array, k: int, precision: str, progress: Callable[[int], None] | None) -> RowEstimates:
        stored = self.preprocessing_.store(rows)
        noise = RowNoise(stored, self.seed_, "evaluate")
        return estimate_log_prob(
            self.module_,
            torch.from_numpy(stored).to(self.device_).to(self._dtype),
            num_samples=k,
            noise=lambda i: noise.normal(i, (k, self._noise_size), self._dtype),
            bfloat16=precision == "bfloat16",
            progress=progress,
        )

    @property
    def _noise_size(self) -> int:
        """Standard normals behind one sample of q(z | x)."""
        encoder: Any = self.module_.encoder
        return self._latents + int(encoder.extra_noise)

    @property
    def _rows_per_call(self) -> int:
        return 96 if self.network_name_ in ("conv", "own") else 768
