"""What the context changes beyond a number: expiry, snapshots, the worker's memory."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from infra.app import _camel_case
from infra.settings import Settings
from tests.infra.conftest import Template, synthesize, text

README = (Path(__file__).parents[2] / "infra" / "README.md").read_text()

ENTRANCES = {
    "api": "ComputeApi",
    "authorizer": "ComputeAuthorizer",
    "websocket": "ComputeWebsocket",
}


def variables(template: Template, module: str) -> dict[str, Any]:
    return dict(template.functions()[module]["Environment"]["Variables"])


def called(template: Template) -> dict[str, str]:
    """Integration, authorizer and permission of API Gateway to what it calls."""
    found = {}
    for kind, name in (("Integration", "IntegrationUri"), ("Authorizer", "AuthorizerUri")):
        for resource_id, resource in template.of_type(f"ApiGatewayV2::{kind}").items():
            uri = text(resource["Properties"][name])
            found[resource_id] = uri.partition("/functions/")[2].removesuffix("/invocations") or uri
    for resource_id, resource in template.of_type("Lambda::Permission").items():
        if resource["Properties"]["Principal"] == "apigateway.amazonaws.com":
            found[resource_id] = text(resource["Properties"]["FunctionName"])
    return found


@pytest.fixture(scope="module")
def snapped(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return synthesize(tmp_path_factory.mktemp("snapped"), snapStart="true")


@pytest.mark.parametrize(("asked", "lambdas"), [("ERROR", "INFO"), ("DEBUG", "DEBUG")])
def test_no_log_level_drops_the_metrics_which_have_none(
    tmp_path: Path, asked: str, lambdas: str
) -> None:
    template = synthesize(tmp_path, logLevel=asked)
    for module, function in template.functions().items():
        assert variables(template, module)["POWERTOOLS_LOG_LEVEL"] == asked
        assert function["LoggingConfig"]["ApplicationLogLevel"] == lambdas


def test_orders_stay_for_ever_by_default(template: Template) -> None:
    assert (
        "TimeToLiveSpecification"
        not in template.of_type("DynamoDB::Table")["StorageOrders"]["Properties"]
    )
    for module in template.functions():
        assert variables(template, module)["ORDER_EXPIRY_DAYS"] == "0"


def test_orders_expire_where_days_are_given_and_their_writers_know(tmp_path: Path) -> None:
    template = synthesize(tmp_path, orderExpiryDays="90")
    orders = template.of_type("DynamoDB::Table")["StorageOrders"]["Properties"]
    assert orders["TimeToLiveSpecification"] == {"AttributeName": "expiresAt", "Enabled": True}
    for module in template.functions():
        assert variables(template, module)["ORDER_EXPIRY_DAYS"] == "90"


def test_the_workers_memory_is_its_own(tmp_path: Path) -> None:
    template = synthesize(tmp_path, workerMemoryMb="1769")
    memory_mb = {module: f["MemorySize"] for module, f in template.functions().items()}
    assert memory_mb == dict.fromkeys(memory_mb, 512) | {"worker": 1769}


def test_a_worker_sits_out_five_seconds_by_default(template: Template) -> None:
    assert variables(template, "worker")["HOLD_MS"] == "5000"


def test_stages_in_one_account_have_metrics_and_logs_of_their_own(
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
        ENTRANCES.values()
    )


def test_snapshots_are_taken_of_what_a_client_waits_for(snapped: Template) -> None:
    taken = {m for m, function in snapped.functions().items() if "SnapStart" in function}
    assert taken == set(ENTRANCES)
    for module in taken:
        assert snapped.functions()[module]["SnapStart"] == {"ApplyOn": "PublishedVersions"}


def test_with_snapshots_gateways_call_the_alias_of_the_newest_version(snapped: Template) -> None:
    aliases = snapped.of_type("Lambda::Alias")
    published = {}
    for name, alias in aliases.items():
        version, attribute = alias["Properties"]["FunctionVersion"]["Fn::GetAtt"]
        assert attribute == "Version"
        function = text(snapped.resources[version]["Properties"]["FunctionName"])
        assert text(alias["Properties"]["FunctionName"]) == function
        published[name] = function
    assert set(published.values()) == set(ENTRANCES.values())
    assert set(called(snapped).values()) == set(published)


def test_a_snapshot_is_taken_again_when_a_variable_changes(
    snapped: Template, tmp_path: Path
) -> None:
    other = synthesize(tmp_path, snapStart="true", maxOpenOrders="7")

    def version(template: Template) -> str:
        (found,) = [
            name
            for name, resource in template.resources.items()
            if resource["Type"] == "AWS::Lambda::Version"
            and text(resource["Properties"]["FunctionName"]) == "ComputeApi"
        ]
        return found

    assert version(snapped) != version(other)


def test_the_readme_describes_every_setting_with_its_default() -> None:
    (table,) = re.findall(r"\| Name \| Default \| Meaning \|\n(.*?)\n\n", README, re.DOTALL)
    described: dict[str, str] = {}
    for row in table.splitlines()[1:]:
        names, defaults, _ = (cell.strip() for cell in row.strip("|").split("|", 2))
        values = defaults.split(", ")
        for number, name in enumerate(names.split(", ")):
            described[name.strip("`")] = values[min(number, len(values) - 1)].strip("`")
    own = {"version", "uv", "localEndpoint"}  # not for whoever deploys
    defaults = {_camel_case(name): value for name, value in asdict(Settings()).items()}
    written = {True: "true", False: "false"}
    assert described == {
        name: written[value] if isinstance(value, bool) else str(value)
        for name, value in defaults.items()
        if name not in own
    }
