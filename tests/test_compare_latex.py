"""``hallu compare --latex``: tables that LaTeX can read, with the numbers of the other forms."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written_runs import BASE, VHR, Arm, write

from hallu_tasks.compare.comparison import RunComparison
from hallu_tasks.compare.compute import compare
from hallu_tasks.report import as_latex, cells
from hallu_tasks.report.latex import escaped
from hallu_tasks.runs.results import read
from registry.commands import cli

EVIL = r"\input{x} 50% & #1 $_{a}^{b}$ ~<>|--''`` [1] "


def compared(folder: Path, *arms: Arm, resamples: int = 400) -> RunComparison:
    return compare([read(str(write(folder / str(n), arm))) for n, arm in enumerate(arms)], resamples=resamples)


def tables(text: str) -> list[dict[str, list[list[str]] | str]]:
    """Each table's caption, columns and cells; fails on what is not closed in order."""
    found = []
    open_: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            open_.append(name)
        else:
            assert open_.pop() == name
    assert not open_
    for part in re.findall(r"\\begin\{table\}(.*?)\\end\{table\}", text, re.DOTALL):
        assert [part.count(f"\\{rule}\n") for rule in ("toprule", "midrule", "bottomrule")] == [1, 1, 1]
        (columns,) = re.findall(r"\\begin\{tabular\}\{(l?r*)\}", part)
        rows = [line.strip().removesuffix(r"\\").strip() for line in part.splitlines() if line.endswith(r"\\")]
        split = [[cell.strip() for cell in re.split(r"(?<!\\)&", row)] for row in rows]
        assert {len(row) for row in split} == {len(columns)}
        (caption,) = re.findall(r"^  \\caption\{(.*)\}$", part, re.MULTILINE)
        found.append({"caption": caption, "rows": split})
    return found


def balanced(text: str) -> bool:
    """Whether braces that group are closed in order; escaped ones are characters."""
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text.replace(r"\\", "")):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


def read_back(text: str) -> str:
    """What LaTeX prints for escaped text."""
    named = {
        "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">",
        "textbar": "|", "textquotedbl": '"', "textasciigrave": "`",
    }  # fmt: skip
    return re.sub(
        r"\\(text[a-z]+)\{\}|\\([&%$#_{}])|([-'])\{\}",
        lambda found: named[found[1]] if found[1] else found[2] or found[3],
        text,
    )


def test_a_table_a_task_with_a_row_an_arm_and_its_differences(tmp_path: Path) -> None:
    comparison = compared(tmp_path, BASE, VHR)
    found = tables(as_latex(comparison))
    assert len(found) == len(comparison.blocks) == 3
    for table, block in zip(found, comparison.blocks):
        head, base, arm, differences = table["rows"]
        assert head[0] == "" and len(head) == 1 + len(block.rows)
        assert base == ["llava\\_base", *(escaped(cells.value(row, 0)) for row in block.rows)]
        assert arm == ["llava\\_vhr", *(escaped(cells.value(row, 1)) for row in block.rows)]
        for cell, row in zip(differences[1:], block.rows):
            change = cells.change(row, 1)
            assert change.size.replace("-", "$-$").replace("×", r"$\times$") in cell
            assert ("^{*}$" in cell) == change.found
            assert ("p" in cell.replace("footnotesize", "")) == (row.kind == "score")
        assert read_back(str(table["caption"])).startswith(f"{cells.title(block)}. In brackets 95 % intervals.")


def test_directions_are_arrows(tmp_path: Path) -> None:
    (chair, *_) = tables(as_latex(compared(tmp_path, BASE, VHR)))
    assert chair["rows"][0] == [
        "",
        r"CHAIR\_s $\downarrow$",
        r"CHAIR\_i $\downarrow$",
        r"CHAIR\_i vs cut $\downarrow$",
        r"length-{}adjusted $\downarrow$",
        r"recall $\uparrow$",
        "mean length",
    ]


def test_one_arm_alone_has_no_differences(tmp_path: Path) -> None:
    text = as_latex(compared(tmp_path, BASE))
    assert [len(table["rows"]) for table in tables(text)] == [2, 2, 2]
    assert "asterisk" not in text


def test_what_must_be_known_stands_in_the_caption(tmp_path: Path) -> None:
    def limited(data: dict) -> None:
        data["n-samples"]["hallu_demo_pope"]["original"] = 256

    arms = [replace(arm, images=range(3), tasks=["hallu_demo_pope"], change=limited) for arm in (BASE, VHR)]
    arms[0] = replace(arms[0], pope=lambda image, right: "perhaps")
    (table,) = tables(as_latex(compared(tmp_path, *arms)))
    caption = read_back(str(table["caption"]))
    for said in ("limited: 18 of 256 documents", "18 of 18 answers of llava_base (100 %)", "Too few images"):
        assert said in caption


def test_names_of_arms_cannot_break_the_table(tmp_path: Path) -> None:
    text = as_latex(compared(tmp_path, replace(BASE, model=EVIL), replace(VHR, model=f"[b] {EVIL}\n&")))
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert balanced(body) and r"\input" not in body
    assert [len(table["rows"]) for table in tables(text)] == [4, 4, 4]
    assert not re.search(r"\\\\\s*\[", text)


@given(st.text())
def test_escaped_text_is_read_back_and_closes_what_it_opens(text: str) -> None:
    shown = escaped(text)
    assert read_back(shown) == "".join(letter if letter.isprintable() else " " for letter in text)
    assert balanced(shown)
    assert not re.search(r"(?<!\\)[&%$#_]", shown) and "\n" not in shown
    assert "--" not in shown and "``" not in shown and "''" not in shown


def test_published_numbers_have_tables_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(write(tmp_path / arm.model, arm)) for arm in (BASE, VHR)]
    assert cli.main(["compare", *paths, "--latex", "--published", "--resamples", "400"]) == 0
    found = tables(capsys.readouterr().out)
    assert len(found) > 3
    assert "never with the run above" in str(found[-1]["caption"])


def test_forms_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["compare", str(tmp_path), "--latex", "--json"])
    assert "not allowed with" in capsys.readouterr().err
