"""The odd places in which programs are run: streams, environments, folders, limits, leftovers.

Each entry says beforehand what is right there. Those that this machine does not allow (mounting,
namespaces) are left out.
"""

from __future__ import annotations

import functools
import os
import random
import signal
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path

from . import disturbances as do
from .campaign import Attempt, Campaign
from .odd_runs import FINISHES, Right, Surrounding, finishes_or_refused, refused


RUN = "mixpi run input.xml --no-reference"
STATUS = "exit ${PIPESTATUS[0]}"


def _streams() -> Iterator[Surrounding]:
    """Whatever becomes of the output, the exit code says what became of the run."""
    for what, script in {
        "stdout closed": f"{RUN} >&-",
        "stderr closed": f"{RUN} 2>&-",
        "stdout and stderr closed": f"{RUN} >&- 2>&-",
        "all three closed": f"{RUN} <&- >&- 2>&-",
        "stdin closed": f"{RUN} <&-",
        "stdin never ends": f"{RUN} </dev/zero",
        "stdout full": f"{RUN} >/dev/full",
        "stderr full": f"{RUN} 2>/dev/full",
        "both full": f"{RUN} >/dev/full 2>&1",
        "stdout cannot be written to": f"{RUN} 1</dev/null",
        "stderr cannot be written to": f"{RUN} 2</dev/null",
        "stdout's reader gone after a line": f"{RUN} | head -1; {STATUS}",
        "reader of both gone after a line": f"{RUN} 2>&1 | head -1; {STATUS}",
        "reader of both gone at once": f"{RUN} 2>&1 | true; {STATUS}",
        "reader of both sleeps": f"{RUN} 2>&1 | (sleep 6; cat); {STATUS}",
        "both into a pipe that is full": "mkfifo p; exec 3<>p; head -c 65536 /dev/zero >&3; "
        f"{RUN} >&3 2>&3",
        "output into a file that others shorten": f"{RUN} >o 2>&1 & sleep 2; : >o; wait $!",
    }.items():
        yield Surrounding("streams", what, script)
    for what, variables in {
        "ASCII only": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
        "UTF-16": {"PYTHONIOENCODING": "utf-16"},
        "a locale that does not exist": {"LC_ALL": "xx_YY.nothing", "LANG": "xx"},
        "coloured by force": {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"},
    }.items():
        yield Surrounding("streams", what, environment=variables)
    yield Surrounding(
        "streams",
        "a terminal of one column, and dumb",
        f"script -qec 'stty cols 1; {RUN}' /dev/null",
        environment={"TERM": "dumb", "COLUMNS": "1", "LINES": "0"},
    )
    yield Surrounding(
        "streams",
        "a terminal that nobody reads",
        f"exec 3<>pty; timeout 1 head -c 1000000 /dev/zero >&3; {RUN} >&3 2>&3",
        prepare=do.put_on_a_terminal,
    )
    yield Surrounding("streams", "a terminal without TERM", f"script -qec 'unset TERM; {RUN}' o")
    yield Surrounding(
        "streams",
        "a terminal that is closed in mid-run",
        f"exec 3<>pty; exec {RUN} <&3 2>&3",
        Right((128 + signal.SIGHUP,), goes_on=True),
        prepare=do.put_on_a_terminal,
        meanwhile=do.close_terminal,
    )
    yield Surrounding(
        "streams",
        "a terminal that is closed, under nohup",
        f"exec 3<>pty; exec nohup {RUN} <&3 2>&3 >o",
        prepare=do.put_on_a_terminal,
        meanwhile=do.close_terminal,
    )


def _environments() -> Iterator[Surrounding]:
    for what, script in {
        "no HOME": f"unset HOME; {RUN}",
        "an empty environment": "env -i $BIN/mixpi run input.xml --no-reference",
        "as from cron": "env -i HOME=/ SHELL=/bin/sh LOGNAME=x PATH=/usr/bin:/bin /bin/sh -c "
        '"$BIN/mixpi run $FOLDER/input.xml --no-reference >/dev/null 2>&1"',
        "no PATH": "PATH= $BIN/mixpi run input.xml --no-reference",
        "a HOME that cannot be written to": f"mkdir -m 555 h; HOME=$PWD/h $UNPRIVILEGED {RUN}",
        "a variable that is not UTF-8": f"export ODD=$'\\xff\\xfe'; {RUN}",
    }.items():
        yield Surrounding("environment", what, script)
    for name, *values in (
        ("HOME", "/nonexistent", "/dev/null"),
        ("TMPDIR", "/nonexistent"),
        ("MPLCONFIGDIR", "/proc"),
        ("PYTHONPATH", "/nonexistent:\n:%s:/dev/null:"),
        ("PYTHONHASHSEED", "4294967295"),
        ("PYTHONDEVMODE", "1"),
        ("PYTHONSAFEPATH", "1"),
        ("OMP_NUM_THREADS", "0", "many", "1000"),
        ("MIXPI_CONTINUE_FROM", "10", "x"),
        ("MIXPI_RUN", "somebody"),
        ("TZ", "nowhere/nothing"),
        ("LD_PRELOAD", "/nonexistent.so"),
    ):
        for value in values:
            yield Surrounding("environment", f"{name}={value!r}", environment={name: value})
    # what others' packages make of these is not in our hands
    for name, value in (
        ("PYTHONWARNINGS", "error"),
        ("PYTHONOPTIMIZE", "1"),
        ("PYTHONOPTIMIZE", "2"),
    ):
        yield Surrounding(
            "environment",
            f"{name}={value!r}",
            right=finishes_or_refused(),
            environment={name: value},
        )


def _shadows() -> Iterator[Surrounding]:
    """What lies in the working folder is no part of Python."""
    for name in ("json.py", "numpy.py", "ase.py", "ipi.py", "signal.py", "sitecustomize.py"):
        yield Surrounding(
            "shadows",
            f"{name} in the working folder",
            prepare=functools.partial(do.shadow, name=name),
            after=do.not_imported,
        )
    yield Surrounding(
        "shadows",
        "a folder mixpi in the working folder",
        prepare=functools.partial(do.shadow, name="mixpi/__init__.py"),
        after=do.not_imported,
    )
    yield Surrounding(
        "shadows",
        "torch.py in the working folder and the drivers', with MACE",
        "sed s/mixing.yaml/mace.yaml/ input.xml >mace.xml; mixpi check mace.xml || exit 3; " + RUN,
        prepare=do.shadow_torch,
        after=do.not_imported,
    )


def _names() -> Iterator[Surrounding]:
    """Names of the working folder."""
    for name in (
        "with spaces  in it ",
        "quotes'\"`",
        "ünï 水 ☃",
        "--",
        "-rf",
        "%d %s %",
        "$HOME $(touch pwned) {address}",
        "#hash # comment",
        "a;b&c|d>e",
        "tab\tin it",
        "<xml> & ]]> -- -->",
        "l" * 250,
    ):
        yield Surrounding("names", repr(name if len(name) < 50 else f"{name[:3]}…"), folder=name)
    # what no line of text can hold may be refused
    for name in ("new\nline", os.fsdecode(b"not \xff UTF-8")):
        yield Surrounding("names", repr(name), right=finishes_or_refused(), folder=name)
    for what, script in {
        "through a link to the folder": "ln -s $PWD ../link; mixpi run ../link/input.xml",
        "by a way round": "mkdir -p a/b; mixpi run a/b/../../../case/input.xml",
        "in a folder that is a link": "ln -s $PWD ../link; cd ../link; mixpi run input.xml",
        "from the root": "cd /; mixpi run $FOLDER/input.xml",
    }.items():
        yield Surrounding("names", what, f"{script} --no-reference")
    yield Surrounding(
        "names",
        "from a folder that is gone",
        "mkdir ../x; cd ../x; rmdir ../x; mixpi run $FOLDER/input.xml --no-reference",
        finishes_or_refused(),
    )


def _permissions() -> Iterator[Surrounding]:
    run = f"$UNPRIVILEGED {RUN}"
    denied = refused("permission", "cannot", "not writ", "folder of your own")
    for what, script, right in (
        ("a folder that is read-only", f"chmod 555 .; {run}", denied),
        ("logs that cannot be written to", f"mkdir -m 555 logs; {run}", denied),
        ("logs is a file", f"touch logs; {run}", refused("logs")),
        ("logs leads nowhere", f"ln -s /nonexistent/x logs; {run}", refused("logs")),
        ("the lock cannot be written to", f"mkdir logs; touch logs/lock; chmod 0 logs/lock; {run}",
         denied),
        ("the lock is a folder", f"mkdir -p logs/lock; {run}", refused("lock", "logs")),
        ("the lock is a pipe", f"mkdir logs; mkfifo logs/lock; {run}", refused("lock", "logs")),
        ("i-PI's log is a folder", f"mkdir -p logs/i-pi.log; {run}", finishes_or_refused("i-pi")),
        ("the journal is a folder", f"mkdir -p logs/journal.jsonl; {run}",
         finishes_or_refused("journal")),
        ("the journal is a pipe", f"mkdir logs; mkfifo logs/journal.jsonl; {run}", FINISHES),
        ("a driver's log is a folder", f"mkdir -p logs/cheap-0.log; {run}",
         finishes_or_refused("cheap-0")),
        ("a driver's folder is a file", f"mkdir logs; touch logs/cheap-0; {run}",
         finishes_or_refused("cheap-0")),
        ("RESTART is a folder", f"mkdir RESTART; {run}", finishes_or_refused("RESTART")),
        ("the steps file is a folder", f"mkdir mix.steps; {run}", finishes_or_refused("steps")),
        ("the steps file is read-only", f"touch mix.steps; chmod 0 mix.steps; {run}", FINISHES),
        ("the steps file is a pipe", f"mkfifo mix.steps; {run}", finishes_or_refused("steps")),
        ("a file of i-PI's is a pipe", f"mkfifo md.out; {run}", finishes_or_refused("md.out")),
        ("the report is a folder", f"mkdir mixpi.report.json; {run}",
         finishes_or_refused("report")),
        ("an input that cannot be read", f"chmod 0 input.xml; {run}", denied),
        ("a YAML that cannot be read", f"chmod 0 mixing.yaml; {run}", denied),
        ("an input that is a folder", "mixpi run .", refused()),
        ("an input that is a pipe", "mkfifo p; mixpi run p", refused()),
        ("umask 000", f"umask 000; {run}", FINISHES),
        ("umask 077", f"umask 077; {run}", FINISHES),
        ("umask 777", f"umask 777; {run}", finishes_or_refused()),
    ):  # fmt: skip
        yield Surrounding("permissions", what, script, right)


def _limits() -> Iterator[Surrounding]:
    """A run that cannot go on says why."""
    for what, script, right in (
        ("files of 1 KiB", f"ulimit -f 1; {RUN}", refused()),
        ("files of 60 KiB", f"ulimit -f 60; {RUN}", refused("too large", "size")),
        ("64 open files", f"ulimit -n 64; {RUN}", finishes_or_refused()),
        ("16 open files", f"ulimit -n 16; {RUN}", finishes_or_refused()),
        ("6 open files", f"ulimit -n 6; {RUN}", finishes_or_refused()),
        ("2 GB of address space", f"ulimit -v 2000000; {RUN}", finishes_or_refused()),
        ("a stack of 200 KiB", f"ulimit -s 200; {RUN}", finishes_or_refused()),
        ("10 s of CPU time", f"ulimit -t 10; {RUN}", finishes_or_refused()),
    ):
        yield Surrounding("limits", what, script, right)
    if os.geteuid():  # root may start as many as it likes
        yield Surrounding("limits", "no further process", f"ulimit -u 1; {RUN}", refused())
    if do.allowed("mount", "-t", "tmpfs"):
        yield Surrounding(
            "limits",
            "a disk that becomes full, and is cleared",
            right=Right((1,), ("no space", "disk", "cannot write"), goes_on=True),
            prepare=do.put_on_a_small_disk,
            meanwhile=do.fill_disk,
        )


def _leftovers() -> Iterator[Surrounding]:
    """What a run that was killed, or somebody else, has left."""
    before = f"{RUN} --quiet >/dev/null 2>&1"
    for what, script, right in (
        ("a lock that nobody holds", f"mkdir logs; touch logs/lock; {RUN}", FINISHES),
        ("a failure that was written", f"echo old >mixpi.failure; {RUN}", FINISHES),
        ("a failure file that is a folder", f"mkdir mixpi.failure; {RUN}",
         finishes_or_refused("failure")),
        ("a file EXIT", f"touch EXIT; {RUN}", refused("EXIT")),
        ("an empty RESTART", f"touch RESTART; {RUN}", FINISHES),
        ("continued from an empty RESTART", "touch RESTART; mixpi run RESTART", refused("RESTART")),
        ("continued from half a RESTART",
         f"{before}; truncate -s 9000 RESTART; mixpi run RESTART", refused("RESTART")),
        ("continued from a RESTART of zeros",
         "head -c 9000 /dev/zero >RESTART; mixpi run RESTART", refused("RESTART")),
        ("continued from a RESTART without steps left", f"{before}; mixpi run RESTART",
         finishes_or_refused("steps", "RESTART")),
        ("rubbish in the steps file", f"head -c 5000 /dev/urandom >mix.steps; {RUN}", FINISHES),
        ("an empty checkpoint", f"touch md.checkpoint; {RUN}", FINISHES),
        ("an older run, whole", f"{before}; {RUN}", FINISHES),
        ("an older run from the future", f"{before}; touch -d 2099-01-01 *; {RUN}", FINISHES),
        ("files from 1970", f"touch -d 1970-01-01 *; {RUN}", FINISHES),
        ("files from the future", f"touch -d 2099-01-01 *; {RUN}", FINISHES),
    ):  # fmt: skip
        yield Surrounding("leftovers", what, script, right)
    for what, make, still in (
        ("a file at the socket's name", "echo mine >$CHEAP", "grep -q mine $CHEAP"),
        ("a folder at the socket's name", "mkdir $CHEAP", "[ -d $CHEAP ]"),
        ("a link at the socket's name", "ln -s $PWD/input.xml $EXPENSIVE", "[ -L $EXPENSIVE ]"),
        ("a link to nothing at the socket's name", "ln -s no $EXPENSIVE", "[ -L $EXPENSIVE ]"),
    ):
        script = f"{make}; {RUN}; code=$?; {still} && [ -e input.xml ] || exit 99; exit $code"
        # what was put there is the campaign's to remove
        yield Surrounding("leftovers", what, script, refused("ipi_"), keeps_sockets=True)
    for what, mode in {"a socket of a dead run": 0o755, "a socket of mode 000": 0}.items():
        yield Surrounding("leftovers", what, prepare=functools.partial(do.leave_socket, mode=mode))
    yield Surrounding(
        "leftovers",
        "an older RESTART from the future, and a run that fails",
        f"{before}; touch -d 2099-01-01 *; sed -i s/toy/nothing/ mixing.yaml; {RUN}",
        refused(),
        after=lambda _, text: "the old RESTART is recommended" * ("continue with" in text),
    )


def _others() -> Iterator[Surrounding]:
    """Other runs and other people's processes."""
    twice = 'a=$?; wait $p; b=$?; echo "codes $a $b"; [ $((a + b)) = 1 ]'
    for what, first, second in (
        ("two runs at once", RUN, RUN),
        ("one input by two ways", RUN, "mixpi run ../case/./input.xml --no-reference"),
    ):
        yield Surrounding("others", what, f"{first} & p=$!; {second}; {twice}")
    yield Surrounding(
        "others",
        "a lock that somebody holds",
        right=refused("active"),
        prepare=do.hold_lock,
        keeps_lock=True,
    )
    yield Surrounding(
        "others",
        "somebody listens at the address",
        right=refused("in use"),
        keeps_sockets=True,
        prepare=lambda case, stack: do.listen(stack, do.socket_path(case, "cheap")),
        after=lambda case, _: (
            "somebody's socket is gone" * (not do.socket_path(case, "cheap").exists())
        ),
    )
    for what, name in (
        ("a socket whose name is not UTF-8", b"\0mixpi \xff\xfe campaign"),
        ("a socket with a line feed in its name", b"\0mixpi\n\ncampaign"),
        ("a socket that looks like the run's", b"\0x %s"),
    ):
        yield Surrounding("others", what, prepare=functools.partial(do.bind_odd_socket, name=name))
    yield Surrounding(
        "others",
        "a socket file whose name is not UTF-8",
        prepare=lambda case, stack: do.listen(stack, Path(os.fsdecode(b"/tmp/ipi_\xff-campaign"))),
    )


def _starts() -> Iterator[Surrounding]:
    """How it is started."""
    for what, script in {
        "under nohup": f"nohup {RUN}",
        "with TERM, INT, HUP ignored": f"trap '' TERM INT HUP; {RUN}",
        "in the background": f"{RUN} & wait $!",
        "inside timeout": f"timeout 80 {RUN}",
        "under nice": f"nice -n 19 {RUN}",
        "in a session of its own": f"setsid -w {RUN}",
        "by its path": "$BIN/mixpi run input.xml --no-reference",
        "as a module": "$PYTHON -m mixpi.cli run input.xml --no-reference",
        "as a module, isolated": "$PYTHON -I -m mixpi.cli run input.xml --no-reference",
        "with SIGCHLD ignored": f'$PYTHON -c "{_EXEC.format("signal.signal(17, signal.SIG_IGN)")}"',
        "with all signals blocked": f'$PYTHON -c "{_EXEC.format(_BLOCK)}"',
        "with many open files": f'for k in $(seq 3 9) {{20..99}}; do eval "exec $k<."; done; {RUN}',
    }.items():
        yield Surrounding("starts", what, script)
    yield Surrounding(
        "starts",
        "ended by timeout",
        f"timeout 8 {RUN}",
        Right((124,)),
        prepare=do.make_longer,
        slow=True,
        after=do.way_on_told,
    )
    for what, flags in {
        "as process 1 of a container": "--fork --pid --mount-proc",
        "without network": "--net",
    }.items():
        if do.allowed("unshare", *flags.split()):
            yield Surrounding("starts", what, f"unshare {flags} {RUN}")
    if do.allowed("unshare", "-m"):
        yield Surrounding(
            "starts",
            "without /proc",
            f"unshare -m sh -c 'mount -t tmpfs none /proc && {RUN}'",
            finishes_or_refused(),
        )


def _changes() -> Iterator[Surrounding]:
    """What others do to the folder and to the launcher in mid-run."""
    for what, right, change in (
        ("the folder is renamed", finishes_or_refused(), do.rename_folder),
        ("the folder is removed", refused(), lambda watch: do.remove(watch.case.folder)),
        (
            "the logs are removed",
            finishes_or_refused(),
            lambda w: do.remove(w.case.folder / "logs"),
        ),
        ("the input is removed", FINISHES, lambda watch: watch.case.input.unlink()),
        ("harmless signals", FINISHES, do.send_harmless_signals),
    ):
        yield Surrounding("changes", what, f"exec {RUN}", right, meanwhile=change)


_EXEC = "import os, signal; {}; os.execvp('mixpi', 'mixpi run input.xml --no-reference'.split())"
_BLOCK = "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))"


def attempts(_rng: random.Random) -> Iterator[Attempt]:
    """All of them, a kind after the other, again and again."""
    kinds = (
        _streams,
        _environments,
        _shadows,
        _names,
        _permissions,
        _limits,
        _leftovers,
        _others,
        _starts,
        _changes,
    )
    in_turns = zip_longest(*(kind() for kind in kinds))
    each = [odd.attempt() for odd in chain.from_iterable(in_turns) if odd]
    while True:
        yield from each


CAMPAIGN = Campaign("surroundings", attempts)
