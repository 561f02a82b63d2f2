"""What every method must keep, tried on tiny models of all families."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import registry
from hallu_models import methods
from hallu_models.hosts.host import Host, UnsupportedModel
from hallu_models.interventions import BadArgument, Intervention
from hallu_models.session.plan import Plan
from hallu_models.testing import checks, questions
from hallu_models.testing.report import ContractFailed, Report
from hallu_models.testing.trial import STEPS, Reference, Trial
from registry.errors import did_you_mean, near
from registry.plugins import lazy

Method = str | type[Intervention] | Intervention


def assert_contract(
    method: Method,
    *,
    families: Iterable[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    identity: Mapping[str, Any] | None = None,
    reference: Reference | None = None,
    only: Iterable[str] | None = None,
    steps: int = STEPS,
) -> Report:
    """Run every check of the contract. Raises ContractFailed, naming family, check and what differs.

    method: a name, a class, or an instance, which carries its own parameters. families: default all. parameters:
    settings under which it acts visibly on four layers and a handful of image tokens; default the card's ``strong``.
    identity: settings at which it is the plain model; default the card's. reference: ``reference(method, row)`` gives
    the logits by the paper's equations, see :class:`hallu_models.testing.Row`; the batch must agree with it. A family
    whose models lack what the method acts on is left out, and the report says why. only: names of the checks to run.
    steps: tokens of an answer. Raises ValueError where no identity is known.

    Checked are, on each family: identity settings under greedy decoding, beams and sampling; that it acts; the
    reference; rows alone and in a padded batch; rows without an image; attention backends; both kinds of branch; beams
    against their tokens alone, by which state that is not kept by row is found; and a clean exit.
    """
    name = method if isinstance(method, str) else method.name
    card = _card(method)
    strong = dict(card.strong if card else {}) if parameters is None else dict(parameters)
    off = dict(card.identity if card else {}) if identity is None else dict(identity)
    if not off:
        raise ValueError(f"{name} has no card that says when it is the plain model; give identity={{...}}")
    if isinstance(method, Intervention):
        strong = dict(parameters or {})
    chosen = tuple(checks.CHECKS if only is None else only)
    if unknown := [check for check in chosen if check not in checks.CHECKS]:
        raise BadArgument(
            f"only={unknown[0]}: unknown check{did_you_mean(near(unknown[0], checks.CHECKS))}; "
            f"allowed: {', '.join(checks.CHECKS)}"
        )
    report = Report(name)
    for family in _known(families):
        host = questions.host(family)
        try:
            acting, at_rest = (_bound(method, host, values) for values in (strong, {**strong, **off}))
            Plan.of(host, (acting,))
        except UnsupportedModel as error:
            report.refused[family] = str(error)
            continue
        report.checks[family] = _checked(Trial(family, host, acting, at_rest, reference, steps), chosen)
    return report


def _checked(trial: Trial, chosen: Collection[str]) -> tuple[str, ...]:
    name, passed = trial.acting.name, []
    for check, run in checks.of(trial, chosen).items():
        try:
            run()
        except checks.Differs as error:
            raise ContractFailed(name, trial.family, check, str(error)) from None
        except Exception as error:
            raise ContractFailed(name, trial.family, check, f"{type(error).__name__}: {error}") from error
        passed.append(check)
    return tuple(passed)


def _bound(method: Method, host: Host, values: Mapping[str, Any]) -> Intervention:
    """The method with these settings, for a model."""
    if isinstance(method, str):
        return methods.build(method, host.family, host.depth, values)[0]
    item = replace(method, **values) if isinstance(method, Intervention) else method(**values)
    return item.bind(host.family, host.depth)


def _card(method: Method) -> Any:
    return lazy.card(method) if isinstance(method, str) else method.card()


def _known(families: Iterable[str] | None) -> list[str]:
    known = list(registry.families())
    chosen = known if families is None else list(families)
    for family in chosen:
        if family not in known:
            raise BadArgument(
                f"families={family}: unknown family{did_you_mean(near(family, known))}; allowed: {', '.join(known)}"
            )
    return chosen
