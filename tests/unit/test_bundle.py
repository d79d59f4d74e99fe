"""The bundle of the dashboard's modules is one script with the same effect."""

from __future__ import annotations

import subprocess

import pytest

from functions.http.bundle import bundle
from infra.cli.node import NODE


def printed_by(script: str) -> list[str]:
    """The lines that a script prints."""
    ran = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


MODULES = {
    "app.js": (
        "// Begins.\n\n"
        'import { double, Counter } from "./tools.js";\n'
        'import {\n  NAME,\n  later,\n} from "./names.js";\n\n'
        "const own = 3;\n"
        "console.log(double(own), new Counter().next(), NAME);\n"
        "later().then((text) => console.log(text));\n"
    ),
    "tools.js": (
        'import { NAME } from "./names.js";\n'
        "const own = 2;\n"
        "export function double(number) {\n  return number * own;\n}\n"
        "export class Counter {\n  #count = 0;\n"
        "  next() {\n    return `${NAME} ${(this.#count += 1)}`;\n  }\n}\n"
    ),
    "names.js": (
        'console.log("names are read once");\n'
        'export const NAME = "the name";\n'
        'export async function later() {\n  return "later";\n}\n'
    ),
    "unused.js": 'throw new Error("nobody imports this");\n',
}


def test_a_bundle_prints_what_its_modules_print() -> None:
    assert printed_by(bundle(MODULES, "app.js")) == [
        "names are read once",
        "6 the name 1 the name",
        "later",
    ]


def test_the_same_modules_make_the_same_bundle() -> None:
    backwards = dict(reversed(MODULES.items()))
    assert bundle(MODULES, "app.js") == bundle(backwards, "app.js")


def test_the_names_of_a_module_are_not_visible_outside_the_bundle() -> None:
    script = bundle({"a.js": "const inside = 1;\nfunction also() {}\n"}, "a.js")
    assert printed_by(f"{script}\nconsole.log(typeof inside, typeof also)") == [
        "undefined undefined"
    ]


def test_a_bundle_is_strict_as_modules_are() -> None:
    script = bundle({"a.js": "try { undeclared = 1; } catch { console.log('strict'); }\n"}, "a.js")
    assert printed_by(script) == ["strict"]


@pytest.mark.parametrize(
    ("modules", "why"),
    [
        ({"a.js": 'import { b } from "./b.js";\n'}, "b.js"),
        ({"a.js": 'import { b } from "./b.js";\n', "b.js": "const b = 1;\n"}, "not export: {'b'}"),
        ({"a.js": 'import b from "./a.js";\n'}, "import b"),
        ({"a.js": 'import { a as b } from "./b.js";\n', "b.js": "export const a = 1;\n"}, "a as b"),
        ({"a.js": 'import "./b.js";\n', "b.js": ""}, "import"),
        ({"a.js": "export default 1;\n"}, "export default"),
        ({"a.js": "export let a = 1;\n"}, "export let"),
        ({"a.js": 'export { a } from "./b.js";\n', "b.js": ""}, "export {"),
        (
            {"a.js": 'import { b } from "./b.js";\n', "b.js": 'import { a } from "./a.js";\n'},
            "a.js → b.js → a.js",
        ),
    ],
)
def test_an_import_or_an_export_that_the_bundler_does_not_know_is_refused(
    modules: dict[str, str], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        bundle(modules, "a.js")
