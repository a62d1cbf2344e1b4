"""The socket client that all our Python drivers share.

It is legal i-PI protocol on ASE's framing. By asking for INIT (``NEEDINIT``) before
each evaluation it learns the species of the cluster at hand, so clusters may
change from one evaluation to the next; with a template it is an ordinary client
of a fixed structure, for any i-PI input.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from ase.calculators.socketio import IPIProtocol, SocketClosed

from ..errors import MixpiError
from ..run.stopping import raising
from ..sockets.peers import peer_of
from ..sockets.silence import bear_no_silence
from .engine import Answers, EvaluatesSpread, evaluate_with_sites
from .packed import packed
from .proof import proof, read_token
from .reconnecting import Attempts
from .told import depths_in, numbers_in, refuse_batches, system_in, told_in


#: s; one attempt to connect takes no longer, though the network may say nothing at all.
ATTEMPT = 5.0


class _Link:
    """A socket whose errors all mean the same, that the server has gone.

    Some of what a network does is no ``ConnectionError``: a host that is silent, no way to it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def recv(self, count: int) -> bytes:
        try:
            return self._sock.recv(count)
        except OSError as error:
            raise SocketClosed from error

    def sendall(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except OSError as error:
            raise SocketClosed from error


class _Tape:
    """What is sent, kept in place of being sent."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.pieces.append(data)


class _Protocol(IPIProtocol):
    """ASE's framing; for a proof, geometries and replies are kept as the bytes that travel.

    Parameters
    ----------
    sock : socket.socket
    token : bytes, optional
        The secret.

    Attributes
    ----------
    nonce : str
        What the server has sent for the proof; empty if it wants none.
    """

    def __init__(self, sock: socket.socket, token: bytes | None) -> None:
        super().__init__(_Link(sock))
        self._token, self.nonce = token, ""
        self._taken: list[bytes] | None = None
        self._geometry = b""

    def recvposdata(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if not self.nonce:
            return super().recvposdata()
        self._taken = []
        found = super().recvposdata()
        self._geometry, self._taken = b"".join(self._taken), None
        return found

    def _recvall(self, nbytes: int) -> bytes:
        data = super()._recvall(nbytes)
        if self._taken is not None:
            self._taken.append(data)
        return data

    def send_reply(self, result: tuple[float, np.ndarray, np.ndarray], facts: dict) -> None:
        """Energy, forces and virial with facts as extras, and a proof if it is asked for."""
        if self.nonce:
            assert self._token is not None  # serve() refuses a nonce without one
            tape = _Tape()
            IPIProtocol(tape).sendforce(*result)
            _header, energy, _atoms, forces, *_ = tape.pieces
            computed = self._geometry + energy + forces
            shown = proof(token=self._token, nonce=self.nonce, computed=computed)
            facts = {**facts, "proof": shown}
        extras = json.dumps(facts).encode()
        self.sendforce(*result, np.frombuffer(extras, np.byte))


class Stopped(BaseException):
    """A signal asked the driver to stop.

    No plain exception, which an engine that is interrupted might take for a failure of its own.
    """


def connect(
    *, address: str, mode: str = "unix", port: int | None = None, deadline: float = 60.0
) -> socket.socket:
    """Connect to an i-PI server, trying again until it listens.

    Parameters
    ----------
    address : str
        unix: the name behind ``/tmp/ipi_``, or a path; inet: the host.
    mode : {"unix", "inet"}
        Kind of socket.
    port : int, optional
        For inet.
    deadline : float
        s.

    Returns
    -------
    socket.socket

    Raises
    ------
    MixpiError
        If there is no server within the deadline.
    """
    path = address if address.startswith("/") else f"/tmp/ipi_{address}"
    target = path if mode == "unix" else (address, port)
    end = time.monotonic() + deadline
    while True:
        sock = socket.socket(socket.AF_UNIX if mode == "unix" else socket.AF_INET)
        try:
            sock.settimeout(min(max(end - time.monotonic(), 0.05), ATTEMPT))
            sock.connect(target)
            sock.settimeout(None)
            if mode == "inet":
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                bear_no_silence(sock)
        except OSError as error:
            sock.close()
            if time.monotonic() > end:
                raise MixpiError(
                    f"no i-PI server at {target} within {deadline:g} s ({_reason(error)}): start "
                    "i-PI first, and compare the address with its input"
                ) from None
            time.sleep(0.05)
            continue
        _require_own_server(sock, target)
        return sock


class Served(NamedTuple):
    """What became of a connection: evaluations done, and whether the server has said EXIT."""

    done: int
    dismissed: bool


def serve(
    engine: Answers,
    sock: socket.socket,
    *,
    numbers: np.ndarray | None = None,
    token: bytes | None = None,
) -> Served:
    """Answer an i-PI server until it says EXIT or goes away.

    Parameters
    ----------
    engine : Answers
        Does the work.
    sock : socket.socket
        Connected.
    numbers : ndarray of int, optional
        Species of a fixed structure. Without them they come with each request.
    token : bytes, optional
        Secret that a server on another host may want a proof of (:mod:`mixpi.drivers.proof`).

    Returns
    -------
    Served

    Raises
    ------
    MixpiError
        If the server sends what cannot be evaluated.
    """
    protocol = _Protocol(sock, token)
    fixed = numbers is not None
    species = np.empty(0, dtype=int) if numbers is None else numbers
    needs_species = getattr(engine, "needs_species", True)
    takes_depths, more = getattr(engine, "takes_depths", False), {}
    turn_to = getattr(engine, "turn_to", None)
    reach = getattr(engine, "force_range", None)
    about: dict[str, float | list | str] = {} if reach is None else {"force_range": float(reach)}
    wants_sites = wants_spread = False
    need_init, result, done = True, None, 0
    try:
        while True:
            message = protocol.recvmsg()
            if message == "STATUS":
                state = "HAVEDATA" if result else "NEEDINIT" if need_init else "READY"
                protocol.sendmsg(state)
            elif message == "INIT":
                _, text = protocol.recvinit()
                text = text.tobytes().decode("ascii", "replace")
                told = told_in(text)
                species = species if fixed else numbers_in(told)
                protocol.nonce = str(told.get("nonce", ""))
                if protocol.nonce and token is None:
                    raise MixpiError(
                        "the server wants to know that this driver may connect: give it the "
                        "server's token file (--token FILE)"
                    )
                more = depths_in(told) if takes_depths else {}
                if turn_to is not None:
                    turn_to(system_in(told))
                wants_sites, wants_spread = (told.get(k) is True for k in ("sites", "spread"))
                refuse_batches(text)
                need_init = False
            elif message == "POSDATA":
                try:
                    cell, _, positions = protocol.recvposdata()
                except AssertionError:
                    raise MixpiError("the server sent NaN or infinite positions") from None
                known = len(species)
                if len(positions) != known and (known or needs_species):
                    raise MixpiError(
                        f"the server sent {len(positions)} atoms, but the species of "
                        f"{known} are known: "
                        + (
                            "the template is another structure than i-PI's"
                            if fixed
                            else "is it a mixpi mixing layer? For plain i-PI give --template"
                        )
                    )
                start = time.perf_counter()
                facts = dict(about)
                if wants_spread and isinstance(engine, EvaluatesSpread) and engine.has_spread:
                    found = engine.evaluate_with_spread(species, positions, cell, **more)
                    energy, forces, virial, spread = found
                    result = energy, forces, virial
                    facts["spread"] = packed(spread, "<f4")
                elif wants_sites:
                    result, sites = evaluate_with_sites(engine, species, positions, cell, **more)
                    if sites is not None:
                        facts["site_energies"] = np.round(sites, 10).tolist()
                else:
                    result = engine.evaluate(species, positions, cell, **more)
                seconds = time.perf_counter() - start
            elif message == "GETFORCE":
                if result is None:
                    raise MixpiError("the server asked for forces before it sent positions")
                protocol.send_reply(result, {"driver_seconds": seconds, **facts})
                result, need_init, done = None, not fixed, done + 1
            elif message == "EXIT":
                return Served(done, True)
            else:
                raise MixpiError(f"the server sent {message!r}: is it an i-PI server?")
    except (SocketClosed, ConnectionError):
        return Served(done, False)  # the server has gone
    finally:
        sock.close()


def run_driver(
    make_engine: Callable[[], Answers],
    *,
    address: str,
    mode: str = "unix",
    port: int | None = None,
    deadline: float = 60.0,
    token: str | os.PathLike | None = None,
    reconnect: bool = False,
    numbers: np.ndarray | None = None,
    label: str = "driver",
) -> int:
    """Make the engine, connect, serve: the whole life of a driver process.

    Parameters
    ----------
    make_engine : callable
        Returns the engine; called before connecting, because a connected
        driver is expected to answer.
    address, mode, port, deadline
        As for :func:`connect`.
    token : path-like, optional
        File with the secret for :func:`serve`.
    reconnect : bool
        After a connection that was lost without EXIT try again, for ``deadline`` s each time.
    numbers : ndarray of int, optional
        As for :func:`serve`.
    label : str
        For the log.

    Returns
    -------
    int
        Exit code: 0 after EXIT, a signal, or (without ``reconnect``) a lost connection.
    """
    try:
        with raising(lambda signum: Stopped(signum.name), (signal.SIGTERM, signal.SIGINT)):
            secret = read_token(token) if token is not None else None
            engine = make_engine()
            for note in getattr(engine, "notes", ()):
                print(f"{label}: note: {note}", flush=True)
            print(f"{label}: ready, connecting to {address}", flush=True)
            done, left, attempts = 0, deadline, Attempts(deadline)
            while True:
                sock = connect(address=address, mode=mode, port=port, deadline=left)
                print(f"{label}: connected", flush=True)
                attempts.connected()
                served = serve(engine, sock, numbers=numbers, token=secret)
                done += served.done
                if served.dismissed or not reconnect:
                    break
                pause, left = attempts.lost(served.done)
                print(f"{label}: the connection is lost, trying again for {left:.0f} s", flush=True)
                time.sleep(pause)
    except Stopped as stopped:
        print(f"{label}: stopped by {stopped}", flush=True)
        return 0
    except MixpiError as error:
        print(f"{label}: error: {error}", file=sys.stderr, flush=True)
        return 1
    print(f"{label}: the server has ended, {done} evaluations done", flush=True)
    return 0


def _reason(error: OSError) -> str:
    """Why a connection did not come about; a time-out of ours has no words of its own."""
    return error.strerror or "no answer"


def _require_own_server(sock: socket.socket, target: object) -> None:
    """Compute for nobody else: the socket file may have been made by another user."""
    uid = peer_of(sock).uid if sock.family == socket.AF_UNIX else None
    if uid is not None and uid != os.geteuid():
        sock.close()
        raise MixpiError(f"the server at {target} belongs to user {uid}")
