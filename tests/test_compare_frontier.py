"""``hallu compare`` beside the baseline's captions cut short: rows, verdicts, reasons for none, and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from written_runs import Arm, write

from hallu_tasks.compare.comparison import ALPHA, Block, MetricRow, RunComparison
from hallu_tasks.compare.compute import compare
from hallu_tasks.report import frontier, labels
from hallu_tasks.report.labels import Box
from hallu_tasks.runs.results import read
from registry.commands import cli

TASK = "hallu_demo_chair"
IMAGES = range(60)
OBJECTS = ("cat", "clock", "dog", "horse", "bench")
Caption = Callable[[int], str]


def truth(image: int) -> Sequence[str]:
    return OBJECTS[: 3 + image % 3]


def told(image: int, wrong: int, most: int | None = None) -> str:
    """Two true objects, so many that are not there, and the other true ones; cut after `most` mentions."""
    first, second, *others = truth(image)
    names = [first, second, *("car", "boat", "truck", "kite")[:wrong], *others]
    return " ".join(f"There is a {name}." for name in names[:most])


def base(image: int) -> str:
    return told(image, image % 3)


ARMS: dict[str, Caption] = {
    "beats": lambda image: told(image, int(image % 6 == 5)),
    "shorter": lambda image: told(image, image % 3, 2),
    "worse": lambda image: told(image, 4, 6),
    "same": base,
}


def arm(name: str, caption: Caption, **given: Any) -> Arm:
    return Arm(f"llava_{name}", name, caption=caption, truth=truth, images=IMAGES, tasks=(TASK,), **given)


BASE = arm("base", base)


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., RunComparison]:
    def made(*arms: Arm, **given: Any) -> RunComparison:
        paths = [write(tmp_path / f"{number}_{one.model}", one) for number, one in enumerate(arms)]
        return compare([read(str(path)) for path in paths], **{"resamples": 1000, **given})

    return made


def rows(block: Block) -> dict[str, MetricRow]:
    return {row.metric.name: row for row in block.rows}


def printed(capsys: pytest.CaptureFixture[str], *call: object) -> str:
    assert cli.main(["compare", *map(str, call), "--resamples", "1000"]) == 0
    return capsys.readouterr().out


def paths(folder: Path, *arms: Arm) -> list[Path]:
    return [write(folder / one.model, one) for one in arms]


# The rows


def test_verdicts_are_on_the_baseline_cut_to_the_arm_s_recall(compared: Callable[..., RunComparison]) -> None:
    comparison = compared(BASE, *(arm(name, caption) for name, caption in ARMS.items()))
    (block,) = comparison.blocks
    row = rows(block)["chair_i_vs_cut"]
    assert [contrast.verdict for contrast in row.contrasts] == [
        "beats saying less",
        "no more than saying less",
        "worse than saying less",
        "no more than saying less",
    ]
    assert [contrast.side for contrast in row.contrasts] == ["better", "no difference", "worse", "no difference"]
    shorter = dict(zip(ARMS, zip(row.estimates[1:], row.contrasts)))["shorter"]
    # Two mentions a caption, as the second cut: a lower CHAIR_i, and no more than that.
    assert block.frontier is not None
    assert shorter[0].value == block.frontier.cuts[1].chair_i.value
    assert shorter[1].result.difference == 0.0
    assert rows(block)["chair_i"].contrasts[1].verdict == "better"


def test_the_rows_stand_below_chair_i_and_chair_s_on_request(compared: Callable[..., RunComparison]) -> None:
    arms = BASE, arm("beats", ARMS["beats"])
    (block,) = compared(*arms).blocks
    assert list(rows(block))[:4] == ["chair_s", "chair_i", "chair_i_vs_cut", "chair_i_rate_ratio"]
    (everything,) = compared(*arms, every_metric=True).blocks
    assert list(rows(everything))[:5] == [
        "chair_s",
        "chair_i",
        "chair_i_vs_cut",
        "chair_s_vs_cut",
        "chair_i_rate_ratio",
    ]
    (alone,) = compared(BASE).blocks
    assert alone.frontier is None and {row.kind for row in alone.rows} == {"score"}


def test_holm_s_correction_is_over_the_row_too(compared: Callable[..., RunComparison]) -> None:
    # Seven captions of sixty with one hallucination less.
    few = arm("few", lambda image: told(image, image % 3 - (image in range(2, 21, 3))))
    comparison = compared(BASE, few)
    (block,) = comparison.blocks
    contrast = rows(block)["chair_i_vs_cut"].contrasts[0]
    assert comparison.p_values_count == 5
    assert contrast.result.p_value is not None and contrast.p_holm is not None and contrast.result.interval is not None
    assert contrast.result.p_value == 2 / 2**7 < ALPHA <= contrast.p_holm
    assert contrast.result.interval[1] < 0
    assert contrast.verdict == "no more than saying less"


def test_the_second_opinion_has_no_p_value_and_no_verdict(
    compared: Callable[..., RunComparison], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (block,) = compared(BASE, arm("beats", ARMS["beats"])).blocks
    row = rows(block)["chair_i_rate_ratio"]
    (ratio,) = row.ratios
    assert ratio.ratio is not None and ratio.ratio < 0.5
    (line,) = [
        line
        for line in printed(capsys, *paths(tmp_path, BASE, arm("beats", ARMS["beats"]))).splitlines()
        if line.startswith("length-adjusted ↓")
    ]
    assert line.split() == ["length-adjusted", "↓", f"×{ratio.ratio:.2f}", *line.split()[-2:]]


# Where there is no verdict


def why(block: Block) -> set[str | None]:
    (contrast,) = rows(block)["chair_i_vs_cut"].contrasts
    assert contrast.verdict is None and contrast.p_holm is None
    return {contrast.result.reasons.get(key) for key in ("difference", "p_value", "b.value")}


def test_an_arm_whose_recall_no_cut_has_is_named(
    compared: Callable[..., RunComparison], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    half, whole = arm("half", lambda image: told(image, 1, 2)), arm("whole", lambda image: told(image, 0))
    assert "above" in str(why(compared(half, whole).blocks[0]))
    little = arm("little", lambda image: told(image, 0, int(image > 30)))
    assert "below" in str(why(compared(BASE, little).blocks[0]))
    text = printed(capsys, *paths(tmp_path / "files", half, whole, BASE))
    assert "  CHAIR_i vs cut: no verdict, its recall of 100.0 is above 50.0, that of the whole captions" in text


def test_a_sampled_baseline_has_differences_without_verdicts(
    compared: Callable[..., RunComparison], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def sampled(data: dict[str, Any]) -> None:
        data["configs"][TASK]["generation_kwargs"] |= {"do_sample": True, "temperature": 0.7}

    arms = [replace(one, change=sampled) for one in (BASE, arm("beats", ARMS["beats"]))]
    comparison = compared(*arms)
    (block,) = comparison.blocks
    assert "sampled" in str(why(block))
    (contrast,) = rows(block)["chair_i_vs_cut"].contrasts
    assert contrast.result.difference is not None and contrast.result.difference < 0
    assert comparison.p_values_count == 4
    text = printed(capsys, *paths(tmp_path / "files", *arms))
    assert "  CHAIR_i vs cut: no verdict, the baseline's captions are sampled" in text


def test_few_images_have_no_verdict_as_elsewhere(compared: Callable[..., RunComparison]) -> None:
    arms = [replace(one, images=range(4)) for one in (BASE, arm("beats", lambda image: told(image, 0)))]
    comparison = compared(*arms)
    (contrast,) = rows(comparison.blocks[0])["chair_i_vs_cut"].contrasts
    assert contrast.verdict is None and "a verdict needs at least" in contrast.result.reasons["verdict"]
    assert any("4 images are too few for a verdict" in note for note in comparison.notes)


def test_captions_that_cannot_be_cut_are_noted(compared: Callable[..., RunComparison]) -> None:
    def older(task: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for one in lines:
            for record in one.values():
                if isinstance(record, dict):
                    record.pop("objects", None)
                    record.pop("hallucinated_objects", None)
        return lines

    other = arm("beats", ARMS["beats"])
    for control, reason in (
        (arm("silent", lambda image: "Nothing."), "no caption of the baseline mentions an object"),
        (replace(BASE, lines=older), "the baseline's records do not list the objects of each caption, so rerun it"),
    ):
        comparison = compared(control, other)
        assert f"{TASK}: CHAIR_i vs cut is left out: {reason}" in comparison.notes
        assert {row.kind for row in comparison.blocks[0].rows} == {"score"}


@pytest.mark.parametrize("objects", [None, "cat", [["cat"]], ["cat"], [1]])
def test_lists_of_objects_that_were_edited_are_named(compared: Callable[..., RunComparison], objects: object) -> None:
    def edited(task: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        lines[3]["chair_i"]["objects"] = objects
        return lines

    with pytest.raises(
        ValueError, match="line 4: objects (is|and hallucinated_objects are) .*; it was edited or damaged"
    ):
        compared(replace(BASE, lines=edited), arm("beats", ARMS["beats"]))


def test_an_arm_that_says_nothing_has_no_difference(compared: Callable[..., RunComparison]) -> None:
    (block,) = compared(BASE, arm("silent", lambda image: "Nothing.")).blocks
    assert "no caption mentions an object" in str(why(block))
    assert rows(block)["chair_i_rate_ratio"].ratios[0].ratio is None


# In every form


def test_every_form_says_the_same(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    two = paths(tmp_path, BASE, arm("beats", ARMS["beats"]))
    text = printed(capsys, *two)
    (line,) = [line for line in text.splitlines() if line.startswith("CHAIR_i vs cut ↓")]
    cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
    assert cells[1].startswith("cut ") and cells[-1] == "▲ beats saying less"
    assert f"| CHAIR_i vs cut ↓ |  | {' | '.join(cells[1:])} |" in printed(capsys, *two, "--markdown")
    assert "CHAIR\\_i vs cut $\\downarrow$" in printed(capsys, *two, "--latex")
    data = json.loads(printed(capsys, *two, "--json"))["tasks"][0]
    row = next(row for row in data["metrics"] if row["metric"] == "chair_i_vs_cut")
    assert list(row["baseline_cut_to_the_recall_of"]) == list(row["differences"]) == ["llava_beats"]
    assert row["differences"]["llava_beats"]["verdict"] == "beats saying less"
    assert [cut["mentions"] for cut in data["baseline_cuts"]] == list(range(1, 8))
    assert data["baseline_cuts"][-1]["chair_i"]["value"] == data["metrics"][1]["arms"]["llava_base"]["value"]
    page = tmp_path / "page.html"
    printed(capsys, *two, "--html", page)
    for part in (cells[1], cells[2], "▲ beats saying less", "Does it beat saying less?", 'class="frontier"'):
        assert part in page.read_text()


def test_many_arms_always_show_this_verdict(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arms = paths(tmp_path, BASE, *(arm(name, caption) for name, caption in ARMS.items()))
    for form in ((), ("--markdown",)):
        text = printed(capsys, *arms, *form)
        for verdict in ("▲ beats saying less", "▼ worse than saying less", ", no more than saying less"):
            assert verdict in text


# The pictures


def many(count: int) -> list[Arm]:
    def caption(number: int) -> Caption:
        return lambda image: told(image, (image + number) % 3 if (image * number) % 7 else 1, 2 + (image + number) % 4)

    return [BASE, *(arm(f"method{number}", caption(number)) for number in range(count))]


def test_a_point_and_its_line_are_those_of_the_rows(compared: Callable[..., RunComparison]) -> None:
    comparison = compared(BASE, *(arm(name, caption) for name, caption in ARMS.items()))
    (panel,) = frontier.panels(comparison)
    table = rows(comparison.blocks[0])
    for number, point in enumerate(panel.points, 1):
        cut = table["chair_i_vs_cut"].estimates[number].value
        contrast = table["chair_i_vs_cut"].contrasts[number - 1]
        assert (point.recall, point.chair_i) == (
            table["recall"].estimates[number].value,
            table["chair_i"].estimates[number].value,
        )
        assert cut is not None and contrast.result.interval is not None
        assert point.interval == tuple(cut + end for end in contrast.result.interval)
        assert point.side == contrast.side
        assert panel.x[0] <= point.recall <= panel.x[1]
        assert panel.y[0] <= min(point.interval) <= max(point.interval) <= panel.y[1]
    assert all(panel.x[0] <= one.recall <= panel.x[1] for one in panel.curve)


def test_the_curve_goes_on_to_the_border() -> None:
    cuts = [frontier.Curve(size, 10.0 * size, 2.0 * size, 1.0 * size, 3.0 * size) for size in range(1, 6)]
    found = frontier._within(cuts, (15.0, 35.0))
    assert [(one.mentions, one.recall, one.chair_i) for one in found] == [
        (0, 15, 3),
        (2, 20, 4),
        (3, 30, 6),
        (0, 35, 7),
    ]
    assert frontier._within(cuts, (0.0, 100.0)) == tuple(cuts)
    assert [one.recall for one in frontier._within(cuts, (22.0, 28.0))] == [22, 28]


@pytest.mark.parametrize("count", [1, 3, 6, 12, 29])
def test_nothing_overlaps_nothing_is_cut_and_no_letter_is_small(
    compared: Callable[..., RunComparison], count: int
) -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install matplotlib")
    from hallu_tasks.report import figure, frontier_figure

    picture = frontier_figure.draw(compared(*many(count), resamples=200))
    figure.encoded(picture, "png")
    texts = [text for text in picture.findobj(matplotlib.text.Text) if text.get_text().strip() and text.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= 7
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    for text, box in boxes:
        assert box.x0 >= 0 and box.x1 <= picture.bbox.x1 + 1, text
        assert box.y0 >= 0 and box.y1 <= picture.bbox.y1 + 1, text
    touching = [(one, other) for (one, a), (other, b) in combinations(boxes, 2) if a.padded(-2).overlaps(b.padded(-2))]
    assert touching == []


def test_a_run_without_captions_has_no_second_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install matplotlib")
    two = [write(tmp_path / name, Arm(f"llava_{name}", name, tasks=("hallu_demo_pope",))) for name in ("a", "b")]
    printed(capsys, *two, "--plot", tmp_path / "plot.png", "--html", tmp_path / "page.html")
    assert (tmp_path / "plot.png").exists() and not (tmp_path / "plot_frontier.png").exists()
    assert "Does it beat saying less?" not in (tmp_path / "page.html").read_text()


def test_a_folder_in_the_place_of_the_second_picture_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plot_frontier.svg").mkdir()
    assert cli.main(["compare", "x", "--plot", str(tmp_path / "plot.svg")]) == 2
    assert "plot_frontier.svg is a folder" in capsys.readouterr().err


def test_the_page_names_few_arms_and_numbers_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    for count, numbered in ((6, False), (7, True)):
        printed(capsys, *paths(tmp_path / str(count), *many(count)), "--html", page)
        text = page.read_text()
        assert ('<ol class="arms">' in text) == numbered
        assert (">llava_method0</text>" in text.split('id="less"')[1]) == (not numbered)


def test_labels_cover_no_point_and_no_other_label() -> None:
    points = [(100 + 9 * math.cos(number), 100 + 9 * math.sin(number)) for number in range(30)]
    boxes = labels.placed(points, [(16.0, 8.0)] * 30, Box(0, 0, 300, 200), radius=1)
    for one, other in combinations(boxes, 2):
        assert one.overlap(other) == 0
    for box in boxes:
        assert box.left >= 0 and box.right <= 300 and box.top >= 0 and box.bottom <= 200
        assert not any(box.overlap(Box(x - 1, y - 1, x + 1, y + 1)) for x, y in points)
