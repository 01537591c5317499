"""Whom to cite: the papers behind the methods, as data, and one function that collects those a model uses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from latentia.errors import ConfigError

__all__ = ["BIBTEX", "cite"]


def _entry(kind: str, key: str, **fields: str | int) -> tuple[str, str]:
    lines = (f"  {name} = {{{value}}}" for name, value in fields.items())
    return key, f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}"


BIBTEX: Mapping[str, str] = MappingProxyType(
    dict(
        [
            _entry(
                "article",
                "bailey1994",
                author="Bailey, Ralph W.",
                title="Polar Generation of Random Variates with the t-Distribution",
                journal="Mathematics of Computation",
                volume=62,
                number=206,
                pages="779--781",
                year=1994,
            ),
            _entry(
                "inproceedings",
                "bowman2016",
                author="Bowman, Samuel R. and Vilnis, Luke and Vinyals, Oriol and Dai, Andrew M. and "
                "J{\\'o}zefowicz, Rafal and Bengio, Samy",
                title="Generating Sentences from a Continuous Space",
                booktitle="Conference on Computational Natural Language Learning (CoNLL)",
                pages="10--21",
                year=2016,
                doi="10.18653/v1/K16-1002",
            ),
            _entry(
                "inproceedings",
                "burda2016",
                author="Burda, Yuri and Grosse, Roger and Salakhutdinov, Ruslan",
                title="Importance Weighted Autoencoders",
                booktitle="International Conference on Learning Representations (ICLR)",
                year=2016,
                eprint="1509.00519",
                archiveprefix="arXiv",
            ),
            _entry(
                "article",
                "burgess2018",
                author="Burgess, Christopher P. and Higgins, Irina and Pal, Arka and Matthey, Loic and Watters, "
                "Nick and Desjardins, Guillaume and Lerchner, Alexander",
                title="Understanding Disentangling in beta-{VAE}",
                journal="arXiv preprint arXiv:1804.03599",
                year=2018,
                eprint="1804.03599",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "chen2018",
                author="Chen, Ricky T. Q. and Li, Xuechen and Grosse, Roger and Duvenaud, David",
                title="Isolating Sources of Disentanglement in Variational Autoencoders",
                booktitle="Advances in Neural Information Processing Systems (NeurIPS)",
                volume=31,
                year=2018,
                eprint="1802.04942",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "cremer2018",
                author="Cremer, Chris and Li, Xuechen and Duvenaud, David",
                title="Inference Suboptimality in Variational Autoencoders",
                booktitle="International Conference on Machine Learning (ICML)",
                pages="1078--1086",
                year=2018,
                eprint="1801.03558",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "dinh2017",
                author="Dinh, Laurent and Sohl-Dickstein, Jascha and Bengio, Samy",
                title="Density Estimation Using {Real NVP}",
                booktitle="International Conference on Learning Representations (ICLR)",
                year=2017,
                eprint="1605.08803",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "dorta2018",
                author="Dorta, Garoe and Vicente, Sara and Agapito, Lourdes and Campbell, Neill D. F. and "
                "Simpson, Ivor",
                title="Structured Uncertainty Prediction Networks",
                booktitle="IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
                pages="5477--5485",
                year=2018,
                eprint="1802.07079",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "durkan2019",
                author="Durkan, Conor and Bekasov, Artur and Murray, Iain and Papamakarios, George",
                title="Neural Spline Flows",
                booktitle="Advances in Neural Information Processing Systems (NeurIPS)",
                volume=32,
                year=2019,
                eprint="1906.04032",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "figurnov2018",
                author="Figurnov, Michael and Mohamed, Shakir and Mnih, Andriy",
                title="Implicit Reparameterization Gradients",
                booktitle="Advances in Neural Information Processing Systems (NeurIPS)",
                volume=31,
                year=2018,
                eprint="1805.08498",
                archiveprefix="arXiv",
            ),
            _entry(
                "article",
                "graves2016",
                author="Graves, Alex",
                title="Stochastic Backpropagation through Mixture Density Distributions",
                journal="arXiv preprint arXiv:1607.05690",
                year=2016,
                eprint="1607.05690",
                archiveprefix="arXiv",
            ),
            _entry(
                "article",
                "gretton2012",
                author='Gretton, Arthur and Borgwardt, Karsten M. and Rasch, Malte J. and Sch{\\"o}lkopf, '
                "Bernhard and Smola, Alexander",
                title="A Kernel Two-Sample Test",
                journal="Journal of Machine Learning Research",
                volume=13,
                pages="723--773",
                year=2012,
            ),
            _entry(
                "article",
                "grosse2015",
                author="Grosse, Roger B. and Ghahramani, Zoubin and Adams, Ryan P.",
                title="Sandwiching the Marginal Likelihood Using Bidirectional {M}onte {C}arlo",
                journal="arXiv preprint arXiv:1511.02543",
                year=2015,
                eprint="1511.02543",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "higgins2017",
                author="Higgins, Irina and Matthey, Loic and Pal, Arka and Burgess, Christopher and Glorot, Xavier and "
                "Botvinick, Matthew and Mohamed, Shakir and Lerchner, Alexander",
                title="beta-{VAE}: Learning Basic Visual Concepts with a Constrained Variational Framework",
                booktitle="International Conference on Learning Representations (ICLR)",
                year=2017,
            ),
            _entry(
                "inproceedings",
                "hoffman2016",
                author="Hoffman, Matthew D. and Johnson, Matthew J.",
                title="{ELBO} Surgery: Yet Another Way to Carve Up the Variational Evidence Lower Bound",
                booktitle="Workshop in Advances in Approximate Bayesian Inference, NIPS",
                year=2016,
            ),
            _entry(
                "inproceedings",
                "kingma2014",
                author="Kingma, Diederik P. and Welling, Max",
                title="Auto-Encoding Variational {B}ayes",
                booktitle="International Conference on Learning Representations (ICLR)",
                year=2014,
                eprint="1312.6114",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "kingma2015",
                author="Kingma, Diederik P. and Ba, Jimmy",
                title="Adam: A Method for Stochastic Optimization",
                booktitle="International Conference on Learning Representations (ICLR)",
                year=2015,
                eprint="1412.6980",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "kingma2016",
                author="Kingma, Diederik P. and Salimans, Tim and Jozefowicz, Rafal and Chen, Xi and Sutskever, "
                "Ilya and Welling, Max",
                title="Improving Variational Inference with Inverse Autoregressive Flow",
                booktitle="Advances in Neural Information Processing Systems (NIPS)",
                volume=29,
                year=2016,
                eprint="1606.04934",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "kool2019",
                author="Kool, Wouter and van Hoof, Herke and Welling, Max",
                title="Buy 4 {REINFORCE} Samples, Get a Baseline for Free!",
                booktitle="ICLR Workshop on Deep Reinforcement Learning Meets Structured Prediction",
                year=2019,
            ),
            _entry(
                "inproceedings",
                "loaiza-ganem2019",
                author="Loaiza-Ganem, Gabriel and Cunningham, John P.",
                title="The Continuous {B}ernoulli: Fixing a Pervasive Error in Variational Autoencoders",
                booktitle="Advances in Neural Information Processing Systems (NeurIPS)",
                year=2019,
                eprint="1907.06845",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "monteiro2020",
                author='Monteiro, Miguel and Le Folgoc, Lo{\\"i}c and Coelho de Castro, Daniel and Pawlowski, Nick and '
                "Marques, Bernardo and Kamnitsas, Konstantinos and van der Wilk, Mark and Glocker, Ben",
                title="Stochastic Segmentation Networks: Modelling Spatially Correlated Aleatoric Uncertainty",
                booktitle="Advances in Neural Information Processing Systems (NeurIPS)",
                year=2020,
                eprint="2006.06015",
                archiveprefix="arXiv",
            ),
            _entry(
                "article",
                "neal2001",
                author="Neal, Radford M.",
                title="Annealed Importance Sampling",
                journal="Statistics and Computing",
                volume=11,
                number=2,
                pages="125--139",
                year=2001,
                doi="10.1023/A:1008923215028",
            ),
            _entry(
                "inproceedings",
                "papamakarios2017",
                author="Papamakarios, George and Pavlakou, Theo and Murray, Iain",
                title="Masked Autoregressive Flow for Density Estimation",
                booktitle="Advances in Neural Information Processing Systems (NeurIPS)",
                volume=30,
                year=2017,
                eprint="1705.07057",
                archiveprefix="arXiv",
            ),
            _entry(
                "article",
                "pourahmadi1999",
                author="Pourahmadi, Mohsen",
                title="Joint Mean-Covariance Models with Applications to Longitudinal Data: Unconstrained "
                "Parameterisation",
                journal="Biometrika",
                volume=86,
                number=3,
                pages="677--690",
                year=1999,
                doi="10.1093/biomet/86.3.677",
            ),
            _entry(
                "inproceedings",
                "rainforth2018",
                author="Rainforth, Tom and Kosiorek, Adam R. and Le, Tuan Anh and Maddison, Chris J. and Igl, "
                "Maximilian and Wood, Frank and Teh, Yee Whye",
                title="Tighter Variational Bounds are Not Necessarily Better",
                booktitle="International Conference on Machine Learning (ICML)",
                year=2018,
                eprint="1802.04537",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "ranganath2014",
                author="Ranganath, Rajesh and Gerrish, Sean and Blei, David M.",
                title="Black Box Variational Inference",
                booktitle="International Conference on Artificial Intelligence and Statistics (AISTATS)",
                pages="814--822",
                year=2014,
                eprint="1401.0118",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "rezende2014",
                author="Rezende, Danilo Jimenez and Mohamed, Shakir and Wierstra, Daan",
                title="Stochastic Backpropagation and Approximate Inference in Deep Generative Models",
                booktitle="International Conference on Machine Learning (ICML)",
                pages="1278--1286",
                year=2014,
                eprint="1401.4082",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "roeder2017",
                author="Roeder, Geoffrey and Wu, Yuhuai and Duvenaud, David",
                title="Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference",
                booktitle="Advances in Neural Information Processing Systems (NeurIPS)",
                year=2017,
                eprint="1703.09194",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "salakhutdinov2008",
                author="Salakhutdinov, Ruslan and Murray, Iain",
                title="On the Quantitative Analysis of Deep Belief Networks",
                booktitle="International Conference on Machine Learning (ICML)",
                pages="872--879",
                year=2008,
                doi="10.1145/1390156.1390266",
            ),
            _entry(
                "inproceedings",
                "salimans2017",
                author="Salimans, Tim and Karpathy, Andrej and Chen, Xi and Kingma, Diederik P.",
                title="{PixelCNN++}: Improving the {PixelCNN} with Discretized Logistic Mixture Likelihood and "
                "Other Modifications",
                booktitle="International Conference on Learning Representations (ICLR)",
                year=2017,
                eprint="1701.05517",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "theis2016",
                author='Theis, Lucas and van den Oord, A{\\"a}ron and Bethge, Matthias',
                title="A Note on the Evaluation of Generative Models",
                booktitle="International Conference on Learning Representations (ICLR)",
                year=2016,
                eprint="1511.01844",
                archiveprefix="arXiv",
            ),
            _entry(
                "article",
                "tipping1999",
                author="Tipping, Michael E. and Bishop, Christopher M.",
                title="Probabilistic Principal Component Analysis",
                journal="Journal of the Royal Statistical Society: Series B",
                volume=61,
                number=3,
                pages="611--622",
                year=1999,
                doi="10.1111/1467-9868.00196",
            ),
            _entry(
                "inproceedings",
                "tolstikhin2018",
                author='Tolstikhin, Ilya and Bousquet, Olivier and Gelly, Sylvain and Sch{\\"o}lkopf, Bernhard',
                title="Wasserstein Auto-Encoders",
                booktitle="International Conference on Learning Representations (ICLR)",
                year=2018,
                eprint="1711.01558",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "tomczak2018",
                author="Tomczak, Jakub M. and Welling, Max",
                title="{VAE} with a {VampPrior}",
                booktitle="International Conference on Artificial Intelligence and Statistics (AISTATS)",
                pages="1214--1223",
                year=2018,
                eprint="1705.07120",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "tucker2019",
                author="Tucker, George and Lawson, Dieterich and Gu, Shixiang and Maddison, Chris J.",
                title="Doubly Reparameterized Gradient Estimators for {M}onte {C}arlo Objectives",
                booktitle="International Conference on Learning Representations (ICLR)",
                year=2019,
                eprint="1810.04152",
                archiveprefix="arXiv",
            ),
            _entry(
                "article",
                "williams1992",
                author="Williams, Ronald J.",
                title="Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning",
                journal="Machine Learning",
                volume=8,
                pages="229--256",
                year=1992,
                doi="10.1007/BF00992696",
            ),
            _entry(
                "inproceedings",
                "wu2017",
                author="Wu, Yuhuai and Burda, Yuri and Salakhutdinov, Ruslan and Grosse, Roger",
                title="On the Quantitative Analysis of Decoder-Based Generative Models",
                booktitle="International Conference on Learning Representations (ICLR)",
                year=2017,
                eprint="1611.04273",
                archiveprefix="arXiv",
            ),
            _entry(
                "inproceedings",
                "zhao2019",
                author="Zhao, Shengjia and Song, Jiaming and Ermon, Stefano",
                title="{InfoVAE}: Balancing Learning and Inference in Variational Autoencoders",
                booktitle="AAAI Conference on Artificial Intelligence",
                year=2019,
                eprint="1706.02262",
                archiveprefix="arXiv",
            ),
        ]
    )
)
"""BibTeX of every method in the library, by key: first author and year."""


def cite(obj: object) -> str:
    """Return the BibTeX of the methods that an estimator uses, and of the data it was fitted to.

    Parameters
    ----------
    obj
        An estimator or its class (anything with ``_citations``, a tuple of keys of `BIBTEX`). Where a fitted one keeps
        ``info_["citation"]``, the BibTeX of its data set is added.

    Returns
    -------
    str
        BibTeX entries, separated by an empty line, each once.

    Raises
    ------
    ConfigError
        If the object names no citations.

    Examples
    --------
    >>> class Model:
    ...     _citations = ("kingma2014", "rezende2014")
    >>> [line for line in cite(Model()).splitlines() if line.startswith("@")]
    ['@inproceedings{kingma2014,', '@inproceedings{rezende2014,']
    """
    keys = getattr(obj, "_citations", None)
    if keys is None:
        name = obj.__name__ if isinstance(obj, type) else type(obj).__name__
        raise ConfigError(f"{name} names no citations: pass an estimator of this library, or its class")
    entries = [BIBTEX[key] for key in keys]
    info = getattr(obj, "info_", None)
    data = info.get("citation") if isinstance(info, Mapping) else None
    if isinstance(data, str) and data.strip():
        entries.append(data.strip())
    return "\n\n".join(dict.fromkeys(entries))
