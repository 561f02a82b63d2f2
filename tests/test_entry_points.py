"""What lmms-eval reads on every start: fast, without torch, and never a reason for a run to stop."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import registry
from hallu_models import entry_points


def python(code, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=300,
    )


def test_every_id_has_a_manifest_and_a_class_of_its_own():
    manifests = {manifest.model_id: manifest.chat_class_path for manifest in entry_points.manifests()}
    assert manifests == {name: f"hallu_models.models.{name}" for name in registry.models()}
    assert {"llava_vhr", "llava_base", "hallu"} <= manifests.keys()


def test_classes_are_bound_to_family_and_method():
    from hallu_models import models

    assert (models.llava_vhr.family, models.llava_vhr.method) == ("llava", "vhr")
    assert (models.llava_base.family, models.llava_base.method) == ("llava", None)
    assert models.llava_vhr is models.llava_vhr
    assert models.llava_vhr.is_simple is False


def test_discovery_imports_no_torch():
    found = python(
        """
        import sys
        import lmms_eval.models as host
        before = {"torch", "transformers"} & set(sys.modules)
        assert host.MODEL_REGISTRY_V2.resolve("llava_vhr").class_path == "hallu_models.models.llava_vhr"
        assert {"registry", "hallu_models", "hallu_models.entry_points"} <= set(sys.modules)
        print(sorted(before), "hallu_models.adapter" in sys.modules)
        """
    )
    assert found.stdout == "[] False\n", found.stderr


def test_scorers_and_registry_import_no_torch_and_no_models():
    found = python(
        """
        import sys
        import registry.commands.cli, hallu_tasks.report.command, hallu_tasks.demo.task, hallu_tasks.mme.task
        from hallu_tasks.scoring import chair, yesno, pope, mme, paired
        import hallu_tasks.chair.task, hallu_tasks.pope.task
        chair.objects("a dog")
        print(sorted({"torch", "transformers", "hallu_models", "lmms_eval"} & set(sys.modules)))
        """
    )
    assert found.stdout == "[]\n", found.stderr


def test_importing_the_models_package_imports_no_torch():
    found = python("import sys, hallu_models; print('torch' in sys.modules, hallu_models.__all__[0])")
    assert found.stdout == "False Generation\n", found.stderr


def test_a_stray_registry_file_is_named_and_does_not_stop_other_models(tmp_path):
    (tmp_path / "registry.py").write_text("models = []\n")
    found = python(
        """
        import lmms_eval.models as host
        host.MODEL_REGISTRY_V2.resolve("llava_hf")
        try:
            host.MODEL_REGISTRY_V2.resolve("llava_vhr")
        except ValueError:
            print("llava_vhr is unknown")
        """,
        cwd=tmp_path,
    )
    assert found.stdout == "llava_vhr is unknown\n", found.stderr
    assert f"{tmp_path / 'registry.py'} hides the registry package of lmms-eval-hallu; rename that file" in found.stderr


def test_a_fault_of_ours_is_a_message(monkeypatch, capsys):
    from registry.plugins import model_ids

    def broken():
        raise RuntimeError("no table")

    monkeypatch.setattr(model_ids, "table", broken)
    assert entry_points.manifests() == []
    assert "RuntimeError: no table; run `hallu doctor`" in capsys.readouterr().err
