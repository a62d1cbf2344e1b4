"""Seeds that are found anew as atoms move: classifiers, the rule in time, the configuration."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from brute_force import image_distances
from hypothesis import given, settings
from hypothesis import strategies as st
from mixpi.check.overwriting import inputs_of
from mixpi.check.seeds import describe_seeds
from mixpi.config import load_config
from mixpi.errors import MixpiError
from mixpi.regions.averaging import TimeAverage
from mixpi.regions.classified import ClassifiedSeeds
from mixpi.regions.classifiers import CoordinationNumber, UserFunction
from mixpi.regions.seed_rules import FixedSeeds, make_seed_rule
from mixpi.structure import read_structure


class Given:
    """A classifier whose values stand in x: the positions say what each atom has."""

    note = ""

    def __init__(self):
        self.calls = 0

    def values(self, positions, cell):
        self.calls += 1
        return positions[:, 0].copy()


def as_positions(values):
    return np.stack([values, np.zeros_like(values), np.zeros_like(values)], axis=1)


def rule(count=6, bounds=(0.4, np.inf), average=(1, 1, 1), **options):
    return ClassifiedSeeds(Given(), count, bounds, TimeAverage(*average), **options)


def random_values(steps, beads=2, count=6, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (steps, beads, count))


def at(seeds, step, values):
    return seeds.at(step, [as_positions(v) for v in values], np.eye(3))


def test_both_ends_of_the_bounds_count():
    values = np.array([[0.39, 0.4, 0.5, 0.6, 0.61, 0.0]])

    def within(*bounds):
        return np.flatnonzero(at(rule(bounds=bounds), 0, values)).tolist()

    assert within(0.4, 0.6) == [1, 2, 3]
    assert within(-np.inf, 0.4) == [0, 1, 5]
    assert within(0.5, 0.5) == [2]


def test_a_seed_in_any_bead_by_averages_of_its_own():
    """Of two values in two beads: averaged over beads too, the atom would be none."""
    seeds = rule(count=2, average=(1, 2, 2))
    at(seeds, 0, np.zeros((2, 2)))
    at(seeds, 1, np.array([[0.5, 0.0], [0.0, 0.6]]))
    found = at(seeds, 2, np.array([[0.3, 0.0], [0.0, 0.1]]))
    assert found.tolist() == [True, False]


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 29), st.integers(1, 3))
def test_it_goes_on_from_a_state_to_the_last_bit(every, repeat, cut, beads):
    values = random_values(30, beads, seed=cut)
    whole, first, second = (rule(average=(every, repeat, every * repeat)) for _ in range(3))
    for step in range(30):
        if step == cut + 1:
            second.restore(first.state())
        other = at(first if step <= cut else second, step, values[step])
        np.testing.assert_array_equal(at(whole, step, values[step]), other)
    one, other = whole.state(), (first if cut == 29 else second).state()
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_steps_without_values_cost_nothing():
    seeds = rule(average=(10, 2, 50))
    for step in range(101):
        at(seeds, step, random_values(1)[0])
    # steps 0 (now), 40, 50, 90, 100, in two beads
    assert seeds.classifier.calls == 10


def test_a_step_that_is_asked_for_again_changes_nothing():
    seeds = rule(average=(1, 2, 2))
    values = random_values(5)
    for step in (0, 1):
        at(seeds, step, values[step])
    before = seeds.state()
    mask = at(seeds, 1, values[4])
    after = seeds.state()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
    np.testing.assert_array_equal(mask, after["mask"])


def test_initial_seeds_and_among():
    values = np.array([[0.0, 0.9, 0.9, 0.0, 0.0, 0.0]])
    among = np.array([True, True, False, True, True, True])
    everything = np.ones(6, dtype=bool)
    seeds = rule(average=(1, 2, 2), initial=everything, among=among)
    assert at(seeds, 0, values).all() and at(seeds, 1, values).all()
    assert at(seeds, 2, values).tolist() == [False, True, *[False] * 4]
    seeds = rule(average=(1, 2, 2), among=among)
    assert at(seeds, 0, values).tolist() == [False, True, *[False] * 4]


def test_seeds_appear_and_vanish():
    seeds, found = rule(count=1, average=(1, 1, 2)), []
    for step, value in enumerate([0.0, 9.0, 1.0, 0.0, 0.0, 9.0, 0.5]):
        found.append(bool(at(seeds, step, np.array([[value]]))[0]))
    assert found == [False, False, True, True, False, False, True]


def test_nobody_changes_the_mask():
    with pytest.raises(ValueError, match="read-only"):
        at(rule(), 0, random_values(1)[0])[0] = True


def test_states_of_others_are_refused():
    seeds = rule(average=(1, 3, 3))
    for step in range(3):
        at(seeds, step, random_values(1)[0])
    with pytest.raises(MixpiError, match="is that of 6 atoms, the structure has 7"):
        rule(count=7).restore(seeds.state())
    with pytest.raises(MixpiError, match="lacks sums"):
        rule().restore({k: v for k, v in seeds.state().items() if k != "sums"})
    with pytest.raises(MixpiError, match=r"followed in 2 bead\(s\), and now there are 1"):
        at(seeds, 3, random_values(1, beads=1)[0])
    fresh = rule()
    fresh.restore(fresh.state())
    assert fresh.state() == {}


@pytest.mark.parametrize("cutoff", [0.9, 2.9, 4.1])
def test_coordination_is_that_of_brute_force(cutoff):
    rng = np.random.default_rng(int(10 * cutoff))
    for _ in range(6):
        cell = np.eye(3) * rng.uniform(3, 7, 3) + np.tril(rng.uniform(-3, 3, (3, 3)), -1)
        positions = rng.uniform(-2, 3, (25, 3)) @ cell
        images = image_distances(positions, cell, cutoff)
        expected = sum(((d > 1e-9) & (d < cutoff)).sum(axis=1) for d in images)
        np.testing.assert_array_equal(CoordinationNumber(cutoff).values(positions, cell), expected)
    assert expected.max() > 0


FUNCTIONS = """
from dataclasses import dataclass
import numpy as np
from beside import twice

@dataclass
class Threshold:
    value: float = 1.0

def height(positions, numbers, cell):
    return twice(positions[:, 2]) * (numbers == 14)

def greedy(positions, numbers, cell):
    positions[:] = 0; numbers[:] = 1; cell[:] = 0
    return numbers.astype(float)

def wrong_shape(positions, numbers, cell):
    return positions

def nan(positions, numbers, cell):
    return np.where(np.arange(len(numbers)) == 3, np.nan, 1.0)

def nothing(positions, numbers, cell):
    pass

def words(positions, numbers, cell):
    return ["a"] * len(numbers)

def fails(positions, numbers, cell):
    raise KeyError("what?")

def ragged(positions, numbers, cell):
    return [[1], [1, 2]]

value = 3
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "measures.py").write_text(FUNCTIONS)
    (tmp_path / "beside.py").write_text("def twice(x):\n    return 2 * x\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "needy.py").write_text("import not_there_at_all\n")
    return tmp_path


def test_a_function(folder):
    atoms = bulk("Si", cubic=True)
    atoms.symbols[2] = "C"
    function = UserFunction("measures:height", folder, atoms.numbers, np.eye(3))
    expected = 2 * atoms.positions[:, 2] * (atoms.numbers == 14)
    np.testing.assert_array_equal(function.values(atoms.positions, atoms.cell.array), expected)


def test_a_function_cannot_change_the_atoms(folder):
    atoms = bulk("Si", cubic=True)
    before = atoms.copy()
    function = UserFunction("measures:greedy", folder, atoms.numbers, np.eye(3))
    for _ in range(2):
        assert function.values(atoms.positions, atoms.cell.array).tolist() == [1.0] * 8
    assert atoms == before


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("measures:wrong_shape", r"returned an array of shape \(8, 3\): .* one number .*\(8,\)"),
        ("measures:nan", r"gives nan for atom 3 \(from 0\)"),
        ("measures:nothing", "returned nothing"),
        ("measures:words", "returned values of type <U1"),
        (
            "measures:fails",
            r"measures:fails failed: KeyError: 'what\?' \(.*measures.py, line \d+\)",
        ),
        ("measures:ragged", "measures:ragged returned"),
        ("measures:absent", r"module measures \(.*measures.py\) has no 'absent'"),
        ("measures:value", "no function, but a value 'value'"),
        ("absent:f", "there is no module absent: neither .*absent.py nor installed"),
        ("broken:f", "module broken cannot be imported: SyntaxError"),
        ("needy:f", "module needy needs 'not_there_at_all'"),
    ],
)
def test_functions_that_are_none(folder, target, message):
    atoms = bulk("Si", cubic=True)
    with pytest.raises(MixpiError, match=message):
        UserFunction(target, folder, atoms.numbers, np.eye(3)).values(
            atoms.positions, atoms.cell.array
        )


def test_each_folder_has_its_own_module(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "measures.py").write_text(
        "def height(positions, numbers, cell):\n    return 0 * numbers\n"
    )
    atoms = bulk("Si", cubic=True)
    for place, most in ((folder, 8.1), (other, 0.0), (folder, 8.1)):
        values = UserFunction("measures:height", place, atoms.numbers, np.eye(3)).values(
            atoms.positions, atoms.cell.array
        )
        assert values.max() == pytest.approx(most, abs=0.1)


def dumbbell(turned: bool) -> Atoms:
    """A self-interstitial in iron, in a cell that i-PI would turn, or not."""
    atoms = bulk("Fe", cubic=True) * 4
    atoms.positions[40] += [0.5, 0.5, 0.0]
    atoms += Atoms("Fe", [atoms.positions[40] - [1.0, 1.0, 0.0]])
    atoms += Atoms("He", [[1.43, 0.72, 0.0]])
    if turned:
        atoms.rotate(37, (1, 2, 3), rotate_cell=True)
    return atoms


def configured(folder, seeds, atoms=None, cheap=None):
    (dumbbell(False) if atoms is None else atoms).write(folder / "init.extxyz")
    content = {
        "structure": "init.extxyz",
        "seeds": seeds,
        "regions": {"core": 3.0, "blend": 3.0, "buffer": 3.0},
        "cheap": cheap or {"external": True},
        "expensive": {"external": True},
    }
    (folder / "mixing.yaml").write_text(yaml.safe_dump(content))
    return load_config(folder / "mixing.yaml")


PAIR = [40, 128]
SECTION = {"coordination": 1.5, "bounds": [1, np.inf]}
LATER = {**SECTION, "average": {"every": 1, "repeat": 2, "frequency": 2}}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ([3, 1], [3, 1]),
        ("none", []),
        (" None ", []),
        ("species He", [129]),
        ("3 1", [1, 3]),
        ({"lammps": "coord/atom cutoff 1.5", "bounds": [0.4, np.inf], "among": "species Fe"}, PAIR),
        ({"coordination": 1.5, "bounds": [0.4, np.inf], "among": "species Fe"}, PAIR),
        ({"coordination": 1.5, "bounds": [0.4, np.inf], "among": "40 41 42"}, [40]),
        ({**LATER, "initial": "species He"}, [129]),
        ({**LATER, "initial": [7]}, [7]),
        ({**LATER, "initial": "none"}, []),
        ({"coordination": 0.5, "bounds": [1, 9]}, []),
    ],
)
def test_seeds_at_the_structure(tmp_path, turned, seeds, expected):
    config = configured(tmp_path, seeds, dumbbell(turned))
    assert config.seed_indices == expected
    assert config.classified == isinstance(seeds, dict)
    assert (config.seeds == "none") == (expected == [] and not isinstance(seeds, dict))
    atoms = read_structure(tmp_path / "init.extxyz")
    found = make_seed_rule(config, atoms).at(0, [atoms.positions], atoms.cell.array)
    assert np.flatnonzero(found).tolist() == sorted(expected)


def test_initial_all_means_all_and_later_those_of_the_average(tmp_path):
    config = configured(tmp_path, {**LATER, "initial": "all", "among": "species Fe"})
    assert config.seed_indices == PAIR
    atoms = read_structure(tmp_path / "init.extxyz")
    rule = make_seed_rule(config, atoms)
    counts = [int(rule.at(k, [atoms.positions], atoms.cell.array).sum()) for k in range(3)]
    assert counts == [len(atoms), len(atoms), 2]


def test_places_in_words_are_those_of_the_file(tmp_path):
    """i-PI turns the cell; the user's x, y, z are those of the file."""
    atoms = dumbbell(True)
    x, y, z = atoms.positions[129]
    near = f"near {x} {y} {z} within 0.5"
    assert configured(tmp_path, near, atoms).seed_indices == [129]
    wanted = np.flatnonzero(atoms.positions[:, 2] > 3.0).tolist()
    assert configured(tmp_path, "where z > 3", atoms).seed_indices == wanted
    section = {"coordination": 0.1, "bounds": [0, 0], "among": "where z > 3"}
    assert configured(tmp_path, section, atoms).seed_indices == wanted
    # those that a function is given, too, and the cell with them
    (tmp_path / "above.py").write_text(
        "def height(positions, numbers, cell):\n"
        f"    return positions[:, 2] + 100 * (abs(cell - {atoms.cell.tolist()}).max() > 1e-6)\n"
    )
    section = {"function": "above:height", "bounds": [3, 99]}
    assert configured(tmp_path, section, atoms).seed_indices == wanted


def test_the_potential_is_that_of_the_cheap_side(tmp_path):
    atoms = bulk("Si", cubic=True) * 2
    del atoms[0]
    cheap = {"lammps": {"potential": ["pair_style sw", "pair_coeff * * Si.sw Si"]}}
    seeds = {"lammps": "pe/atom", "bounds": [-4.2, np.inf]}
    config = configured(tmp_path, seeds, atoms, cheap)
    centre = bulk("Si", cubic=True).positions[0]
    distance = np.linalg.norm(atoms.positions - centre, axis=1)
    periodic = atoms.get_distances(0, range(63), mic=True)
    assert len(config.seed_indices) == 4 and distance.min() < 2.4 < periodic.max()
    with pytest.raises(MixpiError, match="'pe/atom' needs a potential"):
        _ = configured(tmp_path, seeds, atoms).seed_indices


def test_fixed_seeds_are_a_rule_too(tmp_path):
    config = configured(tmp_path, [5, 2])
    atoms = read_structure(tmp_path / "init.extxyz")
    rule = make_seed_rule(config, atoms)
    assert isinstance(rule, FixedSeeds) and rule.state() == {}
    rule.restore(rule.state())
    assert np.flatnonzero(rule.at(7, [atoms.positions], atoms.cell.array)).tolist() == [2, 5]
    with pytest.raises(MixpiError, match="atom 500 is out of range"):
        make_seed_rule(configured(tmp_path, [500]), atoms)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bounds": [2.0, 0.4]}, r"seeds.bounds: \[2.0, 0.4\] holds no value: the lower bound"),
        ({"bounds": [-np.inf, np.inf]}, "seeds.bounds: with these bounds every atom is a seed"),
        ({"bounds": [np.inf, np.inf]}, "seeds.bounds: with these bounds no atom is a seed"),
        ({"bounds": [np.nan, 1]}, "seeds.bounds: a bound is a number"),
        ({"bounds": [1]}, "seeds.bounds"),
        ({"bounds": [True, 2]}, r"seeds.bounds: \[True, 2\] is no value"),
        ({"lammps": "ke/atom"}, r"seeds: give exactly one of lammps, coordination, function"),
        ({"coordination": None}, r"seeds: give exactly one of .*found: none"),
        ({"coordination": 0}, "seeds.coordination"),
        ({"coordination": None, "function": "measures"}, "seeds.function: .*module:function"),
        (
            {"coordination": None, "lammps": "compute a all ke/atom"},
            "leave out 'compute'.*'ke/atom'",
        ),
        ({"potential": ["pair_style sw"]}, "seeds: potential is for a compute of LAMMPS"),
        ({"average": {"every": 3, "frequency": 10}}, "seeds.average: frequency .* multiple"),
        ({"average": {"every": 10, "repeat": 20, "frequency": 100}}, "seeds.average: .*200 steps"),
        ({"average": {"every": 0}}, "seeds.average.every"),
        ({"averages": {}}, "seeds.averages: unknown key"),
        ({"initial": "all"}, "seeds: initial has no effect: with 'repeat: 1'"),
        ({"initial": "later"}, "seeds.initial: 'later' is not understood"),
        ({"initial": []}, "seeds.initial: an empty list"),
        ({"initial": [3, 3]}, "seeds.initial: seed 3 stands twice"),
        ({"among": "none"}, "seeds.among: among no atoms"),
        ({"among": 7}, "seeds.among: 7 is no list"),
    ],
)
def test_sections_that_are_refused(tmp_path, change, message):
    with pytest.raises(MixpiError, match=message) as error:
        configured(tmp_path, {k: v for k, v in {**SECTION, **change}.items() if v is not None})
    assert "[" not in str(error.value).split(":")[1]  # no word of how it is validated


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ("species Cu", "seeds: no atom matches 'species Cu'"),
        ("where z > 1000", "seeds: no atom matches 'where z > 1000'"),
        ("where z < 1000", "seeds: all 130 atoms match"),
        ({**SECTION, "among": "where z > 1000"}, "seeds.among: no atom matches 'where z > 1000'"),
        ({**LATER, "initial": "species Cu"}, "seeds.initial: no atom matches 'species Cu'"),
        ({"lammps": "coordd/atom 2", "bounds": [1, 2]}, "LAMMPS cannot compute 'coordd/atom 2'"),
        ({"function": "absent:f", "bounds": [1, 2]}, "there is no module absent"),
    ],
)
def test_seeds_that_cannot_be_found(tmp_path, seeds, message):
    with pytest.raises(MixpiError, match=message):
        _ = configured(tmp_path, seeds).seed_indices


def test_all_atoms_may_be_among_them(tmp_path):
    assert configured(tmp_path, {**SECTION, "among": "where z < 1000"}).seed_indices[:1] == [40]


@pytest.mark.parametrize(
    ("seeds", "lines"),
    [
        ([3], []),
        ("none", []),
        ("species He", ["seeds: species He: 1 atom(s): 129"]),
        (
            {"lammps": "coord/atom cutoff 1.5", "bounds": [0.4, np.inf]},
            [
                "seeds: 0.4 <= LAMMPS's coord/atom cutoff 1.5 <= inf (LAMMPS lists neighbours to "
                "2.27 Å); values from 0 to 1: now 2 atom(s): 40 128"
            ],
        ),
        (
            {"coordination": 1.5, "bounds": [7, np.inf]},
            [
                "seeds: 7 <= neighbours within 1.5 Å <= inf; values from 0 to 1: now 0 atom(s)",
                "note: no atom is a seed now: until one is, every force is cheap",
            ],
        ),
        (
            {"coordination": 1.5, "bounds": [0, np.inf]},
            [
                "seeds: 0 <= neighbours within 1.5 Å <= inf; values from 0 to 1: now 130 atom(s): "
                "0 1 2 3 4 5 6 7 8 9 ...",
                "warning: every atom is a seed: nothing is left to the cheap potential",
            ],
        ),
    ],
)
def test_check_says_which_atoms_are_seeds(tmp_path, seeds, lines):
    config = configured(tmp_path, seeds)
    assert list(describe_seeds(config, read_structure(tmp_path / "init.extxyz"))) == lines


def test_the_file_of_a_function_is_no_output(folder):
    seeds = {"function": "measures:height", "bounds": [1, np.inf]}
    config = configured(folder, seeds)
    assert inputs_of(config, folder)[folder / "measures.py"] == "a file of the seeds"
