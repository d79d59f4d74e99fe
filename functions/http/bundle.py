"""Joins the dashboard's ES modules into one script, so that the page loads in few requests."""

from __future__ import annotations

import re
from collections.abc import Mapping

_IMPORT = re.compile(r'^import \{(?![^}]* as )([^}]*)\} from "\./([\w.-]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
_WORD = re.compile(r"\w+")
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundle(modules: Mapping[str, str], entry: str) -> str:
    """One script with the effect of loading the module `entry` and all that it imports.

    Each module becomes a function that returns what the module exports, so that its other names
    stay its own. The modules may use `import { a, b } from "./x.js";` and `export` before a const,
    a function or a class.

    Raises:
        ValueError: a module or an export is missing, modules import each other in a cycle, or a
            module imports or exports in another form.
    """
    done: dict[str, str] = {}

    def add(name: str, importers: tuple[str, ...]) -> None:
        if name in importers:
            raise ValueError(f"{' → '.join((*importers, name))}: the modules import each other")
        if name in done:
            return
        if name not in modules:
            raise ValueError(f"{name} is imported but does not exist")
        for names, imported in _IMPORT.findall(modules[name]):
            add(imported, (*importers, name))
            lacking = set(_WORD.findall(names)) - set(_EXPORT.findall(modules[imported]))
            if lacking:
                raise ValueError(f"{name} imports what {imported} does not export: {lacking}")
        done[name] = _wrapped(name, modules[name])

    add(entry, ())
    return '"use strict";\n(() => {\n' + "".join(done.values()) + "})();\n"


def _wrapped(name: str, text: str) -> str:
    exported = ", ".join(_EXPORT.findall(text))
    text = _IMPORT.sub(lambda found: f"const {{{found[1]}}} = {_variable(found[2])};\n", text)
    text = _EXPORT.sub("", text)
    if other := _OTHER.search(text):
        raise ValueError(f"{name}: cannot be bundled: {other[0]}")
    return (
        f"// {name}\nconst {_variable(name)} = (() => {{\n"
        f"{text}\nreturn {{ {exported} }};\n}})();\n"
    )


def _variable(name: str) -> str:
    return "$" + re.sub(r"\W", "_", name)
