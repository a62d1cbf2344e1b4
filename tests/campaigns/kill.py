"""Any process of a run gets any signal at any moment.

Whatever happens, the launcher ends in time and says truly what became of the run, nothing stays
behind, and what is continued from there is the undisturbed trajectory.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from conftest import MODELS, TERSOFF, Case, faulty_driver, new_case, silicon

from .campaign import Attempt, Campaign, Result
from .runs import (
    PATIENCE,
    Problems,
    Watch,
    go_on,
    newest_checkpoint,
    step_of,
    trajectory,
    undisturbed,
)


STEPS, STRIDE = 60, 10
#: s after the last signal: the run may have to go on to its end, hung drivers to be found.
DEADLINE = 90.0
#: s until a driver that was stopped may be taken for hung: in its work, or before it connects.
REPLY_DEADLINE, CONNECT_DEADLINE = 3.0, 20.0

ROLES = (
    "launcher",
    "i-PI",
    "cheap driver",
    "expensive driver",
    "around a driver",
    "all drivers",
    "whole tree",
)
SIGNALS = ("KILL", "STOP", "TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "XCPU", "ALRM", "CONT")
#: "CONT" stands for STOP, and CONT after a while.
MOMENTS = ("start", "middle", "checkpoint", "end", "timed")


@dataclass(frozen=True)
class Setup:
    """What runs: the arguments of a case, and how exactly it repeats itself (Å)."""

    name: str
    make: Callable[[Path, str], Case]
    tolerance: float = 1e-7


def _toys(wrapper: str | None = None, **options) -> Callable[[Path, str], Case]:
    def make(parent: Path, folder: str) -> Case:
        # the expensive one is stiffer: with two alike any mixing would be right
        config = {
            "cheap": {"command": faulty_driver("slow", 0.0)},
            "expensive": {
                "command": faulty_driver("stiff", 0.02),
                "count": options.get("count", 1),
            },
        }
        for pool in config:
            deadlines = {"reply_deadline": REPLY_DEADLINE, "connect_deadline": CONNECT_DEADLINE}
            config[pool]["socket"] = deadlines
        beads = options.get("beads", 1)
        case = new_case(
            parent, folder=folder, steps=STEPS, stride=1, checkpoint=STRIDE, beads=beads, **config
        )
        if wrapper:
            script = case.folder / "wrapper.sh"
            script.write_text(f"#!/bin/bash\n{wrapper}\nexit $?\n")
            script.chmod(0o755)
            command = case.config["expensive"]["command"]
            case.config["expensive"]["command"] = f"wrapper.sh {command}"
            case.write()
        return case

    return make


def _engines(parent: Path, folder: str) -> Case:
    # they take longer to load, and for their first evaluation
    deadlines = {"reply_deadline": 15.0, "connect_deadline": 60.0}
    return new_case(
        parent,
        silicon(2),
        folder=folder,
        steps=STEPS,
        stride=1,
        checkpoint=STRIDE,
        regions={"core": 2.6, "blend": 2.6, "buffer": 3.0},
        cheap={"lammps": {"potential": TERSOFF}, "socket": dict(deadlines)},
        expensive={
            "mace": {"model": str(MODELS / "si-tiny.model"), "threads": 1},
            "socket": dict(deadlines),
        },
    )


TOYS = Setup("toys", _toys())
SHELL = Setup("behind a shell", _toys('"$@"'))
#: As mpirun does it with each of its ranks.
SESSION = Setup("in a session of its own", _toys('setsid -w "$@"'))
BEADS = Setup("two beads, two drivers", _toys(count=2, beads=2))
#: LAMMPS orders its atoms anew when it starts: its sums round differently.
ENGINES = Setup("LAMMPS and MACE", _engines, tolerance=1e-6)


@dataclass(frozen=True)
class Blow:
    """A signal to a role, so many seconds after what came before."""

    role: str
    signal: str
    pause: float

    def __str__(self) -> str:
        return f"{'STOP, CONT' if self.signal == 'CONT' else self.signal} to {self.role}"


@dataclass(frozen=True)
class Plan:
    """One attempt."""

    setup: Setup
    moment: str
    when: float  # from 0 to 1: where in the moment
    blows: tuple[Blow, ...]

    def __str__(self) -> str:
        blows = ", then ".join(map(str, self.blows))
        return f"{blows}; {self.moment} ({self.when:.2f}); {self.setup.name}"


def attempts(rng: random.Random) -> Iterator[Attempt]:
    """Each role with each signal in turns; moments and what runs are drawn."""
    while True:
        signals = {role: rng.sample(SIGNALS, len(SIGNALS)) for role in ROLES}
        for k in range(len(SIGNALS)):
            for role in ROLES:
                plan = _draw(rng, role, signals[role][k])
                yield Attempt(role, str(plan), lambda folder, plan=plan: attempt(plan, folder))


def _draw(rng: random.Random, role: str, name: str) -> Plan:
    if role == "around a driver":
        setup = rng.choice((SHELL, SESSION))
    else:
        setup = rng.choice((TOYS, TOYS, TOYS, SHELL, SESSION, BEADS, ENGINES))
    weights = (3, 3, 3, 1, 0 if role in ("i-PI", "around a driver") else 1)
    [moment] = rng.choices(MOMENTS, weights)
    blows = [Blow(role, name, 0.0)]
    if rng.random() < 0.25:
        blows.append(Blow(rng.choice(ROLES[:4]), rng.choice(SIGNALS), rng.uniform(0.0, 0.5)))
    return Plan(setup, moment, rng.random(), tuple(blows))


def attempt(plan: Plan, folder: Path) -> Result:
    """Do what the plan says, and look at what became of it."""
    reference = undisturbed(plan.setup.name, plan.setup.make, folder.parent)
    case = plan.setup.make(folder, "case")
    problems = Problems()
    with Watch(case, folder / "output") as watch:
        timed = "--reference" if plan.moment == "timed" else "--no-reference"
        watch.start("run", "input.xml", timed)
        if not _reached(plan, watch):
            problems.add("wrong", f"it ended before {plan.moment}: {watch.output()[-300:]}")
            return problems.result()
        before = watch.evaluations()
        hit = [blow for blow in plan.blows if _strike(watch, blow)]
        _do_as_told(watch, hit)
        code = watch.wait(DEADLINE)
        if code is None:
            problems.add("hung", f"the launcher has not ended {DEADLINE:g} s later")
            return problems.result()
        killed = code == -signal.SIGKILL
        # nobody is left to hurry i-PI, which may be writing its RESTART, or be stopped
        if left := watch.left_over(sockets=not killed, patience=DEADLINE if killed else PATIENCE):
            problems.add("left over", left)
            return problems.result()  # what goes on to write cannot be continued
        _judge_end(problems, watch, hit, code, before)
        if code:
            _go_on(problems, watch, hit, before)
        with problems.looked_at("the trajectory"):
            if difference := trajectory(case.folder).difference(reference, plan.setup.tolerance):
                problems.add("wrong", difference)
    return problems.result()


def _reached(plan: Plan, watch: Watch) -> bool:
    """Wait for the moment; whether the run got there."""
    role = plan.blows[0].role
    if plan.moment == "start":
        if role in ("launcher", "whole tree"):
            time.sleep(3.0 * plan.when)
        else:
            reached = watch.until(lambda: bool(_targets(watch, role)), every=0.02)
            time.sleep(plan.when)
            return reached
    elif plan.moment == "middle":
        wanted = 5 + int(plan.when * (STEPS - 15))
        return watch.until(lambda: watch.evaluations() >= wanted)
    elif plan.moment == "checkpoint":
        path = watch.case.folder / "md.checkpoint"
        count = 1 + int(plan.when * (STEPS // STRIDE - 2))
        reached = watch.until(lambda: watch.evaluations() >= count * STRIDE - 1, every=0.002)
        was, end = _look(path), time.monotonic() + 5.0
        while _look(path) == was and time.monotonic() < end:
            pass  # i-PI needs a few ms to fill it
        return reached
    elif plan.moment == "end":
        wanted = STEPS + 1 - int(3 * plan.when)
        return watch.until(lambda: watch.evaluations() >= wanted, every=0.002)
    else:
        reached = watch.until(lambda: "measuring its speed-up" in watch.output(), every=0.02)
        time.sleep(1.5 * plan.when)
        return reached
    return True


def _look(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _targets(watch: Watch, role: str) -> list[int]:
    if role == "launcher":
        return [watch.launcher.pid] * (watch.launcher.poll() is None)
    roles = watch.roles()
    if role == "whole tree":
        return [process.pid for some in roles.values() for process in some]
    if role == "all drivers":
        drivers = ("cheap driver", "expensive driver", "around a driver")
        return [process.pid for name in drivers for process in roles.get(name, [])]
    return [process.pid for process in roles.get(role, [])][:1]


def _strike(watch: Watch, blow: Blow) -> bool:
    """Send the signal; whether anybody was there to get it."""
    time.sleep(blow.pause)
    targets = _targets(watch, blow.role)
    # who is stopped together with the launcher, or is it, cannot be helped by anybody
    released = blow.signal == "CONT" or (
        blow.signal == "STOP" and blow.role in ("launcher", "whole tree")
    )
    name = "STOP" if blow.signal == "CONT" else blow.signal
    _send(targets, _number(name))
    if released:
        time.sleep(1.5)
        _send(targets, signal.SIGCONT)
    return bool(targets)


def _do_as_told(watch: Watch, hit: list[Blow]) -> None:
    """Who stops i-PI alone may want a pause: the launcher waits, and says how to go on."""
    if any(blow.role == "i-PI" and blow.signal == "STOP" for blow in hit):
        watch.until(lambda: "is stopped (SIGSTOP)" in watch.output())
        _send([int(pid) for pid in re.findall(r"kill -CONT (\d+)", watch.output())], signal.SIGCONT)


def _send(pids: list[int], signum: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)


def _judge_end(problems: Problems, watch: Watch, hit: list[Blow], code: int, before: int) -> None:
    """Whether exit code, status and words fit what happened."""
    folder, text = watch.case.folder, watch.output()
    done = watch.evaluations() == STEPS + 1 and step_of(folder / "RESTART") == STEPS
    to_launcher = {b.signal for b in hit if b.role in ("launcher", "whole tree")}
    deadly = to_launcher - {"STOP", "CONT"}
    to_i_pi = {b.signal for b in hit if b.role == "i-PI"}
    only_drivers = all("driver" in blow.role for blow in hit)
    # a shell that is told to end says so in an exit code of its own, like a program that cannot run
    begun = (folder / "logs").exists()  # before, Python itself is being loaded, and nothing runs
    masked = watch.evaluations() == 0 and "ended with exit code" in text
    if code == 0 and not done:
        problems.add("wrong", f"exit code 0 after {watch.evaluations()} evaluations")
    elif code < 0 and begun and not (code == -signal.SIGKILL and "KILL" in deadly):
        problems.add("wrong", f"the launcher died of {signal.Signals(-code).name}")
    elif code > 128 and not to_i_pi and code - 128 not in map(_number, deadly):
        problems.add("wrong", f"exit code {code}, but there was no such signal")
    elif code > 0 and only_drivers and not masked:
        problems.add("wrong", f"exit code {code} though only drivers were hit: {text[-500:]}")
    elif 0 < code < 128 and len(deadly) == 1 and len(hit) == 1 and not done:
        problems.add("wrong", f"exit code {code} after SIG{min(deadly)}: {text[-500:]}")
    own = text.partition("Last lines of ")[0]  # what follows is quoted from a log
    if "Traceback (most recent call last)" in own:
        problems.add("traceback", own[own.index("Traceback (most") :][:800])
    report = folder / "mixpi.report.json"
    if code >= 0 and report.exists():
        status = json.loads(report.read_text()).get("status")
        if (status == "finished") != (code == 0):
            problems.add("wrong", f"status {status!r} in the report, but exit code {code}")
    orderly = len(hit) == 1 and hit[0].role == "launcher" and code > 0
    if orderly and before >= 2 and not done and watch.recommended() is None:
        problems.add("wrong", f"nothing is said to continue with: {text[-500:]}")


def _number(name: str) -> int:
    return getattr(signal, f"SIG{name}").value


def _go_on(problems: Problems, watch: Watch, hit: list[Blow], before: int) -> None:
    """Continue as the tool says, else from the newest checkpoint, else anew; it must finish."""
    folder = watch.case.folder
    words = watch.recommended()
    newest = newest_checkpoint(folder)
    if words:
        step = step_of(folder / words[-1])
        if step is None:
            problems.add("wrong", f"{words[-1]} is recommended, but it is no whole checkpoint")
            return
        if step >= STEPS:
            problems.add("wrong", f"{words[-1]} is recommended, but has no steps left")
            return
        if step < before - 2 and all(b.role == "launcher" for b in hit):
            problems.add("wrong", f"{words[-1]} is of step {step}, but {before - 1} were done")
    elif newest and newest[0] < STEPS:
        words = ["run", newest[1].name]
    else:
        words = ["run", "input.xml"]
    kept = max((step_of(folder / words[-1]) or 0), newest[0] if newest else 0)
    if kept < before - 1 - 2 * STRIDE:
        problems.add("wrong", f"{before - 1} steps were done, the newest checkpoint has {kept}")
    go_on(problems, watch, words, DEADLINE)


CAMPAIGN = Campaign("kill", attempts)
