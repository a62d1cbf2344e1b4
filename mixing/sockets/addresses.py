"""Socket addresses: free, used by a live run, or left behind by a dead one."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

from ..errors import MixpiError
from ..run.guardian import bound_sockets
from .config import SocketConfig


#: Fixed in LAMMPS's ``fix ipi`` and in ASE.
UNIX_PREFIX = "/tmp/ipi_"


def unix_path(address: str) -> Path:
    """The socket file of a unix address."""
    return Path(UNIX_PREFIX + address)


def describe(config: SocketConfig) -> str:
    """The address for messages: a file, or host:port."""
    if config.mode == "unix":
        return str(unix_path(config.known_address))
    return f"{config.address}:{config.port}"


def unix_socket_is_live(path: Path) -> bool:
    """Whether a process listens on the socket file, without disturbing it.

    A probe by connecting would look like a driver to the server, so the kernel's
    list of sockets is asked first.
    """
    bound = bound_sockets()
    if bound is not None:
        return os.fsencode(path) in bound
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        return probe.connect_ex(str(path)) == 0


def _what_stands_there(path: Path) -> str | None:
    """What is at a socket's place and no socket of the user's; None for such a socket."""
    status = path.lstat()
    kinds = {
        stat.S_ISLNK: "a symbolic link",
        stat.S_ISDIR: "a folder",
        stat.S_ISREG: "a file",
        stat.S_ISFIFO: "a named pipe",
    }
    for is_kind, name in kinds.items():
        if is_kind(status.st_mode):
            return name
    if not stat.S_ISSOCK(status.st_mode):
        return "a device"
    return None if status.st_uid == os.geteuid() else f"a socket of user {status.st_uid}"


def claim(config: SocketConfig) -> str | None:
    """Make sure that the address can be listened on.

    Parameters
    ----------
    config : SocketConfig
        With its address filled in.

    Returns
    -------
    str or None
        What was cleared away: a socket file that a dead run left behind.

    Raises
    ------
    MixpiError
        If a live process uses the address, or it cannot be used at all.
    """
    if config.mode == "unix":
        path = unix_path(config.known_address)
        try:
            other = _what_stands_there(path)
        except FileNotFoundError:
            return None
        if other:
            raise MixpiError(
                f"the socket {path} cannot be made: there is {other} of that name. Remove it by "
                "hand or give another 'address' (cheap/expensive: socket: address)"
            )
        if unix_socket_is_live(path):
            raise MixpiError(
                f"socket {path} is in use by a running process: wait for it to end, stop it, "
                "or give this run another 'address' (cheap/expensive: socket: address)"
            )
        try:
            os.unlink(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MixpiError(
                f"socket file {path} was left by a dead run and cannot be removed "
                f"({error.strerror}): remove it by hand or give another 'address'"
            ) from None
        return f"removed {path}, left by a run that was killed"
    with socket.socket(socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.known_address, config.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                cause = "the port is in use by a running process: give another 'port'"
            else:
                cause = f"{error.strerror}: give an address of this machine"
            raise MixpiError(f"cannot listen on {describe(config)}: {cause}") from None
    return None


def is_listening(config: SocketConfig) -> bool:
    """Whether the server is up, so that drivers may be started."""
    if config.mode == "unix":
        path = unix_path(config.known_address)
        with contextlib.suppress(FileNotFoundError):
            return not _what_stands_there(path) and unix_socket_is_live(path)
        return False
    try:
        lines = Path("/proc/net/tcp").read_bytes().splitlines()
    except OSError:
        return True
    wanted = f":{config.port:04X} ".encode()
    return any(wanted in line and b" 0A " in line for line in lines)
