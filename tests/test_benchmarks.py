"""What a comparison makes of each benchmark: which records are its own, their scores, their units, their direction."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hallu_tasks
from hallu_tasks.benchmarks import table
from hallu_tasks.compare.comparison import MetricRow
from hallu_tasks.compare.compute import compare
from hallu_tasks.runs.results import Run, Sample, TaskRun
from hallu_tasks.scoring import amber, chair, choices, dash_b, hallusion, pope, textvqa

Record = Mapping[str, Any]
Right = Callable[[int], bool]
"""Whether the model is right about a document."""

IMAGES = 24
VOCABULARY = amber.read_vocabulary({"dog": [], "cat": [], "grass": ["lawn"]}, [])
SCENE = amber.Scene(("dog", "grass"), ("cat",))
TYPES = tuple(amber.TYPES)


def chair_record(number: int, right: bool) -> Record:
    return {"image_id": number, **chair.record("A dog." if right else "A cat.", {"dog", "person"})}


def pope_record(number: int, right: bool) -> Record:
    label = ("yes", "no")[number % 2]
    return {"image_id": number // 6, **pope.record(label if right else "no" if label == "yes" else "Yes", label)}


def repope_record(number: int, right: bool) -> Record:
    return {**pope_record(number, right), "relabelled": 1}


def dash_b_record(number: int, right: bool) -> Record:
    label = ("yes", "no")[number % 2]
    said = label if right else "no" if label == "yes" else "Yes"
    return {"image_id": f"{label}/coco/dog/{number}.jpg", **dash_b.record(said, label)}


def crpe_record(number: int, right: bool) -> Record:
    """Two questions an image, each with its options in four orders."""
    label = "ABCD"[number % 4]
    said = label if right else "ABCD"[(number + 1) % 4]
    return {"image_id": f"{number // 8}.jpg", **choices.CRPE.record(said, label, "abcd", number // 4, "exact")}


def mmvp_record(number: int, right: bool) -> Record:
    label = "AB"[number % 2]
    said = label if right else "AB"[(number + 1) % 2]
    return {"image_id": f"{number + 1}.jpg", **choices.MMVP.record(said, label, "ab", number // 2, "search")}


def mme_record(number: int, right: bool) -> Record:
    label = ("Yes", "No")[number % 2]
    said = label if right else "Perhaps"
    asked = {"image": f"{number // 2}.png", "category": "existence", "question": f"{number}?"}
    return {**asked, "answer": label, "prediction": said}


def generative_record(number: int, right: bool) -> Record:
    response = "A dog on the lawn." if right else "A cat."
    return {"image_id": f"AMBER_{number}.jpg", **amber.record_generative(response, SCENE, VOCABULARY)}


def discriminative_record(number: int, right: bool) -> Record:
    kind, truth = TYPES[number % len(TYPES)], ("yes", "no")[number // 6 % 2]
    response = truth if right else "yes" if truth == "no" else "no"
    image = f"AMBER_{number // 6}.jpg"
    return {"image_id": image, **amber.record_discriminative(response, amber.Question(kind, truth))}


def hallusion_record(number: int, right: bool) -> Record:
    """Sets of two figures, each with the same two questions; the second figure is edited."""
    figure, question = number // 2 % 2, number % 2
    asked = {
        "category": "VS",
        "subcategory": ("chart", "map")[number // 4 % 2],
        "set_id": str(number // 8),
        "figure_id": str(figure),
        "question_id": str(question),
        "visual_input": str(1 + figure),
        "gt_answer": str(question),
        "prediction": ("No", "Yes")[question == right],
    }
    return hallusion.record(asked, "image")


def textvqa_record(number: int, right: bool) -> Record:
    return {"image_id": f"{number // 2:016x}", **textvqa.record("stop" if right else "go", ["stop"] * 10)}


KINDS: dict[str, tuple[Callable[[int, bool], Record], int]] = {
    "CHAIR": (chair_record, 1),
    "POPE": (pope_record, 6),
    "RePOPE": (repope_record, 6),
    "DASH-B": (dash_b_record, 6),
    "CRPE existence": (crpe_record, 8),
    "MMVP": (mmvp_record, 6),
    "MME": (mme_record, 2),
    "AMBER generative": (generative_record, 1),
    "AMBER discriminative": (discriminative_record, 6),
    "HallusionBench": (hallusion_record, 4),
    "TextVQA": (textvqa_record, 2),
}
"""How each benchmark's documents are recorded, and how many there are an image."""


def run(title: str, right: Right, model: str = "llava_base", change: Callable[[Record], Record] = dict) -> Run:
    """A run of one task, its records as they come back from a file."""
    made, each = KINDS[title]
    samples = {}
    for number in range(IMAGES * each):
        record = json.loads(json.dumps(change(made(number, right(number)))))
        samples[number] = Sample(f"question {number}", "target", "answer", {"first": record, "second": record})
    task = TaskRun("task", {"metadata": {"version": 1}}, samples)
    return Run(model, Path(model), 1, model, {"method": model}, {"config": {}}, {"task": task})


def metrics(runs: Sequence[Run], **given: Any) -> dict[str, MetricRow]:
    (block,) = compare(runs, resamples=200, **given).blocks
    return {row.metric.name: row for row in block.rows}


@pytest.mark.parametrize("title", KINDS)
def test_records_are_those_of_one_benchmark(title: str) -> None:
    samples = run(title, lambda number: True).tasks["task"].samples
    own = [one.title for one in table.BENCHMARKS if any(one.record(sample) for sample in samples.values())]
    assert own == [title]
    found = table.of(samples)
    assert found is not None and found.title == title


def test_every_folder_with_an_entry_has_a_line_in_the_table() -> None:
    folders = {file.parent.name for file in Path(hallu_tasks.path()).glob("*/entry.py")}
    listed = [str(vars(entry)["__name__"]).split(".")[1] for entry in table.ENTRIES]
    assert sorted(listed) == sorted(folders)


def test_names_in_the_table_are_one_benchmark_s_each() -> None:
    ids = [kind.id for entry in table.ENTRIES for kind in entry.KINDS]
    tasks = [task for entry in table.ENTRIES for task in entry.DOCUMENTS]
    scorers = [scorer.name for entry in table.ENTRIES for scorer in entry.SCORERS]
    assert [len(set(names)) for names in (ids, tasks, scorers)] == [len(names) for names in (ids, tasks, scorers)]


def test_every_benchmark_is_tested_here() -> None:
    assert [one.title for one in table.BENCHMARKS] == list(KINDS)


ROWS = {
    "DASH-B": {"accuracy": "higher", "tnr": "higher", "tpr": "higher", "harmonic_mean": "higher"},
    "CRPE existence": {"circular_accuracy": "higher", "accuracy": "higher"},
    "MMVP": {"pair_accuracy": "higher", "accuracy": "higher"},
    "AMBER generative": {"chair": "lower", "cover": "higher", "hal": "lower", "cog": "lower", "mean_length": None},
    "AMBER discriminative": {"accuracy": "higher", "f1": "higher"},
    "HallusionBench": {"aAcc": "higher", "qAcc": "higher", "fAcc": "higher"},
    "TextVQA": {"accuracy": "higher"},
}
"""The rows that are shown without being asked for, in reading order, with their better direction."""

AGGREGATES: dict[str, Callable[[list[Record]], Mapping[str, Any]]] = {
    "DASH-B": dash_b.aggregate,
    "CRPE existence": choices.CRPE.aggregate,
    "MMVP": choices.MMVP.aggregate,
    "AMBER generative": amber.aggregate_generative,
    "AMBER discriminative": amber.aggregate_discriminative,
    "HallusionBench": hallusion.aggregate,
    "TextVQA": textvqa.aggregate,
}


@pytest.mark.parametrize("title", ROWS)
def test_rows_stand_in_reading_order_with_their_direction(title: str) -> None:
    base, better = run(title, lambda number: number % 3 > 0), run(title, lambda number: True, "llava_vhr")
    rows = metrics([base, better])
    assert {name: row.metric.direction for name, row in rows.items()} == ROWS[title]
    assert list(rows) == list(ROWS[title])
    for name, row in rows.items():
        expected = "higher" if ROWS[title][name] is None else "better"
        assert row.contrasts[0].verdict == expected, name


@pytest.mark.parametrize("title", ROWS)
def test_values_are_the_scorer_s(title: str) -> None:
    arm = run(title, lambda number: number % 5 > 1)
    records = [sample.records["first"] for sample in arm.tasks["task"].samples.values()]
    expected = AGGREGATES[title](records)
    rows = metrics([arm], every_metric=True)
    assert len(rows) >= len(ROWS[title])
    for name, row in rows.items():
        group, _, score = name.partition("_")
        wanted = expected["groups"][group][score] if group in amber.GROUPS else expected[name]
        assert row.estimates[0].value == pytest.approx(wanted), name


def test_what_is_shown_on_request() -> None:
    amber_rows = metrics([run("AMBER discriminative", lambda number: number % 2 > 0)], every_metric=True)
    groups = [f"{group}_f1" for group in amber.GROUPS]
    assert list(amber_rows) == ["accuracy", "precision", "recall", "f1", *groups, "unparsed_count"]
    hallusion_rows = metrics([run("HallusionBench", lambda number: True)], every_metric=True)
    assert list(hallusion_rows) == ["aAcc", "qAcc", "fAcc", "easy_aAcc", "hard_aAcc", "unparsed_count"]


def test_groups_without_questions_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "TYPES", ("relation",))
    rows = metrics([run("AMBER discriminative", lambda number: True)], every_metric=True)
    assert [name for name in rows if name.endswith("_f1")] == ["relation_f1"]


@pytest.mark.parametrize(
    ("title", "units", "images"),
    [
        ("AMBER generative", IMAGES, IMAGES),
        ("AMBER discriminative", IMAGES, IMAGES),
        ("CRPE existence", IMAGES, IMAGES),
        # 144 questions on 72 pairs of images.
        ("MMVP", 3 * IMAGES, 6 * IMAGES),
        # 96 questions on 24 sets of two figures, half of them in either subcategory.
        ("HallusionBench", IMAGES, 2 * IMAGES),
        ("TextVQA", IMAGES, IMAGES),
    ],
)
def test_what_shares_an_image_is_resampled_together(title: str, units: int, images: int) -> None:
    runs = [run(title, lambda number: number % 3 > 0), run(title, lambda number: True, "llava_vhr")]
    (block,) = compare(runs, resamples=50).blocks
    assert {row.contrasts[0].result.units_count for row in block.rows} == {units}
    assert (block.images_count, block.documents_count) == (images, IMAGES * KINDS[title][1])


def test_a_blank_description_is_neither_right_nor_wrong() -> None:
    def blank(number: int, right: bool) -> Record:
        response = "" if number < 6 else "A dog." if right else "A cat."
        return {"image_id": f"AMBER_{number}.jpg", **amber.record_generative(response, SCENE, VOCABULARY)}

    arm = run("AMBER generative", lambda number: True)
    records = {number: blank(number, number % 2 > 0) for number in range(IMAGES)}
    samples = {
        number: replace(sample, records={"hal": records[number]})
        for number, sample in arm.tasks["task"].samples.items()
    }
    task = replace(arm.tasks["task"], samples=samples)
    rows = metrics([replace(arm, tasks={"task": task})])
    assert rows["hal"].estimates[0].value == amber.aggregate_generative(records.values())["hal"] == 50.0


@pytest.mark.parametrize(
    ("title", "change", "said"),
    [
        ("AMBER generative", {"mode": "nltk"}, "rules of the records"),
        ("AMBER generative", {"similarity": "spacy"}, "mode reference, similarity spacy"),
        ("AMBER discriminative", {"policy": "official"}, "policy of the records"),
        ("HallusionBench", {"policy": "strict"}, "policy of the records"),
    ],
)
def test_other_rules_are_refused_unless_allowed(title: str, change: Record, said: str) -> None:
    base = run(title, lambda number: number % 3 > 0)
    other = run(title, lambda number: True, "llava_vhr", lambda record: {**record, **change})
    with pytest.raises(ValueError, match=f"scorer .*{said}"):
        metrics([base, other])
    assert metrics([base, other], allow_different=["scorer"])


@pytest.mark.parametrize("title", ROWS)
def test_another_image_under_the_same_number_is_refused(title: str) -> None:
    def moved(record: Record) -> Record:
        name = "set_id" if title == "HallusionBench" else "image_id"
        return {**record, name: f"{record[name]}0"}

    base, other = run(title, lambda number: True), run(title, lambda number: True, "llava_vhr", moved)
    with pytest.raises(ValueError, match="documents .*image"):
        metrics([base, other])
