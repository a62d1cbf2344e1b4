"""A driver whose connection was lost: for how long, and how often, it tries again."""

from __future__ import annotations

import time

from ..errors import MixpiError


#: s between attempts: at first, and at most. The server may count the lost connection for a
#: while, and refuses whom it counts as one too many.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0


class Attempts:
    """Those of one driver.

    Parameters
    ----------
    deadline : float
        s for which it tries without having been let in.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline, self._pause = deadline, FIRST_PAUSE
        self._connected = self._let_in = time.monotonic()

    def connected(self) -> None:
        """Note that a connection stands."""
        self._connected = time.monotonic()

    def lost(self, done: int) -> tuple[float, float]:
        """Note that it was lost, after so many evaluations.

        Returns
        -------
        pause, left : float
            s to wait, and s to go on trying after that.

        Raises
        ------
        MixpiError
            If it is time to give up.
        """
        now = time.monotonic()
        # one that was closed at once was refused, and the deadline goes on
        if done or now - self._connected > LONGEST_PAUSE:
            self._let_in, self._pause = now, FIRST_PAUSE
        left = self._deadline - (now - self._let_in)
        if left <= 0:
            raise MixpiError(
                f"the connection was lost, and for {self._deadline:g} s the server has not let "
                "this driver in again; its log says why"
            )
        pause = min(self._pause, left)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return pause, left - pause
