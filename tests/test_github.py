"""Forms and workflows are YAML that GitHub takes; the citation is of this version."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(path: Path) -> Any:
    # YAML 1.1 reads the key `on` as true.
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_has_what_it_needs(path: Path) -> None:
    workflow = read(path)
    assert workflow["on"] and workflow["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for name, job in workflow["jobs"].items():
        assert job["runs-on"] and job["timeout-minutes"].isdigit(), name
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= set(workflow["jobs"])
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step), step
            for target in re.findall(r"^make ([a-z]+)$", step.get("run", ""), re.MULTILINE):
                assert target in targets
            for script in re.findall(r"source/(\S+\.py)", step.get("run", "")):
                assert (ROOT / script).is_file()


def test_only_the_wheel_that_was_tried_is_published() -> None:
    jobs = read(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert jobs["publish"]["needs"] == "wheel" and jobs["wheel"]["needs"] == "build"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_can_be_filled_in(path: Path) -> None:
    form = read(path)
    assert form["name"] and form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids) and {"paper", "code", "hook"} <= set(ids)
    assert all(field["attributes"]["label"] for field in form["body"])
    assert all(field["attributes"]["options"] for field in form["body"] if field["type"] == "dropdown")


def test_the_form_names_every_hook_that_edits() -> None:
    from hallu_models.new_method.command import HOOKS

    (field,) = [one for one in read(ROOT / ".github/ISSUE_TEMPLATE/new-method.yml")["body"] if one["id"] == "hook"]
    hooks = [
        name
        for option in field["attributes"]["options"]
        for part in re.findall(r"\((.*)\)", option)
        for name in part.split(", ")
    ]
    only_watch = {"review", "observations"}
    assert len(hooks) == len(set(hooks)) and set(hooks) == set(HOOKS) - only_watch


def test_a_pull_request_has_five_boxes() -> None:
    text = (ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^- \[ \] ", text, re.MULTILINE)) == 5


def test_the_citation_is_of_this_version() -> None:
    citation = read(ROOT / "CITATION.cff")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert citation["cff-version"] == "1.2.0" and citation["authors"] and citation["message"]
    assert (citation["version"], citation["license"]) == (setup["metadata"]["version"], setup["metadata"]["license"])


def test_the_changelog_has_sections_by_kind() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert sections == [
        kind for kind in ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security") if kind in sections
    ]
    assert len(sections) >= 3
