"""YAML files of the user's: read without surprises, validated, and what is wrong in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from .errors import MixpiError


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, and true or false for a number or text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[info.field_name].annotation
        truths = value if isinstance(value, list) else [value]
        if bool not in (kind, *get_args(kind)) and any(isinstance(t, bool) for t in truths):
            raise ValueError(
                f"{as_yaml(value)} is no value for this key (YAML reads yes, no, on and off as "
                "true and false: write words in quotes)"
            )
        return value


class UniqueKeys(yaml.SafeLoader):
    """YAML without keys that stand twice, of which the first would be lost in silence."""

    def construct_mapping(self, node, deep=False):
        """The mapping, if each of its keys is there once."""
        lines: dict[tuple, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            name = (key.tag, str(key.value))
            if name in lines:
                raise yaml.YAMLError(
                    f"the key '{key.value}' stands twice, in lines {lines[name]} and {line}: keep "
                    "one of them"
                )
            lines[name] = line
        return super().construct_mapping(node, deep)


# Numbers as everybody writes them: YAML 1.1 takes 1e-7 for a text, 010 for 8, 1:30 for 90
UniqueKeys.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if not tag.endswith((":int", ":float"))]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, _form in (
    ("int", r"^[-+]?(0|[1-9]\d*)$"),
    ("float", r"^[-+]?((\.\d+|\d+\.\d*)([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(inf|Inf|INF))$"),
    ("float", r"^\.(nan|NaN|NAN)$"),
):
    UniqueKeys.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(_form), list("-+.0123456789")
    )


def as_yaml(value: Any) -> str:
    """A value as the user may have written it."""
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


Model = TypeVar("Model", bound=Section)


def read_yaml(path: Path, model: type[Model], *, help_command: str) -> Model:
    """Read a YAML file and validate it.

    Parameters
    ----------
    path : Path
        The file.
    model : type of Section
        What it must describe.
    help_command : str
        The command that prints the keys.

    Returns
    -------
    model

    Raises
    ------
    MixpiError
        If the file cannot be read or does not fit; the message names each field
        that is wrong.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), UniqueKeys)  # a SafeLoader
    except OSError as error:
        raise MixpiError(f"cannot read the configuration {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise MixpiError(f"{path} is not a text file in UTF-8: {error}") from None
    except yaml.YAMLError as error:
        raise MixpiError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(data, dict):
        raise MixpiError(f"{path}: expected 'key: value' lines; '{help_command}' shows them all")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise MixpiError(f"{path}:\n{explain(error)}") from None


def explain(error: ValidationError) -> str:
    """One line a wrong field: where it is, what was found, what is wanted."""
    lines = []
    for problem in error.errors():
        # pydantic names the branch of a union it tried; that is no key of the user's
        where = ".".join(
            str(part) for part in problem["loc"] if "[" not in str(part) and part != "list"
        )
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown key"
        elif problem["type"] == "missing":
            message = "missing"
        elif not problem["msg"].startswith("Value error"):
            message += f" (found {problem['input']!r})"
        lines.append(f"  {where or 'file'}: {message}")
    return "\n".join(dict.fromkeys(lines))
