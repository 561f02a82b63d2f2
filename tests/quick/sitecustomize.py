"""Every interpreter that the tests start parses YAML with libyaml: lmms-eval reads 3,000 task files at its start.

Which constructors are used stays as it is; only the parser is another. Where nothing imports yaml, nothing happens.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys


def with_libyaml(yaml) -> None:
    if not yaml.__with_libyaml__:
        return

    class Full(yaml.CFullLoader):
        def __init__(self, stream) -> None:
            super().__init__(stream)
            self.name = getattr(stream, "name", "<text>")

    def full_load(stream):
        # Constructors may have been added since.
        Full.yaml_constructors = yaml.FullLoader.yaml_constructors
        return yaml.load(stream, Loader=Full)

    yaml.full_load = full_load


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "yaml":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                with_libyaml(module)

            spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _Finder())
