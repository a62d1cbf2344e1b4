"""The reference of a YAML file, made from the models that validate it."""

from __future__ import annotations

import json
import types
import typing
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined


def describe_config(model: type[BaseModel]) -> str:
    """Every key with its default and its meaning, indented like the file.

    Parameters
    ----------
    model : type of BaseModel
        What the file is validated by.

    Returns
    -------
    str
    """
    return "\n".join(_describe(model, 0))


def _describe(model: type[BaseModel], depth: int) -> list[str]:
    indent, lines = "  " * depth, []
    for name, info in model.model_fields.items():
        section = _section(info.annotation)
        if info.default_factory is not None:
            default = ""
        elif info.default is PydanticUndefined:
            default = "" if section else "  (required)"
        else:
            default = "" if section else f" {_as_yaml(info.default)}"
        lines.append(f"{indent}{name}:{default}")
        lines.append(f"{indent}  # {info.description}")
        if section:
            keys = _describe(section, depth + 1)
            if typing.get_origin(info.annotation) is list:
                keys[0] = f"{indent}- {keys[0].lstrip()}"
            lines += keys
    return lines


def _as_yaml(value: Any) -> str:
    """A plain value as one would write it; JSON is YAML, words need no quotes."""
    return value if isinstance(value, str) and value else json.dumps(value)


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section behind an annotation, also an optional one, or a list of such."""
    options = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, list):
        options = list(typing.get_args(annotation))
    # one way to write a key may carry more than its type
    options = [o.__origin__ if typing.get_origin(o) is typing.Annotated else o for o in options]
    found = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
    return found[0] if found else None
