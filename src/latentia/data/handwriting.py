"""Built-in pictures of handwriting (and of clothes in the same format): digits, the MNIST family, Omniglot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from latentia.data.images import GREY, SEEDED, arrays_of, labels_of, tenth_for_validation, unpack_bits, without_split
from latentia.data.locate import RemoteFile
from latentia.data.registry import Source, register
from latentia.data.splits import Info, Part
from latentia.data.support import Support
from latentia.errors import DataError
from latentia.storage import read_idx, show

__all__: list[str] = []

DIGITS = tuple("0123456789")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
ALPHABETS = (
    "Alphabet of the Magi",
    "Angelic",
    "Anglo-Saxon Futhorc",
    "Arcadian",
    "Armenian",
    "Asomtavruli (Georgian)",
    "Atemayar Qelisayer",
    "Atlantean",
    "Aurek-Besh",
    "Avesta",
    "Balinese",
    "Bengali",
    "Blackfoot (Canadian Aboriginal Syllabics)",
    "Braille",
    "Burmese (Myanmar)",
    "Cyrillic",
    "Early Aramaic",
    "Futurama",
    "Ge ez",
    "Glagolitic",
    "Grantha",
    "Greek",
    "Gujarati",
    "Gurmukhi",
    "Hebrew",
    "Inuktitut (Canadian Aboriginal Syllabics)",
    "Japanese (hiragana)",
    "Japanese (katakana)",
    "Kannada",
    "Keble",
    "Korean",
    "Latin",
    "Malay (Jawi - Arabic)",
    "Malayalam",
    "Manipuri",
    "Mkhedruli (Georgian)",
    "Mongolian",
    "N Ko",
    "Ojibwe (Canadian Aboriginal Syllabics)",
    "Old Church Slavonic (Cyrillic)",
    "Oriya",
    "Sanskrit",
    "Sylheti",
    "Syriac (Estrangelo)",
    "Syriac (Serto)",
    "Tagalog",
    "Tengwar",
    "Tibetan",
    "Tifinagh",
    "ULOG",
)

_IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def _read_digits(paths: Mapping[str, Path], seed: int) -> dict[str, Part]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return without_split(bunch.images.astype(np.uint8), bunch.target, seed)


def _read_idx_files(paths: Mapping[str, Path], seed: int) -> dict[str, Part]:
    train_x, train_y, test_x, test_y = (read_idx(paths[name]) for name in _IDX_FILES)
    first, last = slice(0, 50_000), slice(50_000, None)
    return {
        "train": (train_x[first], labels_of(train_y[first])),
        "valid": (train_x[last], labels_of(train_y[last])),
        "test": (test_x, labels_of(test_y)),
    }


def _read_mnist_static(paths: Mapping[str, Path], seed: int) -> dict[str, Part]:
    arrays = arrays_of(paths["binarized_mnist.npz"], "train", "valid", "test")
    return {part: (unpack_bits(arrays[part]), None) for part in ("train", "valid", "test")}


def _read_omniglot(paths: Mapping[str, Path], seed: int) -> dict[str, Part]:
    needed = [f"{part}_{what}" for part in ("background", "evaluation") for what in ("images", "alphabet")]
    arrays = arrays_of(paths["omniglot_28x28.npz"], *needed, "alphabet_names")
    if tuple(str(name).replace("_", " ") for name in arrays["alphabet_names"]) != ALPHABETS:
        raise DataError(f"{show(paths['omniglot_28x28.npz'])} does not name the 50 alphabets of Omniglot")
    background = unpack_bits(arrays["background_images"]), labels_of(arrays["background_alphabet"])
    test = unpack_bits(arrays["evaluation_images"]), labels_of(arrays["evaluation_alphabet"])
    return {**tenth_for_validation(*background, seed), "test": test}


def _idx_files(checksums: tuple[str, ...], *urls: str) -> tuple[RemoteFile, ...]:
    return tuple(RemoteFile(name, checksum, urls) for name, checksum in zip(_IDX_FILES, checksums, strict=True))


register(
    Source(
        info=Info(
            name="digits",
            event_shape=(8, 8),
            support=Support("levels", 17),
            class_names=DIGITS,
            licence="CC BY 4.0",
            citation="""@misc{alpaydin1998digits,
  author = {Alpaydin, E. and Kaynak, C.},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49}
}""",
            description="1,797 handwritten digits, 8 × 8 counts of ink from 0 to 16; they come with scikit-learn.",
            split=SEEDED,
            homepage="https://archive.ics.uci.edu/dataset/80",
        ),
        rows=(1437, 180, 180),
        files=(),
        read=_read_digits,
    )
)

register(
    Source(
        info=Info(
            name="mnist",
            event_shape=(28, 28),
            support=GREY,
            class_names=DIGITS,
            licence="CC BY-SA 3.0 (as usually given)",
            citation="""@article{lecun1998gradient,
  author = {LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick},
  title = {Gradient-based learning applied to document recognition},
  journal = {Proceedings of the IEEE},
  volume = {86},
  number = {11},
  pages = {2278--2324},
  year = {1998}
}""",
            description="70,000 handwritten digits, 28 × 28 grey.",
            split="the first 50,000 of the training file, its last 10,000 for validation, the test file",
            homepage="http://yann.lecun.com/exdb/mnist/",
        ),
        rows=(50_000, 10_000, 10_000),
        files=_idx_files(
            (
                "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        read=_read_idx_files,
        contents="the four files of the MNIST distribution",
    )
)

register(
    Source(
        info=Info(
            name="mnist_static",
            event_shape=(28, 28),
            support=Support("binary"),
            licence="CC BY-SA 3.0 (as usually given for MNIST)",
            citation="""@inproceedings{salakhutdinov2008quantitative,
  author = {Salakhutdinov, Ruslan and Murray, Iain},
  title = {On the quantitative analysis of deep belief networks},
  booktitle = {International Conference on Machine Learning},
  year = {2008}
}

@inproceedings{larochelle2011neural,
  author = {Larochelle, Hugo and Murray, Iain},
  title = {The neural autoregressive distribution estimator},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  year = {2011}
}""",
            description="MNIST binarised once by chance, as used to report log-likelihoods; no labels.",
            split="the published 50,000 / 10,000 / 10,000",
            homepage="http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
        ),
        rows=(50_000, 10_000, 10_000),
        files=(RemoteFile("binarized_mnist.npz"),),
        read=_read_mnist_static,
        contents="arrays train, valid and test, one row of 98 uint8 for each image, numpy.packbits of its 784 pixels",
    )
)

register(
    Source(
        info=Info(
            name="fashion_mnist",
            event_shape=(28, 28),
            support=GREY,
            class_names=FASHION,
            licence="MIT",
            citation="""@misc{xiao2017fashion,
  author = {Xiao, Han and Rasul, Kashif and Vollgraf, Roland},
  title = {Fashion-{MNIST}: a Novel Image Dataset for Benchmarking Machine Learning Algorithms},
  year = {2017},
  eprint = {1708.07747},
  archivePrefix = {arXiv}
}""",
            description="70,000 pictures of clothes, 28 × 28 grey, made to replace MNIST.",
            split="the first 50,000 of the training file, its last 10,000 for validation, the test file",
            homepage="https://github.com/zalandoresearch/fashion-mnist",
        ),
        rows=(50_000, 10_000, 10_000),
        files=_idx_files(
            (
                "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "md5:25c81989df183df01b3e8a0aad5dffbe",
                "md5:bef4ecab320f06d8554ea6380940ec79",
                "md5:bb300cfdad3c16e7a12a480ee83cd310",
            ),
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        ),
        read=_read_idx_files,
        contents="the four files of the Fashion-MNIST distribution",
    )
)

register(
    Source(
        info=Info(
            name="omniglot",
            event_shape=(28, 28),
            support=Support("binary"),
            class_names=ALPHABETS,
            licence="MIT",
            citation="""@article{lake2015human,
  author = {Lake, Brenden M. and Salakhutdinov, Ruslan and Tenenbaum, Joshua B.},
  title = {Human-level concept learning through probabilistic program induction},
  journal = {Science},
  volume = {350},
  number = {6266},
  pages = {1332--1338},
  year = {2015}
}""",
            description=(
                "1,623 characters of 50 alphabets, each drawn by 20 people, reduced to 28 × 28 zeros and ones (ink); "
                "classes are alphabets. Log-likelihoods are not comparable with those on the grey 28 × 28 version of "
                "Burda et al."
            ),
            split=(
                "the 30 background alphabets, of which a tenth by chance with seed {seed} for validation; "
                "the 20 evaluation alphabets for testing"
            ),
            homepage="https://github.com/brendenlake/omniglot",
        ),
        rows=(17_352, 1_928, 13_180),
        files=(RemoteFile("omniglot_28x28.npz"),),
        read=_read_omniglot,
        contents=(
            "arrays background_images and evaluation_images, numpy.packbits of 28 × 28 images; background_alphabet and "
            "evaluation_alphabet, indices into alphabet_names"
        ),
    )
)
