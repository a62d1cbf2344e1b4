"""i-PI as ``mixpi run`` starts it: what its own program does, with two things more.

The launcher is told by a journal how the run goes, and the mixing layers are handed the
simulation before its parts are bound to each other.
"""

from __future__ import annotations

import argparse

from ipi.engine.simulation import Simulation
from ipi.utils.softexit import softexit

from ..errors import MixpiError
from ..run.journal import journal
from ..run.stopping import hear_once
from .session import fail, share_drivers
from .simulation import hand_over


def main() -> None:
    """Run an i-PI input to its end."""
    parser = argparse.ArgumentParser(prog="python -m mixpi.ipi.entry", description=__doc__)
    parser.add_argument("--journal", required=True, metavar="FILE", help="the launcher's")
    parser.add_argument(
        "--shared-drivers", action="store_true", help="be one of several runs that share drivers"
    )
    # the last word, as i-PI's own program has it: who continues a run looks there
    parser.add_argument("input", help="the i-PI input, or a RESTART")
    arguments = parser.parse_args()

    journal.open(arguments.journal)
    if arguments.shared_drivers:
        share_drivers()
    softexit.register_function(journal.flush)
    hear_once(softexit)
    try:
        with open(arguments.input, encoding="utf-8") as stream:
            simulation = Simulation.load_from_xml(
                stream, request_banner=True, post_init_hook=hand_over
            )
    except MixpiError as error:
        fail(str(error))  # and end
    softexit.hard_exit = True
    simulation.run()
    softexit.trigger(status=simulation.exit_status, message=simulation.exit_message)


if __name__ == "__main__":
    main()
