"""``hallu reproduce``: every card's published rows as runs, the runs, and both numbers side by side."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import stand_in
import warm

from hallu_models import methods
from hallu_tasks.reproduce import measured, plan, setting
from hallu_tasks.reproduce.plan import Entry
from hallu_tasks.reproduce.text import NOT_REPRODUCED
from hallu_tasks.runs import results
from hallu_tasks.scoring import chair, paired
from registry.arguments import params
from registry.cards import built_in
from registry.cards.card import DECODINGS, Protocol, Published
from registry.commands import cli
from registry.errors import CardError
from registry.model_families import published
from registry.plugins import model_ids

OUT = Path("results/reproduce")
DEMO = ("vhr", "--on", "llava", "--model_args", "pretrained=demo")

ROWS = [
    pytest.param(built_in.load(name), row, id=f"{name} {number}")
    for name in built_in.names()
    for number, row in enumerate(built_in.load(name).published, 1)
]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    """Puts the stand-in before lmms-eval; gives the arguments of the runs that were started since."""
    return stand_in.install(tmp_path, monkeypatch)


@pytest.fixture
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HALLU_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def reproduce(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = cli.main(["reproduce", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    code, out, err = reproduce(capsys, *arguments)
    assert (code, out) == (2, "")
    return err


def entry(method: str, number: int, model_args: str = "") -> Entry:
    found = plan.entries(built_in.load(method), demo=plan.is_demo(model_args))[number - 1]
    return plan.prepared(found, model_args, ())


# The cards


def test_every_published_row_is_runs_or_says_which_field_is_not() -> None:
    fields = {*Protocol.__dataclass_fields__, "numbers", "model"}
    found = {}
    for name in built_in.names():
        for one in plan.entries(built_in.load(name)):
            arms = plan.prepared(one, "", ()).arms
            assert bool(arms) != bool(one.problems)
            for arm in arms:
                assert model_ids.split(arm.model)[1] in (None, name)
            if one.problems:
                found[name, one.number] = [problem.partition(":")[0] for problem in one.problems]
    assert {field for row in found.values() for field in row} <= fields
    assert found == {
        ("iava", 1): ["numbers"],
        ("iava", 2): ["numbers"],
        ("m3id", 1): ["model", "benchmark"],
        ("m3id", 2): ["model", "numbers"],
        ("vhr", 13): ["unsupported"],
        ("vhr", 14): ["unsupported"],
    }


WORDS = {"greedy": r"greedy", "beams": r"beam", "sampling": r"(?<!nucleus )sampling", "nucleus": r"nucleus sampling"}


@pytest.mark.parametrize(("card", "row"), ROWS)
def test_the_fields_say_what_the_words_say_and_no_more(card: Any, row: Published) -> None:
    protocol, words = row.protocol, row.setting
    said = {name for name, word in WORDS.items() if re.search(word, words)}
    if "OPERA's beams against greedy" in words:
        said = {"greedy"}
    if words.startswith("CHAIR; decoding and images not stated"):
        said = set()
    assert set(WORDS) == set(DECODINGS)
    assert said == ({protocol.decoding} - {None})
    for value, pattern in (
        (protocol.images, r"(\d+) COCO"),
        (protocol.seeds, r"(\d+) seeds"),
        (protocol.max_new_tokens, r"(\d+) tokens"),
        (protocol.beams, r"(\d+) beams"),
    ):
        found = re.search(pattern, words)
        assert value == (int(found[1]) if found else None)
    own = dict(re.findall(r"(\w+)=([\w.-]+)", words))
    assert {name: str(value).lower() for name, value in protocol.parameters.items()} == own
    title = {"chair": "CHAIR", "pope": "POPE", "mme": "MME", "amber_generative": "AMBER generative", None: "captions"}
    assert title[protocol.benchmark] in words
    assert (protocol.questions == "coco") == ("POPE COCO" in words)
    strategies = [name for name in ("random", "popular", "adversarial") if name in words]
    assert protocol.strategy == ("mean" if "three splits" in words else strategies[0] if strategies else None)


def test_published_names_lead_to_families_and_the_control_arm_s_checkpoint_is_a_family_s_own_where_it_can() -> None:
    assert published.load()["LLaVA-1.5-7B"].checkpoint == "llava-hf/llava-1.5-7b-hf"
    assert published.load()["LLaVA-1.5-13B"].checkpoint == "llava-hf/llava-1.5-13b-hf"
    assert published.load()["LLaVA-NeXT"].open
    assert "LLaVA 13B" not in published.load()  # Of the first LLaVA no family has weights.


def test_a_published_model_of_no_family_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "published.yaml"
    file.write_text("LLaVA-2:\n  family: lava\n  checkpoint: a/b\n")
    with pytest.raises(CardError, match=r"published\.yaml: LLaVA-2\.family: 'lava' is not one of llava,"):
        published.read(file)


# From a setting to options


def row(numbers: dict[str, float] | None = None, **protocol: Any) -> Published:
    numbers = numbers or {"chair_s": 1.0, "accuracy": 2.0}
    return Published("a paper", "LLaVA-1.5-7B", "words", numbers, {}, Protocol(**protocol))


@pytest.mark.parametrize(
    ("protocol", "tasks", "options"),
    [
        ({"benchmark": "chair", "max_new_tokens": 64}, "hallu_chair_s0", {"max_new_tokens": "64"}),
        ({"benchmark": "chair", "seeds": 2}, "hallu_chair_s0,hallu_chair_s1", {}),
        ({"benchmark": "chair", "decoding": "beams", "beams": 3}, "hallu_chair_s0", {"num_beams": "3"}),
        (
            {"benchmark": "chair", "decoding": "nucleus"},
            "hallu_chair_s0",
            {"do_sample": "True", "temperature": "1.0", "top_p": "0.9", "top_k": "0"},
        ),
        ({"benchmark": "pope", "questions": "coco", "strategy": "mean"}, "hallu_pope", {}),
        ({"benchmark": "pope", "questions": "gqa", "strategy": "random"}, "hallu_pope_gqa_random", {}),
    ],
)
def test_a_setting_is_tasks_and_options(protocol: dict[str, Any], tasks: str, options: dict[str, str]) -> None:
    found = setting.of(row(**protocol), built_in.load("vhr"))
    assert (",".join(found.tasks), found.options, found.method_options) == (tasks, options, options)


def test_what_is_not_stated_is_listed_with_what_is_used() -> None:
    found = setting.of(row(benchmark="chair", decoding="sampling"), built_in.load("vhr"))
    assert {one.field: one.used for one in found.unstated} == {
        "images": "our list of seed 0, 500 of COCO val2014",
        "temperature": "1.0",
        "top_p": "1.0",
        "top_k": "none",
        "seed": "0, one run",
        "max_new_tokens": "512, the task's",
        "prompt": "Please describe this image in detail.",
    }
    stated = setting.of(built_in.load("vhr").published[0], built_in.load("vhr"))
    assert [one.field for one in stated.unstated] == ["which images"]


@pytest.mark.parametrize(
    ("protocol", "problem"),
    [
        ({}, "benchmark: the card does not state one"),
        ({"benchmark": "chair", "images": 100}, "images: there are lists of 500 images, none of 100"),
        ({"benchmark": "chair", "seeds": 6}, "seeds: there are 5 image lists, not 6"),
        ({"benchmark": "chair", "seeds": 3, "decoding": "sampling"}, "seeds: only image lists of CHAIR are averaged"),
        ({"benchmark": "pope", "seeds": 3}, "seeds: only image lists of CHAIR are averaged"),
        ({"benchmark": "chair", "prompt": "Go."}, "prompt: 'Go.' is not that of the task, 'Please describe"),
        ({"benchmark": "pope", "prompt": "Go."}, "prompt: 'Go.' cannot be given to the task"),
        ({"benchmark": "chair", "unsupported": "magic"}, "unsupported: no parameter of vhr stands for magic"),
    ],
)
def test_what_cannot_be_expressed_names_its_field(protocol: dict[str, Any], problem: str) -> None:
    found = setting.of(row(**protocol), built_in.load("vhr"))
    assert [text[: len(problem)] for text in found.problems] == [problem]
    assert found.tasks == ()


def test_a_method_with_beams_of_its_own_gets_them_as_its_parameter_and_the_control_arm_as_generate_s() -> None:
    control, method = entry("opera", 2).arms
    assert control.arguments == ("--gen_kwargs", "num_beams=5")
    assert (method.arguments, method.model_args) == ((), "pretrained=llava-hf/llava-1.5-7b-hf,beams=5")
    assert entry("opera", 2).compare(OUT).endswith(" --allow-different decoding")
    assert "--allow-different" not in entry("pai", 2).compare(OUT)


# What is printed

LISTS = ",".join(f"hallu_chair_s{number}" for number in range(5))
FIRST = f"""\
1. VHR paper, LLaVA-1.5-7B: CHAIR, 500 COCO val2014 images, 5 seeds, greedy, 512 tokens
   published: chair_s 49.68 -> 33.32, chair_i 14.32 -> 9.71
   not stated: which images (here our lists of seeds 0 to 4)
   hallu run --model llava_base --model_args pretrained=llava-hf/llava-1.5-7b-hf --tasks {LISTS} \
--output_path out/llava-1.5-7b-hf/chair-5lists-greedy-512/base --log_samples
   hallu run --model llava_vhr --model_args pretrained=llava-hf/llava-1.5-7b-hf --tasks {LISTS} \
--output_path out/llava-1.5-7b-hf/chair-5lists-greedy-512/vhr --log_samples
   hallu compare out/llava-1.5-7b-hf/chair-5lists-greedy-512/base out/llava-1.5-7b-hf/chair-5lists-greedy-512/vhr
   # compares list by list; this command shows the mean over the lists once both runs are there

4. VHR paper, LLaVA-1.5-7B: POPE COCO, mean of the three splits
   published: f1 84.98 -> 85.47
   not stated: decoding (here greedy)
   not stated: max_new_tokens (here 64, the task's)
   not stated: prompt (here each question as the benchmark has it)
   hallu run --model llava_base --model_args pretrained=llava-hf/llava-1.5-7b-hf --tasks hallu_pope \
--output_path out/llava-1.5-7b-hf/pope-coco-mean-greedy-64/base --log_samples
   hallu run --model llava_vhr --model_args pretrained=llava-hf/llava-1.5-7b-hf --tasks hallu_pope \
--output_path out/llava-1.5-7b-hf/pope-coco-mean-greedy-64/vhr --log_samples
   hallu compare out/llava-1.5-7b-hf/pope-coco-mean-greedy-64/base out/llava-1.5-7b-hf/pope-coco-mean-greedy-64/vhr

"""


@pytest.mark.usefixtures("no_data")
def test_the_commands_of_vhr_on_llava(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = reproduce(capsys, "vhr", "--on", "llava", "--output", "out")
    assert (code, err) == (0, "")
    assert out.startswith(FIRST)
    rows = [int(line.partition(".")[0]) for line in out.splitlines() if re.match(r"\d+\. ", line)]
    assert rows == [1, 4, *range(7, 17)]
    assert out.count("hallu run --model llava_base") == 3  # Rows of one setting share the plain model's run.
    assert "   # llava-1.5-7b-hf/chair-greedy-512/base: the run of row 7" in out
    assert "cannot be run: unsupported: no parameter of vhr stands for outliers kept" in out
    missing = out.partition("Data that are missing here:\n")[2]
    assert f"CHAIR), for {LISTS.replace(',', ', ')}: " in missing
    assert "get: http://images.cocodataset.org/zips/val2014.zip" in missing
    assert "put: HALLU_DATA/coco/annotations/instances_val2014.json" in missing
    assert not Path("out").exists()


@pytest.mark.usefixtures("no_data")
def test_several_sources_are_several_blocks_and_an_unknown_model_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    out = reproduce(capsys, "vcd", "--on", "llava")[1]
    assert [line[:14] for line in out.splitlines() if line.startswith(("1.", "5."))] == [
        "1. VHR paper, ",
        "5. SEVI paper,",
    ]
    assert "--seed 0" in out and "--gen_kwargs do_sample=True,temperature=1.0,top_p=0.9,top_k=0" in out
    err = refused(capsys, "m3id", "--on", "llava")
    assert "the card of m3id has no published numbers of this family; it has them of: models of no family here" in err
    out = reproduce(capsys, "m3id")[1]
    assert re.search(r"m3id +1 +\? +\? .* no, model; benchmark\n", out)


def test_without_a_method_everything_is_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = reproduce(capsys, "--json", tmp_path / "all.json")
    lines = out.splitlines()
    assert code == 0 and lines[0].split()[:4] == ["METHOD", "ROW", "FAMILY", "BENCHMARK"]
    assert len(lines) - 1 == len(ROWS) == len(json.loads((tmp_path / "all.json").read_text())["rows"])
    assert any(re.match(r"sevi +6 +llava_next +chair +SEVI paper +LLaVA-NeXT, .* yes$", line) for line in lines)
    assert all(line.startswith("eah ") for line in reproduce(capsys, "eah")[1].splitlines()[1:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vrh",), "unknown method 'vrh' (did you mean vhr"),
        (("vhr", "--on", "lava"), "unknown family 'lava' (did you mean llava"),
        (
            ("vhr", "--on", "qwen2_vl"),
            "no published numbers of this family; it has them of: llava, instructblip, llava_n",
        ),
        (("nullu",), "nullu: its card has no published numbers, so there is nothing to reproduce; these have: ad_hh,"),
        (("nullu", "--on", "llava"), "nullu: its card has no published numbers"),
        (("--on", "llava"), "--on llava: name a method in front of it"),
        (("vhr", "--run"), "--run: name a method and its family, e.g. hallu reproduce vhr --on llava --run"),
        (("vhr", "--limit", "4"), "--limit: name a method and its family"),
        (("vhr", "--on", "llava", "--only", "1,2"), "--only 1,2: '2' is no row of vhr on llava; it has 1, 4, 7,"),
        (("vhr", "--on", "llava", "--only", "x"), "--only x: 'x' is no row of vhr on llava"),
        (("vhr", "--on", "llava", "--model_args", "alpha=3"), "--model_args alpha=3: what is reproduced sets"),
        (("vhr", "--on", "llava", "--output", "a,b"), "--output a,b: lmms-eval cuts it at the comma"),
        (("vhr", "--on", "llava", "--jobs", "0"), "--jobs 0: a whole number of at least 1"),
        (("vhr", "--on", "llava", "--json", "no/x.json"), "--json no/x.json: the folder no does not exist"),
        (("vhr", "--on", "llava", "--only", "13", "--run"), "none of these rows can be run\n13. VHR paper's ablation"),
        (
            ("vhr", "--on", "llava", "--only", "1", "--run"),
            "data for these runs are missing\nCOCO val2014 (CHAIR), for",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.usefixtures("no_data")
def test_a_wrong_call_is_named_before_anything_runs(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]], arguments: tuple[str, ...], message: str
) -> None:
    assert message in refused(capsys, *arguments)
    assert calls() == []
    assert not Path("results").exists()


# The runs


def test_run_runs_what_is_not_there_and_shows_both(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]]
) -> None:
    line = (*DEMO, "--only", "8,11", "--limit", "4", "--run")
    code, out, err = reproduce(capsys, *line, "--json", "x.json")
    assert (code, err.splitlines()[0]) == (0, "3 runs")
    assert [call[1:4:2] for call in calls()] == [
        ["llava_base", "pretrained=demo"],
        ["llava_vhr", "pretrained=demo,alpha=0.5"],
        ["llava_vhr", "pretrained=demo,alpha=3"],
    ]
    lines = out.splitlines()
    assert lines[0] == lines[-1] == NOT_REPRODUCED
    assert re.search(r"CHAIR_s +not stated +27\n", out)
    assert "+75.0 [" in out
    assert "never across blocks" in out
    scores = json.loads(Path("x.json").read_text())["rows"][1]["scores"]
    assert scores[0]["published"] == {"plain": None, "method": 27.0, "difference": None}
    assert scores[0]["measured"]["difference"] == 75.0
    assert json.loads(Path("x.json").read_text())["reproduction"] is False
    again = reproduce(capsys, *line)
    assert (calls(), again[1]) == ([], out)
    assert again[2] == "3 runs, 3 of them are there already\n"
    assert reproduce(capsys, *DEMO, "--only", "8,11", "--limit", "4")[1] == out


def test_on_the_demo_only_rows_that_its_layers_and_tasks_have_are_run(capsys: pytest.CaptureFixture[str]) -> None:
    out = reproduce(capsys, *DEMO, "--only", "16")[1]
    assert "cannot be run: parameters: vhr: layers=18-31: layer 18 does not exist, this model has layers 0-7" in out
    out = reproduce(capsys, "cicd", "--on", "llava", "--only", "3", "--model_args", "pretrained=demo")[1]
    assert "cannot be run: benchmark: the demo has no task in the place of hallu_amber_generative" in out
    out = reproduce(capsys, "vhr", "--on", "instructblip", "--only", "2", "--model_args", "pretrained=demo")[1]
    assert "--model llava_vhr --model_args pretrained=demo" in out  # The demo model is of a family of its own.


def test_a_run_that_fails_is_named_and_the_others_are_shown(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE", json.dumps({"3.0": "error"}))
    code, out, err = reproduce(capsys, *DEMO, "--only", "8,11", "--run")
    assert code == 2
    assert err.splitlines()[-1] == "hallu: demo/chair-greedy/vhr+alpha=3 failed: ValueError: vhr is unwell and says so"
    assert out.count("measured (95 % intervals)") == 1


def test_results_of_other_runs_are_refused(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]]
) -> None:
    assert reproduce(capsys, *DEMO, "--only", "8", "--run")[0] == 0
    calls()
    folder = OUT / "demo/chair-greedy"
    err = refused(capsys, *DEMO, "--only", "8", "--output", folder / "base")
    assert f"--output {folder / 'base'}: it is the output folder of a single run" in err
    (folder / "base").rename(folder / "base_")
    (folder / "vhr+alpha=0.5").rename(folder / "base")
    err = refused(capsys, *DEMO, "--only", "8", "--run")
    assert f"{folder / 'base'} holds another run: its model is llava_vhr, not llava_base; give another --output" in err
    assert calls() == []


OTHERWISE = [
    (("parameters",), "alpha=2,layers=1", "it has alpha=2,layers=1, not alpha=0.5"),
    (("pretrained",), "other", "its checkpoint is other, not demo"),
    (("configs", "generation_kwargs"), {"max_new_tokens": 9}, "hallu_demo_chair has max_new_tokens=9, not 64"),
]


def test_results_of_other_parameters_checkpoint_or_decoding_are_refused(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[list[str]]]
) -> None:
    assert reproduce(capsys, *DEMO, "--only", "8", "--run")[0] == 0
    (file,) = (OUT / "demo/chair-greedy/vhr+alpha=0.5/demo").glob("*_results.json")
    text = file.read_text()
    for (*above, key), value, problem in OTHERWISE:
        whole = json.loads(text)
        place = whole["configs"]["hallu_demo_chair"] if above else whole["config"]["resolved_cli_args"]["hallu"]
        place[key] = value
        file.write_text(json.dumps(whole))
        assert problem in refused(capsys, *DEMO, "--only", "8")


# The numbers


def score(difference: float, a: Sequence[int], b: Sequence[int]) -> measured.Score:
    ratio = paired.Ratio("wrong", ("all",))
    arms = [[{"wrong": one, "all": 1} for one in arm] for arm in (a, b)]
    return measured.Score("x", "x", 50.0, 50.0 + difference, paired.compare(*arms, statistic=ratio, resamples=500))


def test_a_published_difference_is_inside_outside_or_neither() -> None:
    a, b = [1] * 20 + [0] * 20, [1] * 10 + [0] * 30  # -25, and its interval about [-38, -12]
    assert score(-25, a, b).inside is True
    assert score(-20, a, b).inside is True
    assert score(-60, a, b).inside is False
    assert score(25, a, b).inside is False
    assert score(0.5, a, a).inside is None  # Arms that are alike have no interval to speak of.
    assert score(-25, a[18:22], b[8:12]).inside is None  # Four images.
    assert measured.Score("x", "x", None, 50.0, score(0, a, b).measured).inside is None


def captions(folder: Path, arm: plan.Arm, wrong: Sequence[int], images: int) -> results.Run:
    """A run of CHAIR's lists: in list k the first ``wrong[k]`` captions name an object that is not there."""
    target = folder / arm.folder / "checkpoint"
    target.mkdir(parents=True)
    tasks = arm.tasks.split(",")
    counts = {task: {"original": images, "effective": images} for task in tasks}
    made = {"model_id": arm.model, "pretrained": "llava-hf/llava-1.5-7b-hf", "versions": {}}
    whole = {
        "results": {}, "configs": {task: {"task": task} for task in tasks}, "n-samples": counts,
        "config": {"model": arm.model, "resolved_cli_args": {"hallu": made}},
    }  # fmt: skip
    (target / "1_results.json").write_text(json.dumps(whole))
    for task, number in zip(tasks, wrong, strict=True):
        lines = []
        for image in range(images):
            text = "A cat and a dog." if image < number else "A cat."
            record = {"image_id": image, **chair.record(text, ["cat"])}
            line = {"doc_id": image, "target": "", "input": "", "filtered_resps": text, "chair_s": record}
            lines.append(json.dumps(line) + "\n")
        (target / f"1_samples_{task}.jsonl").write_text("".join(lines))
    found = measured.read(arm, folder)
    assert found is not None
    return found


def test_several_lists_count_by_their_mean_and_an_image_of_several_lists_is_one(tmp_path: Path) -> None:
    one = entry("vhr", 1)
    runs = [captions(tmp_path, one.arms[0], (8, 8, 8, 8, 16), 20), captions(tmp_path, one.arms[1], (4, 4, 4, 4, 4), 20)]
    chair_s, chair_i = measured.measure(one, runs, resamples=500)
    assert chair_s.measured is not None and chair_i.measured is not None
    assert chair_s.measured.a.value == pytest.approx(48.0)  # the mean of 40, 40, 40, 40 and 80 %
    assert chair_s.measured.difference == pytest.approx(-28.0)
    shares = [8 / 28] * 4 + [16 / 36]
    assert chair_i.measured.a.value == pytest.approx(100 * sum(shares) / 5)
    assert chair_s.measured.units_count == 20  # images, not captions
    assert chair_s.published == pytest.approx(-16.36)


def test_a_length_is_not_set_beside_one_in_another_unit(tmp_path: Path) -> None:
    one = entry("vhr", 12)
    runs = [captions(tmp_path, one.arms[0], (8,), 20), captions(tmp_path, one.arms[1], (4,), 20)]
    # The paper counts words, the task tokens.
    assert {found.name: found.measured is not None for found in measured.measure(one, runs, resamples=500)} == {
        "chair_s": True,
        "chair_i": True,
        "mean_length": False,
    }


# The whole way


def test_the_printed_commands_run_and_their_results_are_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = (*DEMO, "--only", "7", "--limit", "6", "--batch_size", "6")
    out = reproduce(capsys, *line)[1]
    commands = [shlex.split(text) for text in out.splitlines() if text.startswith("   hallu run")]
    assert len(commands) == 2 and "measured" not in out
    for _, _, *arguments in commands:
        done = warm.started(["lmms-eval", *arguments], tmp_path, {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr[-2000:]
    code, out, _ = reproduce(capsys, *line, "--run")  # Runs that are there are not made again.
    assert code == 0
    assert out.startswith(NOT_REPRODUCED) and out.rstrip().endswith(NOT_REPRODUCED)
    assert "measured on 6 of 512 documents of hallu_demo_chair only" in out
    assert re.search(r"CHAIR_s +not stated +63\.3", out)
    assert re.search(r"CHAIR_i +[\d.]+ \[[\d., ]+\] +[\d.]+ \[[\d., ]+\] +[+-][\d.]+ \[", out)


@pytest.mark.parametrize(("card", "row"), [param for param in ROWS if param.values[1].protocol.parameters])
def test_a_run_records_the_parameters_of_a_row_as_they_are_looked_for(card: Any, row: Published) -> None:
    own = row.protocol.parameters
    bound = methods.build(card.name, "llava", 32, {name: str(value) for name, value in own.items()})
    recorded = params.canonical(methods.canonical(bound)).split(",")
    assert {params.canonical({name: value}) for name, value in own.items()} <= set(recorded)
