"""What all campaigns share: attempts, verdicts, the table.

A campaign is a generator of attempts, each drawn from a seeded random number generator
and run in a folder of its own; ``tests/campaigns/__main__.py`` runs it for long, the tests
beside it a few attempts of each.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path


#: What can become of an attempt; only the first is as it should be.
VERDICTS = ("passed", "wrong", "hung", "left over", "traceback")


@dataclass(frozen=True)
class Result:
    """What became of one attempt.

    Attributes
    ----------
    verdict : str
        passed: the outcome is right, or it is refused with a reason. wrong: a wrong number, or a
        wrong exit code, or no reason. hung: longer than its deadline. left over: a process, a
        socket or a lock remained. traceback: Python's words instead of ours.
    detail : str
        What was seen, if not passed.
    """

    verdict: str
    detail: str = ""

    def __post_init__(self) -> None:
        assert self.verdict in VERDICTS, self.verdict


@dataclass(frozen=True)
class Attempt:
    """One way to break it: a kind (a row of the table), what exactly, and how it is tried."""

    kind: str
    what: str
    run: Callable[[Path], Result]


@dataclass(frozen=True)
class Campaign:
    """A name and, from a random number generator, attempts without end."""

    name: str
    attempts: Callable[[random.Random], Iterator[Attempt]]


@dataclass(frozen=True)
class Tried:
    """An attempt that was made."""

    kind: str
    what: str
    verdict: str
    detail: str
    seconds: float


def run_campaign(
    campaign: Campaign,
    *,
    tries: int,
    seed: int,
    folder: Path,
    jobs: int = 1,
    minutes: float = math.inf,
    only: str = "",
    say: Callable[[Tried], None] | None = None,
) -> list[Tried]:
    """Make so many attempts; the folders of those that did not pass are kept.

    Parameters
    ----------
    campaign : Campaign
    tries : int
    seed : int
        The same seed gives the same attempts.
    folder : Path
        Where each attempt gets a folder, ``<campaign>/<number>``.
    jobs : int
        At a time.
    minutes : float
        After which none is begun any more; those that were not made are not in the list.
    only : str
        Of those attempts only the ones with this in their kind or in what they do; the numbers,
        and so the folders, stay the same.
    say : callable, optional
        Told of each attempt that was made.
    """

    end = time.monotonic() + 60.0 * minutes

    def attempt(numbered: tuple[int, Attempt]) -> Tried | None:
        if time.monotonic() > end:
            return None
        number, one = numbered
        if only not in f"{one.kind}: {one.what}":
            return None
        where = folder / campaign.name / f"{number:05d}"
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir(parents=True)
        start = time.monotonic()
        try:
            result = one.run(where)
        except Exception:  # an attempt that cannot be made proves nothing
            result = Result("wrong", f"the attempt itself failed: {traceback.format_exc()}")
        done = Tried(one.kind, one.what, result.verdict, result.detail, time.monotonic() - start)
        if result.verdict == "passed":
            shutil.rmtree(where, ignore_errors=True)
        else:
            (where / "verdict.json").write_text(json.dumps(vars(done), indent=1))
        if say is not None:
            say(done)
        return done

    chosen = enumerate(islice(campaign.attempts(random.Random(seed)), tries))
    with ThreadPoolExecutor(jobs) as pool:
        return [done for done in pool.map(attempt, chosen) if done is not None]


def table(name: str, tried: list[Tried]) -> str:
    """Markdown: a row a kind, and their sum."""
    rows = [f"| {name} | tried | {' | '.join(VERDICTS)} | longest (s) |"]
    rows.append("|---" * (len(VERDICTS) + 3) + "|")
    kinds = list(dict.fromkeys(one.kind for one in tried))
    for kind in [*kinds, None]:
        some = [one for one in tried if kind in (None, one.kind)]
        count = Counter(one.verdict for one in some)
        cells = [kind or "**all**", len(some), *(count[verdict] for verdict in VERDICTS)]
        cells.append(f"{max((one.seconds for one in some), default=0.0):.1f}")
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)
