"""Margins of yes and no: which tokens, which distribution, and that nothing loses them on the way into the samples."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import warm
from test_adapter import DOCS, requests
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LogitsProcessorList, PreTrainedTokenizerFast

import hallu_models
from hallu_models import generation
from hallu_models import models as model_classes
from hallu_models.adapter.recovery import Answers
from hallu_models.attaching import attach
from hallu_models.conversations import conversation
from hallu_models.demo.held_out import held_out
from hallu_models.engines.predictions import contrasted, keeping_uncut
from hallu_models.hosts import processors
from hallu_models.session import margins
from hallu_models.session.margins import FirstToken, YesNo
from hallu_models.testing.questions import conversations, host, rows
from hallu_tasks.runs.results import read
from registry.runner import answers as runner_answers
from registry.runner.answers import NO_MARGIN, Margin

BIN = Path(sys.executable).parent
FAMILIES = ("llava", "instructblip", "qwen2_5_vl", "gemma3", "mllama")


@pytest.fixture(scope="module")
def demo() -> Any:
    return hallu_models.load("demo", device="cpu")


@pytest.fixture(scope="module")
def questions() -> list[Any]:
    objects = ("dog", "traffic light", "person", "truck")  # Of one word and of two, so that rows are padded.
    return [
        conversation(scene.image(), f"Is there a {objects[number % 4]} in the image?")
        for number, scene in enumerate(held_out(number=8))
    ]


def answered(host: Any, given: list[Any], method: Any = None, size: int = 8, **options: Any) -> list[Any]:
    """In batches of a size, left-padded."""
    decoding = {"max_new_tokens": 4, "do_sample": False}
    decoding |= {name: options.pop(name) for name in (*decoding, "num_beams") if name in options}
    with attach(host, method, **options) as session:
        batches = [given[start : start + size] for start in range(0, len(given), size)]
        return [
            one
            for batch in batches
            for one in generation.generate_in(session, batch, yes_no=YesNo.of(host), **decoding)
        ]


def values(found: list[Any]) -> list[Any]:
    return [one.margin.value for one in found]


def close(left: list[Any], right: list[Any]) -> bool:
    return all(a.reason == b.reason for a, b in zip(left, right)) and all(
        math.isclose(a.value or 0, b.value or 0, abs_tol=2e-4) for a, b in zip(left, right, strict=True)
    )


# Tokens


def bytes_tokenizer() -> Any:
    words = ["Yes", "yes", "ĠYes", "Ġno", "No", "NO", "Ġnot", "Yesterday", "Ċno", "eyes", "[", "Ġ"]
    core = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "["))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[")


def sentence_tokenizer() -> Any:
    words = ["▁Yes", "Yes", "▁yes", "▁no", "No", "▁NO", "▁nose", "<unk>", "▁yes."]
    core = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "<unk>"))
    core.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")


@pytest.mark.parametrize(
    ("tokenizer", "yes", "no"),
    [
        (bytes_tokenizer, {"Yes", "yes", "ĠYes"}, {"Ġno", "No", "NO", "Ċno"}),
        (sentence_tokenizer, {"▁Yes", "Yes", "▁yes"}, {"▁no", "No", "▁NO"}),
    ],
)
def test_every_way_to_write_the_word_counts_and_no_other_word(tokenizer: Any, yes: set[str], no: set[str]) -> None:
    words = YesNo.of(SimpleNamespace(processor=SimpleNamespace(tokenizer=tokenizer())))  # type: ignore[arg-type]
    assert set(words.yes.values()) == yes and set(words.no.values()) == no
    assert not words.missing


def test_a_tokenizer_without_the_word_says_so(demo: Any, questions: list[Any]) -> None:
    words = YesNo(processors.tokens_of(demo.processor, "yes"), {})
    assert words.to_json()["missing"] == "the tokenizer has no token that says no"
    assert YesNo({}, {}).missing == "the tokenizer has no token that says yes and none that says no"
    with attach(demo, None) as session:
        (found,) = generation.generate_in(session, questions[:1], yes_no=words, max_new_tokens=2, do_sample=False)
    assert found.margin == Margin(reason="the tokenizer has no token that says no")


# The distribution


def test_a_margin_is_that_of_the_summed_probabilities() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0, 0.5, -1.0], [5.0, -math.inf, 0.0, 1.0, -math.inf]])
    first = FirstToken(YesNo({0: "Yes", 1: "yes"}, {2: "No", 4: "no", 9: "beyond the logits"}), [])
    assert first(torch.empty(0), scores) is scores
    # Later tokens count for nothing.
    first(torch.empty(0), scores + torch.tensor([9.0, 0, 0, 0, 0]))
    probabilities = scores.double().softmax(dim=-1)
    expected = (probabilities[:, [0, 1]].sum(dim=1) / probabilities[:, [2, 4]].sum(dim=1)).log()
    assert [one.value for one in first.margins()] == pytest.approx(expected.tolist(), abs=1e-6)


def test_of_what_cannot_be_said_there_is_no_margin_and_of_one_alone_an_infinite_one() -> None:
    low = -math.inf
    first = FirstToken(YesNo({0: "yes"}, {1: "no"}), [])
    first(torch.empty(0), torch.tensor([[low, low, 1.0], [1.0, low, 0.0], [low, 1.0, 0.0]]))
    neither, yes, no = first.margins()
    assert neither == Margin(reason=margins.IMPOSSIBLE)
    assert (yes.value, no.value) == (math.inf, -math.inf)
    assert json.loads(json.dumps([yes.told, neither.told])) == [{"margin": "inf"}, {"no_margin": margins.IMPOSSIBLE}]


def test_a_plausibility_cut_leaves_the_margin_before_it() -> None:
    logits, negative = torch.tensor([[5.0, 1.0, 0.0]]), torch.tensor([[4.0, 1.5, 0.0]])
    with keeping_uncut() as uncut:
        first = FirstToken(YesNo({0: "yes"}, {1: "no"}), uncut)
        first(torch.empty(0), contrasted(logits, negative, alpha=1.0, beta=0.1))
    (found,) = first.margins()
    assert found == Margin(math.inf, (2 * 5 - 4) - (2 * 1 - 1.5))
    contrasted(logits + 1, negative, alpha=1.0, beta=0.1)
    assert torch.equal(uncut[0], 2 * logits - negative), "nothing is kept outside of the block"


def test_what_a_processor_of_the_checkpoint_does_is_in_the_margin(demo: Any, questions: list[Any]) -> None:
    (plain,) = answered(demo, questions[:1])
    yes = torch.tensor(list(YesNo.of(demo).yes))
    shift = LogitsProcessorList([lambda ids, scores: scores.index_add(1, yes, torch.full((1, len(yes)), 2.0))])
    with attach(demo, None) as session:
        (found,) = generation.generate_in(
            session, questions[:1], yes_no=YesNo.of(demo), max_new_tokens=2, do_sample=False, logits_processor=shift
        )
    assert found.margin.value == pytest.approx(plain.margin.value + 2, abs=1e-4)


def test_the_control_arm_answers_by_the_sign(demo: Any, questions: list[Any]) -> None:
    found = answered(demo, questions)
    assert {one.text for one in found} == {"Yes", "No"}
    assert [one.text == "Yes" for one in found] == [one.margin.value > 0 for one in found]


@pytest.mark.parametrize("method", [None, "vhr", "vcd", "dola", "m3id"])
def test_margins_do_not_depend_on_the_batch(demo: Any, questions: list[Any], method: Any) -> None:
    alone, together = (answered(demo, questions, method, size) for size in (1, 8))
    assert close([one.margin for one in alone], [one.margin for one in together])
    assert len(set(values(together))) > 1 or method in ("vcd", "m3id")


def test_a_contrast_moves_margins_and_both_of_its_branches_give_the_same(demo: Any, questions: list[Any]) -> None:
    paired, sequential = (
        answered(demo, questions, "vcd", branch=branch, beta=1e-9) for branch in ("paired", "sequential")
    )
    assert close([one.margin for one in paired], [one.margin for one in sequential])
    assert not close([one.margin for one in paired], [one.margin for one in answered(demo, questions)])
    cut = answered(demo, questions, "vcd", beta=0.5)
    assert all(math.isfinite(one.margin.value) for one in paired)
    assert any(math.isinf(one.margin.value) for one in cut)
    for whole, one in zip(paired, cut):
        known = one.margin.value if math.isfinite(one.margin.value) else one.margin.uncut
        assert known == pytest.approx(whole.margin.value, abs=2e-4)


def test_a_method_on_some_images_alone_has_margins(demo: Any, questions: list[Any]) -> None:
    every, last = (answered(demo, questions, "vhr", images=images) for images in ("all", "last"))
    assert close([one.margin for one in every], [one.margin for one in last])


@pytest.mark.parametrize(("options", "method"), [({"do_sample": True}, None), ({"num_beams": 2}, None), ({}, "opera")])
def test_what_is_not_decoded_greedily_has_none(demo: Any, questions: list[Any], options: Any, method: Any) -> None:
    found = answered(demo, questions[:2], method, **options)
    assert [one.margin for one in found] == [Margin(reason=margins.SAMPLED)] * 2


def test_answers_are_those_without_margins(demo: Any, questions: list[Any]) -> None:
    for method in (None, "vcd"):
        with attach(demo, method) as session:
            plain = generation.generate_in(session, questions, max_new_tokens=8, do_sample=False)
        assert [one.text for one in plain] == [one.text for one in answered(demo, questions, method, max_new_tokens=8)]
        assert all(one.margin == NO_MARGIN for one in plain)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", [None, "vcd"])
def test_on_tiny_models_a_row_alone_has_the_margin_that_it_has_in_a_batch(family: str, method: Any) -> None:
    numbers = rows(family)[:4]
    given = conversations(numbers)
    # Nothing that these models say is likely, so that a cut leaves neither yes nor no.
    uncut = {"beta": 1e-9} if method else {}
    together, alone = (answered(host(family), given, method, size, **uncut) for size in (4, 1))
    assert close([one.margin for one in alone], [one.margin for one in together])
    assert any(one.margin.value is not None for one in together)


# On the way


def test_lmms_eval_takes_the_margin_with_the_numbers_of_tokens() -> None:
    given = runner_answers.answer("Yes", 70, 2, Margin(1.5))
    assert given.token_counts.to_dict() == {"input_tokens": 70, "output_tokens": 2, "margin": 1.5}  # type: ignore[attr-defined]
    assert runner_answers.counts(given) == (70, 2)
    assert runner_answers.margin("a text of a cache") == NO_MARGIN
    plain = runner_answers.answer("Yes", 70, 2)
    assert plain.token_counts.to_dict() == {"input_tokens": 70, "output_tokens": 2}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "margin", [Margin(-2.25), Margin(math.inf, 3.5), Margin(-math.inf), Margin(reason="sampled"), NO_MARGIN]
)
def test_kept_answers_have_their_margins(margin: Margin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLU_RECOVERY", str(tmp_path))
    with Answers("run") as kept:
        kept.add([("key", runner_answers.answer("Yes", 1, 2, margin))])
    with Answers("run") as again:
        assert runner_answers.margin(again.get("key")) == margin


@pytest.mark.parametrize("given", [None, True, "many", math.nan, "nan", [1.0], {}])
def test_what_is_no_number_is_no_margin_and_says_so(given: Any) -> None:
    found = Margin.read({"margin": given})
    assert found.value is None
    assert given is None or "is no number" in found.reason


def test_a_resumed_run_has_the_margins_of_one_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALLU_RECOVERY", str(tmp_path))
    model = model_classes.llava_vcd(pretrained="demo", device="cpu", batch_size=4)
    asked = requests(model, DOCS, {"max_new_tokens": 2, "do_sample": False, "until": []})

    def margins_of(answers: list[Any]) -> list[Margin]:
        return [runner_answers.margin(one) for one in answers]

    whole = margins_of(model.generate_until(asked))
    generated, batches = model._generate, []

    def fails(batch: list[Any], session: Any) -> Any:
        batches.append(len(batch))
        if len(batches) == 3:
            raise KeyboardInterrupt
        return generated(batch, session)

    monkeypatch.setattr(model, "_generate", fails)
    with pytest.raises(KeyboardInterrupt):
        model.generate_until(asked)
    model.batch_size = 3
    again = margins_of(model.generate_until(asked))
    assert batches[3:] == [3, 3, 3, 1], "eight answers were kept"
    assert close(again, whole) and any(one.value is not None for one in whole)


# The whole run


def lines(folder: Path) -> dict[int, dict[str, Any]]:
    (file,) = folder.rglob("*_samples_hallu_demo_pope.jsonl")
    return {one["doc_id"]: one for one in map(json.loads, file.read_text().splitlines())}


def run(folder: Path, output: str, *more: str, launcher: tuple[str, ...] = (), size: int = 16, **changes: str) -> None:
    launched = launcher or (str(BIN / "hallu"), "run")
    command = [
        *launched, "--model", "llava_vhr", "--model_args", "pretrained=demo", "--tasks", "hallu_demo_pope",
        "--limit", "36", "--output_path", output, "--log_samples", "--batch_size", str(size), *more,
    ]  # fmt: skip
    done = warm.started(command, folder, {"HF_HUB_OFFLINE": "1", "HALLU_RECOVERY": str(folder / "kept"), **changes})
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    run(folder, "results/whole")
    return folder


def recorded(folder: Path) -> dict[int, float]:
    return {document: line["token_counts"][0]["margin"] for document, line in lines(folder).items()}


def test_samples_hold_a_margin_with_the_sign_of_each_answer(whole: Path) -> None:
    samples = lines(whole / "results" / "whole")
    assert len(samples) == 36
    for line in samples.values():
        assert (line["token_counts"][0]["margin"] > 0) == (line["filtered_resps"] == "Yes")
    found = read(str(whole / "results" / "whole"))
    assert found.hallu["margins"] == {"yes": ["Yes", "yes"], "no": ["No", "no"]}
    assert {key: one.margin.value for key, one in found.tasks["hallu_demo_pope"].samples.items()} == recorded(
        whole / "results" / "whole"
    )


def test_two_ranks_and_another_batch_size_give_the_margins_of_one(whole: Path) -> None:
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "lmms_eval")
    run(whole, "results/two", launcher=launcher, size=5, OMP_NUM_THREADS="1", ACCELERATE_USE_CPU="true")
    one, two = (recorded(whole / "results" / name) for name in ("whole", "two"))
    assert one.keys() == two.keys()
    assert all(one[key] == pytest.approx(two[key], abs=2e-4) for key in one)


def test_answers_of_the_cache_have_margins_in_the_samples(whole: Path) -> None:
    for output in ("results/first", "results/again"):
        run(whole, output, "--use_cache", "cache")
    first, again = (recorded(whole / "results" / name) for name in ("first", "again"))
    assert first == again == recorded(whole / "results" / "whole")


def test_compare_shows_what_was_recorded(whole: Path) -> None:
    run(whole, "results/base", "--model", "llava_base")
    command = [str(BIN / "hallu"), "compare", "results/base", "results/whole", "--resamples", "400", "--json"]
    done = warm.started(command, whole, {"HF_HUB_OFFLINE": "1"})
    (block,) = json.loads(done.stdout)["tasks"]
    rows = {row["metric"]: row for row in block["metrics"]}
    assert list(rows)[-3:] == ["auroc", "accuracy_at_yes_ratio", "f1_at_yes_ratio"]
    assert (
        rows["accuracy_at_yes_ratio"]["arms"]["llava_base"]["value"] == rows["accuracy"]["arms"]["llava_base"]["value"]
    )
    assert 80 < rows["auroc"]["arms"]["llava_vhr"]["value"] <= 100
