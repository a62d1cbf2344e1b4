"""The i-PI protocol with one driver, without ever waiting for it.

A driver is asked for its state (STATUS), told what the atoms are if it asks for that
(INIT, and STATUS once more), and given positions together with the question for forces (POSDATA,
GETFORCE). All of it is sent at once, so that nobody waits for the other between the messages.
What comes is parsed piece by piece, each piece no larger than what was asked for permits.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import time
from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from ..drivers.proof import is_proven
from .peers import Peer
from .stream import Lost, Stream


#: Bytes of the name that begins a message.
HEADER = 12
#: Under which name what a driver is told travels in its INIT message.
INIT_KEY = "mixpi"
#: Extras of a reply without forces (NaN) say under this name why there are none.
FAILURE = "failure"
#: s for an answer to STATUS by a driver that has nothing to compute, and for a reply to
#: come to its end once it has begun.
ANSWER = 30.0
#: bytes; what i-PI calls extras, of which only a short proof is of use here.
MOST_EXTRAS = 1 << 24


class WrongAtoms(Exception):
    """A driver has sent forces for another number of atoms."""

    def __init__(self, found: int) -> None:
        super().__init__(found)
        self.found = found


@dataclass(eq=False)
class Request:
    """One structure to be computed.

    Attributes
    ----------
    atoms : int
    geometry : bytes
        Cell, inverse cell, number of atoms and positions as they are sent.
    key : int
        Number of the bead.
    init : str
        What drivers are told that ask what the atoms are: JSON, or nothing.
    reply : Reply or None
        When it is done.
    attempts : int
        Drivers lost on it.
    given : float
        When it was last handed to a driver (``time.perf_counter``), s.
    wanted : bool
        Whether anybody still waits for it.
    """

    atoms: int
    geometry: bytes
    key: int = 0
    init: str = ""
    reply: Reply | None = None
    attempts: int = 0
    given: float = 0.0
    wanted: bool = True


@dataclass(frozen=True)
class Reply:
    """Energy (Hartree), forces (n, 3) (Hartree/bohr), and the extras as they came."""

    energy: float
    forces: np.ndarray
    extras: bytes


class State(Enum):
    """Of a driver, as far as it has told."""

    ASKED = "asked for its state"
    FREE = "ready for work"
    WORKING = "computing"


def message(name: str) -> bytes:
    """A message's name as it is sent."""
    return name.encode().ljust(HEADER)


class Connection(Stream):
    """One connected driver.

    Parameters
    ----------
    sock : socket.socket
        Connected.
    peer : Peer
        Who it is.
    patience : float
        s for the first answer (LAMMPS computes before it) and for a reply.
    token : bytes, optional
        Secret whose knowledge it has to prove with each reply (:mod:`mixpi.drivers.proof`).

    Attributes
    ----------
    state : State
    wants_init : bool
        Whether it has asked what the atoms are.
    request : Request or None
        What it computes.
    told : str or None
        What it was last told of a structure.
    introduced : bool
        Whether it has ever answered as a driver does.
    """

    state: State
    deadline: float
    _limit: float
    _expected: Generator[int, bytearray, str | Reply]
    _begun: bool

    def __init__(
        self, sock: socket.socket, peer: Peer, *, patience: float, token: bytes | None = None
    ) -> None:
        super().__init__(sock)
        self.peer, self._patience = peer, patience
        self._token, self._nonce = token, ""
        self.wants_init = self.introduced = False
        self.request: Request | None = None
        self.told: str | None = None
        self._ask(patience)

    def give(self, request: Request) -> None:
        """Hand over a structure; the driver must be free.

        Raises
        ------
        Lost
            If it is not there any more.
        """
        self.request, request.given = request, time.perf_counter()
        if self.wants_init:
            text = self._init_text(request)
            numbers = np.array([request.key, len(text)], np.int32).tobytes()
            self.told = request.init
            given = message("INIT") + numbers + text + message("STATUS") + _positions(request)
            self._send(given)
            self._await(State.ASKED, _answer(), ANSWER)
        else:
            self._send(_positions(request))
            self._await(State.WORKING, _reply(request.atoms), self._patience)

    def receive(self) -> None:
        """Take what has come, up to the end of a message; a reply goes into its request.

        Raises
        ------
        Lost
            If the other end is closed, or what has come makes no sense.
        WrongAtoms
            If it has computed another number of atoms.
        """
        while True:
            if not self._is_whole:
                if not self._take():
                    return
                if self.state is State.FREE:
                    raise Lost("speaks without being asked")
                if self.state is State.WORKING and not self._begun:
                    self._begun = True
                    self.deadline = min(self.deadline, time.monotonic() + ANSWER)
                continue
            try:
                self._expect(self._expected.send(self._piece))
            except StopIteration as end:
                self._expect(1)  # whatever is asked for next may not get out any more
                self._understand(end.value)
                return

    def require_in_time(self) -> None:
        """Raise ``Lost`` if an answer is overdue."""
        if time.monotonic() > self.deadline:
            raise Lost(f"does not reply as it should within {self._limit:g} s")

    def say_exit(self) -> None:
        """Tell it that the simulation is over, if it can hear, and close."""
        with contextlib.suppress(OSError):
            if not self._outgoing:
                self._sock.send(message("EXIT"))
            self._sock.shutdown(socket.SHUT_WR)
        self.close()

    def _init_text(self, request: Request) -> bytes:
        text = request.init
        if self._token is not None:
            self._nonce = secrets.token_hex(16)
            text = json.dumps({**json.loads(text or "{}"), "nonce": self._nonce})
        # as i-PI writes parameters: "name : value , "
        return f" {INIT_KEY} : {text} , ".encode() if text else b""

    def _ask(self, patience: float) -> None:
        self._send(message("STATUS"))
        self._await(State.ASKED, _answer(), patience)

    def _await(
        self, state: State, expected: Generator[int, bytearray, str | Reply], patience: float
    ) -> None:
        self.state, self._expected, self._limit = state, expected, patience
        self.deadline, self._begun = time.monotonic() + patience, False
        self._expect(next(expected))

    def _understand(self, found: str | Reply) -> None:
        if isinstance(found, Reply):
            request = self.request
            assert request is not None  # nobody else is asked for forces
            self._require_proof(request, found)
            request.reply, self.request = found, None
            with contextlib.suppress(Lost):  # is noticed next time; its work is whole
                self._ask(ANSWER)
            return
        self.introduced = True
        if self.request is not None:
            if found != "READY":
                raise Lost(f"answers {found} when it was told what the atoms are")
            # it has the positions already, and its reply may follow at once
            self._await(State.WORKING, _reply(self.request.atoms), self._patience)
            return
        if found == "HAVEDATA":
            raise Lost("says that it has forces before it was given positions")
        self.wants_init = found == "NEEDINIT"
        self.state, self.deadline = State.FREE, float("inf")
        self._expect(1)  # nothing but its end

    def _require_proof(self, request: Request, reply: Reply) -> None:
        if self._token is None:
            return
        energy_and_forces = np.float64(reply.energy).tobytes() + reply.forces.tobytes()
        computed = request.geometry + energy_and_forces
        if not is_proven(reply.extras, token=self._token, nonce=self._nonce, computed=computed):
            raise Lost(
                f"at {self.peer.where} does not prove that it knows the token (a driver of mixpi "
                "does with '--token FILE', other clients cannot: let them come through a tunnel)"
            )


def _positions(request: Request) -> bytes:
    return message("POSDATA") + request.geometry + message("GETFORCE")


def _answer() -> Generator[int, bytearray, str]:
    """Parse the answer to STATUS."""
    name = bytes((yield HEADER)).rstrip()
    if name not in (b"READY", b"NEEDINIT", b"HAVEDATA"):
        raise Lost(f"answers {name[:HEADER]!r} when it is asked for its state")
    return name.decode()


def _reply(atoms: int) -> Generator[int, bytearray, Reply]:
    """Parse the forces on so many atoms."""
    name = bytes((yield HEADER)).rstrip()
    if name != b"FORCEREADY":
        raise Lost(f"sends {name!r} when it is asked for forces")
    start = yield 8 + 4
    found = int(np.frombuffer(start, np.int32, 1, 8)[0])
    if found != atoms:
        raise WrongAtoms(found)
    body = yield 24 * atoms + 72 + 4
    length = int(np.frombuffer(body, np.int32, 1, 24 * atoms + 72)[0])
    if not 0 <= length <= MOST_EXTRAS:
        raise Lost(f"announces extras of {length} bytes ({MOST_EXTRAS} at most)")
    extras = bytes((yield length)) if length else b""
    try:
        extras.decode()
    except UnicodeDecodeError:
        raise Lost("sends extras that are no text") from None
    return Reply(
        energy=float(np.frombuffer(start, np.float64, 1)[0]),
        forces=np.frombuffer(body, np.float64, 3 * atoms).reshape(-1, 3),
        extras=extras,
    )
