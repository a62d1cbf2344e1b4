"""Commands of the package in forks of one process that has loaded it, and i-PI.

A new Python takes two seconds to load both, and a check starts two. Tests that check a hundred
inputs take forks instead; those of single commands, and of the README, start the real ones.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from mixpi.errors import MixpiError


_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["mixpi.ipi.probe", "mixpi.check.checking", "mixpi.cli"])


def command(arguments, *, cwd, env, timeout):
    """As ``python -m mixpi.cli`` with these arguments."""
    return _run(_command, list(arguments), cwd=cwd, env=env, patience=timeout)


def run_to_end(argv, patience, what, *, env, cwd="."):
    """Stands for :func:`mixpi.run.processes.run_to_end` where i-PI is asked for its view."""
    try:
        return _run(_probe, argv[-3:], cwd=cwd, env=env, patience=patience)
    except subprocess.TimeoutExpired:
        raise MixpiError(f"{what} has not ended within {patience:g} s") from None


def _run(function, arguments, *, cwd, env, patience):
    with tempfile.TemporaryDirectory() as folder:
        process = _context.Process(
            target=_inside, args=(function, arguments, str(cwd), dict(env), folder)
        )
        process.start()
        process.join(patience)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(arguments, patience)
        out, err = (Path(folder, name).read_text(errors="replace") for name in ("out", "err"))
        return subprocess.CompletedProcess(arguments, process.exitcode, out, err)


def _inside(function, arguments, cwd, env, folder):
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    warnings.simplefilter("ignore")  # as the environment tells a new process
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    sys.exit(function(arguments))


def _command(arguments):
    from mixpi import cli
    from mixpi.ipi import view

    view.run_to_end = _probe_in_a_fork
    return cli.main(arguments)


def _probe(arguments):
    from mixpi.ipi import probe

    sys.argv = ["probe", *arguments]
    probe.main()


def _probe_in_a_fork(argv, patience, what, *, env, cwd="."):
    """As :func:`run_to_end`, within a process that has been forked itself."""
    with tempfile.TemporaryDirectory() as folder:
        pid = os.fork()
        if pid == 0:
            try:
                _inside(_probe, argv[-3:], cwd, dict(env), folder)
            finally:
                sys.stdout.flush()
                os._exit(0)
        end = time.monotonic() + patience
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                raise MixpiError(f"{what} has not ended within {patience:g} s")
            time.sleep(0.005)
        out = Path(folder, "out").read_text()
    return subprocess.CompletedProcess(argv, 0, out, "")
