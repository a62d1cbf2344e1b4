"""Socket addresses: free, used by a live run, or left behind by a dead one."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from .config import SocketConfig
from .errors import MixpiError


#: Fixed in LAMMPS's ``fix ipi`` and in ASE.
UNIX_PREFIX = "/tmp/ipi_"


def unix_path(address: str) -> Path:
    """The socket file of a unix address."""
    return Path(UNIX_PREFIX + address)


def describe(config: SocketConfig) -> str:
    """The address for messages: a file, or host:port."""
    if config.mode == "unix":
        return str(unix_path(config.address))
    return f"{config.address}:{config.port}"


def unix_socket_is_live(path: Path) -> bool:
    """Whether a process listens on the socket file, without disturbing it.

    A probe by connecting would look like a driver to the server, so the kernel's
    list of sockets is asked first.
    """
    try:
        with open("/proc/net/unix") as table:
            return any(line.rstrip().endswith(f" {path}") for line in table)
    except OSError:
        pass
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2.0)
        return probe.connect_ex(str(path)) == 0


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
        path = unix_path(config.address)
        if not path.exists():
            return None
        if unix_socket_is_live(path):
            raise MixpiError(
                f"socket {path} is in use by a running process: wait for it to end, stop it, "
                "or give this run another 'address' (cheap/expensive: socket: address)"
            )
        try:
            os.unlink(path)
        except OSError as error:
            raise MixpiError(
                f"socket file {path} was left by a dead run and cannot be removed "
                f"({error.strerror}): remove it by hand or give another 'address'"
            ) from None
        return f"removed {path}, left by a run that was killed"
    with socket.socket(socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.address, config.port))
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
        return unix_socket_is_live(unix_path(config.address))
    try:
        with open("/proc/net/tcp") as table:
            wanted = f":{config.port:04X} "
            return any(wanted in line and " 0A " in line for line in table)
    except OSError:
        return True
