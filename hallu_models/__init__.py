"""Interventions against object hallucination for Hugging Face vision-language models.

``load("demo")`` gives a :class:`Host`, whose ``generate`` answers conversations with a method;
``attach(model, "vhr")`` puts a method on any image-text-to-text model for plain ``generate``.
Importing this package imports no torch: lmms-eval reads its entry point on every start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hallu_models.attaching import attach
    from hallu_models.conversations import conversation
    from hallu_models.generation import Generation
    from hallu_models.hosts.host import UnsupportedModel
    from hallu_models.loading import Host, load
    from hallu_models.session import Session

__all__ = ["Generation", "Host", "Session", "UnsupportedModel", "attach", "conversation", "load"]

_HOME = {
    "Generation": "generation",
    "Host": "loading",
    "Session": "session",
    "UnsupportedModel": "hosts.host",
    "attach": "attaching",
    "conversation": "conversations",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"hallu_models.{_HOME[name]}"), name)
