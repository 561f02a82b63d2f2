"""Match the answers of POPE to their questions.

Ids restart in every question file, the releases number their questions differently, and the same text is asked
about many images. So an answer belongs to a question where the id agrees and the text, where the answer carries it,
agrees too; the order of the lines says nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

from hallu_tasks.pope.answers import ANSWERS, Key, PopeAnswer, PopeQuestion, plain
from hallu_tasks.scoring.keyed import name_some

__all__ = ["answers_to", "caution", "matched", "pairs", "strategies"]


def pairs(
    answer_files: Sequence[str], question_files: Sequence[str], what: str = "answer"
) -> list[tuple[str, str, str]]:
    """Return (strategy, answer file, question file), the files paired in the order in which they were given.

    `what` is what the first ones hold, for errors.

    Raises `ValueError` for different numbers of files, a file given twice, and a pair whose names say different
    strategies.
    """
    if len(answer_files) != len(question_files):
        raise ValueError(
            f"{len(answer_files)} {what} files for {len(question_files)} question files; give one {what} file for "
            "each question file, in the same order"
        )
    for files in (answer_files, question_files):
        if twice := [file for file, number in Counter(files).items() if number > 1]:
            raise ValueError(f"files given twice: {name_some(twice)}; give each once")
    named = list(zip(strategies(question_files), answer_files, question_files))
    for _, answered, asked in named:
        theirs, ours = _strategies_in(answered), _strategies_in(asked)
        if len(theirs) == len(ours) == 1 and theirs != ours:
            raise ValueError(
                f"{answered} ({theirs[0]}) stands beside {asked} ({ours[0]}); give the {what} files in the order of "
                "the question files"
            )
    return named


def strategies(question_files: Sequence[str]) -> list[str]:
    """Return a name for each question file: random, popular or adversarial; where that is not enough, its stem."""
    words = [_strategies_in(file) for file in question_files]
    short = [found[0] if len(found) == 1 else "" for found in words]
    if all(short) and len(set(short)) == len(short):
        return short
    stems = [Path(file).stem for file in question_files]
    return stems if len(set(stems)) == len(stems) else list(question_files)


def _strategies_in(file: str) -> list[str]:
    return [name for name in ("random", "popular", "adversarial") if name in Path(file).name.lower()]


def matched(
    given: Sequence[PopeAnswer], asked: Mapping[int, PopeQuestion], answered: str, source: str
) -> dict[Key, str]:
    """Return the texts of `answers_to`."""
    return {key: answer.text for key, answer in answers_to(given, asked, answered, source).items()}


def answers_to(
    given: Sequence[PopeAnswer], asked: Mapping[int, PopeQuestion], answered: str, source: str
) -> dict[Key, PopeAnswer]:
    """Return the answers of one strategy under the keys of their questions.

    `answered` and `source` are the two files, for errors. Answers without an id are matched by text, and by image
    where they carry it. Where a text is asked more than once, such a file must repeat the questions in the file's
    order, every line of them: equal texts cannot be told apart otherwise.

    Raises `ValueError` that counts and names answers to other questions and questions without an answer.
    """
    if given[0].number is None:
        found = _by_text(given, list(asked.values()), answered, source)
    else:
        found = [(answer, asked.get(answer.number)) for answer in given if answer.number is not None]
    strange = [answer for answer, question in found if question is None]
    differing = [
        (answer, question) for answer, question in found if question is not None and _differs(answer, question)
    ]
    answered_keys = {question.key for _, question in found if question is not None}
    silent = [question for question in asked.values() if question.key not in answered_keys]
    problems = []
    if strange:
        problems.append(f"{len(strange)} answers are to questions that are not in it ({_named(strange[0])})")
    if differing:
        answer, question = differing[0]
        problems.append(
            f"{len(differing)} answers are to another question of the same id ({_named(answer)}, but "
            f"{question.place} asks {question.key[2]!r} about {question.image!r})"
        )
    numbers = name_some(question.key[1] for question in silent)
    missing = f"{len(silent)} questions have no answer (question_id {numbers})"
    if silent:
        problems.append(missing)
    if problems:
        raise ValueError(
            f"{answered} does not answer the questions of {source}: {'; '.join(problems)}. "
            f"{_advice(len(given), len(asked), unfinished=problems == [missing])}"
        )
    result = {question.key: answer for answer, question in found if question is not None}
    if all(plain(answer.text) == plain(key[2]) for key, answer in result.items()):
        raise ValueError(f"{answered} holds the questions themselves; {ANSWERS}")
    return result


def caution(given: Sequence[PopeAnswer], answered: str, source: str) -> list[str]:
    """Return what could not be checked because the answers do not carry it, one sentence a doubt."""
    bare = sum(answer.asked is None for answer in given)
    if bare:
        return [
            f"{bare} of {len(given)} lines of {answered} carry no question text; they are taken for answers to "
            f"{source} by question_id alone"
        ]
    texts = {plain(answer.asked or "") for answer in given}
    if given[0].number is None and given[0].image is None and len(texts) < len(given):
        return [
            f"{answered} carries no question_id; its lines repeat the texts of {source} in order, and only the order "
            "tells equal texts apart"
        ]
    return []


def _by_text(
    given: Sequence[PopeAnswer], asked: Sequence[PopeQuestion], answered: str, source: str
) -> list[tuple[PopeAnswer, PopeQuestion | None]]:
    """Match by image and text. Equal questions may be exchanged where neither label nor image would change."""
    differing = [(answer, question) for answer, question in zip(given, asked) if _differs(answer, question)]
    if len(given) == len(asked) and not differing:
        return list(zip(given, asked))
    with_images = all(answer.image is not None for answer in given)
    waiting: defaultdict[Hashable, deque[PopeQuestion]] = defaultdict(deque)
    for question in asked:
        waiting[question.image if with_images else None, plain(question.key[2])].append(question)
    for same in waiting.values():
        if len({(question.image, question.label) for question in same}) > 1:
            where = f"first at {differing[0][0].place}" if differing else f"{len(given)} answers to {len(asked)}"
            raise ValueError(
                f"{answered} has no question_id and does not repeat the questions of {source} line by line ({where}), "
                f"so its answers to {same[0].key[2]!r}, asked {len(same)} times, cannot be told apart. "
                f"{_advice(len(given), len(asked))} Or write question_id into every line."
            )
    found: list[tuple[PopeAnswer, PopeQuestion | None]] = []
    for answer in given:
        same = waiting.get((answer.image if with_images else None, plain(answer.asked or "")), deque())
        found.append((answer, same.popleft() if same else None))
    return found


def _differs(answer: PopeAnswer, question: PopeQuestion) -> bool:
    """Whether an answer's text or image, where it has them, is not the question's; prompts may say more."""
    if answer.image is not None and answer.image != question.image:
        return True
    return answer.asked is not None and plain(question.key[2]) not in plain(answer.asked)


def _advice(answers_count: int, questions_count: int, unfinished: bool = False) -> str:
    sizes = {answers_count, questions_count}
    if sizes == {2910, 3000}:
        return (
            "One is of the older release with 2,910 random questions, the other of the newer with 3,000: give the "
            "question file that the model was asked from."
        )
    if unfinished:
        return "Finish the run: a part of the questions is another benchmark."
    return "Give the question file that the model was asked from, of the same strategy, source and release."


def _named(answer: PopeAnswer) -> str:
    number = "" if answer.number is None else f", question_id {answer.number}"
    return f"{answer.place}{number}" + ("" if answer.asked is None else f": {answer.asked!r}")
