"""Putting a method on a model, and taking it off again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from hallu_models import methods, self_check
from hallu_models.engines import branches
from hallu_models.hosts.host import Host, inspect
from hallu_models.session import Images, Session
from hallu_models.session.owners import INSPECTING, held, refuse_nesting


@contextlib.contextmanager
def attach(
    model: Any,
    method: methods.Method,
    *,
    processor: Any = None,
    observe: bool = True,
    branch: branches.Mode = "paired",
    other_images: Any = None,
    images: Images = "all",
    check: bool = True,
    **parameters: Any,
) -> Iterator[Session]:
    """Put a method on a transformers image-text-to-text model; plain ``model.generate`` and forwards use it.

    model: the model, or a :class:`Host`. method: a name, a composition ("eah+vhr"), an Intervention, or None.
    processor: needed where the configuration does not name the image token, and for ``other_images``. observe: whether
    ``session.observations`` has what changes from step to step. branch: how a negative branch is run, "paired" or
    "sequential". other_images: for methods that contrast with another image, one for each image of a batch (PIL images
    or pixel values), or the processor's output for the same prompts with the other images. images: which images of a
    prompt methods act on, "all", "last" or a number from 1; a choice needs conversations (:meth:`Host.generate`).
    check: prove, the first time on a model, that what the method relies on holds there
    (:mod:`hallu_models.self_check`); without a processor this is done with the inputs of the first ``generate``.
    parameters: the method's. On exit, also by an exception, the model is what it was. Raises SelfCheckFailed.
    """
    refuse_nesting(model.model if isinstance(model, Host) else model)
    if isinstance(model, Host):
        host = model
    else:
        # Looking at a model switches its attention for a moment, to a name that is the same for all models.
        with held(model), INSPECTING:
            host = inspect(model, processor)
    interventions = methods.build(method, host.family, host.depth, parameters, host.checkpoint)
    unproven = check and not self_check.is_proven(host, interventions, branch)
    later = unproven and host.processor is None
    session = Session(
        host,
        interventions,
        observe=observe,
        branch=branch,
        other_images=other_images,
        images=images,
        prove=partial(self_check.prove, host, interventions, branch) if later else None,
    )
    # What a session refuses is said before anything is run.
    if unproven and not later:
        self_check.prove(host, interventions, branch)
    with session.attached():
        yield session
