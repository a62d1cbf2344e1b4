"""The configuration of one of several runs, whose expensive drivers are those of all.

Its process listens as always, but the one who connects is the relay
(:mod:`mixpi.sockets.relay`), which also watches how long a driver may take: a run that waits for
its turn waits as long as it must.
"""

from __future__ import annotations

import math
from pathlib import Path

from ..config import MixingConfig, default_address
from .config import SocketConfig


#: The pool whose drivers are shared.
SHARED = "expensive"


def shared_address(config_path: Path) -> str:
    """Where a run listens for the relay, by the file of its configuration.

    No address that the run would have by itself: it may be continued alone.
    """
    return default_address(config_path, f"{SHARED}-shared")


def with_shared_drivers(config: MixingConfig, config_path: Path) -> MixingConfig:
    """The configuration as the processes of one of several runs see it.

    Parameters
    ----------
    config : MixingConfig
        As it is in the file, with its addresses filled in.
    config_path : Path
        The file, in the run's folder.
    """
    socket = SocketConfig(address=shared_address(config_path))
    # as long as the relay is there it will answer; if it is gone the connection is closed
    socket = socket.model_copy(update={"reply_deadline": math.inf})
    driver = getattr(config, SHARED).model_copy(update={"socket": socket})
    return config.model_copy(update={SHARED: driver})
