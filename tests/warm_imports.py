"""What the processes of :mod:`warm` have in common: what a run imports, and the task files that lmms-eval reads."""

import gc
import pickle
from pathlib import Path

import lmms_eval.__main__
import lmms_eval.evaluator
import lmms_eval.tasks
import lmms_eval.utils
import nltk  # noqa: F401
import pytablewriter  # noqa: F401
import sklearn.metrics  # noqa: F401
import transformers.models.llava.modeling_llava
import transformers.models.llava.processing_llava  # noqa: F401
import yaml

import hallu_models.adapter
import hallu_models.interventions  # noqa: F401


def remember_task_files() -> None:
    """Parse every task file of lmms-eval once. A file is known by its text, and read in the index's mode alone."""
    load, known = yaml.full_load, {}

    def full_load(stream):
        indexing = yaml.FullLoader.yaml_constructors.get("!function") is lmms_eval.utils.ignore_constructor
        if not indexing or not hasattr(stream, "read"):
            return load(stream)
        text = stream.read()
        if text not in known:
            known[text] = pickle.dumps(load(text))
        return pickle.loads(known[text])

    yaml.full_load = full_load
    for path in Path(lmms_eval.tasks.__file__).parent.rglob("*.yaml"):
        with path.open("rb") as stream:
            yaml.add_constructor("!function", lmms_eval.utils.ignore_constructor)
            yaml.full_load(stream)


remember_task_files()
# What is there for good is not looked through again in every fork.
gc.collect()
gc.freeze()
