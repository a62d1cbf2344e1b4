"""The relay as a process of its own: what it prints, and what it waits for, holds up nobody.

To the launcher it is what i-PI's process is in a single run: it opens the socket of the drivers
and tells by a journal who has connected, and what they have done.
"""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path

from ..config import load_config
from ..errors import MixpiError
from ..run.guardian import own_family
from ..run.journal import Failed, Served, journal
from ..sockets.addresses import unix_path
from ..sockets.pool import DriverPool
from ..sockets.relay import Relay
from ..sockets.shared import SHARED, shared_address


#: s between two words on what the drivers have done, and for which a turn may wait.
TELL_EVERY, TURN = 10.0, 0.1


def main() -> None:
    """Relay until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m mixpi.runs.relaying", description=__doc__)
    parser.add_argument("--journal", required=True, metavar="FILE", help="the launcher's")
    parser.add_argument("config", type=Path, help="configuration of the drivers")
    parser.add_argument(
        "runs", nargs="+", metavar="NUMBER=FILE", help="configuration in the folder of each run"
    )
    arguments = parser.parse_args()
    journal.open(arguments.journal)
    stopped: list[int] = []
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda n, _frame: stopped.append(n))
    parts = [word.partition("=") for word in arguments.runs]
    places = {int(n): unix_path(shared_address(Path(path))) for n, _, path in parts}
    driver = getattr(load_config(arguments.config), SHARED)
    pool = DriverPool(SHARED, driver, launched_by=own_family())
    try:
        pool.open()
        relay = Relay(pool, places, lines=driver.count)
        told = 0.0
        while not stopped:
            relay.turn(TURN)
            if relay.elapsed and time.monotonic() - told > (TELL_EVERY if told else 0.0):
                told = time.monotonic() if _tell(pool, relay) else 0.0
        _tell(pool, relay)
        relay.close()
    except MixpiError as error:
        print(f"relay: error: {error}", flush=True)
        journal.tell(Failed(str(error)))


def _tell(pool: DriverPool, relay: Relay) -> bool:
    """Say what each driver has done; whether there was anything to say."""
    done = [(name, load) for name, load in pool.loads.items() if load.evaluations]
    for name, load in done:
        journal.tell(Served(name, load.evaluations, load.seconds, relay.elapsed))
    return bool(done)


if __name__ == "__main__":
    main()
