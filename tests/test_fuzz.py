"""What reads a user's files and arguments ends in a result or in a documented error, and soon, whatever they hold.

``HALLU_FUZZ=20000`` runs that many cases in place of the 2,000 of the normal suite, and other ones every time.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lmms_eval.utils import simple_parse_args_string
from written_runs import BASE, OTHERS, write

from hallu_models import methods
from hallu_tasks import report
from hallu_tasks.amber import answers as amber_answers
from hallu_tasks.chair import answers as chair_answers
from hallu_tasks.compare import compute as compare
from hallu_tasks.estimates.bootstrap import Bootstrap
from hallu_tasks.export import every_eval_ever, facts, hub
from hallu_tasks.mme import answers as mme_answers
from hallu_tasks.pope import answers as pope_answers
from hallu_tasks.pope import matching
from hallu_tasks.report import page
from hallu_tasks.runs import command as show
from hallu_tasks.runs import results
from registry.arguments import model_args, preset_file
from registry.cards import built_in, card_file, layers
from registry.commands import cli

CASES = int(os.environ.get("HALLU_FUZZ", "2000"))
DOCUMENTED = (ValueError, OSError)
TARGETS = 12


def cases(share: float = 1.0) -> Callable[[Any], Any]:
    """Of all cases, a part as large as that of the other targets, or `share` times as large; none takes 5 seconds."""
    return settings(
        max_examples=max(1, round(CASES * share / TARGETS)),
        deadline=timedelta(seconds=5),
        derandomize="HALLU_FUZZ" not in os.environ,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


# Files that are almost right

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 10**400, 1e308]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["", "\x00", "../x", "a/b", "𝟙", "yes", "1", "-1", "none", "[1,2]", "\ud800", "!!python/none x"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a document."""
    yield above
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from places(part, (*above, key))


def changed(value: Any, place: tuple[Any, ...], new: Any, remove: bool) -> Any:
    if not place:
        return new
    key, *rest = place
    copy = dict(value) if isinstance(value, dict) else list(value)
    if remove and not rest:
        del copy[key]
    else:
        copy[key] = changed(value[key], tuple(rest), new, remove)
    return copy


@st.composite
def documents(draw: st.DrawFn, right: Any) -> Any:
    """The document with up to two parts replaced by anything, or removed."""
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.sampled_from(list(places(right))))
        right = changed(right, place, draw(VALUES), draw(st.booleans()) and bool(place))
    return right


EXTRAS = (b"\x00", b"\xff", b"{", b"[" * 3000, b"]", b'"', b"\n", b"9" * 5000, b"NaN", b"\\ud800", b":")


@st.composite
def damaged(draw: st.DrawFn, right: bytes) -> bytes:
    """The file cut off, or with some bytes replaced, removed, or put in."""
    kind = draw(st.sampled_from(["cut", "replace", "insert", "other"]))
    if kind == "other":
        return draw(st.binary(max_size=200))
    start = draw(st.integers(0, len(right)))
    if kind == "cut":
        return right[:start]
    end = min(len(right), start + draw(st.integers(0, 20))) if kind == "replace" else start
    return right[:start] + draw(st.one_of(st.binary(max_size=20), st.sampled_from(EXTRAS))) + right[end:]


def file_of(right: Any, lines: bool = False) -> st.SearchStrategy[bytes]:
    """A JSON file, or one with an object a line, that is almost `right`."""

    def encoded(value: Any) -> bytes:
        if lines and isinstance(value, list):
            return b"".join(json.dumps(one).encode() + b"\n" for one in value)
        return json.dumps(value).encode()

    return st.one_of(documents(right).map(encoded), damaged(encoded(right)))


@contextlib.contextmanager
def folder(**files: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        for file, content in files.items():
            Path(name, file).write_bytes(content)
        yield Path(name)


def documented(read: Callable[..., Any], *given: Any) -> Any:
    """The result, or ``None`` after a documented error that says something; other errors pass."""
    try:
        return read(*given)
    except DOCUMENTED as error:
        said = str(error)
    assert said
    return None


# hallu score

QUESTIONS = [
    {
        "question_id": n + 1,
        "image": f"COCO_val2014_{n // 2:012}.jpg",
        "text": f"Is there a {n}?",
        "label": ("yes", "no")[n % 2],
    }
    for n in range(4)
]
ANSWERS = [{"question_id": one["question_id"], "prompt": one["text"], "text": "Yes."} for one in QUESTIONS]
CAPTIONS = [{"image_id": 42, "caption": "A dog."}, {"image_id": "COCO_val2014_000000000043.jpg", "caption": ""}]
RESPONSES = [{"id": 1, "response": "A dog."}, {"id": 1005, "response": "No."}]
ANNOTATIONS = [
    {"id": 1, "type": "generative", "truth": ["dog"], "hallu": ["cat"]},
    {"id": 1005, "type": "discriminative-attribute-state", "truth": "no"},
]
MME = (
    "000000006040.jpg\tIs there a dog? Please answer yes or no.\tYes\tyes\n000000006040.jpg\tIs there a cat?\tNo\tNo.\n"
)


@cases()
@given(st.booleans().flatmap(lambda lines: file_of(CAPTIONS, lines)))
def test_captions(content: bytes) -> None:
    with folder(captions=content) as place:
        found = documented(chair_answers.captions, str(place / "captions"))
        assert found is None or all(isinstance(one.text, str) for one in found.values())


def _pope(asked: str, said: str) -> None:
    questions = pope_answers.questions(asked, "random")
    own = pope_answers.answers(said)
    assert matching.matched(own, questions, said, asked).keys() == {one.key for one in questions.values()}


@cases()
@given(
    st.booleans().flatmap(lambda lines: st.tuples(file_of(QUESTIONS, lines), file_of(ANSWERS, lines))), st.booleans()
)
def test_questions_and_answers_of_pope(contents: tuple[bytes, bytes], right_questions: bool) -> None:
    asked, said = contents
    with folder(q=json.dumps(QUESTIONS).encode() if right_questions else asked, a=said) as place:
        documented(_pope, str(place / "q"), str(place / "a"))


@cases()
@given(damaged(MME.encode()))
def test_results_of_mme(content: bytes) -> None:
    with folder(**{"existence.txt": content}) as place:
        documented(mme_answers.results, str(place))


def _amber(responses: str, annotations: str) -> None:
    annotated = amber_answers.annotated(annotations)
    amber_answers.divided(amber_answers.responses(responses), annotated, annotations)


@cases()
@given(file_of(RESPONSES), file_of(ANNOTATIONS), st.booleans())
def test_responses_and_annotations_of_amber(responses: bytes, annotations: bytes, right: bool) -> None:
    with folder(r=responses, a=json.dumps(ANNOTATIONS).encode() if right else annotations) as place:
        documented(_amber, str(place / "r"), str(place / "a"))


@cases(0.25)
@given(file_of(ANSWERS, lines=True))
def test_the_command_exits_with_0_or_2(content: bytes) -> None:
    with folder(a=content, q=json.dumps(QUESTIONS).encode()) as place, contextlib.redirect_stdout(io.StringIO()):
        call = ["score", "pope", "--answers", str(place / "a"), "--questions", str(place / "q"), "--resamples", "5"]
        with contextlib.redirect_stderr(io.StringIO()) as said:
            code = cli.main(call)
        assert code in (0, 2) and (code == 0) == (said.getvalue() == "")


# Results of lmms-eval

with tempfile.TemporaryDirectory() as _place:
    _arm = write(Path(_place), BASE)
    _results, _samples = (next(_arm.glob(f"*/*{end}")) for end in ("_results.json", "_samples_hallu_demo_pope.jsonl"))
    RESULTS = json.loads(_results.read_text())
    RESULTS["configs"] = {"hallu_demo_pope": RESULTS["configs"]["hallu_demo_pope"]}
    RESULTS["n-samples"] = {"hallu_demo_pope": {"original": 6, "effective": 6}}
    RESULTS["config"]["resolved_cli_args"]["hallu"] |= {
        "git": {"commit": "c" * 40, "dirty": True}, "cards": {"vhr": 1}, "environment": {"HALLU_DATA": "/data"},
        "questions": {"hallu_demo_pope": {"documents": 6, "sha256": "e" * 64}}, "command": ["lmms-eval"],
    }  # fmt: skip
    SAMPLES = [json.loads(line) for line in _samples.read_text().splitlines()[:6]]


def _read(place: Path) -> results.Run:
    return results.read(str(place / "20261121_034427_results.json"))


def _files(content: bytes, samples: bytes) -> dict[str, bytes]:
    return {"20261121_034427_results.json": content, "20261121_034427_samples_hallu_demo_pope.jsonl": samples}


RIGHT_SAMPLES = b"".join(json.dumps(one).encode() + b"\n" for one in SAMPLES)


def test_what_is_damaged_here_is_read_before() -> None:
    with folder(**_files(json.dumps(RESULTS).encode(), RIGHT_SAMPLES)) as place:
        assert len(_read(place).tasks["hallu_demo_pope"].samples) == 6


@cases(1.75)
@given(file_of(RESULTS))
def test_results_files(content: bytes) -> None:
    with folder(**_files(content, RIGHT_SAMPLES)) as place:
        run = documented(_read, place)
        if run is not None:
            assert isinstance(run.limited, dict) and isinstance(run.groups, dict)
            documented(show.as_text, run)
            documented(show.as_json, run)


@cases()
@given(file_of(SAMPLES, lines=True))
def test_samples_files(content: bytes) -> None:
    with folder(**_files(json.dumps(RESULTS).encode(), content)) as place:
        documented(_read, place)


# What is done with samples

EVERY = ("hallu_demo_chair", "hallu_demo_pope", "hallu_demo_mme", *OTHERS)
WHOLE: dict[str, tuple[bytes, bytes]] = {}
"""Results and samples of a task's run of two images, by its task."""
with tempfile.TemporaryDirectory() as _place:
    for _task in EVERY:
        _arm = write(Path(_place, _task), replace(BASE, tasks=(_task,), images=range(2)))
        WHOLE[_task] = tuple(next(_arm.glob(f"*/*{end}")).read_bytes() for end in ("_results.json", ".jsonl"))  # type: ignore[assignment]


@contextlib.contextmanager
def arm(task: str, content: bytes, samples: bytes) -> Iterator[results.Run | None]:
    """A run with these files, `None` where they are refused."""
    stamp = "20261121_034427"
    with folder(**{f"{stamp}_results.json": content, f"{stamp}_samples_{task}.jsonl": samples}) as place:
        yield documented(results.read, str(place / f"{stamp}_results.json"))


def damaged_arms() -> st.SearchStrategy[tuple[str, bytes, bytes]]:
    """A task with its results and samples, one of them damaged."""

    def of(task: str) -> st.SearchStrategy[tuple[str, bytes, bytes]]:
        content, samples = WHOLE[task]
        lines = [json.loads(line) for line in samples.splitlines()]
        return st.one_of(
            file_of(lines, lines=True).map(lambda found: (task, content, found)),
            file_of(json.loads(content)).map(lambda found: (task, found, samples)),
        )

    return st.sampled_from(EVERY).flatmap(of)


def _printed(runs: list[results.Run]) -> None:
    found = compare.compare(runs, resamples=5, every_metric=True)
    for form in (report.as_text, report.as_json, report.as_markdown, report.as_latex, page.as_html):
        assert form(found)


@cases(1.5)
@given(damaged_arms())
def test_comparisons_of_damaged_runs(given: tuple[str, bytes, bytes]) -> None:
    task, content, samples = given
    with arm(task, *WHOLE[task]) as right, arm(task, content, samples) as run:
        if right is not None and run is not None:
            documented(_printed, [right, run])
            documented(_printed, [run, right])


def _exported(run: results.Run, place: Path) -> None:
    found = facts.results(run, Bootstrap(resamples=5))
    hub.model_card(run, found, "org/model")
    source = every_eval_ever.Source("lab", "third_party", "collection")
    every_eval_ever.write(run, found, "org/model", source, place, 5)


@cases(0.5)
@given(damaged_arms())
def test_exports_of_damaged_runs(given: tuple[str, bytes, bytes]) -> None:
    with arm(*given) as run, tempfile.TemporaryDirectory() as place:
        if run is not None:
            documented(_exported, run, Path(place))


# Cards, presets, arguments

CARD = yaml.safe_load((built_in.folder() / "vhr.yaml").read_text())
PRESET = {
    "method": "vhr", "model": "org/model", "depth": 32, "parameters": {"layers": "1+18-31"}, "how": "by hand",
    "measured": {"layer 0": 1.0},
}  # fmt: skip


def yaml_of(right: Any) -> st.SearchStrategy[bytes]:
    def encoded(value: Any) -> bytes:
        return yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")

    return st.one_of(documents(right).map(encoded), damaged(encoded(right)))


@cases()
@given(yaml_of(CARD))
def test_cards(content: bytes) -> None:
    with folder(**{"vhr.yaml": content}) as place:
        documented(card_file.read, place / "vhr.yaml")


@cases(0.5)
@given(yaml_of(PRESET))
def test_preset_files(content: bytes) -> None:
    with folder(**{"preset.yaml": content}) as place:
        documented(methods.check, "vhr", {"preset": str(place / "preset.yaml")})
        documented(preset_file.read, place / "preset.yaml")


METHODS = tuple(built_in.names())
NAMES = sorted({*model_args.MODEL, *(p.name for name in METHODS for p in built_in.load(name).parameters)})
ODD = (
    "", "no", "off", "None", "true", "-1", "1e400", "nan", "[1,2]", "1+18-31", "last:14/32", "5/0-1/0", '"', "'",
    "auto", "L5H3", "9" * 5000, "1-99999999999", "last:1/99999999999",
)  # fmt: skip
WORDS = st.one_of(st.sampled_from(ODD), st.text(alphabet=st.characters(exclude_characters=","), max_size=12))


@cases()
@given(st.sampled_from(METHODS), st.dictionaries(st.sampled_from(NAMES), WORDS, min_size=1, max_size=3))
def test_model_args_as_lmms_eval_hands_them_over(method: str, given: dict[str, str]) -> None:
    try:
        values = simple_parse_args_string(",".join(f"{name}={value}" for name, value in given.items()))
    except (ValueError, IndexError):
        return  # lmms-eval refuses them.
    own = {name: value for name, value in values.items() if name in model_args.MODEL}
    documented(model_args.loading, own, "--model x")
    documented(methods.build, method, "llava", 8, {name: values[name] for name in values if name not in own})


@cases(0.5)
@given(st.one_of(WORDS, st.text(alphabet="0123456789+-/:last", max_size=20)), st.integers(1, 80))
def test_layers(text: str, depth: int) -> None:
    found = documented(layers.resolve, text, depth)
    assert found is None or (list(found) == sorted(set(found)) and all(0 <= one < depth for one in found))


def test_the_shares_are_all_cases() -> None:
    shares = [0.25, 1.75, 0.5, 0.5, 1.5, 0.5, *[1.0] * 7]
    assert sum(shares) == TARGETS
