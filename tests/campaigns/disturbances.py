"""What is done to a run and to its folder, for the table of surroundings.

Those that get a stack leave there what has to be undone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import socket
import subprocess
from io import FileIO
from pathlib import Path

from conftest import MODELS, Case

from .runs import Watch, rows


def allowed(*command: str) -> bool:
    """Whether this machine lets us do that; ``mount`` is tried in a namespace of its own."""
    if command[0] == "mount":
        command = ("unshare", "-m", *command, "none", "/mnt")
    try:
        return subprocess.run([*command, *["true"] * (command[-1] != "/mnt")]).returncode == 0
    except OSError:
        return False


def socket_path(case: Case, pool: str) -> Path:
    """The socket file of a pool."""
    return Path(f"/tmp/ipi_{case.config[pool]['socket']['address']}")


def shadow(case: Case, _: contextlib.ExitStack, *, name: str) -> None:
    """A module in the case's folder that nobody may import."""
    path = case.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = str(case.folder / "IMPORTED")
    path.write_text(f"open({mark!r}, 'a').write(__file__)\nraise OSError('imported')\n")


def not_imported(case: Case, _: str) -> str:
    """Which of those was imported all the same."""
    path = case.folder / "IMPORTED"
    return f"{path.read_text()} was imported" if path.exists() else ""


def shadow_torch(case: Case, stack: contextlib.ExitStack) -> None:
    """A false torch wherever a driver might look, and a configuration that needs the real one."""
    toys = case.config["expensive"]
    model = {"mace": {"model": str(MODELS / "si-tiny.model"), "threads": 1}}
    case.config["expensive"] = model | {"socket": toys["socket"]}
    case.write()
    (case.folder / "mixing.yaml").rename(case.folder / "mace.yaml")
    case.config["expensive"] = toys
    case.write()
    for folder in ("", "logs/cheap-0/", "logs/expensive-0/"):
        shadow(case, stack, name=f"{folder}torch.py")


#: The campaign's ends of the terminals that cases run on.
_terminals: dict[Path, FileIO] = {}


def put_on_a_terminal(case: Case, stack: contextlib.ExitStack) -> None:
    """A terminal at the name ``pty`` in the folder; who leads a session and opens it owns it."""
    ours, theirs = (FileIO(end, "r+") for end in pty.openpty())
    stack.callback(ours.close)
    stack.callback(theirs.close)
    (case.folder / "pty").symlink_to(os.ttyname(theirs.fileno()))
    _terminals[case.folder] = ours


def close_terminal(watch: Watch) -> None:
    """As if its window were closed."""
    _terminals.pop(watch.case.folder).close()


def put_on_a_small_disk(case: Case, stack: contextlib.ExitStack) -> None:
    """The case's folder becomes a file system of 4 MB."""
    aside = case.folder.with_name("aside")
    case.folder.rename(aside)
    case.folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", case.folder], check=True)
    stack.callback(subprocess.run, ["umount", "-l", case.folder], check=True)
    shutil.copytree(aside, case.folder, dirs_exist_ok=True)


def fill_disk(watch: Watch) -> None:
    """Nothing is left on the disk until the launcher has ended."""
    ballast = watch.case.folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(1000))
    watch.wait(60.0)
    ballast.unlink()


def leave_socket(case: Case, _: contextlib.ExitStack, *, mode: int) -> None:
    """A socket file to which nobody listens."""
    for pool in ("cheap", "expensive"):
        path = socket_path(case, pool)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        path.chmod(mode)


def hold_lock(case: Case, stack: contextlib.ExitStack) -> None:
    """The lock of the folder, in the hands of this process."""
    (case.folder / "logs").mkdir()
    stream = stack.enter_context((case.folder / "logs" / "lock").open("w"))
    fcntl.flock(stream, fcntl.LOCK_EX)


def listen(stack: contextlib.ExitStack, path: Path) -> None:
    """Somebody's socket file, with somebody behind it."""
    stack.callback(path.unlink, missing_ok=True)
    live = stack.enter_context(socket.socket(socket.AF_UNIX))
    live.bind(os.fsencode(path))
    live.listen()


def bind_odd_socket(case: Case, stack: contextlib.ExitStack, *, name: bytes) -> None:
    """A socket without a file; ``%s`` in its name becomes the run's own socket file."""
    if b"%s" in name:
        name %= os.fsencode(socket_path(case, "cheap"))
    live = stack.enter_context(socket.socket(socket.AF_UNIX))
    live.bind(name + str(case.folder).encode()[-20:] * (b"ipi_" not in name))
    live.listen()


def make_longer(case: Case, _: contextlib.ExitStack) -> None:
    """A run of half a minute."""
    xml = case.input.read_text()
    case.input.write_text(xml.replace("<total_steps>60<", "<total_steps>600<"))


def way_on_told(case: Case, text: str) -> str:
    """Whether a run that has begun says what continues it."""
    begun = rows(case.folder / "mix.steps") >= 2
    return "no way on is told" * (begun and "continue with: mixpi run" not in text)


def rename_folder(watch: Watch) -> None:
    """Another name, until the launcher has ended."""
    folder = watch.case.folder
    moved = folder.with_name("moved")
    folder.rename(moved)
    watch.wait(60.0)
    moved.rename(folder)


def remove(folder: Path) -> None:
    """A folder with all that is in it, even if somebody is writing into it."""
    for _ in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break


def send_harmless_signals(watch: Watch) -> None:
    """Those that nobody means."""
    for name in ("WINCH", "URG", "CONT", "CHLD", "PIPE"):
        os.kill(watch.launcher.pid, getattr(signal, f"SIG{name}"))
