"""Changes that lmms-eval could make, made on purpose: each is told where a run needs what is gone."""

from __future__ import annotations

import functools
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import make_dataclass
from typing import Any

import lmms_eval.__main__
import lmms_eval.cli.dispatch
import pytest
from lmms_eval.api import instance
from lmms_eval.api.instance import Instance
from lmms_eval.api.model import lmms
from lmms_eval.caching.response_cache import ResponseCache
from lmms_eval.loggers import EvaluationTracker
from lmms_eval.models import registry_v2
from lmms_eval.models.model_utils import gen_metrics
from lmms_eval.tasks import TaskManager
from loguru import logger

from hallu_models import entry_points, models
from hallu_models.adapter import response_cache, results_saved
from registry.commands import doctor
from registry.evaluation import process
from registry.runner import answers, model_class, names, program, requests, saving, task_hook, tasks
from registry.runner import response_cache as runner_cache
from registry.runner.mismatch import RunnerMismatch, module

DOCS = [{"text": "Describe this image."}, {"text": "Is there a cup in the image?"}]
OPTIONS = {"max_new_tokens": 2, "do_sample": False, "until": []}
FIX = r"[\s\S]*Installed: lmms-eval 0\.7.*Tested with: lmms-eval .*pip install 'lmms-eval"


class Task:
    """Holds the parsed command line, as tasks of lmms-eval do."""

    def __init__(self, **arguments: Any) -> None:
        self.args = Namespace(**arguments)

    def messages(self, doc: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"role": "user", "content": [{"type": "text", "text": doc["text"]}]}]


@pytest.fixture(autouse=True)
def recovery(tmp_path, monkeypatch):
    monkeypatch.setenv("HALLU_RECOVERY", str(tmp_path / "recovery"))
    yield
    results_saved.new_run()


@pytest.fixture
def warnings():
    found: list[str] = []
    sink = logger.add(lambda message: found.append(str(message)), level="WARNING", format="{message}")
    yield found
    logger.remove(sink)


@pytest.fixture(scope="module")
def model():
    return models.llava_base(pretrained="demo", device="cpu")


def asked(*change: Any, task: Task | None = None) -> Instance:
    """A request, laid out as given or as lmms-eval 0.7 does."""
    known = (DOCS[0]["text"], (task or Task()).messages, dict(OPTIONS), 0, "some_task", "test")
    return Instance("generate_until", change or known, 0, {"task": "some_task", "doc_id": 0, "repeats": 1})


def fresh(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    """lmms-eval's cache as it is before anybody watches it, with one method changed."""
    plain = ResponseCache.execute
    monkeypatch.setattr(ResponseCache, "execute", getattr(plain, "__wrapped__", plain))
    if value is None:
        monkeypatch.delattr(ResponseCache, name)
    else:
        monkeypatch.setattr(ResponseCache, name, value)


def refused(what: str) -> Any:
    return pytest.raises(RunnerMismatch, match=what + FIX)


# Requests and answers


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("text", Task().messages, {}, 0, "some_task", "test", None), r"are \['str', 'method', 'dict'"),
        (("text", Task().messages, {}, 0, "some_task"), r"are \['str', 'method', 'dict', 'int', 'str'\]"),
        (("text", {}, Task().messages, 0, "some_task", "test"), r"in the place of doc_to_messages, gen_kwargs"),
        (("text", Task().messages, {}, "some_task", 0, "test"), r"in the place of task"),
        (({"context": "text"},), r"are \['dict'\]"),
    ],
    ids=["one more", "one less", "options first", "task before document", "a mapping"],
)
def test_requests_laid_out_otherwise_end_the_run(model, arguments, what):
    model.task_dict["some_task"] = {"test": DOCS}
    with refused(what):
        model.generate_until([asked(*arguments)])


def test_arguments_under_another_name_end_the_run():
    with refused("the arguments of lmms-eval's requests are NoneType"):
        requests.read(Namespace(arguments=asked().args))


def test_documents_that_are_not_handed_over_end_the_run(model):
    model.task_dict.clear()
    with refused("documents of task some_task, split test, which its task_dict does not hold"):
        model.generate_until([asked()])


@pytest.mark.parametrize("name", ["GenerationResult", "TokenCounts", "unwrap_generation_output"])
def test_answers_of_another_kind_are_refused_before_a_model_is_loaded(name, monkeypatch):
    monkeypatch.delattr(instance, name)
    monkeypatch.setattr("hallu_models.adapter.model.load", None)
    with refused(f"no lmms_eval.api.instance.{name}"):
        models.llava_base(pretrained="demo", device="cpu")


def test_answers_made_otherwise_are_refused(monkeypatch):
    monkeypatch.setattr(instance, "TokenCounts", make_dataclass("TokenCounts", ["prompt", "completion"]))
    with refused("made otherwise: .*input_tokens"):
        answers.require()


@pytest.mark.parametrize("unwrap", [lambda output: (str(output), None), lambda output: output.text_of_answer])
def test_an_evaluator_that_would_score_something_else_is_refused(unwrap, monkeypatch):
    monkeypatch.setattr(instance, "unwrap_generation_output", unwrap)
    with refused("lmms-eval (scores|does not read a GenerationResult)"):
        answers.require()


def other_log(total_elapsed_time: float, tokens: int) -> None: ...


@pytest.mark.parametrize("change", [None, other_log], ids=["gone", "renamed parameters"])
def test_without_log_metrics_a_run_goes_on_and_says_what_is_lost(change, model, monkeypatch, warnings):
    if change is None:
        monkeypatch.delattr(gen_metrics, "log_metrics")
    else:
        monkeypatch.setattr(gen_metrics, "log_metrics", change)
    model.task_dict["some_task"] = {"test": DOCS}
    (answer,) = model.generate_until([asked()])
    assert answer.text
    (said,) = warnings
    assert "the results will not hold tokens per second, nor batch_size" in said and "pip install 'lmms-eval" in said


def test_tasks_without_the_command_line_are_said_to_lose_the_record(model, monkeypatch, warnings):
    model.task_dict["some_task"] = {"test": DOCS}
    task = Task()
    del task.args
    model.generate_until([asked(task=task)])
    assert not warnings, "an evaluation by other code records nothing"
    monkeypatch.setattr(sys, "argv", ["lmms-eval", "--model", "llava_base"])
    model.generate_until([asked(task=task)])
    (said,) = warnings
    assert "the results will not say what made them" in said and "pip install 'lmms-eval" in said


# The model class and its registration


@pytest.mark.parametrize("name", ["generate_until", "rank", "is_simple", "_apply_system_prompt", "clean"])
def test_a_base_class_without_what_models_rely_on_is_refused(name, monkeypatch):
    monkeypatch.delattr(lmms, name)
    with refused(f"the class lmms of lmms-eval has no {name}"):
        model_class.base()


def test_a_base_class_that_asks_for_more_is_refused(monkeypatch):
    monkeypatch.setattr(lmms, "__abstractmethods__", lmms.__abstractmethods__ | {"generate"})
    with refused(r"asks for methods that no model of this package has: \['generate'\]"):
        model_class.base()


def test_a_rank_that_does_not_reach_the_evaluator_is_refused(monkeypatch):
    monkeypatch.setattr(lmms, "rank", property(lambda self: 0))
    with refused("takes this for process 0 of 2, and it is 1 of 2"):
        model_class.place(object.__new__(models.llava_base), 1, 2)


@pytest.mark.parametrize("change", [None, lambda model_id, class_path: None], ids=["gone", "renamed parameters"])
def test_other_manifests_are_told_and_hide_no_other_plugin(change, monkeypatch, capsys):
    if change is None:
        monkeypatch.delattr(registry_v2, "ModelManifest")
    else:
        monkeypatch.setattr(registry_v2, "ModelManifest", change)
    assert entry_points.manifests() == []
    said = capsys.readouterr().err
    assert "no models registered: RunnerMismatch: " in said and "pip install 'lmms-eval" in said


def test_an_entry_point_group_that_nobody_reads_is_a_finding(monkeypatch):
    assert not [line for line in doctor.task_state() if line.what == "models"]
    monkeypatch.setattr(names, "MODEL_GROUP", "lmms_eval.no_such_group")
    (line,) = [line for line in doctor.task_state() if line.what == "models"]
    assert not line.ok and "does not read entry points" in line.state and "pip install" in line.fix


# The cache of answers


def test_a_cache_with_other_parameters_is_refused_in_use(model, tmp_path, monkeypatch):
    def execute(self: Any, lm: Any, requests: Any) -> list[str]:
        return ["replayed"] * len(requests)

    fresh(monkeypatch, "execute", execute)
    response_cache.watch()
    cache = ResponseCache.create(str(tmp_path), model="llava_base", model_args="pretrained=demo")
    with refused("--use_cache would give answers that nothing has checked.*parameters self, lm, requests"):
        cache.execute(model, [asked()])
    with refused("--use_cache would give answers that nothing has checked"):
        cache.execute(None, [asked()])  # Whose answers these are cannot be seen.

    class Other(lmms):
        loglikelihood = generate_until = generate_until_multi_round = None

    assert cache.execute(Other(), [asked()]) == ["replayed"]


def test_a_cache_without_execute_is_refused_at_once_where_the_command_line_asks_for_it(monkeypatch):
    fresh(monkeypatch, "execute", None)
    response_cache.watch()
    for given in (["--use_cache", "folder"], ["--use_cache=folder"]):
        monkeypatch.setattr(sys, "argv", ["lmms-eval", *given])
        with refused("--use_cache would give answers that nothing has checked.*ResponseCache of lmms-eval has no exec"):
            response_cache.watch()


def test_a_cache_that_is_read_by_other_means_is_refused_where_the_model_is_asked(model):
    model.task_dict["some_task"] = {"test": DOCS}
    with refused("reads its cache by other means than ResponseCache.execute"):
        model.generate_until([asked(task=Task(use_cache="folder"))])


@pytest.mark.parametrize("name", ["_model_fingerprint_hash", "_cache_root", "_global_rank", "db_path", "audit_path"])
def test_a_cache_without_an_attribute_is_refused(name, model, tmp_path):
    cache = ResponseCache.create(str(tmp_path), model="llava_base", model_args="pretrained=demo")
    delattr(cache, name)
    with refused(f"ResponseCache of lmms-eval has no {name}"):
        runner_cache.Cache.of(cache)


def test_a_cache_whose_log_names_no_model_is_refused(tmp_path, monkeypatch):
    cache = ResponseCache.create(str(tmp_path), model="llava_base", model_args="pretrained=demo")
    monkeypatch.setattr(ResponseCache, "_log_to_audit", lambda self, **more: None)
    with refused("_log_to_audit of lmms-eval has no parameter model_fingerprint_hash"):
        runner_cache.Cache.of(cache)


def config(**more: Any) -> dict[str, Any]:
    return {"results": {}, "config": {"model": "llava_base", **more}}


@pytest.mark.parametrize("arguments", [{}, {"resolved_cli_args": {"model": "llava_base"}}])
def test_replayed_answers_without_a_record_are_not_written(arguments, tmp_path, warnings):
    results_saved.new_run("llava_base")
    tracker = EvaluationTracker(output_path=str(tmp_path))
    tracker.general_config_tracker.model_name_sanitized = "demo"
    with refused("--use_cache would give answers that nothing has checked.*did not write the record"):
        tracker.save_results_aggregated(config(use_cache="folder", **arguments), {}, "2026-01-01T00:00:00")
    assert not list(tmp_path.iterdir())
    results_saved.new_run("llava_base")
    tracker.save_results_aggregated(config(**arguments), {}, "2026-01-01T00:00:00")
    (said,) = warnings
    assert "these results do not say what made them" in said and "pip install 'lmms-eval" in said


def test_recorded_results_and_those_of_other_models_are_written_without_a_word(tmp_path, warnings):
    tracker = EvaluationTracker(output_path=str(tmp_path))
    tracker.general_config_tracker.model_name_sanitized = "demo"
    for results in (
        config(use_cache="folder", resolved_cli_args={"hallu": {"model_id": "llava_base"}}),
        {"results": {}, "config": {"model": "other", "use_cache": "folder"}},
    ):
        results_saved.new_run("llava_base")
        tracker.save_results_aggregated(results, {}, "2026-01-01T00:00:00")
    assert not warnings and len(list(tmp_path.rglob(f"*{names.RESULTS}"))) == 1


# Writing results


def renamed(self: Any, outcome: Any, samples: Any, datetime_str: Any) -> None: ...


@pytest.mark.parametrize(
    ("name", "change"),
    [("save_results_samples", None), ("save_results_aggregated", None), ("save_results_aggregated", renamed)],
)
def test_where_nobody_tells_when_results_are_written_answers_stay_and_that_is_said(name, change, monkeypatch, warnings):
    if change is None:
        monkeypatch.delattr(EvaluationTracker, name)
    else:
        monkeypatch.setattr(EvaluationTracker, name, change)
    done: list[None] = []
    results_saved.when_saved(lambda: done.append(None), "the finished answers stay in a folder")
    (said,) = warnings
    assert said.startswith("the finished answers stay in a folder, also after the results are written: EvaluationTr")
    assert name in said and "pip install 'lmms-eval" in said
    assert not done


@pytest.mark.parametrize("name", ["output_path", "general_config_tracker"])
def test_a_tracker_that_does_not_say_where_it_writes(name, tmp_path):
    tracker = EvaluationTracker(output_path=str(tmp_path))
    delattr(tracker, name)
    with refused(f"EvaluationTracker of lmms-eval has no {name}"):
        saving.file(tracker, "2026-01-01")


# The program


@pytest.fixture
def run(monkeypatch, capsys) -> Callable[..., tuple[int, str]]:
    """``hallu run`` in this process: its status and its last line."""
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(process, "_interrupt_once", lambda: None)
    # What the run puts there is taken back.
    monkeypatch.setattr(lmms_eval.__main__, "cli_evaluate_single", lmms_eval.__main__.cli_evaluate_single)

    def once(*arguments: str) -> tuple[int, str]:
        status = process.main(arguments)
        lines = capsys.readouterr().err.splitlines()
        return status, lines[-1] if lines else ""

    return once


def test_a_program_without_the_function_of_one_evaluation_fails(run, monkeypatch):
    monkeypatch.delattr(lmms_eval.__main__, "cli_evaluate_single")
    status, line = run("--model", "llava_base", "--tasks", "list")
    assert status == 2
    assert "RunnerMismatch: the module __main__ of lmms-eval has no cli_evaluate_single" in line
    assert "pip install 'lmms-eval" in line


def test_a_function_of_one_evaluation_with_other_parameters_fails(run, monkeypatch):
    monkeypatch.setattr(lmms_eval.__main__, "cli_evaluate_single", lambda config: None)
    assert run("--model", "llava_base")[0] == 2


def test_a_program_that_evaluates_by_other_means_does_not_pass_for_a_good_run(run, monkeypatch):
    monkeypatch.setattr(lmms_eval.__main__, "cli_evaluate", lambda: None)
    status, line = run("--model", "llava_base", "--tasks", "hallu_demo")
    assert status == 2 and "ended without the function that is known to make an evaluation" in line


def test_other_commands_of_the_program_evaluate_nothing_and_pass(run, monkeypatch):
    monkeypatch.setattr(lmms_eval.cli.dispatch, "main", lambda: None)
    assert run("version") == (0, "")


def test_an_option_that_is_gone_fails(run, monkeypatch):
    def cli_evaluate() -> None:
        lmms_eval.__main__.cli_evaluate_single(Namespace(tasks="hallu_demo", out="folder"))

    monkeypatch.setattr(lmms_eval.__main__, "cli_evaluate", cli_evaluate)
    status, line = run("--tasks", "hallu_demo")
    assert status == 2 and "the parsed command line of lmms-eval has no output_path" in line


def test_a_program_that_starts_elsewhere_is_refused(monkeypatch):
    monkeypatch.delattr(lmms_eval.cli.dispatch, "main")
    with refused("no lmms_eval.cli.dispatch.main"):
        program.start()


# Tasks


def test_a_task_search_with_other_parameters_is_refused(monkeypatch):
    def other(self: Any, folders: Any) -> None: ...

    monkeypatch.setattr(TaskManager, "__init__", other)
    with refused("TaskManager of lmms-eval is made otherwise"):
        tasks.load("hallu_demo_chair", [], builtin=False)


@pytest.mark.parametrize("name", ["match_tasks", "load_task_or_group"])
def test_a_task_search_without_a_look_ahead_is_said(name):
    members = {"initialize_tasks": lambda self, include_path=None, include_defaults=True: {}}
    members |= {other: lambda self, names: [] for other in ("match_tasks", "load_task_or_group") if other != name}
    task_hook._warn_of_data.cache_clear()
    with pytest.warns(task_hook.TaskHookWarning, match=f"has no {name}{FIX}"):
        task_hook._wrap(Namespace(TaskManager=type("TaskManager", (), members)), list)


@pytest.mark.parametrize("name", ["task_index", "_get_config"])
def test_an_index_of_tasks_that_is_read_otherwise_is_said_and_the_run_goes_on(name, tmp_path, monkeypatch):
    class Manager:
        def __init__(self) -> None:
            self.task_index = {"demo": {"yaml_path": str(tmp_path / "demo.yaml")}}

        def match_tasks(self, task_list: Any) -> Any:
            return task_list

        def _get_config(self, name: str) -> dict[str, Any]:
            return {}

    manager = Manager()
    if name == "task_index":
        del manager.task_index
    else:
        monkeypatch.delattr(Manager, name)
    task_hook._warn_of_data.cache_clear()
    with pytest.warns(task_hook.TaskHookWarning, match=f"TaskManager of lmms-eval has no {name}{FIX}"):
        assert task_hook._with_data(Manager.match_tasks, lambda: [tmp_path])(manager, ["demo"]) == ["demo"]


# Modules


def test_a_module_that_is_gone_is_told_apart_from_one_that_misses_a_package(tmp_path, monkeypatch):
    with refused("lmms-eval has no module lmms_eval.api.no_such_module"):
        module("api.no_such_module")
    with refused("lmms-eval has no module lmms_eval.no_such.module"):
        module("no_such.module")
    (tmp_path / "needs_more.py").write_text("import no_such_package\n")
    monkeypatch.setattr(lmms_eval, "__path__", [*lmms_eval.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        module("needs_more")


@functools.cache
def layer() -> list[str]:
    import pkgutil

    import registry.runner

    return [f"registry.runner.{found.name}" for found in pkgutil.iter_modules(registry.runner.__path__)]


def test_the_layer_imports_nothing_heavy():
    script = (
        f"import sys, importlib\nfor name in {layer()!r}: importlib.import_module(name)\n"
        "print(sorted({'torch', 'transformers', 'lmms_eval', 'numpy', 'hallu_models'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
