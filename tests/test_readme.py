"""What the pages say is what there is: commands, model ids, tasks, files, tables and code."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import readme_python
import readme_tables
from PIL import Image

import hallu_models
import hallu_tasks
import registry
from hallu_models.demo import held_out
from hallu_tasks.benchmarks import table
from registry.commands import cli
from registry.task_search import task_folders

ROOT = readme_tables.ROOT
PACKAGES = ("hallu_models", "hallu_tasks", "registry", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(page for package in PACKAGES for page in (ROOT / package).rglob("*.md"))])
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
README = TEXTS["README.md"]
EXAMPLE = {"llava_spotlight", "llava_beacon"}
"""The model ids that the guide's own packages add."""

MOST_LINES, MOST_LINES_WRITTEN = 160, 124
"""Of the whole page, and of what stands outside its generated parts, which grow with the cards."""


@pytest.mark.parametrize("page", readme_tables.generated(), ids=lambda page: page.parent.name)
def test_generated_parts_are_what_cards_and_rooms_say(page: Path) -> None:
    assert readme_tables.renewed(page) == page.read_text(encoding="utf-8"), "run `make readme`"


def written(text: str) -> list[str]:
    """Lines of a page outside its generated parts."""
    return re.sub(r"^<!-- (\w+) -->\n.*?^<!-- /\1 -->\n", "", text, flags=re.MULTILINE | re.DOTALL).splitlines()


def test_the_readme_is_for_a_first_visit() -> None:
    further = "what goes further stands on the packages' own pages"
    assert len(written(README)) <= MOST_LINES_WRITTEN, further
    assert len(README.splitlines()) <= MOST_LINES, further


def test_one_more_method_finds_room_in_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = registry.methods()
    cards["one_more"] = dataclasses.replace(cards["vhr"], name="one_more")
    monkeypatch.setattr(registry, "methods", lambda: cards)
    text = readme_tables.renewed(ROOT / "README.md")
    assert "* `one_more`: " in text and len(text.splitlines()) == len(README.splitlines()) + 1 <= MOST_LINES
    assert written(text) == written(README)


BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def calls(lines: Iterable[str]) -> Iterator[tuple[str, ...]]:
    for line in lines:
        if line.strip().startswith("hallu ") and "..." not in line:
            yield tuple(shlex.split(line, comments=True)[1:])


def in_blocks(text: str) -> Iterator[tuple[str, ...]]:
    """The calls of ``hallu`` in blocks of code, which are whole."""
    shell = [block for language, block in BLOCK.findall(text) if language in ("", "bash")]
    return calls(line for block in shell for line in block.replace("\\\n", " ").splitlines())


def in_lines(text: str) -> Iterator[tuple[str, ...]]:
    """The calls of ``hallu`` in a sentence, which leave out what does not matter there."""
    return calls(re.findall(r"`([^`]+)`", BLOCK.sub("", text)))


def options(parser: argparse.ArgumentParser) -> set[str]:
    """All options of a parser and of those below it."""
    below = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return set(parser._option_string_actions).union(*(options(one) for found in below for one in found.values()))


@pytest.mark.parametrize("call", sorted({call for text in TEXTS.values() for call in in_blocks(text)}), ids=" ".join)
def test_a_command_in_a_block_is_understood(call: tuple[str, ...]) -> None:
    assert call[0] in cli.COMMANDS
    if not cli.COMMANDS[call[0]].passes_on:
        assert cli.parser(call).parse_args(call).command == call[0]


@pytest.mark.parametrize("page", TEXTS)
def test_a_command_in_a_sentence_exists_with_its_options(page: str) -> None:
    for name, *rest in in_lines(TEXTS[page]):
        assert name in cli.COMMANDS, name
        given = {word for word in rest if word.startswith("--")}
        if not cli.COMMANDS[name].passes_on:
            assert given <= options(cli.parser([name])), (name, *rest)


def test_commands_are_found_on_the_pages() -> None:
    blocks = [page for page, text in TEXTS.items() if list(in_blocks(text))]
    sentences = [page for page, text in TEXTS.items() if list(in_lines(text))]
    assert len(blocks) >= 6 and len(sentences) >= 10


@pytest.mark.parametrize("page", TEXTS)
def test_model_ids_and_tasks_of_commands_exist(page: str) -> None:
    tasks = {task.name for task in task_folders.scan(Path(hallu_tasks.path()))[0]} | {"pope"}
    assert set(re.findall(r"--model (\w+)", TEXTS[page])) <= registry.models().keys() | EXAMPLE
    assert set(re.findall(r"results/(\w*_\w+)(?= |/|`|$)", TEXTS[page])) <= registry.models().keys() | EXAMPLE
    assert set(re.findall(r"--tasks ([a-z]\w+)", TEXTS[page])) <= tasks
    assert set(re.findall(r"`(hallu_(?:chair|pope|mme|amber|textvqa|hallusion|demo|suite)\w*)`", TEXTS[page])) <= tasks


@pytest.mark.parametrize("page", TEXTS)
def test_targets_of_make_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:`|^)make ([a-z]+(?: [a-z]+)*)(?=`|  |$)", TEXTS[page], re.MULTILINE)
    assert {target for line in named for target in line.split()} <= targets


@pytest.mark.parametrize("page", TEXTS)
def test_files_and_sections_that_it_links_to_exist(page: str) -> None:
    for name, _, anchor in re.findall(r"\]\((?!http)([^)#\s]*)(#([^)]+))?\)", TEXTS[page]):
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), name
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{name}#{anchor}"


def anchors(text: str) -> set[str]:
    """Headings as GitHub links to them."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [page for page in TEXTS if page not in ("CHANGELOG.md", "README.md")])
def test_every_page_is_linked_from_another(page: str) -> None:
    links = {
        ((ROOT / other).parent / name).resolve()
        for other, text in TEXTS.items()
        if other != page
        for name in re.findall(r"\]\((?!http)([^)#\s]+)", text)
    }
    assert (ROOT / page) in links or "/metrics/" in page, "no page leads here"


def test_every_benchmark_has_its_line() -> None:
    folders = [entry.__name__.split(".")[1] for entry in table.ENTRIES]
    assert folders and all(f"](hallu_tasks/{folder}/README.md)" in README for folder in folders)
    pages = TEXTS["hallu_tasks/README.md"]
    assert all(f"]({folder}/README.md)" in pages for folder in folders)


def test_the_python_lines_print_what_stands_below_them() -> None:
    code, expected = readme_python.lines()
    assert len([line for line in code.splitlines() if line]) == 5
    assert readme_python.printed(code) == expected
    scene = held_out.held_out(number=4)[3]
    assert "traffic light" in expected and "traffic light" not in scene.counts


def test_the_code_of_the_models_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = TEXTS["hallu_models/README.md"]
    (code,) = re.findall(r"## In Python\n\n```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    held_out.held_out(number=1)[0].image().save("picture.png")
    host = hallu_models.load("demo", device="cpu")
    with Image.open("picture.png") as picture:
        asked = hallu_models.conversation(picture.convert("RGB"), "Please describe this image in detail.")
    inputs = host.processor.apply_chat_template(
        [asked], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    names: dict[str, Any] = {"model": host.model, "processor": host.processor, "inputs": inputs}
    exec(compile(code, "hallu_models/README.md", "exec"), names)
    answer = names["answers"][0]
    tokens = names["output"][:, inputs["input_ids"].shape[1] :]
    assert host.processor.batch_decode(tokens, skip_special_tokens=True)[0].strip() == answer.text
    assert answer.observations["selected"].values.ndim == 3 and names["session"].observations
