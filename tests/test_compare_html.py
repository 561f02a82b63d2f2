"""The page of ``hallu compare --html``: what it says, that it needs nothing else, and that it works in a browser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import written_runs
from PIL import Image, ImageColor
from written_runs import BASE, VHR, Arm, write

from hallu_tasks.benchmarks.table import BENCHMARKS
from hallu_tasks.chair.benchmark import CHAIR as CHAIR_KIND
from hallu_tasks.compare.compute import compare
from hallu_tasks.compare.published import harnesses
from hallu_tasks.report import page
from hallu_tasks.report.changes import changes, expected
from hallu_tasks.report.thumbnails import LONGEST
from hallu_tasks.runs.results import Sample, read
from hallu_tasks.scoring import amber, textvqa
from registry.commands import cli

CHAIR = ("hallu_demo_chair",)
SEVEN = [BASE, VHR, *(Arm(f"llava_{name}", name, pope=lambda i, right: right if i % 2 else "No") for name in "abcde")]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """The page of some arms, as the command writes it."""

    def made(*arms: Arm, options: Sequence[object] = (), name: str = "page.html") -> Path:
        paths = [write(tmp_path / f"{number}_{arm.model}", arm) for number, arm in enumerate(arms)]
        file = tmp_path / name
        call = ["compare", *paths, "--resamples", "400", "--html", file, *options]
        assert cli.main([str(part) for part in call]) == 0
        return file

    return made


class Reader(HTMLParser):
    """Elements with their attributes and text; fails on tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "img", "input", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def pictures(text: str) -> dict[str, str]:
    found = re.search(r'<script type="application/json" id="pictures">(.*?)</script>', text, re.DOTALL)
    assert found
    data: dict[str, str] = json.loads(found[1])
    return data


def other_task(arm: Arm, ids: Sequence[Any]) -> Arm:
    """Captions of a task that is no demo task, for images with these ids."""

    def rename(task: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for one, image in zip(lines, ids):
            for record in one.values():
                if isinstance(record, dict):
                    record["image_id"] = image
        return lines

    return replace(arm, tasks=CHAIR, images=range(len(ids)), lines=rename)


# What it says


def test_the_numbers_are_those_of_the_text(written: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    text = written(BASE, VHR).read_text()
    printed = capsys.readouterr().out
    (chair_s,) = [line for line in printed.splitlines() if line.startswith("CHAIR_s")]
    for cell in re.split(" {2,}", chair_s)[1:4]:
        assert cell in text
    assert "▲ better" in text and "123.4" in text and "alpha=2, layers=1+4-7, variant=paper" in text
    assert "Holm &lt;0.001" in text


def test_it_is_one_well_formed_file_that_asks_for_nothing(written: Callable[..., Path]) -> None:
    text = written(*SEVEN, options=("--published",)).read_text()
    reader = Reader(text)
    assert not [
        attributes for _, attributes in reader.elements if {"src", "href", "style", "onclick"} & set(attributes)
    ]
    assert "url(" not in text and "@import" not in text
    assert len(reader.all("table")) == len(reader.all("caption"))
    assert all(attributes["scope"] in ("col", "row") for attributes in reader.all("th"))
    assert len(text) < 10_000_000


def test_its_policy_allows_its_own_script_and_style_and_no_other(written: Callable[..., Path]) -> None:
    text = written(BASE, VHR).read_text()
    (policy,) = [one["content"] for one in Reader(text).all("meta") if "Policy" in (one.get("http-equiv") or "")]
    assert policy and policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_answers_that_changed_sides_and_no_others(tmp_path: Path) -> None:
    # Captions 5 to 29 lose their dog; 3 of 6 answers to each of 40 images were "Yes" and should not have been.
    runs = [read(str(write(tmp_path / arm.model, arm))) for arm in (BASE, VHR)]
    found = changes(compare(runs, resamples=50))
    assert {(one.task, one.fixed) for one in found} == {("hallu_demo_chair", True), ("hallu_demo_pope", True)}
    assert [one.document for one in found if one.task == "hallu_demo_chair"] == list(range(5, 30))
    assert sum(one.task == "hallu_demo_pope" for one in found) == 120
    back = changes(compare(runs[::-1], resamples=50))
    assert [(one.task, one.document, one.fixed) for one in back] == [
        (one.task, one.document, not one.fixed) for one in found
    ]


def test_every_benchmark_says_which_answers_are_right() -> None:
    right = {benchmark.id: benchmark.right for benchmark in BENCHMARKS}
    assert [right["amber_generative"]({"responses_hallucinated": count}) for count in (0, 1)] == [True, False]
    question = amber.Question("relation", "no")
    assert [right["amber_discriminative"](amber.record_discriminative(a, question)) for a in ("no", "yes")] == [
        True,
        False,
    ]
    answers = ["a cat"] * 2 + ["a dog"] * 8
    found = [right["textvqa"](textvqa.record(answer, answers)) for answer in ("a dog", "a cat", "a cow")]
    assert found == [True, True, False]
    assert not right["textvqa"](textvqa.record("a cat", ["a cat"] + ["a dog"] * 9))


def test_hallucinated_words_are_marked_and_no_others(written: Callable[..., Path]) -> None:
    arms = [replace(arm, tasks=CHAIR) for arm in (replace(BASE, caption=lambda i: "A cat, two Dogs & a hot dog."), VHR)]
    text = written(*arms).read_text()
    marked = (
        'A cat, two <mark title="not in the image: dog">Dogs</mark> &amp; '
        'a <mark title="not in the image: hot dog">hot dog</mark>.'
    )
    assert text.count(marked) == 35  # 5 of the 40 are wrong in both arms.
    assert text.count("<mark") == 2 * 35
    assert text.count("expected: cat, clock") == 35


@pytest.mark.parametrize("mode", ["reference", "fixed", "nltk"])
def test_the_words_are_found_by_the_mode_of_the_record(mode: str) -> None:
    record = {"mode": mode, "hallucinated_objects": ["bus"]}
    sample = Sample("Describe.", "['cat']", "A cat on a bus, and buses.", {"chair_i": record})
    words = [sample.answer[start:end] for start, end, _ in CHAIR_KIND.marked(sample)]
    assert words == (["bus", "buses"] if mode == "fixed" else ["buses"])


@pytest.mark.parametrize(
    ("target", "text"),
    [("['cat', 'dog']", "cat, dog"), ("Yes", "Yes"), ("3", "3"), ("f(", "f("), ("[" * 9999, "[" * 9999)],
)
def test_what_was_expected_reads_as_text(target: str, text: str) -> None:
    assert expected(Sample("", target, "", {})) == text


def test_published_numbers_stand_apart(written: Callable[..., Path]) -> None:
    with_numbers = written(BASE, VHR, options=("--published",)).read_text()
    assert "never with the run above" in with_numbers
    assert with_numbers.index("33.32") > with_numbers.index('id="published"') > with_numbers.index('id="scores"')
    assert "33.32" not in written(BASE, VHR).read_text()
    nobody = written(BASE, Arm("llava_nobody", "nobody"), options=("--published",)).read_text()
    assert "the cards of these methods state none" in nobody


def test_one_arm_alone_has_scores_and_nothing_else(written: Callable[..., Path]) -> None:
    text = written(BASE).read_text()
    assert 'id="scores"' in text
    assert 'id="plots"' not in text and 'id="changed"' not in text
    Reader(text)


# Text that could be mistaken for the page's own


EVIL = "</script></td><script>window.broken = 1</script><img src=x onerror='window.broken = 2'>&amp; \"quoted\" "


def evil(arm: Arm) -> Arm:
    def lines(task: str, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**one, "input": f"{EVIL}?", "target": EVIL} for one in given]

    settings = {"parameters": f"instruction={EVIL}", "system_prompt": EVIL, EVIL: EVIL}
    return replace(arm, caption=lambda image: EVIL + arm.caption(image) + EVIL, lines=lines, hallu=settings)


def test_answers_questions_and_settings_are_text(written: Callable[..., Path]) -> None:
    text = written(evil(BASE), evil(VHR)).read_text()
    reader = Reader(text)
    assert len(reader.all("script")) == 2
    assert not [one for one in reader.all("img") if "src" in one or "onerror" in one]
    assert "&lt;/script&gt;&lt;/td&gt;" in text and "&amp;amp;" in text


EVIL_NAME = "<img src=x onerror=alert(1)>'\"&"


def test_names_of_arms_tasks_files_and_rules_are_text(
    written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = f"hallu_pope_{EVIL_NAME}"
    monkeypatch.setitem(written_runs.LINES, task, written_runs.pope_lines)
    monkeypatch.setitem(written_runs.METADATA, task, {"version": 1, "answer_policy": EVIL_NAME})

    def limited(data: dict[str, Any]) -> None:
        data["n-samples"][task]["original"] = 999
        data["lmms_eval_version"] = data["date"] = EVIL_NAME

    base = replace(BASE, model=EVIL_NAME, tasks=[task], pope=lambda image, right: "perhaps", change=limited)
    arms = (
        base,
        replace(VHR, model=f"{EVIL_NAME} 2", tasks=[task], images=range(3), hallu={EVIL_NAME: {EVIL_NAME: EVIL_NAME}}),
    )
    text = written(*arms, options=("--allow-different", "documents", "--allow-different", "scorer")).read_text()
    reader = Reader(text)
    assert "too few images" in text and "Warning: " in text and "limited: " in text
    assert EVIL_NAME not in text and "&lt;img src=x onerror=alert(1)&gt;" in text
    assert not [name for _, attributes in reader.elements for name in attributes if name.startswith("on")]
    assert not [one for one in reader.all("img") if "src" in one]
    assert len(reader.all("script")) == 2


def test_an_image_id_is_text_too(tmp_path: Path) -> None:
    class Everywhere(page.Thumbnails):
        def get(self, task: str, image: Any, subtask: str = "") -> str | None:
            return "data:image/jpeg;base64,AAAA"

    arms = [other_task(arm, [f"{EVIL}{number}" for number in range(9)]) for arm in (BASE, VHR)]
    comparison = compare([read(str(write(tmp_path / arm.model, arm))) for arm in arms], resamples=50)
    text = "".join(page._answers(comparison, CHAIR, changes(comparison), Everywhere()))
    reader = Reader(f"<main>{text}</main>")
    assert len(reader.all("script")) == 1
    assert set(pictures(text)) == {one["data-image"] for one in reader.all("img")}
    assert len(pictures(text)) == 4


# The same every time


def test_the_same_runs_give_the_same_page(written: Callable[..., Path]) -> None:
    assert written(BASE, VHR).read_bytes() == written(BASE, VHR, name="again.html").read_bytes()


def test_the_order_of_the_samples_does_not_matter(written: Callable[..., Path]) -> None:
    straight = written(BASE, VHR).read_bytes()
    assert written(*(replace(arm, lines=lambda _, lines: lines[::-1]) for arm in (BASE, VHR))).read_bytes() == straight


def test_a_run_against_itself_changed_nothing(written: Callable[..., Path]) -> None:
    text = written(BASE, BASE).read_text()
    assert "No answer changed sides." in text
    assert not re.search(r"\bnan\b", re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL), re.IGNORECASE)
    Reader(text)


# Images, and what does not fit


def test_demo_images_are_embedded_once_each_and_small(written: Callable[..., Path]) -> None:
    embedded = pictures(written(*SEVEN).read_text())
    assert {key.split()[0] for key in embedded} == {"hallu_demo_chair", "hallu_demo_pope"}
    for address in embedded.values():
        head, data = address.split(",")
        assert head == "data:image/jpeg;base64"
        assert max(Image.open(io.BytesIO(base64.b64decode(data))).size) <= LONGEST


def test_images_are_found_by_path_name_or_number_below_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "val2014"
    (folder / "twice").mkdir(parents=True)
    for name in ("COCO_val2014_000000000042.jpg", "AMBER_1.jpg", "scene.png", "both.jpg", "twice/both.jpg"):
        Image.new("RGB", (640, 320), "red").save(folder / name)
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("42")
    found = page.Thumbnails(tmp_path / "images")
    there = [42, "42", "AMBER_1.jpg", "AMBER_1", "scene", "val2014/both.jpg", "val2014/twice/both.jpg"]
    absent = [7, None, "both.jpg", "broken.jpg", "notes.txt", "../images/val2014/scene.png"]
    assert [image for image in (*there, *absent) if found.get("hallu_chair", image)] == there
    address = found.get("hallu_chair", 42)
    assert address
    assert Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).size == (160, 80)


def test_images_are_found_where_the_data_folder_has_those_of_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = {
        "coco/val2014/COCO_val2014_000000000042.jpg": "red",
        "coco/val2017/000000000042.jpg": "blue",
        "gqa/images/42.jpg": "green",
        "mme/MME_Benchmark_release_version/existence/000000000042.jpg": "yellow",
        "mme/MME_Benchmark_release_version/artwork/images/000000000042.jpg": "white",
        "amber/image/AMBER_42.jpg": "black",
        "hallusion/hallusion_bench/VD/chart/0_1.png": "cyan",
    }
    for name, colour in colours.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(tmp_path / name, quality=95)
    wanted = [
        ("hallu_chair_s0", 42, "", "red"),
        ("hallu_pope_random", "42", "", "red"),
        ("hallu_pope_aokvqa_random", "42", "", "red"),
        ("hallu_pope_gqa_random", "42", "", "green"),
        ("hallu_mme", "000000000042.jpg", "existence", "yellow"),
        ("hallu_mme", "000000000042.jpg", "artwork", "white"),
        ("hallu_amber_discriminative", "AMBER_42.jpg", "", "black"),
        ("hallu_hallusion", "VD/chart/0_1.png", "", "cyan"),
        ("hallu_mme", "000000000042.jpg", "count", None),
        ("hallu_textvqa", "42", "", None),
        ("some_task", "42", "", None),
    ]
    for place in (None, tmp_path / "nowhere"):
        monkeypatch.delenv("HALLU_DATA", raising=False)
        if place:
            monkeypatch.setenv("HALLU_DATA", str(place))
        assert page.Thumbnails().get("hallu_chair_s0", 42) is None
    monkeypatch.setenv("HALLU_DATA", str(tmp_path))
    found = page.Thumbnails()
    for task, image, subtask, colour in wanted:
        address = found.get(task, image, subtask)
        assert (address is None) == (colour is None), (task, image, subtask)
        if address is not None and colour is not None:
            shown = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).convert("RGB").getpixel((4, 4))
            assert isinstance(shown, tuple)
            assert max(abs(a - b) for a, b in zip(shown, ImageColor.getrgb(colour))) < 16, (task, image, subtask)
    assert page.Thumbnails(tmp_path / "gqa").get("hallu_chair_s0", 42) == found.get("hallu_pope_gqa_random", "42")


def test_subtasks_whose_images_have_one_name_have_their_own_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(task: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for one in lines:
            for record in one.values():
                if isinstance(record, dict):
                    record["image"] = "0001.png"
        return [one for one in lines if one["doc_id"] < 6]

    for subtask in ("existence", "count"):
        (tmp_path / "mme" / subtask).mkdir(parents=True)
        Image.new("RGB", (8, 8), "red" if subtask == "count" else "blue").save(tmp_path / "mme" / subtask / "0001.png")
    arms = [replace(arm, tasks=["hallu_mme"], lines=rename) for arm in (replace(BASE, mme=lambda i, r: "Yes"), VHR)]
    paths = [write(tmp_path / arm.model, arm) for arm in arms]
    monkeypatch.setenv("HALLU_DATA", str(tmp_path))
    comparison = compare([read(str(path)) for path in paths], resamples=50)
    shown = pictures(page.as_html(comparison))
    assert sorted(shown) == ["hallu_mme count/0001.png", "hallu_mme existence/0001.png"]
    assert len(set(shown.values())) == 2


def test_what_is_left_out_is_counted(written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_ROWS", 40)
    monkeypatch.setattr(page, "MOST_IMAGE_BYTES", 20_000)
    text = written(BASE, VHR).read_text()
    assert "105 of 145 changed answers are left out" in text
    assert re.search(r"\d+ of \d+ images are left out", text)
    rows = [one for one in Reader(text).all("tr") if "data-task" in one]
    # Each task is still there, with as many as the other.
    assert [sum(one["data-task"] == f"hallu_demo_{task}" for one in rows) for task in ("chair", "pope")] == [20, 20]
    monkeypatch.setattr(page, "MOST_ROW_BYTES", 5_000)
    assert 0 < len([one for one in Reader(written(BASE, VHR).read_text()).all("tr") if "data-task" in one]) < 12


def test_images_that_are_not_there_are_counted(written: Callable[..., Path]) -> None:
    arms = [other_task(arm, range(100_000, 100_040)) for arm in (BASE, VHR)]
    assert "25 of 25 images were not found; --images FOLDER" in written(*arms).read_text()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (("--html", "page.txt"), "allowed endings are .html, .htm"),
        (("--html", "nowhere/page.html"), "does not exist"),
        (("--images", "."), "--images goes with --html"),
        (("--html", "page.html", "--images", "nowhere"), "--images nowhere is not a folder"),
    ],
)
def test_bad_calls_are_refused_before_a_run_is_read(
    call: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hallu_tasks.report.command.read", lambda path: pytest.fail("a run was read"))
    assert cli.main(["compare", "x", *call]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_published_harnesses_are_one_table_each(tmp_path: Path) -> None:
    found = harnesses(
        [read(str(write(tmp_path / name, Arm(f"llava_{name}", name)))) for name in ("vhr", "eah", "sevi")]
    )
    titles = [one.title for one in found]
    assert len(set(titles)) == len(titles)
    (vhr,) = [one for one in found if one.title.startswith("VHR paper, LLaVA-1.5-7B: CHAIR")]
    assert [(row.label, *vhr.cells(row)) for row in vhr.rows] == [
        ("plain model", "49.68", "14.32"),
        ("vhr", "33.32", "9.71"),
        ("eah", "38.76", "11.05"),
    ]
    (sevi,) = [
        one for one in found if one.title == "SEVI paper, LLaVA-1.5-7B: CHAIR, 500 COCO images, sampling, 512 tokens"
    ]
    assert [row.label for row in sevi.rows] == ["plain model", "sevi, preset=balanced", "sevi, preset=focused"]


# In a browser


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars"
)
in_browser = pytest.mark.skipif(
    not (BROWSER and DRIVER),
    reason="no chromium and chromedriver on the PATH: apt-get install chromium chromium-driver",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    driver.set_window_size(1280, 900)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Any, written: Callable[..., Path]) -> Iterator[Callable[..., Any]]:
    """Opens the page of some arms; the console must have stayed empty in the end."""

    def show(*arms: Arm) -> Any:
        browser.get(written(*arms).as_uri())
        return browser

    yield show
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def shown(browser: Any) -> list[Any]:
    rows: list[Any] = browser.execute_script(
        "return [...document.querySelectorAll('#answers tbody tr')].filter((row) => row.offsetParent !== null)"
        ".map((row) => [row.dataset.task, row.dataset.arm, row.dataset.side, row.textContent])"
    )
    return rows


def count(browser: Any) -> str:
    text: str = browser.find_element("css selector", "#filter output").text
    return text


def choose(browser: Any, name: str, value: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(browser.find_element("name", name)).select_by_value(value)


@in_browser
def test_seven_arms_can_be_filtered(opened: Callable[..., Any]) -> None:
    browser = opened(*SEVEN)
    # VHR fixes 25 captions and 120 answers. Each of the five fixes all 30 captions, 120 answers on odd images, and on
    # even ones, where it says no, fixes three and breaks three of six.
    total = 25 + 120 + 5 * (30 + 60 + 120)
    assert count(browser).startswith(f"{total:,} of {total:,} changed answers, the first 100 shown")
    assert len(shown(browser)) == 100
    choose(browser, "task", "hallu_demo_chair")
    assert {row[0] for row in shown(browser)} == {"hallu_demo_chair"}
    choose(browser, "arm", "1")
    assert count(browser) == f"25 of {total:,} changed answers"
    assert {tuple(row[:3]) for row in shown(browser)} == {("hallu_demo_chair", "1", "fixed")}
    choose(browser, "side", "broken")
    assert shown(browser) == [] and count(browser).startswith("0 of")
    browser.find_element("css selector", "#filter [type=reset]").click()
    assert count(browser).startswith(f"{total:,} of")
    choose(browser, "side", "broken")
    assert count(browser).startswith(f"{5 * 60} of")
    assert {row[2] for row in shown(browser)} == {"broken"}


@in_browser
def test_typing_searches_questions_and_answers(opened: Callable[..., Any]) -> None:
    browser = opened(BASE, VHR)
    field = browser.find_element("name", "text")
    field.send_keys("A Cat And A DOG")
    assert count(browser) == "25 of 145 changed answers"
    assert all("A cat and a dog." in row[3] for row in shown(browser))
    field.clear()
    field.send_keys("Is there a 3 in")
    assert count(browser) == "40 of 145 changed answers"
    field.send_keys(" nothing like it")
    assert shown(browser) == []


@in_browser
def test_more_rows_come_on_demand_and_by_keyboard(opened: Callable[..., Any]) -> None:
    from selenium.webdriver import Keys

    browser = opened(BASE, VHR)
    more = browser.find_element("id", "more")
    assert (len(shown(browser)), more.text) == (100, "Show 45 more")
    more.send_keys(Keys.ENTER)
    assert (len(shown(browser)), more.is_displayed()) == (145, False)


@in_browser
def test_every_control_is_reached_by_keyboard(opened: Callable[..., Any]) -> None:
    from selenium.webdriver import Keys

    browser = opened(BASE, VHR)
    browser.find_element("name", "task").send_keys(Keys.TAB)
    reached = []
    for _ in range(4):
        reached.append(browser.switch_to.active_element.get_attribute("name"))
        browser.switch_to.active_element.send_keys(Keys.TAB)
    assert reached == ["arm", "side", "text", ""]
    assert browser.switch_to.active_element.get_attribute("id") == "more"
    browser.find_element("name", "side").send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert count(browser) == "0 of 145 changed answers"
    regions = browser.find_elements("css selector", ".scroll[tabindex='0'][role=region][aria-label]")
    assert len(regions) == len(browser.find_elements("css selector", ".scroll")) > 3


@in_browser
def test_pictures_are_shown(opened: Callable[..., Any]) -> None:
    browser = opened(BASE, VHR)
    sizes = browser.execute_script(
        "return Promise.all([...document.querySelectorAll('#answers tr:not([hidden]) img')].map((image) =>"
        " image.decode().then(() => image.naturalWidth)))"
    )
    assert len(sizes) == 100 and set(sizes) == {64}


@in_browser
def test_an_answer_cannot_run_a_script(opened: Callable[..., Any]) -> None:
    browser = opened(evil(BASE), evil(VHR))
    assert browser.execute_script("return window.broken === undefined")
    assert EVIL.strip() in shown(browser)[0][3]


@in_browser
def test_both_colour_schemes_and_a_narrow_window(opened: Callable[..., Any]) -> None:
    browser = opened(*SEVEN)
    colours = []
    try:
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            style = "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
            colours.append(browser.execute_script(style))
        assert colours[0] == ["rgb(255, 255, 255)", "rgb(28, 36, 48)"]
        assert colours[1] == ["rgb(18, 22, 28)", "rgb(228, 233, 240)"]
        for width in (1280, 700, 400, 320):
            size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@in_browser
def test_two_thousand_rows_filter_without_waiting(opened: Callable[..., Any]) -> None:
    def wrong(image: int, right: str) -> str:
        return {"Yes": "No", "No": "Yes"}[right]

    pope = ("hallu_demo_pope",)
    browser = opened(Arm(tasks=pope, images=range(400)), Arm("llava_vhr", tasks=pope, images=range(400), pope=wrong))
    assert "2,400 of 2,400" in count(browser)
    spent = browser.execute_script(
        "const field = document.forms.filter.elements.text; const times = [];"
        "for (const text of ['', '3', '3 in', 'x', '']) { field.value = text; const start = performance.now();"
        " field.dispatchEvent(new Event('input', {bubbles: true})); document.body.offsetHeight;"
        " times.push(performance.now() - start); } return Math.max(...times);"
    )
    assert spent < 1000, f"{spent:.0f} ms for a letter"
