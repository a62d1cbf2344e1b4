"""What the package exports is documented as numpydoc has it."""

import dataclasses
import inspect

import mixpi
import pytest
from numpydoc.validate import validate


#: No docstring; sections twisted; parameters missing, unknown, out of order, without a type or a
#: description; returned values without a description.
FAULTS = {
    *("GL07", "GL08"),
    *("PR01", "PR02", "PR03", "PR04", "PR05", "PR06", "PR07", "PR10"),
    *("RT03", "YD01"),
}


def exported():
    """The exported functions and classes, with the public methods that these define."""
    for name in mixpi.__all__:
        thing = getattr(mixpi, name)
        if callable(thing):
            yield name
        for attribute in vars(thing) if inspect.isclass(thing) else ():
            if not attribute.startswith("_") and (
                inspect.isfunction(vars(thing)[attribute])
                or isinstance(vars(thing)[attribute], property)
            ):
                yield f"{name}.{attribute}"


def faults(name):
    """Those of a docstring, in words."""
    codes = FAULTS
    if dataclasses.is_dataclass(getattr(mixpi, name, None)):
        codes = FAULTS - {"PR01"}  # its fields are its attributes
    return [text for code, text in validate(f"mixpi.{name}")["errors"] if code in codes]


@pytest.mark.parametrize("name", list(exported()))
def test_docstring(name):
    assert faults(name) == []


def test_faults_are_seen(monkeypatch):
    def bare(a, b):
        pass

    def half(a, b):
        """One of two.

        Parameters
        ----------
        a : int
            Is there.
        """

    for function in (bare, half):
        monkeypatch.setattr(mixpi, function.__name__, function, raising=False)
    assert faults("bare") == ["The object does not have a docstring"]
    assert faults("half") == ["Parameters {'b'} not documented"]
