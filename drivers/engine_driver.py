"""Drivers that evaluate in Python: ``mixpi driver KIND``, with a flag for each key."""

from __future__ import annotations

import argparse
import json
import os
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

from ase.data import chemical_symbols
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from ..errors import MixpiError
from ..files.yaml_files import explain
from ..run.processes import PYTHON_OUTPUT, run_to_end
from .client import run_driver
from .driver import Driver, Place
from .engine import Answers, Engine
from .partial_engine import require_buffer
from .programs import launch_prefix, ranks_here


#: s; for torch to be imported and a model to be loaded, also from a slow disk.
PATIENCE = 600.0


class EngineDriver(Driver):
    """Base of the kinds that are an :class:`~mixpi.drivers.engine.Engine`.

    A subclass has a field for each of its options and makes the engine from them.
    """

    #: For the list of ``mixpi driver``.
    help: ClassVar[str]
    #: Keys that say how the process is started; the others go to it as flags.
    not_flags: ClassVar[frozenset[str]] = frozenset({"launch"})

    def load(self, home: Path) -> Engine:
        """The engine, loaded into this process.

        Parameters
        ----------
        home : Path
            Where files are looked for.

        Raises
        ------
        MixpiError
            If it cannot be made.
        """
        raise NotImplementedError

    def serving_engine(self, home: Path, bulk: Path | None) -> Answers:
        """What a driver process evaluates; differs where it gets more than a structure.

        Parameters
        ----------
        home : Path
            Where files are looked for.
        bulk : Path or None
            Structure of the whole system, for what needs it.
        """
        return self.load(home)

    def serve(
        self, home: Path, require: Iterable[str], bulk: Path | None = None, **options: Any
    ) -> int:
        """The whole life of a driver process.

        Parameters
        ----------
        home : Path
            Where files are looked for.
        require : iterable of str
            Chemical symbols that it must know.
        bulk : Path, optional
            Structure of the whole system.
        **options
            As for :func:`mixpi.drivers.client.run_driver`.

        Returns
        -------
        int
            Exit code.
        """
        return run_driver(self.maker(home, require, bulk), label=self.kind, **options)

    def maker(
        self, home: Path, require: Iterable[str], bulk: Path | None = None
    ) -> Callable[[], Any]:
        """What makes the engine that a driver process evaluates, and looks whether it will do."""

        def make() -> Any:
            made: Any = self.serving_engine(home, bulk)
            made.require(require)
            return made

        return make

    def located(self, home: Path) -> Self:
        """The same with file names made absolute.

        Raises
        ------
        MixpiError
            If a file is missing.
        """
        return self

    def numbered(self, number: int) -> Self:
        """As driver ``number`` of its pool is started: they may differ, in their device say."""
        return self

    @property
    def variants(self) -> list[Self]:
        """All that differ from each other."""
        return [self]

    def on_cluster(self) -> Driver | None:
        """Itself."""
        return self

    @property
    def cores(self) -> int | None:
        """Its threads, as often as it is launched; see :attr:`Driver.cores`."""
        ranks = ranks_here(getattr(self, "launch", ""), f"{self.kind}: launch")
        return None if ranks is None else ranks * (getattr(self, "threads", None) or 1)

    def command(self, home: Path) -> list[str]:
        """``mixpi driver KIND`` with all flags but those of the socket."""
        located = self.located(home)
        # -P: a torch.py where the driver is started is not torch
        argv = [sys.executable, "-P", "-m", "mixpi.cli", "driver", self.kind.replace("_", "-")]
        argv += ["--home", str(home.resolve())]
        for name, info in type(self).model_fields.items():
            value = getattr(located, name)
            default = info.get_default(call_default_factory=True, validated_data={})
            if name not in self.not_flags and value != default:
                # with =: a value may begin with a dash
                argv.append(f"{_flag(name)}={_text(value)}")
        return argv

    def argv(self, place: Place, folder: Path) -> list[str]:
        """The whole command line; see :meth:`Driver.argv`."""
        prefix = getattr(self, "launch", "")
        return [
            *launch_prefix(prefix, f"{place.pool}: {self.kind}: launch", place.home),
            *self.numbered(place.number).command(place.home),
            *("--require", ",".join(place.species)),
            *(("--template", place.structure_path) * (place.pool == "cheap")),
            *self._bulk(place),
            *place.socket.flags,
        ]

    def _bulk(self, place: Place) -> list[str]:
        return ["--bulk", place.structure_path] if self.wants_depths else []

    def environment(self) -> dict[str, str]:
        """Python that speaks at once, and as many threads as configured."""
        env = os.environ | PYTHON_OUTPUT
        threads = getattr(self, "threads", None)
        if threads:
            env["OMP_NUM_THREADS"] = str(threads)
        return env

    def try_out(self, place: Place) -> Iterator[str]:
        """Load the engine in a process of its own and compare its species and its range."""
        # the same model on all of them; what it is, the first one says
        facts, *_ = [one._facts(place) for one in self.variants]
        for who, known in facts.get("known_by", {"model": facts["numbers"]}).items():
            missing = sorted(set(place.atoms.numbers.tolist()) - set(known)) if known else []
            if missing:
                raise MixpiError(
                    f"the {place.pool} {who} does not know "
                    f"{' '.join(chemical_symbols[z] for z in missing)}, which {place.structure} "
                    f"has; it was trained for {' '.join(chemical_symbols[z] for z in known)}"
                )
        yield from (f"note: {note}" for note in facts.get("notes", ()))
        if place.pool == "expensive":
            require_buffer(place.buffer, facts.get("needs_buffer", 0.0))
        reach = facts["interaction_range"]
        if reach is None:
            yield "the model loads; how far it sees is not known"
            return
        by = f" by {facts['evaluated_by']}" if "evaluated_by" in facts else ""
        yield f"the model loads{by}; its interaction range is {reach:g} Å"
        if place.pool == "expensive" and place.buffer < reach / 2:
            yield (
                f"warning: a buffer of {place.buffer:g} Å is less than half the model's "
                "interaction range; forces in the region will differ visibly from those in the "
                "full cell"
            )

    def _facts(self, place: Place) -> dict:
        """What the engine says of itself, loaded in a process of its own."""
        done = run_to_end(
            [*self.command(place.home), "--describe", *self._bulk(place)],
            PATIENCE,
            f"{place.pool}: loading the model",
            env=self.environment(),
        )
        if done.returncode:
            raise MixpiError(f"{place.pool}: {_last_error(done.stderr)}")
        try:
            return json.loads(done.stdout.strip().splitlines()[-1])
        except (IndexError, ValueError):
            raise MixpiError(f"{place.pool}: loading the model ended without a word") from None

    @classmethod
    def add_flags(cls, parser: argparse.ArgumentParser) -> None:
        """A flag for each key of the section."""
        for name, info in cls.model_fields.items():
            if name in cls.not_flags:
                continue
            default = info.get_default(call_default_factory=True, validated_data={})
            required = default is PydanticUndefined
            words = typing.get_args(info.annotation)
            choice = typing.get_origin(info.annotation) is typing.Literal
            parser.add_argument(
                _flag(name),
                required=required,
                metavar="{" + ",".join(words) + "}" if choice else None,
                help=_help(info.description, None if required else default),
            )

    @classmethod
    def from_flags(cls, arguments: argparse.Namespace) -> Self:
        """The section that the flags describe, validated as one in a file is.

        Raises
        ------
        MixpiError
            If a value is none for its key.
        """
        given = {}
        for name, info in cls.model_fields.items():
            text = None if name in cls.not_flags else getattr(arguments, name)
            if text is not None:
                given[name] = _value(text, info.annotation)
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise MixpiError(f"mixpi driver {cls.kind}:\n{explain(error)}") from None


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _help(description: str | None, default: Any) -> str:
    text = (description or "").replace(" (relative to this file)", "")
    if default is not None:
        text += f" (default: {_text(default)})"
    return text.replace("%", "%%")  # which argparse fills in


def _text(value: Any) -> str:
    """A value as a flag has it: texts as they are, lists, mappings and sections as JSON."""
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_defaults=True)
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str, annotation: Any) -> Any:
    """The other way round; what is no JSON is left for validation to refuse."""
    options = [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        options = list(typing.get_args(annotation))
    kinds = {typing.get_origin(option) or option for option in options}
    section = any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds)
    if section or kinds & {list, dict, int, float, bool}:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _last_error(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return (errors or lines or ["no message"])[-1].removeprefix("mixpi: error: ")
