"""A pool of drivers on i-PI's own socket server, made to survive what kills its poll thread.

i-PI 3.3.1 does the framing, the handshakes and the unit-free bookkeeping of
requests. What is ours is the loop: it never blocks (so two pools share one thread
and new drivers are welcome while others compute), a driver that dies or hangs
loses its work to another, and a reply that makes no sense ends the wait with an
error instead of a dead thread.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from ipi.engine.forcefields import FFSocket
from ipi.interfaces.sockets import HDRLEN, Driver, InterfaceSocket, Status
from ipi.utils.messages import info, verbosity, warning
from ipi.utils.softexit import softexit

from .addresses import claim, describe
from .config import SocketConfig
from .errors import MixpiError


#: A request whose drivers keep dying is given up: the structure is what kills them.
MAX_ATTEMPTS = 5
#: s; the longest silence inside a message (i-PI's 0.1 s drops drivers on busy machines).
MESSAGE_TIMEOUT = 2.0


#: Under which name a request's text travels in i-PI's INIT message.
INIT_KEY = "mixpi"
#: How i-PI's log names a driver that hangs, for the launcher to end it.
HUNG = "dropped process {pid}"


#: How a line of i-PI's log begins that the launcher shows the user.
WARNING = "!MIXPI! warning:"
#: The way out for drivers that know one structure only.
ONE_STRUCTURE = (
    "Regions change from step to step: use 'mace:', or a client that answers NEEDINIT and takes "
    "changing numbers of atoms, as 'mixpi driver' does"
)


def say_aloud(text: str) -> None:
    """Say something in i-PI's log, whatever its verbosity; the launcher repeats it."""
    print(f" {WARNING} {text}", flush=True)


class PoolError(MixpiError):
    """A pool cannot deliver: no driver, or a driver that replies nonsense."""


class PoolStopped(MixpiError):
    """i-PI has been asked to stop while the pools were working."""


class _Client(Driver):
    """One connected driver."""

    # the other way of i-PI's to ask waits for ever for a driver that has stopped
    _getstatus = Driver._getstatus_direct

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.connected = time.monotonic()
        #: What it was last told of a structure (None: nothing); it asks anew, or stays with it.
        self.told: str | None = None

    def initialize(self, rid, pars):
        super().initialize(rid, pars)
        self.told = pars

    def get_status(self):
        deadline = time.monotonic() + 5 * MESSAGE_TIMEOUT
        status = self._getstatus()
        while status & Status.Busy and time.monotonic() < deadline:
            status = self._getstatus()
        self.status = Status.Disconnected if status & Status.Busy else status
        return self.status

    def replied_atoms(self) -> int | None:
        """Atom count of the reply that begins to arrive; None if it breaks off."""
        length = HDRLEN + 8 + 4
        deadline = time.monotonic() + MESSAGE_TIMEOUT
        while len(head := self.recv(length, socket.MSG_PEEK)) < length:
            if not head or time.monotonic() > deadline:
                return None
            time.sleep(1e-4)
        if not head.startswith(b"FORCEREADY"):
            return None
        return int(np.frombuffer(head, np.int32, 1, HDRLEN + 8)[0])

    def has_gone(self) -> bool:
        """Whether the other end is closed: its process has ended."""
        try:
            return bool(_readable([self])) and self.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True

    def peer_pid(self) -> int:
        """Process at the other end of a unix socket; 0 if unknown."""
        if self.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
            return 0
        credentials = self.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return struct.unpack("3i", credentials)[0]


class _Server(InterfaceSocket):
    """i-PI's server with a loop of ours (see the module's text)."""

    def __init__(self, name: str, config: SocketConfig) -> None:
        super().__init__(
            address=config.address,
            port=config.port or 0,
            slots=64,
            mode=config.mode,
            timeout=config.reply_deadline,
            sockets_prefix="/tmp/ipi_",
        )
        self.name = name
        self.joining: list[_Client] = []
        self.dropped = 0

    def open(self) -> None:
        super().open()
        self.server.setblocking(False)

    def poll(self) -> None:
        self._accept()
        # replies first: a driver that has just become free gets the next structure at once
        self._collect()
        self._dispatch()

    @property
    def waiting_on(self) -> list:
        """The sockets on which something may happen next."""
        return [self.server, *self.joining, *(client for _, client, _ in self.jobs)]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.server.accept()
            except (BlockingIOError, InterruptedError):
                break
            sock.settimeout(MESSAGE_TIMEOUT)
            if sock.family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = _Client(sock)
            # LAMMPS answers only after its first force evaluation: do not wait here
            try:
                client.send_msg("status")
            except OSError:
                continue
            client.waitstatus = True
            self.joining.append(client)
        for client in _readable(self.joining):
            self.joining.remove(client)
            if client.get_status() & Status.Up:
                self.clients.append(client)
                info(f" @mixpi: {self.name} driver connected", verbosity.low)
            else:
                self._drop(client)
        for client in list(self.joining):
            if time.monotonic() - client.connected > self.timeout:
                self.joining.remove(client)
                self._drop(client)

    def _dispatch(self) -> None:
        busy = {id(client) for _, client, _ in self.jobs}
        for client in [c for c in self.clients if id(c) not in busy]:
            self.prlist = [r for r in self.requests if r["status"] == "Queued"]
            if not self.prlist:
                break
            request = self.prlist[0]
            if request.get("attempts", 0) >= MAX_ATTEMPTS:
                raise PoolError(
                    f"{MAX_ATTEMPTS} {self.name} drivers in a row were lost while computing the "
                    "same structure; see their logs"
                )
            self._require_right_structure(client, request)
            if not self.dispatch_free_client(client, "any"):
                self._drop(client)

    def _require_right_structure(self, client: _Client, request) -> None:
        """Refuse a driver that does not ask what the atoms are, once they may be others.

        It computes one structure, whose atoms it was told when it was started; given
        others it would take them for those.
        """
        wanted = request["pars"]
        if INIT_KEY not in wanted or client.status & Status.NeedsInit:
            return
        if client.told is None:
            client.told = wanted  # it was started for this structure, one must believe
            say_aloud(
                f"the {self.name} driver does not ask what the atoms are (NEEDINIT): it "
                "must have been started for exactly the atoms of this region, in this order. "
                f"{ONE_STRUCTURE}"
            )
        elif client.told != wanted:
            raise PoolError(
                f"the atoms of the region have changed, but the {self.name} driver does not ask "
                f"what they are (NEEDINIT) before each evaluation: it can compute one structure "
                f"only. {ONE_STRUCTURE}"
            )

    def _collect(self) -> None:
        readable = {id(c) for c in _readable([client for _, client, _ in self.jobs])}
        now = time.time()
        for job in list(self.jobs):
            request, client, _ = job
            if id(client) in readable:
                self._receive(request, client)
                self.jobs.remove(job)
            elif 0 < request["start"] < now - self.timeout:
                self._requeue(request, client)
                self.jobs.remove(job)

    def _receive(self, request, client: _Client) -> None:
        expected = len(request["active"]) // 3
        try:
            atoms = client.replied_atoms()
            if atoms not in (None, expected):
                raise PoolError(
                    f"a {self.name} driver returned forces for {atoms} atoms, {expected} were "
                    "asked for: it was started for another structure"
                )
            received = client.dispatch_recv(request)
        except OSError:
            received = False
        except (ValueError, TypeError, AttributeError) as error:
            raise PoolError(f"a {self.name} driver sent unreadable 'extras': {error}") from None
        if not received:
            self._requeue(request, client)
        elif not (client.status & Status.Up):
            self._drop(client)

    def _requeue(self, request, client: _Client) -> None:
        request["status"] = "Queued"
        request["start"] = -1
        request["attempts"] = request.get("attempts", 0) + 1
        self._drop(client)

    def _drop(self, client: _Client) -> None:
        if client.has_gone():
            text = f" @mixpi: lost a {self.name} driver; its work is given to another"
            warning(text, verbosity.low)
        else:
            # said whatever the verbosity: the launcher looks for this line
            print(
                f" @mixpi: a {self.name} driver does not reply as it should within "
                f"{self.timeout:g} s (reply_deadline); {HUNG.format(pid=client.peer_pid())}",
                flush=True,
            )
        self.dropped += 1
        if client in self.clients:
            self.clients.remove(client)
        client.status = Status.Disconnected
        client.close()

    def close(self) -> None:
        self.clients += self.joining
        self.joining = []
        super().close()


class DriverPool(FFSocket):
    """Drivers of one kind, behind one address.

    Parameters
    ----------
    name : str
        "cheap" or "expensive", for messages.
    config : SocketConfig
        Where they connect and how long they are waited for.
    """

    def __init__(self, name: str, config: SocketConfig) -> None:
        super().__init__(
            name=name, threaded=False, dopbc=False, interface=_Server(name, config), pars={}
        )
        self.config = config
        self.closed = False
        self._idle_since = time.monotonic()

    def open(self) -> None:
        """Listen; a socket file left by a dead run is removed.

        Raises
        ------
        MixpiError
            If the address is in use.
        """
        cleared = claim(self.config)
        if cleared:
            warning(f" @mixpi: {cleared}", verbosity.low)
        try:
            self.socket.open()
        except (OSError, RuntimeError) as error:
            raise PoolError(f"cannot listen on {describe(self.config)}: {error}") from None
        info(f" @mixpi: {self.name} drivers may connect to {describe(self.config)}", verbosity.low)
        self._idle_since = time.monotonic()

    def submit(self, positions: np.ndarray, cell: np.ndarray, key: int, init: str = ""):
        """Hand a structure to the next free driver.

        Parameters
        ----------
        positions : ndarray, shape (n, 3)
            Bohr.
        cell : ndarray, shape (3, 3)
            i-PI's h: columns are lattice vectors, Bohr.
        key : int
            Number of the bead; drivers may use it to keep state.
        init : str
            Text for drivers that ask (ASCII).

        Returns
        -------
        request
            For :meth:`result`.
        """
        if not self.requests:
            self._idle_since = time.monotonic()  # nobody has looked since the last evaluation
        self.pars = {INIT_KEY: init} if init else {}
        self.iactive = None  # the number of atoms may differ from the last request's
        return self.queue(
            SimpleNamespace(q=np.ascontiguousarray(positions).reshape(-1)),
            SimpleNamespace(h=cell, ih=np.linalg.inv(cell)),
            reqid=key,
        )

    def poll(self) -> None:
        """Do what can be done without waiting."""
        with self._threadlock:
            if self.closed or softexit.triggered:
                raise PoolStopped("i-PI is stopping")
            server = self.socket
            had_driver = bool(server.clients)
            server.poll()
            if server.clients or had_driver:
                self._idle_since = time.monotonic()
            elif (
                not server.joining
                and time.monotonic() - self._idle_since > self.config.connect_deadline
            ):
                raise PoolError(
                    f"no {self.name} driver has connected to {describe(self.config)} within "
                    f"{self.config.connect_deadline:g} s (connect_deadline)"
                )

    def result(self, request) -> tuple[float, np.ndarray, dict]:
        """Energy (Hartree), forces (n, 3) (Hartree/Bohr) and extras of a finished request.

        Raises
        ------
        PoolError
            If the energy or a force is NaN or infinite.
        """
        self.release(request)
        energy, forces, _, extras = request["result"]
        forces = forces.reshape(-1, 3)
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            bad = np.flatnonzero(~np.isfinite(forces).all(axis=1))
            where = f"forces on {len(bad)} atoms, first {bad[0]}" if len(bad) else "energy"
            raise PoolError(
                f"a {self.name} driver returned NaN or infinity ({where}): atoms may be too "
                "close, the time step too long, or the model far outside its training data"
            )
        return energy, forces, extras

    def close(self) -> None:
        """Send EXIT to the drivers and remove the socket."""
        with self._threadlock:
            if not self.closed:
                self.closed = True
                self.socket.close()


def wait(
    batches: dict[DriverPool, list], *, meanwhile: Callable[[], None] | None = None
) -> dict[str, float]:
    """Serve the pools until every request is done.

    Parameters
    ----------
    batches : dict
        Pool → its requests.
    meanwhile : callable, optional
        Called again and again; what it raises ends the wait.

    Returns
    -------
    dict
        Pool name → s from the call until its last reply.

    Raises
    ------
    PoolError
        If a pool cannot deliver.
    PoolStopped
        If i-PI was asked to stop.
    """
    start = time.perf_counter()
    seconds: dict[str, float] = {}
    while True:
        if meanwhile is not None:
            meanwhile()
        for pool, requests in batches.items():
            if pool.name in seconds:
                continue
            pool.poll()
            if all(request["status"] == "Done" for request in requests):
                seconds[pool.name] = time.perf_counter() - start
        if len(seconds) == len(batches):
            return seconds
        watched = [s for p in batches if p.name not in seconds for s in p.socket.waiting_on]
        # the time limit is for deadlines; a closed pool shows as an error here
        try:
            select.select(watched, [], [], 0.2)
        except (OSError, ValueError):
            time.sleep(0.01)


def init_text(numbers: np.ndarray) -> str:
    """What a driver that asks is told of a structure: its atomic numbers (m,), as JSON."""
    return json.dumps({"numbers": np.asarray(numbers).tolist()}, separators=(",", ":"))


def _readable(sockets: list) -> list:
    return select.select(sockets, [], [], 0)[0] if sockets else []
