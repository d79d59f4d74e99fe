"""The synthesized templates."""

import pytest

from infra.cli.local import LOCAL_CONTEXT
from tests.templates import VARIANTS, Template, synthesize


@pytest.fixture(scope="session")
def templates(
    variants: dict[str, Template], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Template]:
    """The templates of both stages and of the local stack, by name."""
    context = {"localEndpoint": "http://127.0.0.1:4566", **LOCAL_CONTEXT}
    local = synthesize(tmp_path_factory.mktemp("local"), **context)
    return {"dev": variants["dev"], "prod": variants["prod"], "local": local}


@pytest.fixture(params=["dev", "prod"])
def template(templates: dict[str, Template], request: pytest.FixtureRequest) -> Template:
    """Each stage's template."""
    return templates[request.param]


@pytest.fixture(scope="session")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    """The templates of the contexts in VARIANTS, by their names."""
    return {
        name: synthesize(tmp_path_factory.mktemp(name), **context)
        for name, context in VARIANTS.items()
    }


@pytest.fixture(params=VARIANTS)
def variant(variants: dict[str, Template], request: pytest.FixtureRequest) -> Template:
    """Each template of VARIANTS."""
    return variants[request.param]
