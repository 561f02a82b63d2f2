"""AMBER: what a description invents and leaves out, and yes/no questions whose positive class is "no".

Wang et al. 2023, "AMBER: An LLM-free Multi-dimensional Benchmark for MLLMs Hallucination Evaluation".

**Generative** (CHAIR, Cover, Hal, Cog). The nouns of a response that the benchmark's vocabulary
(``relation.json``) knows are taken one by one: a safe word (``safe_words.txt``) is skipped; a word that is
true of the image, or an associate of one, covers that true word; any other noun marks the hallucinatory
target it names, if any, and is hallucinated, unless `similarity` finds a true word that means the same. All
denominators are exact, so a model without a hallucination has Hal 0.0.

How nouns are found is a parameter (`mode`) that every result carries:

=========  =================================================================================================
reference  needs no data: the lower-cased tokens of `hallu_tasks.scoring.words`, made singular when that is a
           word of the vocabulary. Nothing is tagged, so a verb or adjective spelt like a noun of the
           vocabulary counts ("he can watch", "a light wall"); only "can" and "hot" never do ("cans" does).
           Unlike the official tagger it sees capitalised nouns ("Dogs") and "men", and it misses plurals
           such as "shelves"
nltk       as the official script: NLTK's tagger on the text as written and WordNet's singular. A capitalised
           noun keeps its capital and is not found. Needs NLTK data, and `check` says how to get it
=========  =================================================================================================

and so is `similarity`: ``none``, or ``spacy``, the official test, where two words mean the same when the
cosine of their vectors in spaCy's ``en_core_web_lg`` exceeds 0.8. Published numbers are ``nltk`` with
``spacy``.

**Discriminative** (accuracy, precision, recall, F1), overall and for existence, attribute (state, number,
action) and relation. An answer that the `policy` cannot read is wrong, is no "no", and is counted as
``unparsed``:

=========  =================================================================================================
words      the word yes or the word no occurs, in any case, but not both (`hallu_tasks.scoring.yesno`)
official   the answer is exactly ``Yes`` or ``No``; "Yes." is neither
=========  =================================================================================================

Two questions in three have the answer no, so who always says "no" has an F1 of 79.7: that baseline stands
beside every result as ``always_no_accuracy`` and so on. Several questions share an image, so intervals
resample images: give `paired` the records and the questions' images (`read_images`) as `unit`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hallu_tasks.scoring import words, yesno
from hallu_tasks.scoring.amber_data import (
    TYPES,
    Annotations,
    Question,
    Scene,
    Vocabulary,
    read_annotations,
    read_images,
    read_responses,
    read_vocabulary,
)
from hallu_tasks.scoring.amber_nouns import MODES, SIMILARITIES, check, nouns, places, similar
from hallu_tasks.scoring.keyed import indexed, name_some
from hallu_tasks.scoring.ratios import Ratio, evaluate, total

__all__ = [
    "GROUPS",
    "MODES",
    "POLICIES",
    "SIMILARITIES",
    "STATISTICS",
    "TYPES",
    "Annotations",
    "Question",
    "Scene",
    "Vocabulary",
    "aggregate_discriminative",
    "aggregate_generative",
    "check",
    "nouns",
    "places",
    "read_annotations",
    "read_images",
    "read_responses",
    "read_vocabulary",
    "record_discriminative",
    "record_generative",
    "score_discriminative",
    "score_generative",
]

POLICIES = ("words", "official")
"""The names that `policy` accepts."""

GROUPS = ("existence", "attribute", "state", "number", "action", "relation")
"""The kinds of yes/no questions that are scored apart; attribute is state, number and action together."""

_GENERATIVE = {
    "chair": Ratio("hallucinated", ("nouns",), "no response names an object of the vocabulary"),
    "cover": Ratio("covered", ("truth",), "no image has a true word"),
    "hal": Ratio("responses_hallucinated", ("responses_answered",), "there are no responses that say anything"),
    "cog": Ratio("marked", ("targets",), "no image has a hallucinatory target"),
    "mean_length": Ratio("length", ("responses",), "there are no responses", 1),
}


def _discriminative(prefix: str = "") -> dict[str, Ratio]:
    correct, true_no, predicted_no, labelled_no, questions = (
        prefix + column for column in ("correct", "true_no", "predicted_no", "labelled_no", "questions")
    )
    empty, no_label = "there are no questions", "no label is no"
    return {
        "accuracy": Ratio(correct, (questions,), empty),
        "precision": Ratio(true_no, (predicted_no,), "no answer is no"),
        "recall": Ratio(true_no, (labelled_no,), no_label),
        "f1": Ratio(true_no, (predicted_no, labelled_no), "no answer and no label is no", 200),
        "always_no_accuracy": Ratio(labelled_no, (questions,), empty),
        "always_no_precision": Ratio(labelled_no, (questions,), empty),
        "always_no_recall": Ratio(labelled_no, (labelled_no,), no_label),
        "always_no_f1": Ratio(labelled_no, (questions, labelled_no), empty, 200),
    }


STATISTICS = {
    **_GENERATIVE,
    **_discriminative(),
    **{f"{group}.{name}": ratio for group in GROUPS for name, ratio in _discriminative(f"{group}.").items()},
}
"""The scores as ratios of summed records, for `paired`; those of a group are called ``existence.f1``."""

_GENERATIVE_COLUMNS = (
    "responses",
    "responses_answered",
    "responses_hallucinated",
    "responses_without_nouns",
    "nouns",
    "hallucinated",
    "covered",
    "truth",
    "marked",
    "targets",
    "length",
)
_QUESTION_COLUMNS = ("questions", "correct", "true_no", "predicted_no", "labelled_no", "unparsed")
_DISCRIMINATIVE_COLUMNS = tuple(
    prefix + column for prefix in ("", *(f"{group}." for group in GROUPS)) for column in _QUESTION_COLUMNS
)


# Generative


def record_generative(
    response: str, scene: Scene, vocabulary: Vocabulary, mode: str = "reference", similarity: str = "none"
) -> dict[str, Any]:
    """Return what one response adds to the scores: counts that `aggregate_generative` sums, and the rules.

    ``nouns`` and ``hallucinated`` count mentions, safe words included in ``nouns``; ``covered`` of ``truth``
    true words and ``marked`` of ``targets`` hallucinatory targets; ``length`` counts tokens; ``responses`` is
    1, ``responses_answered`` (it is not blank), ``responses_hallucinated`` and ``responses_without_nouns``
    are 0 or 1. ``hallucinated_nouns`` lists each hallucinated noun once.

    As in the official script, a noun marks one word: the first that has it as an associate, before the word
    itself. So of two equal true words, and of a true word that is another's associate, one may stay
    uncovered whatever is said.

    Raises `ValueError` for words of the scene that the vocabulary does not list.
    """
    check(mode, similarity)
    unknown = [word for word in (*scene.truth, *scene.hallu) if word not in vocabulary.associates]
    if unknown:
        raise ValueError(
            f"annotated words that the vocabulary does not list: {name_some(unknown)}; use annotations.json and "
            "relation.json of one release"
        )
    found = nouns(response, vocabulary, mode)
    true, invented = _names(scene.truth, vocabulary), _names(scene.hallu, vocabulary)
    covered: set[int] = set()
    marked: set[int] = set()
    hallucinated: list[str] = []
    for noun in found:
        if noun in vocabulary.safe:
            continue
        if noun in true:
            covered.add(true[noun])
            continue
        if noun in invented:
            marked.add(invented[noun])
        if similarity == "spacy":
            marked.update(similar(noun, invented))
            if same := similar(noun, true):
                covered.update(same)
                continue
        hallucinated.append(noun)
    return {
        "responses": 1,
        "responses_answered": int(bool(response.strip())),
        "responses_hallucinated": int(bool(hallucinated)),
        "responses_without_nouns": int(not found),
        "nouns": len(found),
        "hallucinated": len(hallucinated),
        "hallucinated_nouns": sorted(set(hallucinated)),
        "covered": len(covered),
        "truth": len(scene.truth),
        "marked": len(marked),
        "targets": len(scene.hallu),
        "length": len(words.tokens(response)),
        "mode": mode,
        "similarity": similarity,
    }


def _names(listed: tuple[str, ...], vocabulary: Vocabulary) -> dict[str, int]:
    """Return the position of the word that each name marks: associates first, and the first of two words."""
    names: dict[str, int] = {}
    for position, word in enumerate(listed):
        for associate in vocabulary.associates[word]:
            names.setdefault(associate, position)
    for position, word in enumerate(listed):
        names.setdefault(word, position)
    return names


def aggregate_generative(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of many `record_generative` results; the order does not matter.

    Percentages ``chair`` (hallucinated nouns / nouns), ``cover`` (covered / true words), ``hal`` (responses
    with a hallucination / responses that say anything; a blank one is neither right nor wrong) and ``cog``
    (marked / hallucinatory targets; lower is better); ``mean_length`` in tokens; ``responses_count``,
    ``responses_empty_count``, ``responses_without_nouns_count``, ``nouns_count``, ``hallucinated_count``;
    ``mode``; ``similarity``; ``reasons``.

    Raises `ValueError` when the records were made under different rules.
    """
    listed = list(records)
    rules = {name: _one_rule(listed, name) for name in ("mode", "similarity")}
    sums = total(listed, _GENERATIVE_COLUMNS)
    scores, reasons = evaluate(_GENERATIVE, sums)
    return {
        **scores,
        "responses_count": sums["responses"],
        "responses_empty_count": sums["responses"] - sums["responses_answered"],
        "responses_without_nouns_count": sums["responses_without_nouns"],
        "nouns_count": sums["nouns"],
        "hallucinated_count": sums["hallucinated"],
        **rules,
        "reasons": reasons,
    }


Responses = Mapping[Any, str] | Iterable[tuple[Any, str]]


def score_generative(
    responses: Responses,
    annotations: Annotations,
    vocabulary: Vocabulary,
    mode: str = "reference",
    similarity: str = "none",
) -> dict[str, Any]:
    """Return the scores of descriptions by id, see `aggregate_generative`; the annotations may hold more ids.

    Raises `ValueError` that names repeated ids and ids that are not those of images to describe.
    """
    check(mode, similarity)
    matched = _matched(responses, annotations.scenes, annotations.questions, "to describe", "score_discriminative")
    result = aggregate_generative(
        record_generative(response, scene, vocabulary, mode, similarity) for response, scene in matched
    )
    return {**result, "mode": mode, "similarity": similarity}


# Discriminative


def record_discriminative(response: str, question: Question, policy: str = "words") -> dict[str, Any]:
    """Return what one answer adds to the scores: counts of 0 or 1, and the policy.

    The columns ``questions``, ``correct``, ``true_no`` (a correct "no"), ``predicted_no``, ``labelled_no``
    and ``unparsed`` occur by themselves and for every group, as ``existence.questions``; those of groups that
    the question is not in are 0.
    """
    predicted = _parsed(response, policy)
    if question.type not in TYPES:
        raise ValueError(f"unknown question type {question.type!r}; allowed: {', '.join(TYPES)}")
    truth = yesno.label(question.truth)
    counts = {
        "questions": 1,
        "correct": int(predicted == truth),
        "true_no": int(predicted == truth == "no"),
        "predicted_no": int(predicted == "no"),
        "labelled_no": int(truth == "no"),
        "unparsed": int(predicted is None),
    }
    grouped = {f"{group}.{name}": count for group in TYPES[question.type] for name, count in counts.items()}
    return {**dict.fromkeys(_DISCRIMINATIVE_COLUMNS, 0), **counts, **grouped, "policy": policy}


def _parsed(response: str, policy: str) -> str | None:
    if policy not in POLICIES:
        raise ValueError(f"unknown AMBER policy {policy!r}; allowed: {', '.join(POLICIES)}")
    read = yesno.parse(response, "words")
    return read if policy == "words" or response in ("Yes", "No") else None


def aggregate_discriminative(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of many `record_discriminative` results; the order does not matter.

    Percentages ``accuracy``, ``precision``, ``recall`` and ``f1`` with "no" as the positive class, and the
    same four of who always says "no" on these questions, ``always_no_accuracy`` and so on;
    ``questions_count``, ``unparsed_count``; ``groups``, for each of `GROUPS` a mapping with the same keys;
    ``policy``; ``reasons``.

    Raises `ValueError` when the records were made under different policies.
    """
    listed = list(records)
    policy = _one_rule(listed, "policy")
    sums = total(listed, _DISCRIMINATIVE_COLUMNS)
    groups = {group: _part(sums, f"{group}.") for group in GROUPS}
    return {**_part(sums), "groups": groups, "policy": policy}


def _part(sums: Mapping[str, int], prefix: str = "") -> dict[str, Any]:
    scores, reasons = evaluate(_discriminative(prefix), sums)
    counts = {f"{column}_count": sums[prefix + column] for column in ("questions", "unparsed")}
    return {**scores, **counts, "reasons": reasons}


def score_discriminative(responses: Responses, annotations: Annotations, policy: str = "words") -> dict[str, Any]:
    """Return the scores of answers by id, see `aggregate_discriminative`; the annotations may hold more ids.

    Raises `ValueError` that names repeated ids and ids that are not those of questions.
    """
    _parsed("", policy)
    matched = _matched(responses, annotations.questions, annotations.scenes, "to answer", "score_generative")
    result = aggregate_discriminative(
        record_discriminative(response, question, policy) for response, question in matched
    )
    return {**result, "policy": policy}


def _matched(
    responses: Responses, wanted: Mapping[Any, Any], others: Mapping[Any, Any], purpose: str, other: str
) -> list[tuple[str, Any]]:
    response_of, by_position = indexed(responses, "responses")
    if by_position and response_of:
        raise ValueError("responses must have ids: give a mapping, (id, response) pairs, or amber.read_responses(...)")
    strange = [key for key in response_of if key not in wanted]
    misplaced = [key for key in strange if key in others]
    if misplaced:
        raise ValueError(f"ids that are not those of entries {purpose}: {name_some(misplaced)}; use amber.{other}")
    if strange:
        raise ValueError(
            f"ids that the annotations do not hold: {name_some(strange)}; ids match exactly (5 is not '5')"
        )
    no_text = [key for key, response in response_of.items() if not isinstance(response, str)]
    if no_text:
        raise TypeError(f"responses must be text; they are not for ids {name_some(no_text)}")
    return [(response, wanted[key]) for key, response in response_of.items()]


def _one_rule(records: Iterable[Mapping[str, Any]], name: str) -> str | None:
    rules = sorted({record[name] for record in records})
    if len(rules) > 1:
        raise ValueError(f"AMBER records of different {name} cannot be added: {', '.join(rules)}")
    return rules[0] if rules else None
