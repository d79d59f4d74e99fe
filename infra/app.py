"""CDK entry: builds the stack of one stage, as the CDK context describes it."""

import os
import sys
import tomllib
from pathlib import Path

from aws_cdk import App

from infra.settings import SettingError, settings_of
from infra.stack.engine import Engine

ROOT = Path(__file__).parents[1]


def build(app: App) -> Engine:
    """Add the engine to the app; raises SettingError."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    settings = settings_of(
        app.node.get_all_context(), version=project["version"], uv=os.environ.get("UV", "uv")
    )
    return Engine(app, settings.stack_name, settings=settings)


def main() -> None:
    """Write the cloud assembly; a setting that cannot be deployed ends it with one line."""
    app = App()
    try:
        build(app)
    except SettingError as problem:
        sys.exit(str(problem))
    app.synth()


if __name__ == "__main__":
    main()
