"""The templates equal the recorded ones in `__snapshots__`.

A change of the stack changes a file there, which a reviewer reads. To write the files again:
`uv run pytest tests/infra/stack/test_snapshot.py --snapshot-update`. The other tests state why a
property has its value.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from tests.templates import VARIANTS, Template, synthesize, text

PATH = " / "
# Texts that differ between stages and between releases, and their names in the recordings.
NAMES = {
    r"(order-execution-engine|orderexecutionengine)-?(dev|prod)": "STACK",
    r"\b(dev|prod)\b": "STAGE",
    r"\b[0-9a-f]{64}\b": "HASH",
    # `text` leaves out eight digits that look like the suffix of a logical id.
    r"CurrentVersion[0-9A-Fa-f]{24,40}": "CurrentVersion",
    r"(?<=[a-z])([0-9A-F]{8})+(?=Permission|$)": "",
}


def plain(value: Any) -> Any:
    """A template's value with references as text, without the parts that every release changes."""
    match value:
        case {"Ref": _} | {"Fn::GetAtt": _} | {"Fn::Join": _}:
            return plain(text(value))
        case dict():
            return {plain(key): plain(each) for key, each in value.items()}
        case list():
            return [plain(each) for each in value]
        case str():
            for pattern, name in NAMES.items():
                value = re.sub(pattern, name, value)
            return value
        case _:
            return value


def contents(template: Template) -> dict[str, Any]:
    """Resources and outputs by short names; test_monitoring.py checks the dashboard's body."""
    found: dict[str, Any] = plain(
        {name: template.document[name] for name in ("Resources", "Outputs")}
    )
    assert len(found["Resources"]) == len(template.resources)
    for resource in found["Resources"].values():
        properties = resource.get("Properties", {})
        properties.pop("DashboardBody", None)
        properties.get("Environment", {}).get("Variables", {}).pop("VERSION", None)
    return found


def flat(value: Any, *path: str) -> dict[str, Any]:
    """Each value under the names that lead to it."""
    match value:
        case dict() if value:
            parts = [flat(each, *path, key) for key, each in value.items()]
            return {name: each for part in parts for name, each in part.items()}
        case _:
            return {PATH.join(path): value}


@pytest.fixture
def recorded(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(JSONSnapshotExtension)


def test_dev_is_as_recorded(templates: dict[str, Template], recorded: SnapshotAssertion) -> None:
    assert contents(templates["dev"]) == recorded


@pytest.mark.parametrize("name", ["prod", "everything", "edges", "local"])
def test_what_differs_from_dev_is_as_recorded(
    templates: dict[str, Template],
    variants: dict[str, Template],
    recorded: SnapshotAssertion,
    name: str,
) -> None:
    dev = flat(contents(templates["dev"]))
    other = flat(contents((variants | templates)[name]))
    assert {
        "only in dev": sorted(dev.keys() - other.keys()),
        "different": {
            path: value for path, value in other.items() if path not in dev or dev[path] != value
        },
    } == recorded


def test_a_change_of_dependencies_changes_no_recorded_template(
    variants: dict[str, Template], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.stack.dependencies.pinned_requirements", lambda _uv: "boto3==1.0")
    other = synthesize(tmp_path, **VARIANTS["everything"])
    assert other.document != variants["everything"].document
    assert contents(other) == contents(variants["everything"])
