"""The forest plot of ``hallu compare``: what is on it, that all can be read, and that it is the same every time."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from written_runs import BASE, SILENT, STRATEGIES, VHR, WRONG, Arm, write

import hallu_tasks
from hallu_tasks.compare.comparison import RunComparison
from hallu_tasks.compare.compute import compare
from hallu_tasks.report import forest
from hallu_tasks.runs.results import read
from registry.commands import cli

matplotlib = pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install matplotlib")

ROOT = Path(hallu_tasks.__file__).parents[1]
CHAIR = ("hallu_demo_chair",)


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., RunComparison]:
    def comparison(*arms: Arm, resamples: int = 1000) -> RunComparison:
        paths = [write(tmp_path / str(number), arm) for number, arm in enumerate(arms)]
        return compare([read(str(path)) for path in paths], resamples=resamples)

    return comparison


def many(count: int) -> list[Arm]:
    def wrong_in(images: int) -> Callable[[int], str]:
        return lambda image: WRONG if image < images else SILENT

    return [BASE, *(Arm(f"llava_m{n}", f"m{n}", caption=wrong_in(5 * n), speed=None) for n in range(count))]


def long_names(count: int) -> list[Arm]:
    text = "instruction=Describe everything that is in the image"
    return [BASE, *(replace(VHR, hallu={"parameters": f"alpha={number},{text} {number}"}) for number in range(count))]


def grouped(count: int) -> list[Arm]:
    return [replace(arm, tasks=STRATEGIES, groups={"hallu_pope_aokvqa": STRATEGIES}) for arm in many(count)]


# What is shown


def test_a_panel_a_headline_metric_and_a_row_an_arm(compared: Callable[..., RunComparison]) -> None:
    comparison = compared(BASE, VHR, replace(VHR, model="llava_eah"))
    panels = forest.panels(comparison)
    assert [(panel.task, panel.metric, panel.unit) for panel in panels][:5] == [
        ("chair", "CHAIR_s", "pp"),
        ("chair", "CHAIR_i", "pp"),
        ("chair", "CHAIR_i vs cut", "pp"),
        ("chair", "recall", "pp"),
        ("chair", "mean length", "tokens"),
    ]
    assert {tuple(point.arm for point in panel.points) for panel in panels} == {("llava_vhr", "llava_eah")}
    row = comparison.blocks[0].rows[0]
    assert panels[0].points[0].difference == row.contrasts[0].result.difference == -62.5
    assert panels[0].points[0].interval == row.contrasts[0].result.interval
    assert (panels[0].better, panels[3].better, panels[4].better) == ("lower", "higher", None)


def test_every_interval_and_zero_lie_inside_the_axis(compared: Callable[..., RunComparison]) -> None:
    for panel in forest.panels(compared(*many(5))):
        ends = [end for point in panel.points for end in point.interval or ()]
        assert all(panel.low < value < panel.high for value in (0, *ends))
        assert 2 <= len(panel.ticks) <= 6
        assert all(panel.low <= tick <= panel.high for tick in panel.ticks)
        assert 0 in panel.ticks


def test_a_task_alone_keeps_its_name_and_several_lose_what_they_share() -> None:
    assert forest.short_names(["hallu_demo_chair"]) == {"hallu_demo_chair": "hallu_demo_chair"}
    tasks = ["hallu_chair", "hallu_chair_short", "hallu_pope_random"]
    assert list(forest.short_names(tasks).values()) == ["chair", "chair_short", "pope_random"]
    assert list(forest.short_names(["hallu_chair", "hallu_chair_short"]).values()) == ["chair", "chair_short"]


def drawn(comparison: RunComparison) -> matplotlib.figure.Figure:
    from hallu_tasks.report import figure

    picture = figure.draw(comparison)
    figure.encoded(picture, "png")  # Places everything.
    return picture


def test_a_marker_is_filled_where_there_is_a_verdict(compared: Callable[..., RunComparison]) -> None:
    from hallu_tasks.report.figure import BLUE, GREY

    few = Arm("llava_few", caption=lambda image: WRONG if image < 28 else "A cat and a clock.", tasks=CHAIR)
    panels = drawn(compared(replace(BASE, tasks=CHAIR), replace(VHR, tasks=CHAIR), few)).axes
    markers = [line for line in panels[0].lines if line.get_marker() == "o"]
    assert [(line.get_color(), line.get_markerfacecolor()) for line in markers] == [(BLUE, BLUE), (GREY, "white")]
    zero = panels[0].lines[0].get_xdata()
    assert list(zero) == [0, 0]
    assert panels[0].get_xlabel() == "← better" and panels[3].get_xlabel() == "better →"
    assert panels[4].get_xlabel().strip() == ""  # Longer is neither better nor worse.


def test_what_is_undefined_is_said_to_be_so(compared: Callable[..., RunComparison]) -> None:
    panels = drawn(compared(BASE, replace(VHR, caption=lambda image: SILENT))).axes
    assert "N/A" in [text.get_text() for text in panels[1].texts]


# That it can be read


def texts(picture: matplotlib.figure.Figure) -> Iterator[matplotlib.text.Text]:
    for text in picture.findobj(matplotlib.text.Text):
        if text.get_text().strip() and text.get_visible() and (text.axes is None or text.axes.axison):
            yield text


@pytest.mark.parametrize(
    "arms",
    [
        many(1),
        many(2),
        many(6),
        many(12),
        long_names(3),
        [replace(arm, tasks=CHAIR) for arm in many(3)],
        grouped(1),
        grouped(6),
    ],
    ids=["one", "two", "six", "twelve", "long names", "one task", "a group", "a group, six"],
)
def test_nothing_overlaps_nothing_is_cut_and_no_letter_is_small(
    compared: Callable[..., RunComparison], arms: Sequence[Arm]
) -> None:
    picture = drawn(compared(*arms, resamples=200))
    width = picture.get_size_inches()[0]
    assert width in (3.3, 6.9)
    shown = list(texts(picture))
    assert min(text.get_fontsize() for text in shown) >= 7
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown]
    for text, box in boxes:
        assert box.x0 >= 0 and box.x1 <= picture.bbox.x1 + 1, text
        assert box.y0 >= 0 and box.y1 <= picture.bbox.y1 + 1, text
    # A hair's breadth: lines of one name have their leading in common.
    touching = [(one, other) for (one, a), (other, b) in combinations(boxes, 2) if a.padded(-1).overlaps(b.padded(-1))]
    assert touching == []


# The files


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_file_is_a_picture_and_the_same_every_time(tmp_path: Path, ending: str) -> None:
    """Two processes with other hash seeds, at other times."""
    base, vhr = write(tmp_path / "a", BASE), write(tmp_path / "b", VHR)
    made = []
    for number in "12":
        file = tmp_path / f"{number}.{ending}"
        call = ["compare", str(base), str(vhr), "--resamples", "100", "--plot", str(file)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": number, "PYTHONIOENCODING": "utf-8"}
        subprocess.run(
            [sys.executable, "-m", "registry.commands.cli", *call], env=environment, check=True, capture_output=True
        )
        made.append([one.read_bytes() for one in (file, tmp_path / f"{number}_frontier.{ending}")])
    assert made[0] == made[1]
    for content in made[0]:
        if ending == "png":
            from PIL import Image

            assert Image.open(io.BytesIO(content)).size[0] == round(3.3 * 240)
        elif ending == "svg":
            assert ElementTree.fromstring(content).tag.endswith("svg")
            assert b"NaN" not in content and b"nan" not in content
        else:
            assert content.startswith(b"%PDF-")
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_a_run_against_itself_lies_on_zero(compared: Callable[..., RunComparison]) -> None:
    for panel in forest.panels(compared(BASE, BASE)):
        assert (panel.low, panel.high) == (-1, 1)
        (point,) = panel.points
        assert (point.arm, point.difference, point.interval) == ("llava_base (2)", 0.0, (0.0, 0.0))
        assert point.side == "no difference"


def test_the_order_of_the_samples_does_not_matter(tmp_path: Path) -> None:
    from hallu_tasks.report import figure

    straight = [write(tmp_path / arm.model, arm) for arm in (BASE, VHR)]
    turned = [
        write(tmp_path / "t" / arm.model, replace(arm, lines=lambda _, lines: lines[::-1])) for arm in (BASE, VHR)
    ]
    pictures = [
        figure.encoded(figure.draw(compare([read(str(path)) for path in paths], resamples=100)), "svg")
        for paths in (straight, turned)
    ]
    assert pictures[0] == pictures[1]


# Bad calls


def refused(capsys: pytest.CaptureFixture[str], *call: object) -> str:
    assert cli.main(["compare", *map(str, call), "--resamples", "50"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_bad_calls_are_refused_before_a_run_is_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hallu_tasks.report.command.read", lambda path: pytest.fail("a run was read"))
    assert "allowed endings are .png, .svg, .pdf" in refused(capsys, "x", "--plot", tmp_path / "a.bmp")
    assert f"the folder {tmp_path / 'no'} does not exist" in refused(capsys, "x", "--plot", tmp_path / "no" / "a.png")
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in refused(capsys, "x", "--plot", tmp_path / "folder.png")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install matplotlib" in refused(capsys, "x", "--plot", tmp_path / "a.png")


def test_one_arm_has_no_differences_to_plot(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    assert "at least two arms" in refused(capsys, write(tmp_path / "a", BASE), "--plot", file)
    assert not file.exists()


def test_a_refused_comparison_leaves_no_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    base, other = write(tmp_path / "a", BASE), write(tmp_path / "b", replace(VHR, hallu={"dtype": "bfloat16"}))
    files = [tmp_path / "a.png", tmp_path / "a.html"]
    assert "--allow-different dtype" in refused(capsys, base, other, "--plot", files[0], "--html", files[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, vhr = write(tmp_path / "a", BASE), write(tmp_path / "b", VHR)
    file = tmp_path / "plot.png"
    file.write_text("the one before")
    call = ["compare", str(base), str(vhr), "--resamples", "50", "--plot", str(file)]

    def broken(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", broken)
        with pytest.raises(OSError, match="no space left"):
            cli.main(call)
    assert file.read_text() == "the one before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "plot.png"]
    assert cli.main(call) == 0
    for written in (file, tmp_path / "plot_frontier.png"):
        assert written.read_bytes().startswith(b"\x89PNG")
