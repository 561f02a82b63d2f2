"""The modules for ``evaluate``: loaded offline from their folders, and the scorers' own numbers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hallu_tasks
from hallu_tasks import metrics
from hallu_tasks.scoring import amber, chair, mme, pope

ROOT = Path(hallu_tasks.__file__).parents[1]

CAPTIONS = ["Two dogs play with a frisbee near a bench. A dog jumps.", "A bus."]
OBJECTS = [["dog", "person", "frisbee"], ["bus"]]
ANSWERS = ["Yes.", "NO", "No, there is no dog.", "Yes"]
LABELS = ["yes", "no", "no", "yes"]
IMAGES = ["1.jpg", "1.jpg", "2.jpg", "2.jpg"]
DESCRIBED = {"references": [["dog", "person"], ["bus"]], "targets": [["bench", "cat"], ["car"]]}
WORDS = {
    "relation": {"dog": [], "person": ["man"], "bench": [], "cat": [], "bus": ["coach"], "car": []},
    "safe_words": ["bench"],
}
TYPES = ["relation", "discriminative-hallucination", "discriminative-attribute-state", "discriminative-relation"]


def example(name: str) -> tuple[str, str, str]:
    """The code of a card's example, the expression in its last line, and what the comment there says it gives."""
    card = (Path(metrics.path(name)) / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    *before, last = code.strip().splitlines()
    shown, said = last.split("  # ")
    return "\n".join(before), shown, said


EXAMPLES = {name: example(name) for name in metrics.NAMES}

SCRIPT = f"""\
import functools
import json
import evaluate
from hallu_tasks import metrics

captions, objects, answers, labels, images = {(CAPTIONS, OBJECTS, ANSWERS, LABELS, IMAGES)!r}
described, words, asked = {(DESCRIBED, WORDS, {"references": LABELS, "types": TYPES})!r}
describe, answer = (evaluate.load(metrics.path("amber"), half) for half in ("generative", "discriminative"))
chair, pope, mme = (evaluate.load(metrics.path(name)) for name in ("chair", "pope", "mme"))
found = {{
    "names": [module.name for module in (chair, pope, mme, describe, answer)],
    "chair": chair.compute(predictions=captions, references=objects),
    "chair fixed": chair.compute(predictions=captions, references=objects, mode="fixed"),
    "chair empty": chair.compute(
        predictions=captions, references=[objects[0], []], mode="fixed", allow_empty_truth=True
    ),
    "pope": pope.compute(predictions=answers, references=labels),
    "pope words": pope.compute(predictions=answers, references=labels, policy="words"),
    "mme": mme.compute(predictions=answers, references=labels, images=images, categories=["count"] * 4),
    "generative": describe.compute(predictions=captions, **described, **words),
    "discriminative": answer.compute(predictions=answers, **asked),
    "discriminative official": answer.compute(predictions=answers, **asked, policy="official"),
}}
pope.add(prediction="Yes", reference="no")
pope.add_batch(predictions=answers, references=labels)
found["pope in parts"] = pope.compute()
for name, call in (
    ("empty", lambda: chair.compute(predictions=["A dog."], references=[[]])),
    ("category", lambda: chair.compute(predictions=["A dog."], references=[["puppy"]])),
    ("policy", lambda: pope.compute(predictions=["Yes"], references=["yes"], policy="exact")),
    *(
        (f"configuration of {{name}}", functools.partial(evaluate.load, metrics.path(name), "gen"))
        for name in ("chair", "pope", "mme")
    ),
    ("half", lambda: evaluate.load(metrics.path("amber"))),
    ("word", lambda: describe.compute(predictions=["A dog."], references=[["puppy"]], targets=[[]], **words)),
    ("similarity", lambda: describe.compute(predictions=captions, **described, **words, similarity="exact")),
    ("type", lambda: answer.compute(predictions=["No"], references=["no"], types=["existence"])),
    ("partner", lambda: mme.compute(predictions=["Yes"], references=["Yes"], images=["1"], categories=["count"])),
):
    try:
        call()
    except ValueError as error:
        found[name] = str(error)
found["examples"] = {{}}
for name, (code, shown, _) in {EXAMPLES!r}.items():
    scope = {{}}
    exec(code, scope)
    found["examples"][name] = eval(shown, scope)
print(json.dumps(found))
"""


def python(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the modules return in a process of its own, without network and with empty caches."""
    cache = tmp_path_factory.mktemp("cache")
    result: dict[str, Any] = json.loads(
        python(
            SCRIPT, HF_HUB_OFFLINE="1", HF_MODULES_CACHE=str(cache / "modules"), HF_METRICS_CACHE=str(cache / "data")
        )
    )
    assert {file.stem for file in cache.glob("modules/evaluate_modules/metrics/*/*/*.json")} == set(metrics.NAMES)
    return result


def plain(value: dict[str, Any]) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.slow
def test_they_load_and_give_the_scorers_results(found: dict[str, Any]) -> None:
    truth = dict(enumerate(OBJECTS))
    questions = [
        {"image": image, "category": "count", "answer": label, "prediction": answer}
        for image, label, answer in zip(IMAGES, LABELS, ANSWERS)
    ]
    assert found["names"] == ["chair", "pope", "mme", "amber", "amber"]
    assert found["chair"] == plain(chair.score(enumerate(CAPTIONS), truth))
    assert found["pope"] == plain(pope.score(ANSWERS, LABELS))
    assert found["mme"] == plain(mme.score(questions))


def test_the_two_halves_of_amber_are_its_configurations(found: dict[str, Any]) -> None:
    words = zip(DESCRIBED["references"], DESCRIBED["targets"])
    scenes = {n: amber.Scene(tuple(truth), tuple(hallu)) for n, (truth, hallu) in enumerate(words)}
    questions = {n: amber.Question(kind, label) for n, (kind, label) in enumerate(zip(TYPES, LABELS))}
    vocabulary = amber.read_vocabulary(**WORDS)
    annotations = amber.Annotations(scenes, questions)
    assert found["generative"] == plain(amber.score_generative(enumerate(CAPTIONS), annotations, vocabulary))
    assert (found["generative"]["cover"], found["generative"]["nouns_count"]) == (200 / 3, 4)
    assert found["discriminative"] == plain(amber.score_discriminative(enumerate(ANSWERS), annotations))


def test_rules_are_parameters_and_are_named(found: dict[str, Any]) -> None:
    assert [found[name]["mode"] for name in ("chair", "chair fixed")] == ["reference", "fixed"]
    # The original does not find "bus".
    assert [found[name]["mentions_count"] for name in ("chair", "chair fixed")] == [4, 5]
    assert [found[name]["policy"] for name in ("pope", "pope words")] == ["official", "words"]
    assert [found[name]["accuracy"] for name in ("pope", "pope words")] == [75.0, 100.0]
    # Three of the four answers are not exactly "Yes" or "No".
    assert [found[f"discriminative{name}"]["unparsed_count"] for name in ("", " official")] == [0, 3]


def test_an_empty_truth_can_be_allowed(found: dict[str, Any]) -> None:
    # Dog, frisbee, bench, dog and bus: the bench, and the bus that nothing in its image is.
    assert (found["chair empty"]["mentions_count"], found["chair empty"]["hallucinated_count"]) == (5, 2)


def test_answers_may_be_added_in_parts(found: dict[str, Any]) -> None:
    assert found["pope in parts"] == plain(pope.score(["Yes", *ANSWERS], ["no", *LABELS]))


def test_errors_are_the_scorers(found: dict[str, Any]) -> None:
    assert "references without any object, at positions 0; leave these captions out, or pass allow_" in found["empty"]
    assert "image id" not in found["empty"]
    for name in ("chair", "pope", "mme"):
        assert found[f"configuration of {name}"].startswith("unknown configuration 'gen'; this module has none")
    assert "not COCO categories: 'puppy'" in found["category"]
    assert "'exact'; allowed: official" in found["policy"]
    assert "without their partner" in found["partner"]
    assert "unknown configuration 'default'; allowed: generative, discriminative" in found["half"]
    assert "does not list: 'puppy'" in found["word"]
    assert "similarity 'exact'; allowed: none, spacy" in found["similarity"]
    assert "question type 'existence'; allowed: discriminative-hallucination" in found["type"]


def test_an_unknown_module_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="unknown metric 'chiar'; allowed: chair, pope, mme, amber"):
        metrics.path("chiar")


@pytest.mark.parametrize("name", metrics.NAMES)
def test_each_folder_holds_what_evaluate_and_a_reader_need(name: str) -> None:
    folder = Path(metrics.path(name))
    assert folder.is_absolute()
    code = (folder / f"{name}.py").read_text(encoding="utf-8")
    # The loader finds imports line by line.
    assert "hallu_tasks" in re.findall(r"^from (\w+)\S* import \w+$", code, re.MULTILINE)
    assert not re.search(r"^(from|import) .*[(,\\]$", code, re.MULTILINE)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", card, re.MULTILINE) == ["Inputs", "Outputs", "Source", "Limits"]


def test_the_example_of_each_card_gives_what_it_says(found: dict[str, Any]) -> None:
    for name, (_, _, said) in EXAMPLES.items():
        assert tuple(found["examples"][name]) == eval(f"({said})")


def test_asking_for_a_path_loads_neither_evaluate_nor_torch() -> None:
    script = (
        "import sys, hallu_tasks.metrics as metrics\n"
        "[metrics.path(name) for name in metrics.NAMES]\n"
        "heavy = ('torch', 'transformers', 'evaluate', 'datasets', 'lmms_eval', 'numpy', 'hallu_models')\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in heavy))"
    )
    assert python(script) == "[]"
