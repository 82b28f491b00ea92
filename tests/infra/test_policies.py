"""The evaluator of policies: an error in it would hide an error in the rights."""

from typing import Any

import pytest

from infra.tools.policies import Request, evaluate
from sortline.core.errors import ParamsError

ROLE = "arn:aws:iam::111122223333:role/some"
OBJECT = "arn:aws:s3:::bucket/a/b.txt"


def _verdict(
    *found: dict[str, Any], action: str = "s3:GetObject", resource: str = OBJECT, **context: str
) -> str:
    keys = {name.replace("_", ":", 1): value for name, value in context.items()}
    return evaluate(Request(ROLE, action, resource, keys), [{"Statement": list(found)}])


def _allow(**changed: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": OBJECT, **changed}


def _deny(**changed: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": "s3:*", "Resource": "*", **changed}


def _without(statement: dict[str, Any], element: str) -> dict[str, Any]:
    return {key: value for key, value in statement.items() if key != element}


def test_what_nothing_allows_is_denied() -> None:
    assert _verdict() == "denied"
    assert _verdict(_allow()) == "allowed"


def test_one_denial_outweighs_every_permission_in_either_order() -> None:
    assert _verdict(_allow(), _deny()) == "denied explicitly"
    assert _verdict(_deny(), _allow(), _allow(Action="*")) == "denied explicitly"


def test_a_denial_in_the_buckets_policy_counts_too() -> None:
    request = Request(ROLE, "s3:GetObject", OBJECT)
    identity = {"Statement": _allow()}
    bucket = {"Statement": [_deny(Principal="*")]}
    assert evaluate(request, [identity]) == "allowed"
    assert evaluate(request, [identity, bucket]) == "denied explicitly"


def test_a_buckets_policy_can_name_whom_it_is_for() -> None:
    request = Request(ROLE, "s3:GetObject", OBJECT)
    for principal, verdict in (
        ({"AWS": ROLE}, "allowed"),
        ({"AWS": [ROLE + "2", ROLE]}, "allowed"),
        ({"AWS": "*"}, "allowed"),
        ({"AWS": ROLE + "2"}, "denied"),
    ):
        assert evaluate(request, [{"Statement": _allow(Principal=principal)}]) == verdict


@pytest.mark.parametrize(
    ("pattern", "verdict"),
    [
        ("s3:GetObject", "allowed"),
        ("S3:getobject", "allowed"),
        ("s3:Get*", "allowed"),
        ("s3:GetObjec?", "allowed"),
        ("*", "allowed"),
        (["s3:PutObject", "s3:GetObject"], "allowed"),
        ("s3:GetObject?", "denied"),
        ("s3:GetObjectVersion", "denied"),
        ("s3.GetObject", "denied"),
    ],
)
def test_actions_are_matched_by_wildcards_and_in_any_case(pattern: Any, verdict: str) -> None:
    assert _verdict(_allow(Action=pattern)) == verdict


@pytest.mark.parametrize(
    ("pattern", "verdict"),
    [
        ("arn:aws:s3:::bucket/*", "allowed"),
        ("arn:aws:s3:::bucket/a/*.txt", "allowed"),
        ("arn:aws:s3:::*", "allowed"),
        ("arn:aws:s3:::bucket", "denied"),
        ("arn:aws:s3:::bucket/A/*", "denied"),
        ("arn:aws:s3:::bucket/a/b[.]txt", "denied"),
    ],
)
def test_resources_are_matched_by_wildcards_and_in_their_case(pattern: str, verdict: str) -> None:
    assert _verdict(_allow(Resource=pattern)) == verdict


def test_everything_but_some_actions_or_resources() -> None:
    most = _without(_allow(NotAction=["s3:Delete*"]), "Action")
    assert _verdict(most) == "allowed"
    assert _verdict(most, action="s3:DeleteObject") == "denied"
    outside = _without(_deny(NotResource="arn:aws:s3:::bucket/a/*"), "Resource")
    assert _verdict(_allow(), outside) == "allowed"
    assert _verdict(_allow(Resource="*"), outside, resource="arn:aws:s3:::bucket/c") == (
        "denied explicitly"
    )


@pytest.mark.parametrize(
    ("operator", "wanted", "seen", "holds"),
    [
        ("StringEquals", "a/", "a/", True),
        ("StringEquals", ["b/", "a/"], "a/", True),
        ("StringEquals", "a*", "a/", False),
        ("StringEquals", "a/", None, False),
        ("StringEqualsIfExists", "a/", None, True),
        ("StringEqualsIfExists", "a/", "b/", False),
        ("StringNotEquals", "a/", "b/", True),
        ("StringNotEquals", ["a/", "b/"], "b/", False),
        ("StringNotEquals", "a/", None, True),
        ("StringLike", "a/*", "a/b/c", True),
        ("StringLike", "a/*", "a", False),
        ("StringLike", "a/*", "", False),
        ("StringNotLike", "a/*", "a/b", False),
        ("StringNotLike", ["a/*", "b/*"], "c/", True),
    ],
)
def test_conditions_on_a_prefix(operator: str, wanted: Any, seen: str | None, holds: bool) -> None:
    context = {} if seen is None else {"s3_prefix": seen}
    verdict = _verdict(_allow(Condition={operator: {"s3:prefix": wanted}}), **context)
    assert verdict == ("allowed" if holds else "denied")


def test_conditions_on_tls() -> None:
    plain = _deny(Condition={"Bool": {"aws:SecureTransport": "false"}})
    assert _verdict(_allow(), plain, aws_SecureTransport="true") == "allowed"
    assert _verdict(_allow(), plain, aws_securetransport="False") == "denied explicitly"
    old = _deny(Condition={"NumericLessThan": {"s3:TlsVersion": "1.2"}})
    assert _verdict(_allow(), old, s3_TlsVersion="1.1") == "denied explicitly"
    assert _verdict(_allow(), old, s3_TlsVersion="1.2") == "allowed"


def test_conditions_on_who_calls() -> None:
    def but(*arns: str) -> str:
        return _verdict(_allow(), _deny(Condition={"ArnNotLike": {"aws:PrincipalArn": list(arns)}}))

    assert but(ROLE) == but("arn:aws:iam::*:role/so*") == but("arn:x:x:x:x:x", ROLE) == "allowed"
    assert but("arn:aws:iam::111122223333:role/other") == "denied explicitly"
    # An asterisk stays between two colons.
    assert but("arn:*:role/some") == "denied explicitly"


def test_the_last_part_of_an_arn_may_have_colons() -> None:
    source = _allow(Condition={"ArnLike": {"aws:SourceArn": "arn:aws:logs:*:1:group:a*:*"}})
    assert _verdict(source, aws_SourceArn="arn:aws:logs:eu:1:group:ab:x") == "allowed"
    assert _verdict(source, aws_SourceArn="arn:aws:logs:eu:2:group:ab:x") == "denied"


def test_all_conditions_of_a_statement_have_to_hold() -> None:
    both = {"StringEquals": {"s3:prefix": "a/"}, "Bool": {"aws:SecureTransport": "true"}}
    assert _verdict(_allow(Condition=both), s3_prefix="a/") == "denied"
    assert _verdict(_allow(Condition=both), s3_prefix="a/", aws_SecureTransport="true") == "allowed"


@pytest.mark.parametrize(
    "statement",
    [
        _allow(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        _allow(Condition={"ForAnyValue:StringLike": {"aws:TagKeys": "x"}}),
        _allow(Resource="arn:aws:s3:::bucket/${aws:username}/*"),
        _allow(NotPrincipal={"AWS": "x"}),
        _allow(Principal={"Service": "s3.amazonaws.com"}),
        _allow(NotAction="s3:PutObject"),
        _without(_allow(), "Resource"),
        _allow(Effect="Perhaps"),
    ],
)
def test_what_is_not_implemented_is_refused_and_never_ignored(statement: dict[str, Any]) -> None:
    with pytest.raises(ParamsError):
        _verdict(statement)
