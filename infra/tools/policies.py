"""What AWS policies allow: the part of IAM's evaluation that Sortline's policies use.

A request is denied when any statement denies it, else allowed when any allows it (the role's own
policies or the bucket's: both are of one account), else denied. Follows the IAM User Guide, "Policy
evaluation logic" and "IAM JSON policy elements". What is not implemented is refused, never ignored:
NotPrincipal, policy variables, set operators, operators that are not listed here. Permission
boundaries, session policies and an organisation's policies are AWS's to judge.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sortline.core.errors import ParamsError

Verdict = Literal["allowed", "denied", "denied explicitly"]
_ELEMENTS: Final = {
    "Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition",
}  # fmt: skip


@dataclass(frozen=True)
class Request:
    """One call.

    Attributes:
        principal: ARN of the role that calls.
        action: such as s3:GetObject.
        resource: ARN of the bucket or the object.
        context: keys of the request, such as s3:prefix; keys are not case-sensitive.
    """

    principal: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)

    def value(self, key: str) -> str | None:
        """A context key's value; None when the request has no such key."""
        wanted = key.lower()
        if wanted == "aws:principalarn":
            return self.principal
        return next((value for name, value in self.context.items() if name.lower() == wanted), None)


def _listed(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    texts = [str(each) for each in values]
    for text in texts:
        if "${" in text:
            raise ParamsError(f"{text!r} has a policy variable: this evaluator knows none of them.")
    return texts


def _like(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    flags = re.DOTALL | (re.IGNORECASE if ignore_case else 0)
    return re.fullmatch("".join(parts), text, flags) is not None


def _arn_like(pattern: str, text: str) -> bool:
    # An asterisk does not reach over a colon, except in the last of the six parts.
    wanted, seen = pattern.split(":", 5), text.split(":", 5)
    return len(wanted) == len(seen) == 6 and all(map(_like, wanted, seen))


def _number_less(limit: str, text: str) -> bool:
    return float(text) < float(limit)


def _same_boolean(wanted: str, text: str) -> bool:
    return wanted.lower() == text.lower()


def _equal(wanted: str, text: str) -> bool:
    return wanted == text


# What an operator asks of one value, and whether it is negated: then no value may fit, and a
# missing key satisfies it.
_OPERATORS: Final[dict[str, tuple[Callable[[str, str], bool], bool]]] = {
    "StringEquals": (_equal, False),
    "StringNotEquals": (_equal, True),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    "ArnEquals": (_arn_like, False),
    "ArnLike": (_arn_like, False),
    "ArnNotEquals": (_arn_like, True),
    "ArnNotLike": (_arn_like, True),
    "Bool": (_same_boolean, False),
    "NumericLessThan": (_number_less, False),
}


def _holds(operator: str, key: str, wanted: Sequence[str], request: Request) -> bool:
    name = operator.removesuffix("IfExists")
    if name not in _OPERATORS:
        raise ParamsError(
            f"The condition operator {operator} is not implemented. Known: {', '.join(_OPERATORS)}"
            " and each with IfExists."
        )
    fits, negated = _OPERATORS[name]
    value = request.value(key)
    if value is None:
        return negated or name != operator
    return any(fits(each, value) for each in wanted) != negated


def _conditions_hold(statement: Mapping[str, Any], request: Request) -> bool:
    conditions: Mapping[str, Mapping[str, object]] = statement.get("Condition", {})
    return all(
        _holds(operator, key, _listed(wanted), request)
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _names(statement: Mapping[str, Any], element: str, fits: Callable[[str], bool]) -> bool:
    """Whether Action (or NotAction), Resource (or NotResource) covers the request."""
    opposite = f"Not{element}"
    if (element in statement) == (opposite in statement):
        raise ParamsError(
            f"Statement {statement.get('Sid', '')!r} has {element} and {opposite}, or neither:"
            " give one of them."
        )
    if element in statement:
        return any(map(fits, _listed(statement[element])))
    return not any(map(fits, _listed(statement[opposite])))


def _is_for(principal: object, request: Request) -> bool:
    if principal == "*":
        return True
    if isinstance(principal, Mapping) and principal.keys() == {"AWS"}:
        return any(each in ("*", request.principal) for each in _listed(principal["AWS"]))
    raise ParamsError(f"The principal {principal!r} is neither * nor a list of AWS principals.")


def applies(statement: Mapping[str, Any], request: Request) -> bool:
    """Whether a statement says anything about a request.

    Raises:
        ParamsError: it uses something that is not implemented.
    """
    if unknown := statement.keys() - _ELEMENTS:
        raise ParamsError(f"A statement has {sorted(unknown)}, which is not implemented.")
    return (
        ("Principal" not in statement or _is_for(statement["Principal"], request))
        and _names(statement, "Action", lambda each: _like(each, request.action, ignore_case=True))
        and _names(statement, "Resource", lambda each: _like(each, request.resource))
        and _conditions_hold(statement, request)
    )


def statements(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The statements of a policy document, which may be one alone."""
    found: object = policy["Statement"]
    return list(found) if isinstance(found, list) else [dict(policy["Statement"])]


def evaluate(request: Request, policies: Iterable[Mapping[str, Any]]) -> Verdict:
    """Decide a request.

    Args:
        request: the call.
        policies: documents: those of the role, and that of the bucket.

    Raises:
        ParamsError: a statement uses something that is not implemented.
    """
    effects = set()
    for policy in policies:
        for statement in statements(policy):
            if statement["Effect"] not in ("Allow", "Deny"):
                raise ParamsError(f"The effect {statement['Effect']!r} is neither Allow nor Deny.")
            if applies(statement, request):
                effects.add(statement["Effect"])
    if "Deny" in effects:
        return "denied explicitly"
    return "allowed" if "Allow" in effects else "denied"
