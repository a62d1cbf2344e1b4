"""The reference of the YAML file, made from the models that validate it."""

from __future__ import annotations

import types
import typing

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from .config import MixingConfig


def describe_config() -> str:
    """Every key with its default and its meaning, indented like the file.

    Returns
    -------
    str
    """
    return "\n".join(_describe(MixingConfig, 0))


def _describe(model: type[BaseModel], depth: int) -> list[str]:
    indent, lines = "  " * depth, []
    for name, info in model.model_fields.items():
        section = _section(info.annotation)
        if info.default_factory is not None:
            default = ""
        elif info.default is PydanticUndefined:
            default = "" if section else "  (required)"
        else:
            value = {None: "null", True: "true", False: "false"}.get(info.default, info.default)
            default = "" if section else f" {value if value != '' else chr(39) * 2}"
        lines.append(f"{indent}{name}:{default}")
        lines.append(f"{indent}  # {info.description}")
        if section:
            lines += _describe(section, depth + 1)
    return lines


def _section(annotation) -> type[BaseModel] | None:
    """The section behind an annotation, also an optional one."""
    options = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        options = typing.get_args(annotation)
    found = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
    return found[0] if found else None
