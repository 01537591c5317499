"""The page: complete, self-contained, harmless, and made of the rows it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from latentia import report
from latentia.data import Info, Split, Support
from latentia.errors import ConfigError, DataError
from latentia.report import plots
from latentia.report.provenance import loading
from latentia.report.render import to_svg
from latentia.report.selection import choose_rows
from latentia.report.style import DARK, LIGHT
from tests.report.cases import GREY, Flat, Linear, evaluation, grey_split, table_split

EVIL = "<script>alert(1)</script>\n\x1b[31m'\"&\u202e$x^{"
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Reader(HTMLParser):
    """Reads a page, demanding that every tag is closed in its order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def write(fitted: Any, split: Split, folder: Path, **options: Any) -> str:
    return report.write(fitted, split, folder / "report.html", **options).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    model = Linear((4, 4), GREY, info={"name": "toy", "class_names": ["a", "b", "c"]})
    return write(
        model, grey_split(), tmp_path_factory.mktemp("page"), baselines=[Flat((4, 4), GREY), evaluation(name="PPCA")]
    )


def test_the_page_has_every_section(page: str) -> None:
    assert headings(page) == ["Numbers", "What it makes", "Latent space", "Scores", "Learning", "How it was made"]
    text = " ".join(Reader(page).text)
    for figure in ("Samples", "Reconstructions", "The map", "The manifold", "KL per dimension", "All rows"):
        assert f"{figure}." in text
    for word in ("Linear on toy", "CC0", "f" * 64, "Seed", "torch", "lt.load(", "17 grey levels", "40 test rows"):
        assert word in text


def test_sections_that_do_not_apply_are_left_out(tmp_path: Path) -> None:
    flat = write(Flat((4, 4), GREY), grey_split(), tmp_path)
    assert headings(flat) == ["Numbers", "What it makes", "Scores", "How it was made"]
    assert "Reconstructions" not in flat
    deep = write(Linear((4, 4), GREY, latent_dim=3), grey_split(), tmp_path)
    assert "The manifold" not in deep
    assert "principal axis" in deep
    table = write(Linear((5,), Support("real")), table_split(), tmp_path)
    assert headings(table)[1:4] == ["Data and samples", "Reconstructions", "Latent space"]
    assert "<b>Samples.</b>" not in table
    for each in (flat, deep, table):
        assert "<figure></figure>" not in each
        assert all(len(Reader(each).tags) > 100 for each in (flat, deep, table))


def test_nothing_outside_is_named_and_nothing_runs(page: str) -> None:
    reader = Reader(page)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "a"} & {tag for tag, _ in reader.tags}
    for _, attributes in reader.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href"):
                assert (value or "").startswith(("#", "data:image/png;base64,"))
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\((.*?)\)", page))
    (policy,) = [a["content"] for _, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")


def test_the_page_is_small_and_always_the_same(page: str, tmp_path: Path) -> None:
    model = Linear((4, 4), GREY, info={"name": "toy", "class_names": ["a", "b", "c"]})
    again = write(model, grey_split(), tmp_path / "2", baselines=[Flat((4, 4), GREY), evaluation(name="PPCA")])
    assert again == page
    assert len(page) < 500_000


@pytest.mark.parametrize("event_shape", [(64, 64, 3), (64, 64)])
def test_pages_of_large_pictures_stay_under_five_megabytes(event_shape: tuple[int, ...], tmp_path: Path) -> None:
    """Noise is the worst case: it does not compress."""

    class Noise(Linear):
        def inverse_transform(self, z: NDArray[Any], /) -> NDArray[np.float64]:
            return np.random.default_rng(0).random((len(z), *event_shape)) * 255

    support = Support("levels", 256)
    x = np.random.default_rng(0).integers(0, 256, (60, *event_shape)).astype(np.uint8)
    split = Split(x, None, Info("noise", event_shape, support), "test")
    path = report.write(Noise(event_shape, support), split, tmp_path / "report.html")
    assert path.stat().st_size < 5_000_000


def test_what_others_wrote_is_shown_and_means_nothing(tmp_path: Path) -> None:
    names = [EVIL, "</style></svg><img src=x onerror=alert(2)>", 'fill="#025c98" id="x"']
    info = {
        "name": EVIL,
        "licence": EVIL,
        "split": EVIL,
        "fingerprint": EVIL,
        "description": EVIL,
        "class_names": names,
    }
    model = Linear((4, 4), GREY, info=info)
    model.likelihood_name_ = EVIL
    model.history_ = [{"epoch": 1, "train": {EVIL: 1.0}, "valid": {}}, {"epoch": 2, "train": {EVIL: 2.0}, "valid": {}}]
    split = replace(grey_split(info={**info, "class_names": tuple(names)}), name=EVIL)
    page = write(model, split, tmp_path, evaluation=evaluation(name=EVIL, kind=EVIL), baselines=[evaluation(name=EVIL)])
    reader = Reader(page)
    assert not {"script", "img"} & {tag for tag, _ in reader.tags}
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert any("<script>alert(1)</script> '\"&$x^{" in text for text in reader.text)  # shown, as text
    assert 'fill="#025c98" id="x"' in reader.text  # a class's name is not taken for drawing instructions


def test_a_table_may_have_evil_columns(tmp_path: Path) -> None:
    model = Linear((5,), Support("real"), info={"feature_names": [EVIL, "b", "$", "\\frac{", "e"]})
    reader = Reader(write(model, table_split(), tmp_path))
    assert not {"script", "img"} & {tag for tag, _ in reader.tags}


def test_letters_without_a_glyph_are_left_to_the_browser() -> None:
    split = grey_split()
    ax = plots.latent_scatter(Linear((4, 4), GREY, info={"class_names": ["数字", "😀", "c"]}), split.x, split.y)
    assert ">数字</text>" in to_svg(ax, name="n", label="")


def test_the_rows_named_are_the_rows_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[NDArray[Any]] = []
    original = plots.reconstructions

    def watched(fitted: Any, x: NDArray[Any], *args: Any, **kwargs: Any) -> Any:
        drawn.append(x)
        return original(fitted, x, *args, **kwargs)

    monkeypatch.setattr(plots, "reconstructions", watched)
    split = grey_split(200)
    page = write(Linear((4, 4), GREY), split, tmp_path, random_state=5)
    found = re.search(r"Data above what the model makes of them\. Test rows ([\d, ]+), chosen with seed 5\.", page)
    assert found is not None
    named = [int(row) for row in found[1].split(",")]
    assert named == choose_rows(200, 24, 5).tolist()
    np.testing.assert_array_equal(drawn[0], split.x[named])


def test_the_scored_rows_are_named(page: str) -> None:
    split = grey_split()
    scores = -split.x.reshape(40, -1).sum(axis=1, dtype=float)
    for title, order in (("Most likely", np.argsort(-scores, kind="stable")), ("Least likely", None)):
        (listed,) = re.findall(rf"<b>{title}\.</b> Test rows ([\d, ]+)\.", page)
        named = [int(row) for row in listed.split(",")]
        assert len(named) == 12
        if order is not None:
            assert named == order[:12].tolist()
        else:
            assert sorted(scores[named]) == sorted(scores)[:12]


def test_the_page_reads_aloud(page: str) -> None:
    reader = Reader(page)
    drawings = [attributes for tag, attributes in reader.tags if tag == "svg"]
    assert len(drawings) == 12
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in drawings)
    assert ("html", {"lang": "en"}) in reader.tags


def test_names_inside_the_page_are_unique_and_found(page: str) -> None:
    names = re.findall(r'\bid="([^"]*)"', page)
    assert len(names) == len(set(names))
    used = set(re.findall(r'href="#([^"]*)"', page)) | set(re.findall(r"url\(#([^)]*)\)", page))
    assert used == set(names)


def test_figures_take_the_pages_colours(page: str) -> None:
    body = page[page.index("<body>") :]
    for value in {*LIGHT.values()} - {"#000000"}:
        assert value not in body
    assert "var(--c0)" in body
    assert "font-family" not in body


def test_a_page_beside_a_saved_model_says_how_to_load_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, folder = Flat((4, 4), GREY), Path("runs/toy")
    monkeypatch.chdir(tmp_path)
    folder.mkdir(parents=True)
    assert ".save('models/flat')" in loading(model, folder / "report.html")
    (folder / "config.json").write_text("{}")
    assert loading(model, folder / "report.html").splitlines()[2] == "flat = lt.load('runs/toy')"
    assert "lt.load('toy')" in loading(model, tmp_path / folder / "report.html")  # no path of this machine


def test_writing_replaces_the_page_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    assert report.write(Flat((4, 4), GREY), grey_split(), str(path)) == path
    before = path.read_bytes()
    report.write(Flat((4, 4), GREY), grey_split(20), path)
    assert path.read_bytes() != before
    assert [file.name for file in path.parent.iterdir() if not file.name.startswith(".")] == ["report.html"]


def test_a_split_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the split is empty"):
        report.write(Flat((4, 4), GREY), grey_split(0), tmp_path / "report.html")


def test_one_row_is_enough(tmp_path: Path) -> None:
    page = write(Linear((4, 4), GREY), grey_split(1), tmp_path)
    assert "scored on 1 test row." in page


def test_an_evaluation_that_is_known_is_not_made_again(tmp_path: Path) -> None:
    class Costly(Flat):
        def evaluate(self, x: NDArray[Any], /) -> Any:
            raise AssertionError("evaluated twice")

    rows = np.linspace(-70.0, -50.0, 40)
    page = write(Costly((4, 4), GREY), grey_split(), tmp_path, evaluation=evaluation(per_row=rows))
    assert "−61.23" in page


def models() -> Iterator[Any]:
    yield Linear((4, 4), GREY, info={"name": "toy", "fingerprint": "f" * 64})
    yield Linear((4, 4), GREY, latent_dim=3)
    yield Flat((4, 4), GREY)


def test_models_stand_side_by_side(tmp_path: Path) -> None:
    page = report.compare(list(models()), tmp_path / "all.html", split=grey_split()).read_text()
    assert headings(page) == ["Numbers", "Originals and reconstructions", "Samples", "Latent maps"]
    reader = Reader(page)
    first = next(text for text in reader.text if text.startswith("Linear"))
    assert first == "Linear, Linear (2), Flat: scored on the same 40 test rows of toy (4 × 4 pixels, 17 grey levels)."
    names = re.findall(r"<figcaption><b>(.*?)</b></figcaption>", page)
    assert names == ["Linear", "Linear (2)", "Linear", "Linear (2)", "Flat", "Linear", "Linear (2)"]
    assert "http" not in page.replace("http-equiv", "")


def test_tables_are_compared_column_by_column(tmp_path: Path) -> None:
    runs = {"one": Linear((5,), Support("real")), EVIL: Flat((5,), Support("real"))}
    page = report.compare(runs, tmp_path / "all.html", split=table_split()).read_text()
    assert headings(page) == ["Numbers", "Data and samples", "Latent maps"]
    assert "script" not in {tag for tag, _ in Reader(page).tags}


def test_the_best_model_is_marked_unless_they_score_different_things(tmp_path: Path) -> None:
    class Binary(Linear):
        class preprocessing_:  # noqa: N801 - stands for an attribute
            model_support = Support("binary")

    rows = np.arange(40.0)
    known = [evaluation(log_prob=-60.0, per_row=rows), evaluation(log_prob=-50.0, kind="exact", per_row=rows + 10)]
    pair = [Linear((4, 4), GREY), Linear((4, 4), GREY)]
    page = report.compare(pair, tmp_path / "a.html", split=grey_split(), evaluations=known).read_text()
    assert re.findall(r'<tr class="own"><th scope="row">(.*?)</th>', page) == ["Linear (2)"]
    assert "Linear (2) lies 10.00 nats above Linear’s bound." in page
    mixed = [Linear((4, 4), GREY), Binary((4, 4), GREY)]
    page = report.compare(mixed, tmp_path / "b.html", split=grey_split(), evaluations=known).read_text()
    assert 'class="own"' not in page
    assert "Linear scores levels:17 values, Binary scores binary values" in page


def test_only_models_of_the_same_data_are_compared(tmp_path: Path) -> None:
    first, second, third = models()
    with pytest.raises(ConfigError, match="at least two runs: got 1"):
        report.compare([first], tmp_path / "a.html", split=grey_split())
    with pytest.raises(ConfigError, match="cannot tell the test rows of 'toy'"):
        report.compare([first, second], tmp_path / "a.html")
    third.info_ = {"name": "other", "fingerprint": "0" * 64}
    with pytest.raises(ConfigError, match="Flat was fitted to other"):
        report.compare([first, third], tmp_path / "a.html", split=grey_split())
    with pytest.raises(ConfigError, match="takes shape"):
        report.compare([Flat((5, 5), GREY), second], tmp_path / "a.html", split=grey_split())
    with pytest.raises(ConfigError, match="an evaluation for each of the 2 runs"):
        report.compare([first, second], tmp_path / "a.html", split=grey_split(), evaluations=[evaluation()])
    assert not (tmp_path / "a.html").exists()


def test_a_drawing_keeps_its_text_as_text() -> None:
    svg = to_svg(plots.log_probs([evaluation(name="a<b & c")]), name="n", label='say "a<b"')
    assert ">a&lt;b &amp; c</text>" in svg
    assert 'aria-label="say &quot;a&lt;b&quot;"' in svg
    assert "<metadata" not in svg
    assert "<style" not in svg
    assert "xmlns" not in svg
    assert DARK["paper"] not in svg
