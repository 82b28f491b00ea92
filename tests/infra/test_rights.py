"""What each role may do and may not, evaluated from the templates that are deployed."""

import fnmatch
import json
import shutil
from pathlib import Path

import pytest
from helpers.rendered import INFRA, REPOSITORY, named, render

from infra.tools.policies import statements
from infra.tools.rights_table import ACCOUNT, Row, bucket_name, read_rights, read_rows

RIGHTS = read_rights(REPOSITORY)
ROWS = read_rows(REPOSITORY)
ROLES = sorted(role.removeprefix("sortline-") for role in RIGHTS.roles)


def _name(row: Row) -> str:
    context = ",".join(f"{key}={value}" for key, value in row.context.items())
    return f"{row.role}-{row.action}-{row.on}-{context}-{row.expected}"


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_the_table_of_rights_holds(row: Row) -> None:
    assert RIGHTS.decide(row).startswith(row.expected), row.why


def test_the_table_says_enough_of_what_is_denied() -> None:
    denied = {(row.role, row.action, row.on) for row in ROWS if row.expected == "denied"}
    assert len(denied) >= 12
    assert {row.role for row in ROWS if row.expected == "denied"} == set(ROLES)


def _granted() -> list[tuple[str, str, str]]:
    return [
        (role.removeprefix("sortline-"), action, resource)
        for role, policies in RIGHTS.roles.items()
        for policy in policies
        for statement in statements(policy)
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
        for resource in (
            statement["Resource"]
            if isinstance(statement["Resource"], list)
            else [statement["Resource"]]
        )
    ]


@pytest.mark.parametrize(("role", "action", "resource"), _granted())
def test_nothing_is_granted_that_the_table_does_not_show(
    role: str, action: str, resource: str
) -> None:
    def shown(row: Row) -> bool:
        short, _, key = row.on.partition("/")
        arn = f"arn:aws:s3:::{bucket_name(short)}" + (f"/{key}" if key else "")
        return (row.role, row.action, row.expected) == (role, action, "allowed") and (
            fnmatch.fnmatchcase(arn, resource)
        )

    assert "*" not in action
    assert any(map(shown, ROWS)), f"{role} may {action} on {resource}"


@pytest.mark.parametrize("role", ROLES)
def test_nobody_can_remove_a_released_object_for_good_or_before_its_time(role: str) -> None:
    for action in ("DeleteObjectVersion", "BypassGovernanceRetention", "PutObjectRetention"):
        row = Row(role=role, action=f"s3:{action}", on="models/releases/7/saved_model.pb",
                  expected="denied", why="")  # fmt: skip
        assert RIGHTS.decide(row) == "denied explicitly"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("bucket", ["data", "cache", "models", "log"])
def test_nobody_gets_anything_without_tls(role: str, bucket: str) -> None:
    for action in ("GetObject", "PutObject", "DeleteObject"):
        row = Row(role=role, action=f"s3:{action}", on=f"{bucket}/releases/x",
                  context={"aws:SecureTransport": "false"}, expected="denied", why="")  # fmt: skip
        assert RIGHTS.decide(row) == "denied explicitly"


def test_another_role_with_every_right_of_the_account_still_releases_nothing() -> None:
    everything = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    RIGHTS.roles["sortline-intruder"] = [everything]
    try:
        for action, on in (
            ("s3:PutObject", "models/releases/models.config"),
            ("s3:PutObject", "models/releases/7/saved_model.pb"),
            ("s3:DeleteObject", "models/releases/7/saved_model.pb"),
            ("s3:DeleteObjectVersion", "models/releases/7/saved_model.pb"),
        ):
            row = Row(role="intruder", action=action, on=on, expected="denied", why="")
            assert RIGHTS.decide(row) == "denied explicitly", action
        reads = Row(role="intruder", action="s3:GetObject", on="models/releases/7/x",
                    expected="allowed", why="")  # fmt: skip
        assert RIGHTS.decide(reads) == "allowed"
    finally:
        del RIGHTS.roles["sortline-intruder"]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_taken_by_its_own_service_account_alone(role: str) -> None:
    (statement,) = RIGHTS.trust[f"sortline-{role}"]["Statement"]
    issuer = "oidc.example.com/id/EXAMPLE"
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}"
    assert statement["Principal"] == {"Federated": provider}
    equals = statement["Condition"]["StringEquals"]
    assert equals[f"{issuer}:aud"] == "sts.amazonaws.com"
    if role == "airflow":
        subject = statement["Condition"]["StringLike"][f"{issuer}:sub"]
        assert subject == "system:serviceaccount:sortline-pipeline:airflow-*"
    else:
        space, account = equals[f"{issuer}:sub"].removeprefix("system:serviceaccount:").split(":")
        found = [
            each
            for each in render("gpu")
            if each["kind"] == "ServiceAccount"
            and (each["metadata"]["namespace"], each["metadata"]["name"]) == (space, account)
        ]
        arn = found[0]["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
        assert arn.endswith(f":role/sortline-{role}")


def test_a_grant_too_many_in_the_templates_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "infra").mkdir()
    shutil.copytree(INFRA / "aws", tmp_path / "infra" / "aws")
    roles = tmp_path / "infra" / "aws" / "roles.yaml"
    text = roles.read_text(encoding="utf-8")
    roles.write_text(text.replace("Action: [s3:DeleteObject, s3:PutObject]", "Action: [s3:Get*]"))
    rights = read_rights(tmp_path)
    wrong = [row for row in ROWS if not rights.decide(row).startswith(row.expected)]
    assert [(row.role, row.action) for row in wrong] == [
        ("pruner", "s3:GetObject"),
        ("pruner", "s3:DeleteObject"),
    ]


def test_the_stores_address_is_the_one_that_the_template_makes() -> None:
    deployment = named(render("gpu"), "Deployment", "serving")
    sync = deployment["spec"]["template"]["spec"]["initContainers"][0]
    environment = {each["name"]: each["value"] for each in sync["env"]}
    store = environment["STORE"]
    for name in ("AWS_ACCOUNT", "AWS_REGION"):
        store = store.replace(f"$({name})", environment[name])
    bucket = bucket_name("models").replace(ACCOUNT, environment["AWS_ACCOUNT"])
    assert store == f"s3://{bucket}/releases"
    assert json.dumps(deployment).count("$(STORE)") == 1
