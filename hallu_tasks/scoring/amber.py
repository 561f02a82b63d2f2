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

import functools
import importlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hallu_tasks.files import json_files
from hallu_tasks.scoring import words, yesno
from hallu_tasks.scoring.keyed import indexed, name_some, repeated
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

MODES = ("reference", "nltk")
"""The names that `mode` accepts."""

SIMILARITIES = ("none", "spacy")
"""The names that `similarity` accepts."""

POLICIES = ("words", "official")
"""The names that `policy` accepts."""

GROUPS = ("existence", "attribute", "state", "number", "action", "relation")
"""The kinds of yes/no questions that are scored apart; attribute is state, number and action together."""

TYPES = {
    "discriminative-hallucination": ("existence",),
    "discriminative-attribute-state": ("attribute", "state"),
    "discriminative-attribute-number": ("attribute", "number"),
    "discriminative-attribute-action": ("attribute", "action"),
    "discriminative-relation": ("relation",),
    "relation": ("relation",),
}
"""The question types of ``annotations.json``, and the groups each belongs to."""

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


# The data


@dataclass(frozen=True)
class Vocabulary:
    """The nouns that count: `associates` maps a word to the words it may go by, `safe` never hallucinate."""

    associates: Mapping[str, tuple[str, ...]]
    safe: frozenset[str]

    @functools.cached_property
    def nouns(self) -> frozenset[str]:
        """Every word of the associations, as the file spells it."""
        return frozenset(self.associates).union(*self.associates.values())

    @functools.cached_property
    def spelling(self) -> dict[str, str]:
        """Lower-cased word to the file's spelling, which is "TV" for "tv"."""
        return {noun.lower(): noun for noun in sorted(self.nouns)}


@dataclass(frozen=True)
class Scene:
    """What ``annotations.json`` says of an image: words that are true, and targets that models tend to invent."""

    truth: tuple[str, ...]
    hallu: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A yes/no question of ``annotations.json``: its type, a key of `TYPES`, and its answer, "yes" or "no"."""

    type: str
    truth: str


@dataclass(frozen=True)
class Annotations:
    """``annotations.json`` by id: images to describe and questions to answer."""

    scenes: Mapping[int, Scene]
    questions: Mapping[int, Question]


Path = str | os.PathLike[str]


def read_annotations(annotations: Path | Sequence[Any]) -> Annotations:
    """Read ``annotations.json``, given as its path or parsed.

    Raises `ValueError` that names the file and the entry for what is missing, repeated or unknown.
    """
    content, name = _loaded(annotations, "annotations")
    scenes: dict[int, Scene] = {}
    questions: dict[int, Question] = {}
    for where, entry in _entries(content, name, ("id", "type", "truth")):
        if entry["type"] == "generative":
            truth = _texts(entry["truth"], f"{where}: truth")
            scenes[entry["id"]] = Scene(truth, _texts(entry.get("hallu"), f"{where}: hallu"))
        elif isinstance(entry["type"], str) and entry["type"] in TYPES:
            try:
                questions[entry["id"]] = Question(entry["type"], yesno.label(entry["truth"]))
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
        else:
            raise ValueError(f"{where}: unknown type {entry['type']!r}; allowed: generative, {', '.join(TYPES)}")
    return Annotations(scenes, questions)


def read_vocabulary(relation: Path | Mapping[str, Any], safe_words: Path | Iterable[str]) -> Vocabulary:
    """Read ``relation.json`` and ``safe_words.txt``, each given as its path or parsed.

    Raises `ValueError` that names the file and the entry that is not as expected.
    """
    content, name = _loaded(relation, "relation")
    if not isinstance(content, Mapping):
        raise ValueError(f"{name} holds a {type(content).__name__}, expected words with lists of associated words")
    associates = {word: _texts(related, f"{name}: {word!r}") for word, related in content.items()}
    lines = _lines(safe_words) if isinstance(safe_words, (str, os.PathLike)) else list(safe_words)
    safe = (word.strip() for word in _texts(lines, "safe_words"))
    return Vocabulary(associates, frozenset(word for word in safe if word))


def _lines(path: Path) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def read_images(queries: Path | Sequence[Any]) -> dict[int, str]:
    """Return the image of every id in a query file such as ``query_all.json``, given as its path or parsed."""
    content, name = _loaded(queries, "queries")
    return {
        entry["id"]: _text(entry["image"], f"{where}: image") for where, entry in _entries(content, name, ("image",))
    }


def read_responses(responses: Path | Sequence[Any]) -> dict[int, str]:
    """Return the responses of a file ``[{"id": 1, "response": "..."}, ...]`` by id, given as its path or parsed."""
    content, name = _loaded(responses, "responses", "write it again")
    return {
        entry["id"]: _text(entry["response"], f"{where}: response")
        for where, entry in _entries(content, name, ("response",))
    }


def _loaded(source: Any, argument: str, again: str = "fetch it again") -> tuple[Any, str]:
    if not isinstance(source, (str, os.PathLike)):
        return source, argument
    return json_files.load(source, again), os.fspath(source)


def _entries(content: Any, name: str, keys: tuple[str, ...]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the entries of a list of objects with ids, each with its place for messages."""
    if isinstance(content, Mapping) or not isinstance(content, Iterable):
        raise ValueError(f"{name} holds a {type(content).__name__}, expected a list of objects with ids")
    placed = []
    for position, entry in enumerate(content):
        where = f"{name}[{position}]"
        if not isinstance(entry, Mapping):
            raise ValueError(f"{where} is a {type(entry).__name__}, expected an object")
        if absent := [key for key in dict.fromkeys(("id", *keys)) if key not in entry]:
            raise ValueError(f"{where} has no {', '.join(absent)}")
        if not isinstance(entry["id"], int) or isinstance(entry["id"], bool):
            raise ValueError(f"{where}: id must be a whole number, got {entry['id']!r}")
        placed.append((f"{where} (id {entry['id']})", entry))
    if twice := repeated(entry["id"] for _, entry in placed):
        raise ValueError(f"{name}: ids that occur more than once: {name_some(twice)}; keep one of each")
    return placed


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where} must be text, got {value!r} ({type(value).__name__})")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where} must be a list of words, got {value!r}")
    return tuple(_text(word, where) for word in value)


# Generative

_NEVER_NOUNS = frozenset(["can", "hot"])
"""Words of the vocabulary that captions use as a verb ("can be seen") and an adjective, hardly ever as nouns."""

_VECTORS = "en_core_web_lg"
_THRESHOLD = 0.8


def check(mode: str = "reference", similarity: str = "none") -> None:
    """Load everything that `mode` and `similarity` need; call it before generation.

    Raises `ValueError` for an unknown name and `RuntimeError`, with the command to run, when NLTK, spaCy or
    their data are asked for and missing.
    """
    if mode not in MODES:
        raise ValueError(f"unknown AMBER mode {mode!r}; allowed: {', '.join(MODES)}")
    if similarity not in SIMILARITIES:
        raise ValueError(f"unknown AMBER similarity {similarity!r}; allowed: {', '.join(SIMILARITIES)}")
    if mode == "nltk":
        _nltk()
    if similarity == "spacy":
        _spacy()


def nouns(response: str, vocabulary: Vocabulary, mode: str = "reference") -> list[str]:
    """Return the nouns of a response that the vocabulary knows, in order, duplicates included."""
    check(mode)
    if not isinstance(response, str):
        raise TypeError(f"a response must be text, got {response!r} ({type(response).__name__})")
    if mode == "nltk":
        nltk = _nltk()
        lemmatize = nltk.WordNetLemmatizer().lemmatize
        tagged = nltk.pos_tag(nltk.word_tokenize(response))
        lemmas = [lemmatize(word) for word, tag in tagged if tag.startswith("NN")]
        return [lemma for lemma in lemmas if lemma in vocabulary.nouns]
    known = vocabulary.spelling
    tokens = [token for token in words.tokens(response) if token not in _NEVER_NOUNS]
    singulars = [token if token in known else words.singular(token, known) for token in tokens]
    return [known[singular] for singular in singulars if singular in known]


_WORD = re.compile(r"\w+(?:[-/.]\w+)*")


def places(response: str, listed: Iterable[str]) -> list[tuple[int, int, str]]:
    """Return start, end and noun of each word of a response that is one of the nouns, or its plural."""
    known = {noun.lower(): noun for noun in listed}
    found = [(word, word[0].lower()) for word in _WORD.finditer(response)]
    singulars = [(word, token if token in known else words.singular(token, known)) for word, token in found]
    return [(word.start(), word.end(), known[singular]) for word, singular in singulars if singular in known]


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
            marked.update(_similar(noun, invented))
            if same := _similar(noun, true):
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


def _similar(noun: str, names: Mapping[str, int]) -> list[int]:
    """Return the position of the first name that means the same, in a list, which is empty without one."""
    return [names[name] for name in names if _cosine(noun, name) > _THRESHOLD][:1]


@functools.lru_cache(maxsize=1 << 18)
def _cosine(word: str, other: str) -> float:
    return float(_vector(word).similarity(_vector(other)))


@functools.lru_cache(maxsize=1 << 12)
def _vector(word: str) -> Any:
    return _spacy()(word)


@functools.lru_cache(maxsize=1)
def _spacy() -> Callable[[str], Any]:
    run = f"pip install spacy && python -m spacy download {_VECTORS}"
    try:
        spacy = importlib.import_module("spacy")
    except ImportError as error:
        raise RuntimeError(f'AMBER similarity "spacy" needs spaCy; run: {run}') from error
    try:
        pipeline: Callable[[str], Any] = spacy.load(_VECTORS)
    except OSError as error:
        raise RuntimeError(f'AMBER similarity "spacy" needs the vectors {_VECTORS}; run: {run}') from error
    return pipeline


def _nltk() -> Any:
    try:
        words.check_nltk()
    except RuntimeError as error:
        raise RuntimeError(str(error).replace("CHAIR", "AMBER", 1)) from error
    return importlib.import_module("nltk")


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
