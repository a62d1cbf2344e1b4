"""``./scripts/campaigns.sh NAME``: a campaign for long, and its table.

The exit code is 1 if an attempt did not pass; its folder is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import shutil
import sys
import tempfile
from pathlib import Path

from .campaign import Tried, run_campaign, table


#: Name (of the module, too) → attempts of a long campaign.
CAMPAIGNS = {"kill": 100, "protocol": 1000, "configuration": 1000, "surroundings": 200}


def main() -> int:
    parser = argparse.ArgumentParser(prog="campaigns.sh", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"{', '.join(CAMPAIGNS)} (default: all)")
    parser.add_argument("--tries", type=int, help="attempts (default: 100 or 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="attempts at a time")
    parser.add_argument("--minutes", type=float, default=math.inf, help="a campaign may take")
    parser.add_argument("--only", default="", metavar="WORDS", help="attempts with these in them")
    parser.add_argument("--folder", type=Path, help="where those that fail are kept")
    arguments = parser.parse_args()
    if unknown := set(arguments.name) - set(CAMPAIGNS):
        parser.error(f"no such campaign: {', '.join(sorted(unknown))}")
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="mixpi-campaign-"))
    bad = 0
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no text

    def say(one: Tried) -> None:
        if one.verdict != "passed":
            text = f"{one.verdict}: {one.kind}: {one.what}\n  {one.detail}"
            print(text, file=sys.stderr, flush=True)

    for name in arguments.name or CAMPAIGNS:
        campaign = importlib.import_module(f"{__package__}.{name}").CAMPAIGN
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.log").open("w") as log, contextlib.redirect_stdout(log):
            tried = run_campaign(
                campaign,
                tries=arguments.tries or CAMPAIGNS[name],
                seed=arguments.seed,
                folder=folder,
                jobs=arguments.jobs,
                minutes=arguments.minutes,
                only=arguments.only,
                say=say,
            )
        print(f"\n{table(name, tried)}\n", flush=True)
        bad += sum(one.verdict != "passed" for one in tried)
    if bad:
        print(f"{bad} attempts did not pass; their folders: {folder}")
    elif arguments.folder is None:
        shutil.rmtree(folder)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
