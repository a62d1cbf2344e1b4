"""A SLURM of our own on this machine, for as long as a ``with`` block: one node, any ports."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path


PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scancel")
#: s until the node is ready, and for a daemon to end.
PATIENCE = 60.0
#: More than the machine may have: a batch job has a few steps side by side.
CPUS = 4
#: Devices that SLURM takes for GPUs, and gives to steps by number.
GPUS = 2

CONFIGURATION = """\
ClusterName=mixpi
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1
MpiDefault=none
ReturnToService=2
MailProg=/bin/true
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=p Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why there can be no SLURM here; None if there can."""
    if os.geteuid() != 0:
        return "needs root"
    if not Path(f"/dev/tty{GPUS - 1}").exists():
        return "needs devices to take for GPUs"
    gone = [name for name in PROGRAMS if not _program(name)]
    return f"not installed: {' '.join(gone)} (slurmctld, slurmd, munge)" if gone else None


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")


class Slurm:
    """The client programs of a running SLURM.

    Parameters
    ----------
    folder : Path
        Where its files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def ask(self, *words: str, cwd: Path | None = None, env: dict | None = None) -> str:
        """What a client program says."""
        done = subprocess.run(
            [_program(words[0]), *words[1:]],
            cwd=cwd,
            env={**os.environ, **(env or {}), **self.environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
        return done.stdout.strip()

    def submit(self, *words: str, cwd: Path, env: dict | None = None) -> str:
        """Hand in a batch job; its number."""
        return self.ask("sbatch", "--parsable", *words, cwd=cwd, env=env)

    def jobs(self) -> dict[str, str]:
        """Number → state of those that wait or run."""
        rows = self.ask("squeue", "--noheader", "--format=%i %T").splitlines()
        return dict(row.split() for row in rows)


def _free_ports(count: int) -> Iterator[int]:
    with ExitStack() as stack:
        for _ in range(count):
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            yield probe.getsockname()[1]


@contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    """Start the three daemons; end them, and what they have started, by their pids.

    Parameters
    ----------
    folder : Path
        For their files; a short path (of a socket).
    """
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o600)
    controller, daemon = _free_ports(2)
    fields = {"host": socket.gethostname().partition(".")[0], "folder": folder}
    fields |= {"cpus": CPUS, "gpus": GPUS}
    (folder / "gres.conf").write_text(f"Name=gpu File=/dev/tty[0-{GPUS - 1}]\n")
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(controller=controller, daemon=daemon, **fields)
    )
    slurm = Slurm(folder)
    munge = ["--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
    munge += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    with ExitStack() as stack:
        stack.enter_context(_daemon(["munged", *munge], slurm))
        _wait_for(lambda: (folder / "munge.socket").exists())
        stack.enter_context(_daemon(["slurmctld", "-D"], slurm))
        stack.enter_context(_daemon(["slurmd", "-D"], slurm))
        _wait_for(lambda: "idle" in _sinfo(slurm))
        stack.callback(_cancel_all, slurm)
        yield slurm


def _sinfo(slurm: Slurm) -> str:
    try:
        return slurm.ask("sinfo", "--noheader", "--format=%T")
    except RuntimeError:  # it does not listen yet
        return ""


def _cancel_all(slurm: Slurm) -> None:
    for number in slurm.jobs():
        slurm.ask("scancel", number)
    _wait_for(lambda: not slurm.jobs())


@contextmanager
def _daemon(argv: Sequence[str], slurm: Slurm) -> Iterator[None]:
    with (slurm.folder / f"{argv[0]}.out").open("w") as log:
        process = subprocess.Popen(
            [_program(argv[0]), *argv[1:]],
            env={**os.environ, **slurm.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("SLURM did not do as it should in time")
        time.sleep(0.1)
