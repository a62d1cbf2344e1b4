"""Mixed forces from real i-PI, LAMMPS and MACE against the same engines called through ASE."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from conftest import TERSOFF, ipi_xml, silicon, the_rest_slow
from engines import lammps_calculator, mace_calculator
from mixpi import MixingCalculator, build_regions
from mixpi.structure import read_structure
from scipy.spatial.transform import Rotation


pytestmark = [
    pytest.mark.full,
    pytest.mark.filterwarnings("ignore"),  # torch, e3nn and mace warn a lot
]

CHEAP = {"lammps": {"potential": TERSOFF}}
RADII = {"core": 2.6, "blend": 2.6, "buffer": 4.0}


@pytest.fixture(scope="module")
def lmp():
    return lammps_calculator()


@pytest.fixture(scope="module")
def mace(tiny_model):
    return mace_calculator(tiny_model)


def triclinic() -> Atoms:
    atoms = make_supercell(bulk("Si", a=5.46), [[4, 0, 0], [1, 4, 0], [0, 1, 5]])
    atoms.rattle(0.05, seed=8)
    atoms.rotate(37, (1, 2, 3), rotate_cell=True)  # i-PI and mixpi must turn it alike
    return atoms


SYSTEMS = {"cubic": lambda: silicon(3), "triclinic, rotated": triclinic}


@pytest.mark.parametrize("profile", ["linear", "cubic"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_one_step_is_the_blend_of_both_engines(make_case, mace_tiny, lmp, mace, system, profile):
    regions = {**RADII, "profile": profile}
    case = make_case(
        SYSTEMS[system](), seeds=[0, 5], regions=regions, cheap=CHEAP, expensive=mace_tiny, steps=1
    )
    case.config["remove_net_force"] = False
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr

    atoms = read_structure(case.folder / "init.extxyz")
    r = build_regions(atoms.positions, atoms.cell, [0, 5], **regions)
    cheap = lmp.get_forces(atoms.copy())
    expensive = np.zeros_like(cheap)
    expensive[r.cluster] = mace.get_forces(atoms[r.cluster])
    w = r.weights[:, None]
    assert r.blend.sum() > 0 and r.cluster.size < len(atoms)
    assert np.abs(expensive - cheap)[r.core].max() > 1e-2, "the engines must differ"
    wanted = w * expensive + (1 - w) * cheap
    np.testing.assert_allclose(case.forces()[0], wanted, rtol=0, atol=1e-6)


def test_four_beads_share_a_region_and_each_has_its_forces(make_case, mace_tiny, lmp, mace):
    atoms = silicon(3)
    case = make_case(
        atoms,
        seeds=[0],
        regions=RADII,
        cheap=CHEAP,
        expensive=mace_tiny,
        steps=2,
        beads=4,
        stride=1,
    )
    case.config["remove_net_force"] = False
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    frame = 2
    beads = [case.positions(k)[frame] for k in range(4)]
    assert max(np.abs(beads[0] - b).max() for b in beads[1:]) > 1e-4, "beads must differ"
    weights = np.max([build_regions(b, atoms.cell, [0], **RADII).weights for b in beads], axis=0)[
        :, None
    ]
    cluster = np.unique(
        np.concatenate([build_regions(b, atoms.cell, [0], **RADII).cluster for b in beads])
    )
    for k, positions in enumerate(beads):
        bead = Atoms(atoms.numbers, positions, cell=atoms.cell, pbc=True)
        cheap = lmp.get_forces(bead)
        expensive = np.zeros_like(cheap)
        expensive[cluster] = mace.get_forces(bead[cluster])
        wanted = weights * expensive + (1 - weights) * cheap
        np.testing.assert_allclose(case.forces(k)[frame], wanted, rtol=0, atol=2e-6)


def ordinary_run(case, command: list[str], steps: int):
    """The same dynamics with a stock <ffsocket> and one driver."""
    import subprocess
    import sys

    address = case.config["cheap"]["socket"]["address"] + "-plain"
    socket = f"<ffsocket name='mix' mode='unix' pbc='False'><address>{address}</address></ffsocket>"
    (case.folder / "input.xml").write_text(ipi_xml(steps=steps, forcefield=socket))
    ipi = subprocess.Popen(
        [sys.executable, f"{sys.prefix}/bin/i-pi", "input.xml"],
        cwd=case.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    driver = subprocess.Popen(
        [word.format(address=address) for word in command],
        cwd=case.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert ipi.wait(120) == 0
    driver.wait(20)
    return case.positions()


def energies(case) -> np.ndarray:
    """Conserved quantity and potential (2, steps + 1), eV."""
    return np.loadtxt(case.folder / "md.out", usecols=(2, 4)).T


@pytest.mark.parametrize("seeds", the_rest_slow(["near 0 0 0 within 3", "all"], "all"))
def test_region_that_covers_everything_is_the_all_expensive_run(
    make_case, mace_tiny, tiny_model, seeds
):
    import sys

    everything = {"core": 20.0, "blend": 0.0, "buffer": 0.0}
    common = {"regions": everything, "cheap": CHEAP, "expensive": mace_tiny, "steps": 100}
    mixed = make_case(folder="mixed", seeds=seeds, **common)
    done = mixed.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    little = "the cluster is 100% of the atoms: mixing gains little"
    expected = "seeds: all: every force will be expensive" if seeds == "all" else little
    assert expected in done.stderr

    plain = make_case(folder="plain", **common)
    command = [sys.executable, "-m", "mixpi.cli", "driver", "mace", "--address", "{address}"]
    command += ["--model", str(tiny_model), "--template", "init.extxyz", "--threads", "1"]
    reference = ordinary_run(plain, command, steps=100)
    found = mixed.positions()
    assert found.shape == reference.shape == (11, 64, 3)
    assert np.abs(reference[-1] - reference[0]).max() > 0.1, "atoms must have moved"
    np.testing.assert_allclose(found, reference, rtol=0, atol=1e-6)
    if seeds == "all":  # then the energy is no estimate
        np.testing.assert_allclose(energies(mixed), energies(plain), rtol=0, atol=1e-4)
        assert not (mixed.folder / "logs" / "cheap-0").exists()


def test_empty_region_is_the_all_cheap_run(make_case, mace_tiny):
    common = {"cheap": CHEAP, "expensive": mace_tiny, "steps": 100}
    mixed = make_case(folder="mixed", seeds="none", **common)
    done = mixed.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr

    plain = make_case(folder="plain", **common)
    from mixpi.drivers import lammps
    from mixpi.drivers.lammps import LammpsSetup

    address = plain.config["cheap"]["socket"]["address"] + "-plain"
    LammpsSetup(TERSOFF).write(
        read_structure(plain.folder / "init.extxyz"),
        plain.folder,
        lammps.serving(address=address),
    )
    env = lammps.environment()["LD_LIBRARY_PATH"]
    # fix ipi does not retry: wait for the socket as a shell script would
    wait = f"while [ ! -S /tmp/ipi_{{address}} ]; do sleep 0.1; done; export LD_LIBRARY_PATH={env};"
    command = ["bash", "-c", f"{wait} exec {' '.join(lammps.command())}"]
    reference = ordinary_run(plain, command, steps=100)
    found = mixed.positions()
    assert np.abs(reference[-1] - reference[0]).max() > 0.1, "atoms must have moved"
    np.testing.assert_allclose(found, reference, rtol=0, atol=1e-6)


def mixed_forces(atoms, seeds, lmp, mace):
    calculator = MixingCalculator(cheap=lmp, expensive=mace, seeds=seeds, **RADII)
    return calculator.get_forces(atoms)


def test_symmetries(lmp, mace):
    atoms = triclinic()
    seeds = np.array([2, 7])
    forces = mixed_forces(atoms, seeds, lmp, mace)
    rng = np.random.default_rng(0)

    moved = atoms.copy()
    moved.positions += [3.1, -20.0, 7.7]
    np.testing.assert_allclose(mixed_forces(moved, seeds, lmp, mace), forces, atol=1e-6)

    wrapped = atoms.copy()
    wrapped.positions += rng.integers(-2, 3, (len(atoms), 3)) @ atoms.cell.array
    np.testing.assert_allclose(mixed_forces(wrapped, seeds, lmp, mace), forces, atol=1e-6)

    order = rng.permutation(len(atoms))
    new_seeds = [int(np.flatnonzero(order == s)[0]) for s in seeds]
    permuted = mixed_forces(atoms[order], new_seeds, lmp, mace)
    np.testing.assert_allclose(permuted, forces[order], atol=1e-6)

    matrix = Rotation.random(rng=rng).as_matrix()
    turned = Atoms(atoms.numbers, atoms.positions @ matrix, cell=atoms.cell @ matrix, pbc=True)
    np.testing.assert_allclose(
        mixed_forces(turned, seeds, lmp, mace), forces @ matrix, rtol=0, atol=1e-6
    )


def test_momentum_is_conserved(make_case, mace_tiny):
    case = make_case(
        silicon(3), seeds=[0], regions=RADII, cheap=CHEAP, expensive=mace_tiny, steps=40, stride=1
    )
    done = case.mixpi("run", "input.xml", "--no-reference", "--quiet")
    assert done.returncode == 0, done.stderr
    assert np.abs(case.forces().sum(axis=1)).max() < 1e-4  # 216 atoms, printed to 1e-8
    from mixpi.output.records import read_steps

    assert read_steps(case.folder / "mix.steps")["net_force"].max() > 1e-2, "nothing was removed"


def test_cluster_forces_converge_with_the_buffer(mace, lmp):
    """The tiny model sees 4 Å twice: a buffer of twice that range is exact."""
    atoms = silicon(5)
    full = mace.get_forces(atoms.copy())
    errors = []
    for buffer in (2.0, 4.0, 6.0, 8.0, 16.1):
        r = build_regions(atoms.positions, atoms.cell, [0], core=2.6, blend=2.6, buffer=buffer)
        cluster = atoms[r.cluster]
        weighted = r.weights[r.cluster] > 0
        error = mace.get_forces(cluster)[weighted] - full[r.cluster][weighted]
        errors.append(np.sqrt((error**2).mean()))
    assert all(b < a / 2 for a, b in itertools.pairwise(errors)), errors
    assert errors[-1] < 1e-9
