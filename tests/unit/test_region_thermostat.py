"""The region thermostat beside i-PI's own, in simulations whose answers are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ase import Atoms
from ipi.engine.simulation import Simulation
from ipi.inputs.simulation import InputSimulation
from ipi.utils.depend import dstrip
from ipi.utils.units import Constants
from mixpi import MixpiError
from mixpi.ipi.region_thermostat import attach, coupling


# i-PI leaves the files open that it reads atoms from
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

FREE = "<pes>dummy</pes>"
HARMONIC = "<pes>harmonic</pes><parameters>{k1: 0.02}</parameters>"
TEMPERATURE = 300.0


def xml(
    *,
    thermostat: str = "langevin",
    mode: str = "nvt",
    beads: int = 1,
    pes: str = HARMONIC,
    fixcom: bool = False,
    tau: float = 40.0,
    splitting: str = "obabo",
    motion: str = "{}",
) -> str:
    dynamics = f"""<motion mode='dynamics'><fixcom>{fixcom}</fixcom>
    <dynamics mode='{mode}' splitting='{splitting}'><timestep units='femtosecond'>1</timestep>
    <thermostat mode='{thermostat}'><tau units='femtosecond'>{tau}</tau></thermostat>
    </dynamics></motion>"""
    return f"""<simulation verbosity='quiet'><total_steps>100000</total_steps>
    <output prefix='none'></output><prng><seed>271828</seed></prng>
    <ffdirect name='toy' threaded='False'>{pes}</ffdirect>
    <system><initialize nbeads='{beads}'><file mode='ase' units='ase'>init.extxyz</file>
    <velocities mode='thermal' units='kelvin'>{TEMPERATURE}</velocities></initialize>
    <forces><force forcefield='toy'/></forces>{motion.format(dynamics)}
    <ensemble><temperature units='kelvin'>{TEMPERATURE}</temperature></ensemble></system>
    </simulation>"""


@pytest.fixture
def simulation(tmp_path, monkeypatch):
    """Factory of i-PI's simulations, with the weights of the thermostat if they are given."""
    monkeypatch.chdir(tmp_path)

    def make(weights=None, *, atoms: int = 40, late: bool = False, **options) -> Simulation:
        places = np.random.default_rng(7).normal(scale=0.05, size=(atoms, 3))
        symbols = ["Si", "H"] * (atoms // 2)
        Atoms(symbols, places, cell=[50.0] * 3, pbc=True).write("init.extxyz")
        given = weights if callable(weights) or weights is None else lambda: np.array(weights)
        early = given and not late
        made = Simulation.load_from_xml(
            xml(**options),
            read_only=True,
            post_init_hook=(lambda loaded: attach(loaded, given)) if early else None,
        )
        if given and late:
            attach(made, given)
        return made

    return make


def go(simulation: Simulation, steps: int) -> None:
    for _ in range(steps):
        simulation.syslist[0].motion.step()


def state(simulation: Simulation) -> tuple[np.ndarray, np.ndarray]:
    """Positions and momenta (beads, n, 3)."""
    beads = simulation.syslist[0].beads
    shape = beads.nbeads, beads.natoms, 3
    return dstrip(beads.q).reshape(shape).copy(), dstrip(beads.p).reshape(shape).copy()


def kinetic(simulation: Simulation) -> np.ndarray:
    """p²/m of each atom and axis, averaged over the beads, in units of its mean at equilibrium."""
    _, p = state(simulation)
    beads = simulation.syslist[0].beads
    kt = Constants.kb * simulation.syslist[0].ensemble.temp * beads.nbeads
    return np.mean(p**2, axis=0) / np.array(beads.m)[:, None] / kt


def heat(simulation: Simulation) -> float:
    return float(simulation.syslist[0].motion.thermostat.ethermo)


KINDS = [("langevin", 1), ("langevin", 4), ("pile_l", 1), ("pile_l", 4)]


@pytest.mark.parametrize("splitting", ["obabo", "baoab"])
@pytest.mark.parametrize("late", [False, True], ids=["before bind", "after bind"])
@pytest.mark.parametrize(("thermostat", "beads"), KINDS)
def test_with_all_weights_one_it_is_i_pi_s_own(simulation, thermostat, beads, late, splitting):
    options = {"thermostat": thermostat, "beads": beads, "splitting": splitting, "fixcom": True}
    stock = simulation(**options)
    ours = simulation(np.ones(40), late=late, **options)
    for one in (stock, ours):
        go(one, 30)
    np.testing.assert_array_equal(state(ours), state(stock))
    assert heat(ours) == heat(stock) != 0.0


@pytest.mark.parametrize(("thermostat", "beads"), KINDS)
def test_weight_zero_feels_nothing_and_weight_one_what_i_pi_does(simulation, thermostat, beads):
    options = {"thermostat": thermostat, "beads": beads}
    weights = np.arange(40) % 3 == 0
    stock, free = simulation(**options), simulation(mode="nve", **options)
    ours = simulation(weights.astype(float), **options)
    for one in (stock, free, ours):
        go(one, 30)
    for found, nve, nvt in zip(state(ours), state(free), state(stock), strict=True):
        np.testing.assert_array_equal(found[:, ~weights], nve[:, ~weights])
        scale = np.abs(nvt).max()
        # between normal modes and beads the last digits are i-PI's only with one bead
        exact = 0.0 if beads == 1 or thermostat == "langevin" else 1e-13
        np.testing.assert_allclose(found[:, weights], nvt[:, weights], rtol=0.0, atol=exact * scale)
        assert np.abs(nvt - nve).max() > 1e-3 * scale


@pytest.mark.parametrize("weight", [0.25, 0.5])
def test_friction_is_in_proportion_to_the_weight(simulation, weight):
    """Momenta of free atoms are forgotten as exp(−w t/τ)."""
    n, steps, tau = 4000, 40, 40.0
    gas = simulation(np.full(n, weight), atoms=n, pes=FREE, tau=tau)
    _, before = state(gas)
    go(gas, steps)
    _, after = state(gas)
    m = np.array(gas.syslist[0].beads.m)[None, :, None]
    kept = np.sum(before * after / m) / np.sum(before**2 / m)
    expected = np.exp(-weight * steps / tau)
    assert abs(kept - expected) < 4.0 * np.sqrt((1.0 - expected**2) / (3 * n))


@pytest.mark.full
@pytest.mark.parametrize(
    ("thermostat", "beads", "pes"),
    [("langevin", 1, FREE), ("langevin", 1, HARMONIC), ("pile_l", 4, HARMONIC)],
    ids=["ideal gas", "oscillators", "ring polymers"],
)
def test_partly_thermostatted_atoms_have_the_temperature(simulation, pes, thermostat, beads):
    """Friction and noise in proportion to w would cool them to w T."""
    n, start = 300, 600
    weights = np.repeat([0.25, 0.5, 1.0], n // 3)
    crystal = simulation(weights, atoms=n, pes=pes, tau=20.0, thermostat=thermostat, beads=beads)
    crystal.syslist[0].beads.p[:] = 0.0
    go(crystal, start)
    samples = []
    for _ in range(60):  # eight and more correlation times of the slowest apart: 20 / (2 × 0.25)
        go(crystal, 20)
        samples.append([kinetic(crystal)[weights == w].mean() for w in (0.25, 0.5, 1.0)])
    found = np.array(samples)
    # correlated over τ/w = 80 fs at most; blocks of 240 fs are nearly independent
    blocks = found.reshape(5, 12, 3).mean(axis=1)
    for mean, error in zip(
        found.mean(axis=0), blocks.std(axis=0, ddof=1) / np.sqrt(5), strict=True
    ):
        assert abs(mean - 1.0) < 5.0 * error + 1e-3
        assert error < 0.05


@pytest.mark.parametrize("fixcom", [False, True])
@pytest.mark.parametrize(("thermostat", "beads"), KINDS)
def test_heat_is_counted_while_the_weights_change(simulation, thermostat, beads, fixcom):
    """Free atoms have no energy but what the thermostat gives them."""
    phases = itertools.count()

    def weights() -> np.ndarray:
        w = np.sin(0.3 * next(phases) + np.arange(40))
        return np.clip(w, 0.0, 1.0)

    gas = simulation(weights, pes=FREE, thermostat=thermostat, beads=beads, fixcom=fixcom)
    ensemble = gas.syslist[0].ensemble
    conserved = [float(ensemble.econs)]
    for _ in range(100):
        go(gas, 1)
        conserved.append(float(ensemble.econs))
    exchanged = abs(heat(gas))
    assert exchanged > 1e-3
    np.testing.assert_allclose(conserved, conserved[0], rtol=0.0, atol=1e-11 * len(conserved))


def test_the_conserved_quantity_is_as_good_as_with_i_pi_s_own(simulation):
    """What is left is the integrator's error, the same with both."""
    phases = itertools.count()
    ours = simulation(lambda: np.abs(np.sin(0.01 * next(phases) + np.arange(40))))
    spread = []
    for one in (simulation(), ours):
        conserved = []
        for _ in range(400):
            go(one, 1)
            conserved.append(float(one.syslist[0].ensemble.econs))
        spread.append(np.std(conserved))
    assert spread[1] < 1.5 * spread[0]


@pytest.mark.parametrize(("thermostat", "beads"), KINDS)
def test_a_fixed_centre_of_mass_drags_nobody(simulation, thermostat, beads):
    weights = np.repeat([0.0, 0.3, 1.0, 0.0], 10)
    options = {"pes": FREE, "thermostat": thermostat, "beads": beads, "fixcom": True}
    ours, free = simulation(weights, **options), simulation(mode="nve", **options)
    for one in (ours, free):
        go(one, 50)
    (_, p), (_, nve) = state(ours), state(free)
    assert np.abs(p.sum(axis=(0, 1))).max() < 1e-10 * np.abs(p).max()
    np.testing.assert_allclose(p[:, weights == 0.0], nve[:, weights == 0.0], atol=1e-12)
    assert np.abs(p - nve)[:, weights > 0.0].min(axis=(0, 1)).max() > 1e-3


def test_with_a_fixed_centre_of_mass_the_distribution_stays_canonical(simulation):
    """The step is linear, p → A p + B ξ; with C = kT (M − m mᵀ/Σm), A C Aᵀ + B Bᵀ = C."""
    weights, n = np.array([0.0, 0.2, 0.9, 1.0]), 4
    ours = simulation(weights, atoms=n, pes=FREE, tau=2.0, fixcom=True)
    thermostat = ours.syslist[0].motion.thermostat
    beads = ours.syslist[0].beads

    class Numbers:
        """Random numbers that are given."""

        def gvec(self, size: int) -> np.ndarray:
            return self.next

    thermostat.prng = Numbers()

    def response(p: np.ndarray, xi: np.ndarray) -> np.ndarray:
        beads.p[0] = p
        thermostat.prng.next = xi
        thermostat.step()
        return np.array(dstrip(beads.p)[0])

    units, none = np.eye(3 * n), np.zeros(3 * n)
    a = np.array([response(unit, none) for unit in units]).T
    b = np.array([response(none, unit) for unit in units]).T
    m = np.repeat(np.array(beads.m), 3)
    kt = Constants.kb * ours.syslist[0].ensemble.temp
    total = np.tile(np.eye(3), n)
    canonical = kt * (np.diag(m) - np.outer(m, m) * (total.T @ total) / np.sum(beads.m))
    np.testing.assert_allclose(a @ canonical @ a.T + b @ b.T, canonical, atol=1e-12 * kt * m.max())
    # what i-PI would do, which is to take the common momentum from all alike, is not that
    damping = np.repeat(np.exp(-weights * thermostat.dt / thermostat.tau), 3)
    rest = np.eye(3 * n) - (m[:, None] / np.sum(beads.m)) * (total.T @ total)
    a, bb = rest * damping, rest * (kt * m * (1.0 - damping**2)) @ rest.T
    away = a @ canonical @ a.T + bb - canonical
    assert np.abs(away).max() > 1e-3 * kt * m.max()


@pytest.mark.parametrize(("thermostat", "beads"), KINDS)
def test_a_restart_is_i_pi_s_and_exact(simulation, thermostat, beads):
    weights = np.linspace(0.0, 1.0, 40)
    reference = simulation(weights, thermostat=thermostat, beads=beads)
    go(reference, 20)
    stored = InputSimulation()
    stored.store(reference)
    text = stored.write(name="simulation")
    assert f"<thermostat mode='{thermostat}'" in text
    again = Simulation.load_from_xml(
        text, read_only=True, post_init_hook=lambda loaded: attach(loaded, lambda: weights)
    )
    for one in (reference, again):
        go(one, 20)
    for found, wanted in zip(state(again), state(reference), strict=True):
        # RESTART has nine digits
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)
    assert heat(again) == pytest.approx(heat(reference), rel=1e-6)


def test_inside_several_motions(simulation):
    """Two half trajectories in turns, each with its thermostat."""
    twice = "<motion mode='multi'>{0}{0}</motion>"
    weights = np.repeat([0.0, 1.0], 20)
    ours, stock = simulation(weights, motion=twice), simulation(motion=twice)
    free = simulation(mode="nve", motion=twice)
    for one in (ours, stock, free):
        go(one, 20)
    for found, nve, nvt in zip(state(ours), state(free), state(stock), strict=True):
        np.testing.assert_array_equal(found[:, :20], nve[:, :20])
        np.testing.assert_array_equal(found[:, 20:], nvt[:, 20:])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"thermostat": "svr"}, "mode='svr'"),
        ({"thermostat": "pile_g", "beads": 2}, "mode='pile_g'"),
        ({"thermostat": "ffl"}, "mode='ffl'"),
        ({"mode": "nve"}, "none that acts"),
        ({"mode": "nvt-cc", "beads": 2, "thermostat": "pile_l"}, "mode='nvt-cc'"),
        ({"thermostat": ""}, "none that acts"),
    ],
)
def test_thermostats_that_cannot(simulation, options, said):
    with pytest.raises(MixpiError, match=said):
        simulation(np.ones(40), **options)


@pytest.fixture
def structure(tmp_path):
    path = tmp_path / "atoms.extxyz"
    places = [[0, 0, 0], [4, 0, 0], [8, 0, 0]]
    Atoms("SiHSi", places, cell=[12.0] * 3, pbc=True).write(path)
    return path


@pytest.mark.parametrize(
    ("acts_on", "expected"),
    [
        ("cheap", [0.75, 0.0, 1.0]),
        ("expensive", [0.25, 1.0, 0.0]),
        ("species H", [0, 1, 0]),
        ("near 0 0 0 within 3", [1, 0, 0]),
        ([0, 2], [1, 0, 1]),
        ([0, 1, 2], [1, 1, 1]),
    ],
)
def test_where_it_acts(structure, acts_on, expected):
    weights = coupling(acts_on, structure, lambda: np.array([0.25, 1.0, 0.0]))
    np.testing.assert_array_equal(weights(), expected)


@pytest.mark.parametrize(
    ("acts_on", "said"),
    [
        ("species He", "acts_on: no atom matches 'species He'"),
        ("cold", "acts_on: 'cold' is not understood"),
        ([3], "acts_on: .*3"),
        ("none", "acts_on: no atom matches 'none'"),
    ],
)
def test_nowhere(structure, acts_on, said):
    with pytest.raises(MixpiError, match=said):
        coupling(acts_on, structure, lambda: np.zeros(3))
