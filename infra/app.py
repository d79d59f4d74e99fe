"""The CDK app: synthesizes the stack of one stage, with the settings of the CDK context."""

import os
import sys
import tomllib
from pathlib import Path

from aws_cdk import App

from infra.settings import SettingError, Settings, settings_of
from infra.stack.engine import Engine

ROOT = Path(__file__).parents[1]


def build(app: App) -> Engine:
    """Add the stack to the app; raises SettingError."""
    settings = read_settings(app)
    return Engine(app, settings.stack_name, settings=settings)


def read_settings(app: App) -> Settings:
    """The settings in the app's context; raises SettingError."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return settings_of(
        app.node.get_all_context(), version=project["version"], uv=os.environ.get("UV", "uv")
    )


def main() -> None:
    """Write the cloud assembly; exit with code 1 and a line for each invalid setting."""
    app = App()
    try:
        build(app)
    except SettingError as problem:
        sys.exit(str(problem))
    app.synth()


if __name__ == "__main__":
    main()
