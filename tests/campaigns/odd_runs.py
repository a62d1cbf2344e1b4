"""A run in odd surroundings, with the outcome that is right there stated beforehand."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from conftest import Case, command_driver, faulty_driver, new_case

from .campaign import Attempt, Result
from .runs import (
    Problems,
    Trajectory,
    Watch,
    go_on,
    newest_checkpoint,
    trajectory,
    undisturbed,
)


#: s; a run takes three to eight.
DEADLINE = 90.0
#: Evaluations after which a run is in its middle.
MIDDLE = 8
#: Å; what a RESTART and the printing of positions cost.
TOLERANCE = 1e-7
#: The start of a sentence that says why a run did not finish.
REASON = re.compile(r"^mixpi: (error|failed|stopped|interrupted): *\S|^mixpi: error", re.M)
#: Root may do everything: without these it is a user like others. For the scripts below.
UNPRIVILEGED = "setpriv --bounding-set=-dac_override,-dac_read_search" if os.geteuid() == 0 else ""


@dataclass(frozen=True)
class Right:
    """The right outcome.

    Attributes
    ----------
    codes : tuple of int
        Exit codes of which one is right; 0 always means that the whole trajectory is there.
    words : tuple of str
        Without 0, some of them (regular expressions) are in the reason that is given.
    goes_on : bool
        Whether what has stopped can be continued to the undisturbed trajectory.
    """

    codes: tuple[int, ...]
    words: tuple[str, ...] = ()
    goes_on: bool = False


FINISHES = Right((0,))


def refused(*words: str) -> Right:
    """It ends with exit code 1 and a reason with some of these words in it."""
    return Right((1,), words)


def finishes_or_refused(*words: str) -> Right:
    """Where both can be right, but not a run that is neither."""
    return Right((0, 1), words)


@dataclass(frozen=True)
class Surrounding:
    """One odd way to run.

    Attributes
    ----------
    kind, what : str
        Row of the table, and what is odd.
    script : str
        For bash, in the case's folder; its exit code is the run's. Set are ``$BIN``,
        ``$PYTHON``, ``$FOLDER``, ``$CHEAP`` and ``$EXPENSIVE`` (socket files), ``$UNPRIVILEGED``.
    right : Right
    environment : mapping
        More variables.
    prepare : callable, optional
        Gets the case and a stack for what has to be undone.
    meanwhile : callable, optional
        Called in mid-run; the run is then a slow one.
    slow : bool
        Whether the run takes some seconds, though nothing is done meanwhile.
    folder : str
        Name of the case's folder.
    after : callable, optional
        Gets the case and the launcher's output; what is wrong, or "".
    keeps_sockets, keeps_lock : bool
        Somebody else's are there, and stay.
    """

    kind: str
    what: str
    script: str = "mixpi run input.xml --no-reference"
    right: Right = FINISHES
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Case, contextlib.ExitStack], object] | None = None
    meanwhile: Callable[[Watch], object] | None = None
    slow: bool = False
    folder: str = "case"
    after: Callable[[Case, str], str] | None = None
    keeps_sockets: bool = False
    keeps_lock: bool = False

    def attempt(self) -> Attempt:
        """It, for a campaign."""
        return Attempt(self.kind, self.what, lambda folder: _try(self, folder))


def make_case(parent: Path, folder: str, *, slow: bool) -> Case:
    """The run that is tried: toy drivers, fast or for some seconds."""
    expensive = faulty_driver("slow", 0.05) if slow else command_driver("toy")
    return new_case(
        parent,
        folder=folder,
        steps=60 if slow else 20,
        stride=1,
        checkpoint=10,
        expensive={"command": expensive},
    )


def _try(odd: Surrounding, folder: Path) -> Result:
    slow = odd.slow or odd.meanwhile is not None
    make = functools.partial(make_case, slow=slow)
    reference = undisturbed("slow" if slow else "fast", make, folder.parent)
    case = make_case(folder, odd.folder, slow=slow)
    problems = Problems()
    with contextlib.ExitStack() as stack:
        watch = stack.enter_context(Watch(case, folder / "output"))
        stack.callback(_make_removable, folder)
        if odd.prepare:
            odd.prepare(case, stack)
        watch.start_program(
            ["bash", "-c", odd.script], env=_environment(case, watch) | dict(odd.environment)
        )
        if odd.meanwhile:
            if not watch.until(lambda: watch.evaluations() >= MIDDLE):
                problems.add("wrong", f"it did not get to its middle: {watch.output()[-500:]}")
                return problems.result()
            odd.meanwhile(watch)
        code = watch.wait(DEADLINE)
        if code is None:
            problems.add("hung", f"not ended after {DEADLINE:g} s")
            return problems.result()
        if left := watch.left_over(sockets=not odd.keeps_sockets, lock=not odd.keeps_lock):
            problems.add("left over", left)
        text = watch.output()
        if "Traceback (most recent call last)" in text.partition("Last lines of ")[0]:
            problems.add("traceback", text[text.index("Traceback (most") :][-800:])
        _judge(problems, odd.right, code, text)
        if odd.right.goes_on and code:
            newest = newest_checkpoint(case.folder)
            words = watch.recommended() or ["run", newest[1].name if newest else "input.xml"]
            code = 0 if go_on(problems, watch, words, DEADLINE) else code
        if code == 0:
            _compare(problems, case, reference)
        if odd.after and (wrong := odd.after(case, text)):
            problems.add("wrong", wrong)
    return problems.result()


def _judge(problems: Problems, right: Right, code: int, text: str) -> None:
    if code not in right.codes:
        problems.add("wrong", f"exit code {code}, not one of {right.codes}: {text[-600:]}")
    elif code == 1:
        if not REASON.search(text):
            problems.add("wrong", f"no reason is given: {text[-600:]}")
        elif right.words and not re.search("|".join(right.words), text, re.I):
            problems.add("wrong", f"none of {right.words} in the reason: {text[-600:]}")


def _compare(problems: Problems, case: Case, reference: Trajectory) -> None:
    with problems.looked_at("the trajectory"):
        if difference := trajectory(case.folder).difference(reference, TOLERANCE):
            problems.add("wrong", f"exit code 0, but {difference}")


def _environment(case: Case, watch: Watch) -> dict[str, str]:
    binaries = f"{sys.prefix}/bin"
    cheap, expensive = (
        f"/tmp/ipi_{case.config[pool]['socket']['address']}" for pool in ("cheap", "expensive")
    )
    return watch.environment | {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "BIN": binaries,
        "PYTHON": sys.executable,
        "FOLDER": str(case.folder),
        "CHEAP": cheap,
        "EXPENSIVE": expensive,
        "UNPRIVILEGED": UNPRIVILEGED,
    }


def _make_removable(folder: Path) -> None:
    for path, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            os.chmod(path, 0o755)
