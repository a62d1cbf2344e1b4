"""YAML files of the user's: read without surprises, validated, and what is wrong in words."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from ..errors import MixpiError
from .user_files import MiB, read_text


#: Bytes. A list of 70,000 seeds fits; what is larger is no configuration, and slow to read.
LARGEST = MiB // 2
#: Values in a file with each alias (*name) written out: a few lines of them can mean billions.
MOST_VALUES = 300_000
#: Of a whole number; beyond, not every one can be told from its neighbour as a float.
LARGEST_NUMBER = 10**15
#: Faults of a file that are listed.
MOST_FAULTS = 20
#: Characters of one text.
LONGEST = 20_000
#: What no name and no command holds: it would end a name, hide a part of it, or fail to print.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff]")
#: A number above zero.
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = _shown.maxlong = 80


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, and true or false for a number or text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None  # None is for validators of no field
        kind = cls.model_fields[info.field_name].annotation
        truths = value if isinstance(value, list) else [value]
        if bool not in (kind, *get_args(kind)) and any(isinstance(t, bool) for t in truths):
            raise ValueError(
                f"{as_yaml(value)} is no value for this key (YAML reads yes, no, on and off as "
                "true and false: write words in quotes)"
            )
        return value

    @field_validator("*", mode="before")
    @classmethod
    def _sound_values(cls, value: Any) -> Any:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, int) and abs(text) > LARGEST_NUMBER:
                raise ValueError(f"{_shown.repr(text)} is a number beyond all that can be meant")
            if not isinstance(text, str):
                continue
            if len(text) > LONGEST:
                raise ValueError(f"a text of {len(text):,} characters: at most {LONGEST:,}")
            if found := _UNPRINTABLE.search(text):
                raise ValueError(
                    f"{_shown.repr(text)} has the character U+{ord(found[0]):04X} in it, which "
                    "cannot be seen and belongs to no name: remove it"
                )
        return value


class UniqueKeys(yaml.SafeLoader):
    """YAML without keys that stand twice, of which the first would be lost in silence.

    Also without aliases that multiply: they are counted before anything is made of them.
    """

    def get_single_node(self) -> yaml.Node | None:
        """The document, if it is of a sane size with all its aliases written out."""
        node = super().get_single_node()
        if node is not None:
            _count(node, {})
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping, if each of its keys is there once."""
        lines: dict[tuple, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"the key in line {key.start_mark.line + 1} is no word")
            line = key.start_mark.line + 1
            name = (key.tag, str(key.value))
            if name in lines:
                raise yaml.YAMLError(
                    f"the key '{key.value}' stands twice, in lines {lines[name]} and {line}: keep "
                    "one of them"
                )
            lines[name] = line
        return super().construct_mapping(node, deep)


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Values in a node, each alias counted as if it were written out."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES  # if it is met again before it is counted, it holds itself
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        total = 1 + sum(_count(part, known) for part in parts)
        if total > MOST_VALUES:
            raise yaml.YAMLError(
                f"with its aliases (*name) written out it has more than {MOST_VALUES:,} values"
            )
        known[id(node)] = total
    return known[id(node)]


# Numbers as everybody writes them: YAML 1.1 takes 1e-7 for a text, 010 for 8, 1:30 for 90. What
# looks like a date is a text.
UniqueKeys.yaml_implicit_resolvers = {
    first: [
        (tag, form) for tag, form in forms if not tag.endswith((":int", ":float", ":timestamp"))
    ]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind, _form in (
    ("int", r"^[-+]?(0|[1-9][0-9]*)$"),
    (
        "float",
        r"^[-+]?((\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(inf|Inf|INF))$",
    ),
    ("float", r"^\.(nan|NaN|NAN)$"),
):
    UniqueKeys.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(_form), list("-+.0123456789")
    )


def as_yaml(value: Any) -> str:
    """A value as the user may have written it; of a long one the beginning."""
    if isinstance(value, int | float | str | None):
        text = yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
        return text if len(text) <= 200 else f"{text[:80]}..."
    return _shown.repr(value)


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
    data = parse_yaml(read_text(path, "the configuration", largest=LARGEST), str(path))
    if not isinstance(data, dict):
        raise MixpiError(f"{path}: expected 'key: value' lines; '{help_command}' shows them all")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise MixpiError(f"{path}:\n{explain(error)}") from None


def parse_yaml(text: str, where: str) -> Any:
    """What a text in YAML says.

    Parameters
    ----------
    text : str
    where : str
        Its file, for messages.

    Raises
    ------
    MixpiError
        If it is no YAML, or none that a person would write.
    """
    try:
        return yaml.load(text, UniqueKeys)  # a SafeLoader
    except yaml.YAMLError as error:
        raise MixpiError(f"{where} is not valid YAML: {error}") from None
    except RecursionError:
        raise MixpiError(f"{where} is not valid YAML: lists within lists without end") from None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        # what YAML's own types make of a number of 5,000 digits, or of "!!int x"
        raise MixpiError(f"{where} has a value that cannot be read: {error}") from None


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
            message += f" (found {_shown.repr(problem['input'])})"
        where = where if len(where) <= 200 else f"{where[:100]}..."
        lines.append(f"  {where or 'file'}: {message}")
    lines = list(dict.fromkeys(lines))
    if len(lines) > MOST_FAULTS:
        lines[MOST_FAULTS:] = [f"  and {len(lines) - MOST_FAULTS} more"]
    return "\n".join(lines)
