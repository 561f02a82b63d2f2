"""Typed access to a YAML mapping, with errors that name the file and the key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from registry.errors import CardError, did_you_mean, near
from registry.files import yaml_files


def open_file(path: Path) -> Section:
    """The top-level mapping of a file. Raises ``CardError``."""
    try:
        data = yaml_files.read(path)
    except (ValueError, OSError) as error:
        raise CardError(f"{path}: cannot be read: {error}") from error
    return Section(path, (), data)


class Section:
    """A mapping inside a file; ``finish`` refuses the keys nobody asked for."""

    def __init__(self, path: Path, keys: tuple[str, ...], data: object) -> None:
        self._path, self._keys, self._asked = path, keys, dict[str, None]()
        if not isinstance(data, Mapping):
            self.fail("", "is not a mapping of keys to values")
        self._data: Mapping[str, object] = {str(key): value for key, value in data.items()}

    @property
    def name(self) -> str:
        """The key this mapping stands under."""
        return self._keys[-1]

    def fail(self, key: str, problem: str) -> NoReturn:
        """Raise ``CardError`` for a key of this mapping."""
        place = ".".join((*self._keys, key) if key else self._keys) or "top level"
        raise CardError(f"{self._path}: {place}: {problem}")

    def finish(self) -> None:
        """Refuse keys that were not asked for."""
        for key in self._data:
            if key not in self._asked:
                self.fail(key, f"unknown key{did_you_mean(near(key, self._asked))}")

    def all(self) -> dict[str, object]:
        """Every key and value as they stand."""
        return dict(self._data)

    def value(self, key: str) -> object:
        """The value of a key that has to be there; it may be null."""
        self._asked[key] = None
        if key not in self._data:
            self.fail(key, "is missing")
        return self._data[key]

    def text(self, key: str) -> str:
        """Text that is there and not empty, line breaks folded into spaces."""
        return self.optional_text(key) or self.fail(key, "is missing")

    def optional_text(self, key: str) -> str | None:
        """As ``text``, None where the key is missing."""
        value = self._optional(key)
        if value is not None and not isinstance(value, str):
            self.fail(key, f"{value!r} is not text; put it in quotes")
        return " ".join(value.split()) if value else None

    def choice(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of ``choices``."""
        value = self.optional_text(key) if default is not None else self.text(key)
        if (value or default) not in choices:
            self.fail(key, f"{value!r} is not one of {', '.join(choices)}")
        return str(value or default)

    def optional_choice(self, key: str, choices: Sequence[str]) -> str | None:
        """One of ``choices``, None where the key is missing."""
        return self.choice(key, choices) if key in self._data else self.optional_text(key)

    def whole(self, key: str) -> int:
        """A whole number that has to be there."""
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(key, f"{value!r} is not a whole number")
        return value

    def number(self, key: str) -> float | None:
        """A number, None where the key is missing."""
        value = self._optional(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            self.fail(key, f"{value!r} is not a number; YAML wants 1.0e-3 for 1e-3 and .inf for infinity")
        return value

    def flag(self, key: str) -> bool:
        """True or false; a missing key is false."""
        value = self._optional(key)
        if value is not None and not isinstance(value, bool):
            self.fail(key, f"{value!r} is neither true nor false")
        return bool(value)

    def values(self, key: str) -> tuple[object, ...]:
        """A list, empty where the key is missing."""
        value = self._optional(key)
        if value is not None and not isinstance(value, list):
            self.fail(key, f"{value!r} is not a list")
        return tuple(value or ())

    def texts(self, key: str, *, required: bool = True) -> tuple[str, ...]:
        """A list of texts; an empty one is fine unless ``required``."""
        values = self.values(key)
        if required and not values:
            self.fail(key, "is missing")
        for number, value in enumerate(values):
            if not isinstance(value, str):
                self.fail(f"{key}[{number}]", f"{value!r} is not text; put it in quotes")
        return tuple(" ".join(str(value).split()) for value in values)

    def mapping(self, key: str, *, required: bool = True) -> dict[str, object]:
        """A mapping of names to values; an empty one is fine unless ``required``."""
        if required and not self._optional(key):
            self.fail(key, "is missing")
        return self.section(key).all() if self._optional(key) is not None else {}

    def numbers(self, key: str, *, required: bool = True) -> dict[str, float]:
        """A mapping of names to numbers."""
        found: dict[str, float] = {}
        for name in self.mapping(key, required=required):
            value = self.section(key).number(name)
            found[name] = self.fail(f"{key}.{name}", "is missing") if value is None else value
        return found

    def section(self, key: str) -> Section:
        """The mapping under a key that has to be there."""
        return Section(self._path, (*self._keys, key), self.value(key))

    def sections(self, key: str, *, required: bool = True) -> list[Section]:
        """The mappings under a key, one for each name."""
        outer = Section(self._path, (*self._keys, key), self.mapping(key, required=required))
        return [outer.section(name) for name in outer.all()]

    def items(self, key: str) -> list[Section]:
        """The mappings in a list, empty where the key is missing."""
        return [
            Section(self._path, (*self._keys, f"{key}[{number}]"), value)
            for number, value in enumerate(self.values(key))
        ]

    def _optional(self, key: str) -> object:
        self._asked[key] = None
        return self._data.get(key)
