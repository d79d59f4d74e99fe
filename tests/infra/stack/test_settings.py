"""Settings: their effect on the template, their description, and what is refused."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from annotated_types import Ge, Interval
from pydantic.alias_generators import to_camel

from infra.settings import KEYS, SettingError, Settings, settings_of
from infra.stack import dependencies
from tests.templates import VARIANTS, Template, synthesize, text

README = (Path(__file__).parents[3] / "infra" / "README.md").read_text()

API_FUNCTIONS = {
    "api": "ComputeApi",
    "authorizer": "ComputeAuthorizer",
    "websocket": "ComputeWebsocket",
}


def variables(template: Template, module: str) -> dict[str, Any]:
    return dict(template.functions()[module]["Environment"]["Variables"])


def called(template: Template) -> dict[str, str]:
    """The target of each integration, authorizer and permission of API Gateway."""
    found = {}
    for kind, name in (("Integration", "IntegrationUri"), ("Authorizer", "AuthorizerUri")):
        for resource_id, resource in template.of_type(f"ApiGatewayV2::{kind}").items():
            uri = text(resource["Properties"][name])
            found[resource_id] = uri.partition("/functions/")[2].removesuffix("/invocations") or uri
    for resource_id, resource in template.of_type("Lambda::Permission").items():
        if resource["Properties"]["Principal"] == "apigateway.amazonaws.com":
            found[resource_id] = text(resource["Properties"]["FunctionName"])
    return found


@pytest.fixture
def with_snapshots(variants: dict[str, Template]) -> Template:
    return variants["everything"]


@pytest.mark.parametrize(
    ("level", "logger_level", "function_level"),
    [
        pytest.param("ERROR", "ERROR", "INFO", marks=pytest.mark.slow),
        pytest.param("WARNING", "WARNING", "INFO", marks=pytest.mark.slow),
        ("WARN", "WARNING", "INFO"),
        pytest.param("DEBUG", "DEBUG", "DEBUG", marks=pytest.mark.slow),
    ],
)
def test_metrics_are_logged_at_every_log_level(
    tmp_path: Path, level: str, logger_level: str, function_level: str
) -> None:
    template = synthesize(tmp_path, logLevel=level)
    for module, function in template.functions().items():
        assert variables(template, module)["POWERTOOLS_LOG_LEVEL"] == logger_level
        assert function["LoggingConfig"]["ApplicationLogLevel"] == function_level


def test_stages_have_different_service_names_in_metrics_and_logs(
    templates: dict[str, Template],
) -> None:
    for stage in ("dev", "prod"):
        for module in templates[stage].functions():
            service = variables(templates[stage], module)["POWERTOOLS_SERVICE_NAME"]
            assert service == f"order-execution-engine-{stage}"


def test_without_snapshots_there_is_neither_version_nor_alias(template: Template) -> None:
    assert template.of_type("Lambda::Version") == template.of_type("Lambda::Alias") == {}
    assert all("SnapStart" not in function for function in template.functions().values())
    assert {target.removesuffix(".Arn") for target in called(template).values()} == set(
        API_FUNCTIONS.values()
    )


def test_the_functions_of_the_apis_have_snapshots(with_snapshots: Template) -> None:
    taken = {m for m, function in with_snapshots.functions().items() if "SnapStart" in function}
    assert taken == set(API_FUNCTIONS)
    for module in taken:
        assert with_snapshots.functions()[module]["SnapStart"] == {"ApplyOn": "PublishedVersions"}


def test_with_snapshots_gateways_call_the_alias_of_the_newest_version(
    with_snapshots: Template,
) -> None:
    aliases = with_snapshots.of_type("Lambda::Alias")
    published = {}
    for name, alias in aliases.items():
        version, attribute = alias["Properties"]["FunctionVersion"]["Fn::GetAtt"]
        assert attribute == "Version"
        function = text(with_snapshots.resources[version]["Properties"]["FunctionName"])
        assert text(alias["Properties"]["FunctionName"]) == function
        published[name] = function
    assert set(published.values()) == set(API_FUNCTIONS.values())
    assert set(called(with_snapshots).values()) == set(published)


@pytest.mark.parametrize(
    ("requirements", "changes"),
    [
        pytest.param("boto3==1.0", {}, id="a dependency"),
        pytest.param("", {"maxOpenOrders": "7"}, id="a variable"),
    ],
)
def test_snapshots_are_taken_again_when_something_changes(
    with_snapshots: Template,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    requirements: str,
    changes: dict[str, str],
) -> None:
    if requirements:
        monkeypatch.setattr(dependencies, "pinned_requirements", lambda _uv: requirements)
    other = synthesize(tmp_path, **VARIANTS["everything"], **changes)

    def versions(template: Template) -> set[str]:
        return {
            name
            for name, resource in template.resources.items()
            if resource["Type"] == "AWS::Lambda::Version"
            and text(resource["Properties"]["FunctionName"]).startswith("Compute")
        }

    assert len(versions(with_snapshots)) == len(versions(other)) == len(API_FUNCTIONS)
    assert not versions(with_snapshots) & versions(other)


def test_the_readme_describes_every_setting_with_its_default_and_its_range() -> None:
    (table,) = re.findall(r"\| Name \| Default \|.*\n\|[-|]+\n((?:\|.*\n)+)", README)
    rows = [[cell.strip(" `") for cell in row.split("|")[1:-1]] for row in table.splitlines()]
    described = {name: (default, allowed) for name, default, allowed, _ in rows}
    assert described.keys() == set(KEYS) - {"localEndpoint"}  # `uv run local` sets that one
    for field, kind in get_type_hints(Settings, include_extras=True).items():
        if (name := to_camel(field)) not in described:
            continue
        default, allowed = described[name]
        value = getattr(Settings(), field)
        assert default == (str(value).lower() if isinstance(value, bool) else str(value))
        for rule in getattr(kind, "__metadata__", ()):
            match rule:
                case Interval(ge=low, le=high):
                    assert allowed == f"{low}–{high}", name
                case Ge(ge=low):
                    assert allowed == f"from {low}", name


REFUSED = {
    "stage=Prod!": "must be up to 20 lower-case letters, digits, hyphens",
    "stage=": "must be up to 20 lower-case letters, digits, hyphens",
    "maxConcurrency=ten": "must be a valid integer",
    "maxConcurrency=1": "must be greater than or equal to 2",
    "maxConcurrency=1001": "must be less than or equal to 1000",
    "memoryMb=127": "must be greater than or equal to 128",
    "workerMemoryMb=10241": "must be less than or equal to 10240",
    "watcherMemoryMb=127": "must be greater than or equal to 128",
    "holdMs=30001": "must be less than or equal to 30000",
    "retryBaseMs=225001": "must be less than or equal to 225000",
    "sweepIdleSeconds=0": "must be greater than or equal to 1",
    "maxOpenOrders=0": "must be greater than or equal to 1",
    "orderExpiryDays=soon": "must be a valid integer",
    "keyCacheSeconds=61": "must be less than or equal to 60",
    "throttleRate=0": "must be greater than or equal to 1",
    "throttleBurst=0": "must be greater than or equal to 1",
    "dropPpm=-1": "must be greater than or equal to 0",
    "quoteErrorPpm=1000001": "must be less than or equal to 1000000",
    "latencyScale=nan": "must be less than or equal to 10",
    "logRetentionDays=31": "must be days that CloudWatch offers",
    "logLevel=TRACE": "must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'",
    "logLevel=FATAL": "must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'",
    "simulateAllowed=yes": "must be true or false",
    "snapStart=1": "must be true or false",
    "alarmEmail=nobody": "must be one e-mail address",
    "corsOrigin=https://desk.example/": "must be like https://desk.example",
}


def refusal(context: dict[str, object]) -> str:
    with pytest.raises(SettingError) as refused:
        settings_of(context, version="1", uv="uv")
    return str(refused.value)


@pytest.mark.parametrize("assignment", REFUSED)
def test_a_value_that_cannot_be_deployed_is_refused_with_its_key_and_its_rule(
    assignment: str,
) -> None:
    name, _, value = assignment.partition("=")
    assert refusal({name: value}) == f"{assignment}: {REFUSED[assignment]}"


def test_a_key_that_is_no_setting_is_refused() -> None:
    assert refusal({"maxConcurency": "20"}) == "maxConcurency: is no setting; maxConcurrency is"
    for name in ("tracing", "version", "uv"):
        assert refusal({name: "true"}) == f"{name}: is no setting"


def test_the_cdks_own_context_is_ignored() -> None:
    own = {"@aws-cdk/core:checkSecretUsage": True, "aws:cdk:bundling-stacks": [], "cli-x": 1}
    assert settings_of(own, version="1", uv="uv") == Settings(version="1")


def test_every_invalid_value_has_its_own_line() -> None:
    lines = refusal({"maxConcurrency": "1", "holdMs": "x", "dropPpm": "0"}).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["holdMs=x", "maxConcurrency=1"]


def test_settings_may_be_json_values_instead_of_text() -> None:
    read = settings_of({"snapStart": True, "memoryMb": 1024}, version="1", uv="uv")
    assert (read.snap_start, read.memory_mb) == (True, 1024)


@pytest.mark.slow
def test_an_invalid_setting_ends_the_command_with_one_line_and_exit_code_1() -> None:
    context = json.dumps({"maxConcurrency": "1"})
    ended = subprocess.run(
        [sys.executable, "-m", "infra.app"],
        env=dict(os.environ) | {"CDK_CONTEXT_JSON": context},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    lines = [line for line in ended.stderr.splitlines() if "!!" not in line]  # jsii's own
    assert lines == ["maxConcurrency=1: must be greater than or equal to 2"]
