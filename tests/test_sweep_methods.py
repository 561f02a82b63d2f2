"""``hallu sweep --methods``: the plain model and several methods, and their comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stand_in
from test_sweep import refused, sweep

from hallu_tasks.sweep import arms
from registry.plugins import lazy


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[tuple[str, str]]]:
    """Puts the stand-in before lmms-eval; gives model and model_args of the runs that were started since."""
    taken = stand_in.install(tmp_path, monkeypatch)
    return lambda: [tuple(call[call.index(name) + 1] for name in ("--model", "--model_args")) for call in taken()]


BASIC = ("--model", "llava_base", "--model_args", "pretrained=demo", "--tasks", "hallu_demo", "--methods")


def test_an_argument_with_a_name_in_front_is_for_that_method_alone() -> None:
    given = "pretrained=demo,seed=3,vhr.alpha=3,vhr.layers=1+2,ad_hh.heads=L5H3"
    found = arms.cells("llava_base", given, "vhr,ad_hh,vhr+eah")
    assert [(cell.folder, cell.model, cell.model_args) for cell in found] == [
        ("base", "llava_base", "pretrained=demo,seed=3"),
        ("vhr", "llava_vhr", "pretrained=demo,seed=3,alpha=3,layers=1+2"),
        ("ad_hh", "llava_ad_hh", "pretrained=demo,seed=3,heads=L5H3"),
        ("vhr+eah", "hallu", "pretrained=demo,seed=3,method=vhr+eah,vhr.alpha=3,vhr.layers=1+2"),
    ]


def test_a_checkpoint_of_no_family_is_the_generic_id_throughout() -> None:
    found = arms.cells("hallu", "pretrained=mine,eah.beta=0.01", "eah")
    assert [(cell.model, cell.model_args) for cell in found] == [
        ("hallu", "pretrained=mine"),
        ("hallu", "pretrained=mine,method=eah,beta=0.01"),
    ]


def test_shams_follow_with_the_settings_of_the_method_that_they_are_like() -> None:
    given = "pretrained=demo,vhr.alpha=3,vhr.variant=official,vcd.beta=0.2,sham_brief.bias=1"
    found = arms.cells("llava_base", given, "vhr,vcd", controls=True)
    assert [(cell.folder, cell.model_args) for cell in found] == [
        ("base", "pretrained=demo"),
        ("vhr", "pretrained=demo,alpha=3,variant=official"),
        ("vcd", "pretrained=demo,beta=0.2"),
        ("sham_heads", "pretrained=demo,alpha=3"),
        ("sham_yes", "pretrained=demo"),
        ("sham_brief", "pretrained=demo,bias=1"),
        ("sham_negative", "pretrained=demo,beta=0.2"),
        ("sham_cut", "pretrained=demo,beta=0.2"),
        ("sham_prompt", "pretrained=demo"),
    ]
    assert [cell.method for cell in arms.cells("llava_base", "", "sham_heads", controls=True)] == ["base", "sham_heads"]
    generic = arms.cells("hallu", "pretrained=mine,eah.beta=0.01", "eah", controls=True)
    assert ("hallu", "pretrained=mine,method=sham_map,beta=0.01") in [(one.model, one.model_args) for one in generic]


def test_all_are_those_that_run_on_the_family() -> None:
    everything = [name for name in lazy.interventions().names() if not lazy.card(name).control]
    assert [cell.method for cell in arms.cells("llava_base", "", "all")] == ["base", *everything]
    contrasts = [cell.method for cell in arms.cells("qwen3_5_base", "", "all")]
    assert "cicd" in contrasts and "vhr" not in contrasts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--methods", "vhr,ehr"), "unknown method 'ehr' (did you mean vhr"),
        (("--methods", "vhr,vhr"), "--methods vhr,vhr: vhr is there twice"),
        (("--methods", "vhr", "--model", "llava_eah"), "and the plain model; give --model llava_base"),
        (("--methods", "vhr", "--model", "hallu", "--model_args", "method=eah"), "give no method= in --model_args"),
        (("--methods", "vhr", "--model_args", "eah.beta=1"), "--model_args eah.beta=1: eah is none of --methods vhr"),
        (("--methods", "vhr", "--model_args", "vhr.alhpa=1"), "vhr: unknown argument alhpa=1 (did you mean alpha?)"),
        (("--methods", "vhr", "--baseline", "base"), "--methods runs the plain model itself"),
        (("--methods", "vhr", "--grid", "alpha=1"), "not allowed with argument"),
        (("--methods", "vhr", "--model_args", "sham_yes.shift=1"), "sham_yes is none of --methods vhr"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_call_is_named_before_anything_runs(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], Any], changes: tuple[str, ...], message: str
) -> None:
    command = ("--model", "llava_base", "--model_args", "pretrained=demo", "--tasks", "hallu_demo", *changes)
    if "--grid" in changes:
        with pytest.raises(SystemExit):
            sweep(capsys, *command)
        assert message in capsys.readouterr().err
    else:
        assert message in refused(capsys, *command)
    assert calls() == []


def test_each_is_an_ordinary_run_and_all_are_compared_with_the_plain_model(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[tuple[str, str]]]
) -> None:
    code, out, err = sweep(capsys, *BASIC, "eah,vhr", "--output", "results/methods")
    assert code == 0, err
    assert calls() == [(f"llava_{name}", "pretrained=demo") for name in ("base", "eah", "vhr")]
    assert "Difference: arm - llava_base" in " ".join(out.split())
    folders = " ".join(f"results/methods/{name}" for name in ("base", "eah", "vhr"))
    assert f"hallu compare {folders} --html FILE" in err

    code, again, err = sweep(capsys, *BASIC, "eah,vhr,sevi", "--output", "results/methods")
    assert code == 0 and err.startswith("4 runs, 3 of them are there already")
    assert calls() == [("llava_sevi", "pretrained=demo")]
    assert "llava_sevi" in again


def test_with_controls_each_method_is_compared_with_its_shams(
    capsys: pytest.CaptureFixture[str], calls: Callable[[], list[tuple[str, str]]]
) -> None:
    code, out, err = sweep(capsys, *BASIC, "vhr", "--controls", "--output", "results/shams")
    assert code == 0, err
    names = ("base", "vhr", "sham_heads", "sham_yes", "sham_brief")
    assert calls() == [(f"llava_{name}", "pretrained=demo") for name in names]
    assert "llava_vhr - llava_sham_heads" in out and "No sham is missing." in out
    assert "--controls --html FILE" in err


def test_controls_are_those_of_methods(capsys: pytest.CaptureFixture[str]) -> None:
    command = ("--model", "llava_vhr", "--grid", "alpha=1,2", "--tasks", "hallu_demo", "--controls")
    assert "--controls: the shams are those of --methods" in refused(capsys, *command)
