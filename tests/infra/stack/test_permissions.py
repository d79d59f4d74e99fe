"""Each role may make exactly the calls in `tests/granted.py`, on exactly these resources."""

import pytest

from tests.granted import GRANTED, LOGS
from tests.templates import Template, text


def as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def granted(template: Template, module: str) -> dict[str, set[str]]:
    """Actions by resource; if a grant is limited to some items, their keys follow the resource."""
    found: dict[str, set[str]] = {}
    for statement in template.statements(module):
        assert statement["Effect"] == "Allow"
        only = ""
        if "Condition" in statement:
            ((operator, condition),) = statement["Condition"].items()
            assert operator == "ForAllValues:StringLike"
            ((key, (pattern,)),) = condition.items()
            assert key == "dynamodb:LeadingKeys"
            only = f" {pattern}"
        for resource in as_list(statement["Resource"]):
            actions = found.setdefault(text(resource) + only, set())
            actions.update(str(action) for action in as_list(statement["Action"]))
    return found


def test_the_grants_of_every_function_are_checked(template: Template) -> None:
    assert GRANTED.keys() == template.functions().keys()


@pytest.mark.parametrize("module", sorted(GRANTED))
def test_a_role_has_exactly_the_grants_of_its_function(template: Template, module: str) -> None:
    (stage,) = {
        s["Properties"]["StageName"] for s in template.of_type("ApiGatewayV2::Stage").values()
    } - {"$default"}
    api = f"arn:AWS::Partition:execute-api:AWS::Region:AWS::AccountId:ApisWebSocket/{stage}"
    named = {"push": f"{api}/POST/@connections/*", "close": f"{api}/DELETE/@connections/*"}
    expected = {
        named.get(resource, resource): actions for resource, actions in GRANTED[module].items()
    }
    log_group = text(template.functions()[module]["LoggingConfig"]["LogGroup"])
    expected |= {f"{log_group}.Arn": LOGS}
    assert granted(template, module) == expected


def test_no_role_has_a_managed_policy_or_a_wildcard_action(template: Template) -> None:
    managed = {
        name
        for name, role in template.of_type("IAM::Role").items()
        if "ManagedPolicyArns" in role["Properties"]
    }
    assert managed == {"ApisLogRole"}  # API Gateway requires its own policy
    for policy in template.of_type("IAM::Policy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            assert all("*" not in str(action) for action in as_list(statement["Action"]))
