"""Reading settings: params.yaml, recipes over it, and messages that say what would be right.

Each section of params.yaml is a class beside what it sets, in a module `settings` of its folder. A
step, or a command, lists the sections that it reads in a class of its own and checks no others;
the whole file is checked by orchestration/params.py. There are no defaults: what changes a result
stands in params.yaml, where a person sees it.
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

import pydantic
from pydantic import BaseModel, ConfigDict, Field, create_model
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sortline.core.errors import ParamsError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class Section(BaseModel):
    """A part of params.yaml: immutable, strict about types, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    registered: ClassVar[frozenset[str]] = frozenset()
    """Names of the settings that registered parts brought."""

    @classmethod
    def completed(cls) -> type[Self]:
        """This class with the settings that registered parts bring; most sections have none."""
        return cls

    @classmethod
    def with_registered(cls, fields: Mapping[str, Any]) -> type[Self]:
        """This class with settings of registered parts: name to type and default, as pydantic's."""
        if not fields:
            return cls
        whole = create_model(cls.__name__, __base__=cls, **dict(fields))
        whole.registered = frozenset(fields)
        return whole

    def of_registered(self) -> dict[str, Any]:
        """The settings of registered parts that are not null, by their names, sorted."""
        values = {name: getattr(self, name) for name in sorted(self.registered)}
        return {name: value for name, value in values.items() if value is not None}


class Sections(Section):
    """The sections that a step or a command reads; others in the file are none of its business."""

    model_config = ConfigDict(extra="ignore")
    changes_no_result: ClassVar[frozenset[str]] = frozenset()
    """Sections that are read ahead, for what they make quicker: no params of the stage."""

    @classmethod
    def completed(cls) -> type[Self]:
        """This class with every section completed."""
        fields: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            section = field.annotation
            if isinstance(section, type) and issubclass(section, Section):
                whole = section.completed()
                if whole is not section:
                    fields[name] = (whole, Field(alias=field.alias))
        return create_model(cls.__name__, __base__=cls, **fields) if fields else cls

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The sections that decide the result, as params.yaml calls them."""
        names = (field.alias or name for name, field in cls.model_fields.items())
        return tuple(name for name in names if name not in cls.changes_no_result)


P = TypeVar("P", bound=Sections)


def _fields(model: type[BaseModel]) -> dict[int | str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _sections(annotation: Any) -> list[type[Section]]:
    """Every section inside an annotation: in a union, or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]


def _known_keys(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    for part in location:
        inner = _sections(_fields(model)[part]) if part in _fields(model) else []
        model = inner[0] if inner else model  # An index in a list, or a branch of a union.
    return [str(name) for name in _fields(model)]


def _advice(error: Any, model: type[BaseModel]) -> str:
    *parent, key = error["loc"] or ("",)
    if error["type"] == "extra_forbidden":
        keys = _known_keys(model, parent)
        close = difflib.get_close_matches(str(key), keys, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(keys)}"
        return f"is not a setting; {hint}"
    if error["type"] == "missing":
        return "is missing; every setting stands in params.yaml"
    right: str = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if isinstance(error["input"], Mapping):
        return right
    return f"is {error['input']!r}; it {right}"


def _line(fault: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    return f"  {key} {_advice(fault, model)}".replace("   ", "  ")


def _without_repetition(faults: Sequence[Any]) -> list[Any]:
    """Faults without those that a phase only has from what all phases have in common."""
    seen = {fault["loc"] for fault in faults}
    return [
        fault
        for fault in faults
        if not ("phases" in fault["loc"] and (fault["loc"][0], *fault["loc"][3:]) in seen)
    ]


def parse_params(sections: type[P], values: Mapping[str, Any], source: str = "params.yaml") -> P:
    """Check the values of these sections.

    Raises:
        ParamsError: one line a fault: the key, the value, what would be right, the closest key.
    """
    model = sections.completed()
    try:
        return model.model_validate(dict(values))
    except pydantic.ValidationError as error:
        faults = [_line(fault, model) for fault in _without_repetition(error.errors())]
        raise ParamsError("\n".join([f"{source} cannot be used:", *faults])) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ParamsError: it is missing, not YAML, or not a mapping.
    """
    try:
        # ruamel reads YAML 1.2, as DVC does, which writes small numbers as 1e-05: text to PyYAML.
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing. Run in the repository's top folder.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ParamsError(f"{path} holds {type(values).__name__}, not sections of settings.")
    return values


def load_params(sections: type[P], path: Path) -> P:
    """Read params.yaml and check these sections.

    Raises:
        ParamsError: see `parse_params` and `read_yaml`.
    """
    return parse_params(sections, read_yaml(path), path.name)


def overlay(base: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a recipe's values over params: sections merge key by key, everything else replaces."""
    merged = dict(base)
    for key, value in recipe.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = overlay(old, value) if both else value  # type: ignore[arg-type]
    return merged
