"""The package as people get it."""

import pinfold
from conftest import PACKAGE


def test_the_package_is_the_one_of_this_tree() -> None:
    assert pinfold.__file__ is not None
    assert pinfold.__file__.startswith(str(PACKAGE))
