"""The folders of several runs: each an ordinary one, that differs from the others by its seed.

Files that a run reads are links, under the names that they have for the input; so all runs have
the same, and what is changed is changed for all. A record beside them says what the runs are of:
runs that are continued, or that more are added to, must be of the same.
"""

from __future__ import annotations

import json
import os
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..blend.levels import POOLS
from ..check.checking import newest_state
from ..check.overwriting import inputs_of_run
from ..config import default_address
from ..drivers.mace_files import file_hash
from ..errors import MixpiError
from ..files.replacing import replace_text
from ..ipi.input import IpiInput, read_ipi_input
from ..output.checkpoints import RESTART, read_checkpoint
from ..run.locking import LOGS


#: Says what the runs in a folder are of.
RECORD = "mixpi.runs.json"
#: Keys of a pool that do not change what is computed.
_TECHNICAL = ("count", "max_restarts", "socket")
#: From which seeds are derived if the input has none; i-PI itself would take the time of day.
NO_SEED = 0


def seed_of_run(seed: int, number: int) -> int:
    """The seed of i-PI's random numbers in one of several runs.

    Parameters
    ----------
    seed : int
        That of the input.
    number : int
        Of the run, from 1.

    Returns
    -------
    int
        Below 2³¹; numpy's ``SeedSequence`` makes those of different runs independent.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(number,))
    return int(sequence.generate_state(1)[0] >> 1)


@dataclass(frozen=True)
class RunFolder:
    """One of several runs.

    Attributes
    ----------
    number : int
        From 1.
    seed : int
    input : Path
        Its i-PI input.
    """

    number: int
    seed: int
    input: Path

    @property
    def folder(self) -> Path:
        """Where it runs."""
        return self.input.parent

    @property
    def is_finished(self) -> bool:
        """Whether all its steps are done."""
        state = read_checkpoint(self.folder / RESTART)
        return state is not None and not state.has_steps_left

    def begin(self) -> Path:
        """What it is started from: its newest state, or the input.

        Raises
        ------
        MixpiError
            If the input is wrong.
        """
        state = newest_state(read_ipi_input(self.input))
        if state is None:
            return self.input
        path = self.folder / state.path.name
        if state.path != path:
            shutil.copy(state.path, path)
        return path


class RunFolders:
    """The folders of several runs of an input.

    Parameters
    ----------
    ipi_input : IpiInput
        The input, no RESTART.
    folder : Path
        That they are in.
    count : int
        Runs.

    Attributes
    ----------
    runs : list of RunFolder
    notes : list of str
        What is good to know.

    Raises
    ------
    MixpiError
        If the input is not for several runs, or the folder holds something else.
    """

    def __init__(self, ipi_input: IpiInput, folder: Path, count: int) -> None:
        if count < 1:
            raise MixpiError(f"--runs {count}: at least one run is needed")
        self._input, self.folder = ipi_input, folder
        self.notes: list[str] = []
        self._seed = self._read_seed()
        self._require_suitable()
        self._files = dict(self._links())
        self.runs = [
            RunFolder(number, seed_of_run(self._seed, number), self._folder(number) / self._name)
            for number in range(1, count + 1)
        ]

    @property
    def _name(self) -> str:
        return self._input.path.name

    def _folder(self, number: int) -> Path:
        return self.folder / str(number)

    def look(self) -> None:
        """Look whether what is there already is of this input.

        Raises
        ------
        MixpiError
            If it is not.
        """
        path = self.folder / RECORD
        there = [] if not self.folder.exists() else sorted(p.name for p in self.folder.iterdir())
        if path.exists():
            self._require_same(path)
        elif others := [name for name in there if name != LOGS]:
            raise MixpiError(
                f"{self.folder} holds other things ({', '.join(others[:3])}) and no {RECORD}: "
                "give a new folder for the runs (--folder)"
            )
        for run in [run for run in self.runs if run.input.exists()]:
            self._require_own(run)
        further = sorted(int(name) for name in there if name.isdecimal())
        if more := [str(number) for number in further if number > len(self.runs)]:
            self.notes.append(f"runs {', '.join(more)} in {self.folder} are left as they are")

    def _require_own(self, run: RunFolder) -> None:
        """Refuse a folder that is not of this input.

        Raises
        ------
        MixpiError
            Which file is another.
        """
        if run.input.read_text(encoding="utf-8") != self._text(run):
            raise MixpiError(
                f"{run.input} is not what {self._input.path} gives for run {run.number}: one of "
                "them has changed since. Put it back, or begin new runs in another folder "
                "(--folder)"
            )
        for name, target in self._files.items():
            own = run.folder / name
            if not (own.exists() and own.samefile(target)):
                raise MixpiError(f"{own} is not {target} any more: make it a link to that again")

    def make(self) -> None:
        """Make those that are not there; the folder that they are in is."""
        path = self.folder / RECORD
        if not path.exists():
            replace_text(path, json.dumps(self._record(), indent=1) + "\n")
        for run in self.runs:
            if not run.input.exists():
                self._make(run)

    def _require_same(self, path: Path) -> None:
        """Refuse runs that are of something else.

        Raises
        ------
        MixpiError
            What the difference is.
        """
        try:
            found = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise MixpiError(f"{path} cannot be read: give a new folder (--folder)") from None
        now = json.loads(json.dumps(self._record()))
        # a word that was no file may have become the name of one
        now["files"] = {n: h for n, h in now["files"].items() if n in found.get("files", ())}
        differences = _differences(found, now)
        if first := next(differences, None):
            raise MixpiError(
                f"the runs in {self.folder} were begun with another {first}. Put it back, or begin "
                "new runs in another folder (--folder)"
            )

    def _make(self, run: RunFolder) -> None:
        run.folder.mkdir(exist_ok=True)
        for name, target in self._files.items():
            link = run.folder / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(link):
                link.symlink_to(os.path.relpath(target, link.parent.resolve()))
        replace_text(run.input, self._text(run))  # the last: what has it is whole

    def _text(self, run: RunFolder) -> str:
        """The input with the seed of a run."""
        builder = ElementTree.TreeBuilder(insert_comments=True)
        source = self._input.path.read_text(encoding="utf-8")
        root = ElementTree.fromstring(source, ElementTree.XMLParser(target=builder))
        prng = root.find("prng")
        if prng is None:
            prng = ElementTree.SubElement(root, "prng")
        seed = prng.find("seed")
        if seed is None:
            seed = ElementTree.SubElement(prng, "seed")
        seed.text = str(run.seed)
        origin = os.path.relpath(self._input.path, run.folder).replace("--", "- -")
        return f"<!-- Run {run.number} of {origin}, with a seed of its own. -->\n" + (
            ElementTree.tostring(root, encoding="unicode") + "\n"
        )

    def _read_seed(self) -> int:
        text = (self._input.root.findtext("prng/seed") or "").strip()
        if not text:
            self.notes.append(
                f"{self._name} has no <prng><seed>: the seeds of the runs are derived from "
                f"{NO_SEED}"
            )
            return NO_SEED
        if not text.isdecimal():
            raise MixpiError(
                f"{self._input.path}: <prng><seed> is {text}: seeds of several runs are derived "
                "from it, and it must be a whole number, 0 or more"
            )
        return int(text)

    def _require_suitable(self) -> None:
        root, path = self._input.root, self._input.path
        if root.find("./system/beads") is not None:
            raise MixpiError(
                f"{path} is a state of one run. Several runs begin from an input, with velocities "
                "of their own; the same command as before continues those that were stopped"
            )
        if root.find("prng/state") is not None:
            raise MixpiError(
                f"{path} has a <state> in <prng>, which i-PI takes in place of a seed: all runs "
                "would be the same. Leave it out"
            )
        modes = [node.get("mode", "").strip() for node in root.iter("velocities")]
        if "thermal" not in modes and not any(map(_feels_noise, root.iter("dynamics"))):
            raise MixpiError(
                f"{path} has neither <velocities mode='thermal'> nor a thermostat that is used "
                "(<dynamics mode='nvt'>): nothing is random, and all runs would be the same"
            )
        config, config_path = self._input.config, self._input.config_path
        if not config_path.is_relative_to(self._input.folder):
            raise MixpiError(
                f"{path} names {config_path}: each of several runs finds its configuration in its "
                "own folder. Put it, or a link to it, beside the input"
            )
        named = [*(name for _, name in self._input.outputs), config.output.steps]
        for name in [*named, config.output.trajectory or ""]:
            if os.path.isabs(name):
                raise MixpiError(
                    f"the output {name} is a whole path: all runs would write into one file. Give "
                    "a name without a folder"
                )
        for pool in self._input.pools:
            if pool != "expensive":
                self._require_own_drivers(pool)

    def _require_own_drivers(self, pool: str) -> None:
        """Refuse drivers of which each run needs its own, if only one run could have them."""
        driver = getattr(self._input.config, pool)
        own = default_address(self._input.config_path, pool)
        if driver.external or driver.socket.mode == "inet" or driver.socket.address != own:
            raise MixpiError(
                f"{self._input.config_path}: each of several runs has {pool} drivers of its own, "
                f"at an address of its own: leave out 'external', and 'socket' with its mode, "
                f"address and port, in '{pool}:'"
            )

    def _links(self) -> Iterator[tuple[str, Path]]:
        """What each run reads: its name as seen from the input, and the file or folder.

        Raises
        ------
        MixpiError
            If a name leads out of the folder of the input.
        """
        home, config_path = self._input.folder, self._input.config_path
        found = inputs_of_run(self._input)
        for pool in POOLS:
            driver = getattr(self._input.config, pool)
            python = getattr(driver.driver, "python", None) if driver else None
            if python and (config_path.parent / python).is_dir():
                found[config_path.parent / python] = f"the Python of the {pool} driver"
        for path, what in found.items():
            if path == self._input.path or not path.is_relative_to(home):
                continue  # of whole paths nothing need be linked
            name = os.path.normpath(path.relative_to(home))
            if name.startswith(".."):
                raise MixpiError(
                    f"{what} is {name}, which is outside of {home}: each of several runs has a "
                    f"folder of its own. Give the whole path, {os.path.normpath(path)}, or link "
                    "the file into the folder"
                )
            yield name, path

    def _record(self) -> dict[str, Any]:
        """What the runs are of."""
        config = self._input.config.model_dump(mode="json")
        for pool in POOLS:
            for key in _TECHNICAL:
                (config.get(pool) or {}).pop(key, None)
        told = (self._input.path, self._input.config_path)  # elsewhere, and key by key
        files = {
            os.path.relpath(path, self._input.folder): file_hash(path)
            for path in sorted(inputs_of_run(self._input))
            if path not in told and path.is_file()
        }
        return {"input": self._name, "seed": self._seed, "config": config, "files": files}


def _feels_noise(dynamics: ElementTree.Element) -> bool:
    """Whether i-PI's dynamics uses a thermostat that it has."""
    used = dynamics.get("mode", "nve").strip() != "nve"
    return used and any(node.get("mode", "").strip() for node in dynamics.iter("thermostat"))


def _differences(found: Any, wanted: Any, where: str = "") -> Iterator[str]:
    """Places at which two records differ, in words."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted({*found, *wanted}):
            deeper = f"{where}: {key}" if where else key
            yield from _differences(found.get(key), wanted.get(key), deeper)
    elif found != wanted:
        shown = [text if len(text := json.dumps(one)) < 60 else "..." for one in (found, wanted)]
        yield f"{where} ({shown[0]}, now {shown[1]})"
