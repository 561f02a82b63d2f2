"""A command line as it may be kept and shown: without secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence

REDACTED = "[REDACTED]"

_SECRET = r"[\w.-]*(?:token|secret|password|api_key)"
_OPTION = re.compile(rf"--?{_SECRET}", re.IGNORECASE)
# name=value in lists such as --model_args, and "name": "value" in JSON.
_ASSIGNMENT = re.compile(rf"""({_SECRET}(?:=|["']\s*:\s*))("[^"]*"|'[^']*'|[^,\s]+)""", re.IGNORECASE)
_HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{20,}\b")


def redacted(arguments: Sequence[str]) -> list[str]:
    """The arguments with the values of names that end in token, secret, password or api_key replaced.

    Knows ``--api_key VALUE``, ``--api_key=VALUE``, ``a=1,hf_token=VALUE``, ``{"hf_token": "VALUE"}``, and the Hub's
    tokens wherever they stand.
    """
    shown: list[str] = []
    for place, argument in enumerate(arguments):
        if place and _OPTION.fullmatch(arguments[place - 1]):
            shown.append(REDACTED)
        else:
            shown.append(_HUB_TOKEN.sub(REDACTED, _ASSIGNMENT.sub(rf"\g<1>{REDACTED}", argument)))
    return shown
