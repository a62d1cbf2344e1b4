"""What holds for every module of the package."""

import importlib
import pkgutil

import mixpi
import pytest


MODULES = sorted(module.name for module in pkgutil.walk_packages(mixpi.__path__, "mixpi."))


@pytest.mark.parametrize("name", MODULES)
def test_it_can_be_imported(name):
    """Many imports stand inside functions: a name that is gone shows only when they run."""
    assert importlib.import_module(name).__doc__
