"""Built-in pictures of faces and things."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from latentia.data.images import GREY, SEEDED, arrays_of, labels_of, tenth_for_validation, without_split
from latentia.data.locate import RemoteFile
from latentia.data.registry import Source, register
from latentia.data.splits import Info, Part

__all__: list[str] = []

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
EXPRESSIONS = ("anger", "contempt", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def _read_frey_faces(paths: Mapping[str, Path], seed: int) -> dict[str, Part]:
    return without_split(arrays_of(paths["freyfaces.npz"], "images")["images"], None, seed)


def _read_cifar10_jpeg(paths: Mapping[str, Path], seed: int) -> dict[str, Part]:
    arrays = arrays_of(paths["cifar10_3600.npz"], "train_images", "train_labels", "test_images", "test_labels")
    test = arrays["test_images"], labels_of(arrays["test_labels"])
    return {**tenth_for_validation(arrays["train_images"], labels_of(arrays["train_labels"]), seed), "test": test}


def _read_faces_expression(paths: Mapping[str, Path], seed: int) -> dict[str, Part]:
    needed = ("train_images", "train_labels", "train_person", "test_images", "test_labels")
    arrays = arrays_of(paths["faces_64x64.npz"], *needed)
    test = arrays["test_images"], labels_of(arrays["test_labels"])
    train = arrays["train_images"], labels_of(arrays["train_labels"])
    return {**tenth_for_validation(*train, seed, groups=arrays["train_person"]), "test": test}


register(
    Source(
        info=Info(
            name="frey_faces",
            event_shape=(28, 20),
            support=GREY,
            licence="none stated",
            citation="""@inproceedings{roweis2002global,
  author = {Roweis, Sam and Saul, Lawrence and Hinton, Geoffrey},
  title = {Global coordination of local linear models},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2002}
}""",
            description=(
                "1,965 frames of a video of one face, 28 × 20 grey, collected by Brendan Frey. Neighbouring frames are "
                "alike, so that test rows resemble training rows."
            ),
            split=SEEDED,
            homepage="https://cs.nyu.edu/~roweis/data.html",
        ),
        rows=(1_573, 196, 196),
        files=(RemoteFile("freyfaces.npz"),),
        read=_read_frey_faces,
        contents="an array images, 1965 × 28 × 20 uint8",
    )
)

register(
    Source(
        info=Info(
            name="cifar10_jpeg",
            event_shape=(32, 32, 3),
            support=GREY,
            class_names=CIFAR,
            licence="none stated; free for research",
            citation="""@techreport{krizhevsky2009learning,
  author = {Krizhevsky, Alex},
  title = {Learning multiple layers of features from tiny images},
  institution = {University of Toronto},
  year = {2009}
}""",
            description=(
                "3,600 images of CIFAR-10, 32 × 32 colour, from JPEG files of quality 75: log-likelihoods are not "
                "comparable with published ones."
            ),
            split="the published test rows; a tenth of the training rows, by chance with seed {seed}, for validation",
            homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        ),
        rows=(2_700, 300, 600),
        files=(RemoteFile("cifar10_3600.npz"),),
        read=_read_cifar10_jpeg,
        contents="arrays train_images, train_labels, test_images and test_labels, images as N × 32 × 32 × 3 uint8",
    )
)

register(
    Source(
        info=Info(
            name="faces_expression",
            event_shape=(64, 64),
            support=GREY,
            class_names=EXPRESSIONS,
            licence="research and other non-commercial use only; the photographs remain their owners'",
            citation="""@misc{muxspace2016facial,
  author = {{muxspace}},
  title = {Facial expressions},
  howpublished = {\\url{https://github.com/muxspace/facial_expressions}},
  year = {2016}
}

@techreport{huang2007labeled,
  author = {Huang, Gary B. and Ramesh, Manu and Berg, Tamara and Learned-Miller, Erik},
  title = {Labeled Faces in the Wild: a database for studying face recognition in unconstrained environments},
  institution = {University of Massachusetts, Amherst},
  number = {07-49},
  year = {2007}
}""",
            description="4,000 photographs of faces, 64 × 64 grey, labelled with their expression.",
            split=(
                "the test rows of the file; about a tenth of the training rows, by chance with seed {seed}, for "
                "validation; nobody appears in two parts"
            ),
            homepage="https://github.com/muxspace/facial_expressions",
        ),
        rows=(2_880, 320, 800),
        files=(RemoteFile("faces_64x64.npz"),),
        read=_read_faces_expression,
        contents=(
            "arrays train_images, train_labels, train_person, test_images and test_labels, images as N × 64 × 64 uint8"
        ),
    )
)
