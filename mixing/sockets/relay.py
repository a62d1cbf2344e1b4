"""Drivers that several runs share: what stands between them and the runs.

To each run the relay is a driver, on as many connections as there are drivers; to the drivers it
is the server of a pool. Structures wait in one queue, in the order in which they came, and each
connection has one at a time: whoever asks often does not come before who asks seldom. With each
structure goes all that is to be known of it, so drivers need not know of runs; those that keep
something from step to step are told which run it is (``system``).

The relay answers at once when it is asked for its state, however long the drivers compute; how
long they may is watched here, not by the runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

import numpy as np

from .connection import FAILURE, HEADER, Reply, Request, message
from .peers import peer_of
from .pool import DriverPool
from .server import RequestFailed
from .stream import Lost, Stream


#: s between looks whether a run has opened its socket.
KNOCK_EVERY = 0.1
#: bytes; cell, inverse cell and number of atoms before the positions.
_GEOMETRY_HEAD = 2 * 72 + 4
_NO_VIRIAL = np.full(9, np.nan).tobytes()


class Line(Stream):
    """A connection to a run, where the relay is a driver that asks what the atoms are.

    Parameters
    ----------
    sock : socket.socket
        Connected.
    system : int
        The run.

    Attributes
    ----------
    request : Request or None
        The structure that the run waits for.
    """

    def __init__(self, sock: socket.socket, system: int) -> None:
        super().__init__(sock)
        self.system = system
        self.request: Request | None = None
        self._talk = self._conversation()
        self._expect(next(self._talk))

    def receive(self) -> None:
        """Take what has come; a structure that is to be computed becomes the request.

        Raises
        ------
        Lost
            If the run has ended, or speaks in another way than a server does.
        """
        while True:
            if self._is_whole:
                self._expect(self._talk.send(self._piece))
            elif not self._take():
                return

    def answer(self, reply: Reply) -> None:
        """Send what a driver has computed.

        Raises
        ------
        Lost
            If the run has ended.
        """
        self.request = None
        parts = [
            message("FORCEREADY"),
            np.float64(reply.energy).tobytes(),
            np.int32(len(reply.forces)).tobytes(),
            reply.forces.tobytes(),
            _NO_VIRIAL,
            np.int32(len(reply.extras)).tobytes(),
            reply.extras,
        ]
        self._send(b"".join(parts))

    def _conversation(self) -> Generator[int, bytearray, None]:
        """Do what the server asks for: gives the size of each piece, gets the piece."""
        atoms, key, init, geometry, asks = 0, 0, "", b"", True
        while True:
            name = bytes((yield HEADER)).rstrip()
            if name == b"STATUS":
                self._send(message("NEEDINIT" if asks else "READY"))
            elif name == b"INIT":
                key, length = np.frombuffer((yield 8), np.int32).tolist()
                init, asks = self._told((yield length)), False
            elif name == b"POSDATA":
                head = yield _GEOMETRY_HEAD
                atoms = int(np.frombuffer(head, np.int32, 1, _GEOMETRY_HEAD - 4)[0])
                geometry = bytes(head + (yield 24 * atoms))
            elif name == b"GETFORCE":
                self.request, asks = Request(atoms, geometry, key, init), True
            elif name == b"EXIT":
                raise Lost("has ended", gone=True)
            else:
                raise Lost(f"sends {name!r}")

    def _told(self, text: bytearray) -> str:
        """What the driver is to be told, of `` mixpi : {json} , ``."""
        told = text[text.find(b"{") : text.rfind(b"}") + 1].decode()
        if '"places"' in told:  # by which drivers know atoms again, within a system
            return f'{{"system":{self.system},{told[1:]}'
        return told


class Relay:
    """Hands the structures of several runs to one pool of drivers.

    Parameters
    ----------
    pool : DriverPool
        Open.
    runs : mapping of int to Path
        Number of a run → the socket file that it will open.
    lines : int
        Connections to each: as many as there are drivers.
    """

    def __init__(self, pool: DriverPool, runs: Mapping[int, Path], lines: int) -> None:
        self._pool, self._runs, self._count = pool, dict(runs), lines
        self._lines: list[Line] = []
        self._asked: dict[Line, Request] = {}
        self._knocked = 0.0
        self._began = self._answered = 0.0
        self._selector = selectors.DefaultSelector()
        self._selector.register(pool, selectors.EVENT_READ)

    @property
    def elapsed(self) -> float:
        """Time (s) from the first request of a run to the last answer."""
        return max(self._answered - self._began, 0.0)

    def turn(self, seconds: float) -> None:
        """Wait for at most so many seconds, then do what can be done.

        Raises
        ------
        PoolError
            If there are no drivers.
        """
        for key, events in self._selector.select(seconds):
            line = key.fileobj
            if isinstance(line, Line):
                with self._guarding(line):
                    self._serve(line, events)
        if time.monotonic() - self._knocked > KNOCK_EVERY:
            self._knock()
            self._knocked = time.monotonic()
        self._poll()
        for line in [line for line, request in self._asked.items() if request.reply]:
            reply = self._asked.pop(line).reply
            assert reply is not None  # those that have one were chosen
            self._answer(line, reply)

    def close(self) -> None:
        """Leave the runs, and dismiss the drivers."""
        for line in self._lines:
            line.close()
        self._selector.close()
        self._pool.close()

    def _serve(self, line: Line, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            line.send()
        if events & selectors.EVENT_READ:
            line.receive()
            if line.request is not None and line not in self._asked:
                self._began = self._began or time.monotonic()
                self._asked[line] = line.request
                self._pool.hand(line.request)
        self._selector.modify(line, line.events)

    def _poll(self) -> None:
        """Let the pool work; a structure that cannot be computed concerns one run alone."""
        while True:
            try:
                return self._pool.poll()
            except RequestFailed as error:
                self._pool.forget(error.request)
                error.request.reply = _no_forces(error.request.atoms, str(error))

    def _answer(self, line: Line, reply: Reply) -> None:
        with self._guarding(line):
            line.answer(reply)
            self._answered = time.monotonic()
            self._selector.modify(line, line.events)

    @contextlib.contextmanager
    def _guarding(self, line: Line) -> Iterator[None]:
        """Leave a run that has ended; what it has asked for nobody wants any more."""
        try:
            yield
        except Lost:
            self._lines.remove(line)
            self._selector.unregister(line)
            line.close()
            if request := self._asked.pop(line, None):
                self._pool.forget(request)

    def _knock(self) -> None:
        """Connect to the runs that have opened their sockets."""
        for system, path in self._runs.items():
            if not path.exists():
                continue
            for _ in range(self._count - sum(line.system == system for line in self._lines)):
                if not self._connect(system, path):
                    break

    def _connect(self, system: int, path: Path) -> bool:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        try:
            sock.connect(str(path))
            if peer_of(sock).uid not in (None, os.geteuid()):
                raise PermissionError  # somebody else has made a socket of this name
        except OSError:  # left behind by a dead run, or busy: next time
            sock.close()
            return False
        line = Line(sock, system)
        self._lines.append(line)
        self._selector.register(line, line.events)
        return True


def _no_forces(atoms: int, why: str) -> Reply:
    """What a run is told whose structure cannot be computed."""
    return Reply(np.nan, np.full((atoms, 3), np.nan), json.dumps({FAILURE: why}).encode())
