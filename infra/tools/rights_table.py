"""`python -m infra.tools.rights_table`: what each role may do, from the templates.

Reads: infra/aws/storage.yaml and roles.yaml, rendered for an example account, and the rows of
infra/aws/rights.yaml. Prints the table; exit code 3 when a row does not hold.
"""

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from infra.tools.policies import Request, Verdict, evaluate
from sortline.core.entry import exit_code_of
from sortline.core.errors import ParamsError, RefusedError
from sortline.core.params import read_yaml

ACCOUNT: Final = "111122223333"
REGION: Final = "eu-central-1"
_PSEUDO: Final = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "OidcIssuer": "oidc.example.com/id/EXAMPLE",
}
# What a call over TLS 1.3 carries; a row may say otherwise.
_CONTEXT: Final = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}


class Row(BaseModel):
    """One line of rights.yaml.

    Attributes:
        role: its name without "sortline-".
        action: such as s3:GetObject.
        on: a bucket's short name (data, cache, models, log) and the object in it, if any.
        context: of the request, besides TLS.
        expected: what has to come out.
        why: for a reader.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    action: str
    on: str
    context: dict[str, str] = {}
    expected: Literal["allowed", "denied"]
    why: str


@dataclass(frozen=True)
class Rights:
    """Policies as they come out of the templates.

    Attributes:
        roles: documents by the role's name.
        trust: of each role, who may take it.
        buckets: the policy of each bucket, by its full name.
    """

    roles: dict[str, list[dict[str, Any]]]
    trust: dict[str, dict[str, Any]]
    buckets: dict[str, dict[str, Any]]

    def decide(self, row: Row) -> Verdict:
        """Evaluate one row.

        Raises:
            ParamsError: it names no role or bucket that there is.
        """
        short, _, key = row.on.partition("/")
        bucket, role = bucket_name(short), f"sortline-{row.role}"
        if role not in self.roles or bucket not in self.buckets:
            raise ParamsError(f"{row.role} or {short} is not in the templates.")
        request = Request(
            f"arn:aws:iam::{ACCOUNT}:role/{role}",
            row.action,
            f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}",
            {**_CONTEXT, **row.context},
        )
        return evaluate(request, [*self.roles[role], self.buckets[bucket]])


def bucket_name(short: str) -> str:
    """The full name of a bucket of the example account."""
    return f"sortline-{ACCOUNT}-{REGION}-{short}"


def _substitute(text: str, names: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in names:
            raise ParamsError(f"${{{match[1]}}} in a template is not known here.")
        return names[match[1]]

    return re.sub(r"\$\{([^}]+)}", value, text)


def _resolved(value: Any, names: Mapping[str, str]) -> Any:
    """A template's value with its functions carried out."""
    match value:
        case {"Fn::Sub": str(text)}:
            return _substitute(text, names)
        case {"Ref": str(name)}:
            return names.get(name, name)
        case {"Fn::GetAtt": [str(name), str(part)]}:
            return names[f"{name}.{part}"]
        case dict():
            return {key: _resolved(each, names) for key, each in value.items()}
        case list():
            return [_resolved(each, names) for each in value]
    return value


def read_rights(root: Path) -> Rights:
    """Render both templates below `root`/infra/aws for the example account."""
    storage = read_yaml(root / "infra" / "aws" / "storage.yaml")["Resources"]
    names = dict(_PSEUDO)
    for logical, resource in storage.items():
        if resource["Type"] == "AWS::S3::Bucket":
            name = _resolved(resource["Properties"]["BucketName"], names)
            names |= {logical: name, f"{logical}.Arn": f"arn:aws:s3:::{name}"}
    policies = (
        _resolved(resource["Properties"], names)
        for resource in storage.values()
        if resource["Type"] == "AWS::S3::BucketPolicy"
    )
    described = read_yaml(root / "infra" / "aws" / "roles.yaml")["Resources"].values()
    roles = [_resolved(resource["Properties"], names) for resource in described]
    return Rights(
        roles={
            role["RoleName"]: [each["PolicyDocument"] for each in role["Policies"]]
            for role in roles
        },
        trust={role["RoleName"]: json.loads(role["AssumeRolePolicyDocument"]) for role in roles},
        buckets={each["Bucket"]: each["PolicyDocument"] for each in policies},
    )


def read_rows(root: Path) -> list[Row]:
    """The rows of infra/aws/rights.yaml."""
    return [Row(**row) for row in read_yaml(root / "infra" / "aws" / "rights.yaml")["rights"]]


def _print(root: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    rights, wrong = read_rights(root), 0
    table = Table(title="Rights, evaluated from the templates")
    for heading in ("role", "action", "on", "", "why"):
        table.add_column(heading)
    for row in read_rows(root):
        verdict = rights.decide(row)
        wrong += not verdict.startswith(row.expected)
        table.add_row(row.role, row.action.removeprefix("s3:"), row.on, verdict, row.why)
    Console().print(table)
    if wrong:
        raise RefusedError(f"{wrong} rows do not hold. Correct the templates, or the table.")


def main() -> None:
    """Print the table of the current folder's templates."""
    sys.exit(exit_code_of(lambda: _print(Path.cwd())))


if __name__ == "__main__":
    main()
