"""Who is at the other end of a socket, as far as the kernel tells."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path


@dataclass(frozen=True)
class Peer:
    """What is known of the other end.

    Attributes
    ----------
    where : str
        For messages: "process 123 (lmp)", or host:port.
    local : bool
        Whether it is on this machine.
    uid : int or None
        Its user; None if unknown.
    pid : int
        Its process; 0 if unknown.
    """

    where: str
    local: bool = True
    uid: int | None = None
    pid: int = 0


def peer_of(sock: socket.socket) -> Peer:
    """Look who has connected.

    Raises
    ------
    OSError
        If it has gone already.
    """
    if sock.family == socket.AF_UNIX:
        if not hasattr(socket, "SO_PEERCRED"):  # the socket file's mode keeps others out
            return Peer("a process of this machine")
        pid, uid, _ = struct.unpack(
            "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        )
        return Peer(_describe(pid), uid=uid, pid=pid)
    (host, port), own = sock.getpeername()[:2], sock.getsockname()[:2]
    if not ends_here(sock):
        return Peer(f"{host}:{port}", local=False)
    row = _tcp_row((host, port), own)
    if row is None:
        # gone, or in a network namespace of its own
        return Peer(f"{host}:{port}", local=ip_address(host).is_loopback)
    uid, inode = row
    pid = _pid_of_socket(inode) if uid == os.geteuid() else 0
    return Peer(_describe(pid) if pid else f"{host}:{port} of user {uid}", uid=uid, pid=pid)


def ends_here(sock: socket.socket) -> bool:
    """Whether the other end of a connection is on this machine.

    Raises
    ------
    OSError
        If it has gone already.
    """
    if sock.family == socket.AF_UNIX:
        return True
    host = sock.getpeername()[0]
    return ip_address(host).is_loopback or host == sock.getsockname()[0]


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    try:
        return ip_address(socket.gethostbyname(host)).is_loopback
    except (OSError, UnicodeError, ValueError):
        return False


def _describe(pid: int) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_bytes().decode(errors="replace").strip()
    except OSError:
        return f"process {pid}" if pid > 0 else "a process that cannot be seen"
    return f"process {pid} ({name})"


def _tcp_row(theirs: tuple[str, int], ours: tuple[str, int]) -> tuple[int, int] | None:
    """User and inode of the other end of a connection within this machine."""
    for table, width in (("/proc/net/tcp", 4), ("/proc/net/tcp6", 16)):
        wanted = f" {_hex(theirs, width)} {_hex(ours, width)} "
        try:
            lines = Path(table).read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            if wanted in line:
                fields = line.split()
                return int(fields[7]), int(fields[9])
    return None


def _hex(address: tuple[str, int], width: int) -> str:
    """An IPv4 address as the kernel's tables have it, in the one for IPv6 too."""
    packed = socket.inet_aton(address[0])
    if width == 16:
        packed = bytes(10) + b"\xff\xff" + packed
    words = struct.unpack(f"={width // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"


def _pid_of_socket(inode: int) -> int:
    wanted = f"socket:[{inode}]"
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(process / "fd"):
                if os.readlink(process / "fd" / descriptor) == wanted:
                    return int(process.name)
    return 0
