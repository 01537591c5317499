"""The colours can be told apart by everybody, on light paper and on dark screens."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from latentia.report.style import DARK, LIGHT, MARKERS, NUM_COLOURS, class_colour, class_marker, stylesheet

Floats = NDArray[np.float64]

# Machado, Oliveira and Fernandes 2009, severity 1, on linear light.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
# Björn Ottosson's OKLab.
TO_CONES = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
TO_LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip


def linear(colours: list[str]) -> Floats:
    levels = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in colours])
    return np.asarray(np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4))


def nearest_pair(colours: list[str], sight: Floats) -> float:
    lab = np.cbrt(np.clip(linear(colours) @ sight.T, 0, 1) @ TO_CONES.T) @ TO_LAB.T
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    return float(distances[np.triu_indices(len(colours), 1)].min())


def contrast(colour: str, paper: str) -> float:
    bright, dim = sorted((float(linear([c])[0] @ [0.2126, 0.7152, 0.0722]) for c in (colour, paper)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def test_the_ruler_is_right() -> None:
    """White against black is 1 in OKLab and 21 in contrast; the middle of nothing is 0."""
    assert nearest_pair(["#ffffff", "#000000"], SIGHT["normal"]) == pytest.approx(1.0, abs=1e-6)
    assert contrast("#ffffff", "#000000") == pytest.approx(21.0)
    assert nearest_pair(["#12ab34", "#12ab34"], SIGHT["normal"]) == 0.0


@pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_of_ten_classes_can_be_told_apart(tokens: dict[str, str], sight: str) -> None:
    """0.099 at least; the set of Okabe and Ito, widened to ten, comes to 0.02 under protanopia."""
    assert nearest_pair([tokens[f"c{index}"] for index in range(10)], SIGHT[sight]) > (
        0.15 if sight == "normal" else 0.099
    )


@pytest.mark.parametrize("tokens", [LIGHT, DARK], ids=["light", "dark"])
def test_everything_can_be_seen_on_its_paper(tokens: dict[str, str]) -> None:
    for name in ("ink", "muted"):
        assert contrast(tokens[name], tokens["paper"]) > 4.5  # WCAG for text
        assert contrast(tokens[name], tokens["raised"]) > 4.5
    for name in ("model", "best"):
        assert contrast(tokens[name], tokens["paper"]) > 3.0  # WCAG for graphics
    assert all(contrast(tokens[f"c{index}"], tokens["paper"]) > 2.2 for index in range(10))


def test_every_light_colour_has_one_name_and_a_dark_twin() -> None:
    """Colours are told from each other when they become variables of the page."""
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT)


def test_past_ten_classes_shapes_change() -> None:
    assert class_colour(3) == class_colour(13) == LIGHT["c3"]
    assert len({(class_colour(i), class_marker(i)) for i in range(NUM_COLOURS * len(MARKERS))}) == 40


def test_the_style_sheet_defines_what_it_uses() -> None:
    sheet = stylesheet()
    assert set(re.findall(r"var\(--([\w-]+)\)", sheet)) <= LIGHT.keys()
    assert sheet.count(f"--paper:{DARK['paper']}") == 1
    assert "prefers-color-scheme:dark" in sheet
