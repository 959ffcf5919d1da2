"""What tests that make real runs share."""

import pytest

from .no_roof import no_roof


@pytest.fixture
def _no_roof():
    """Leave out the roof of runs that this process makes."""
    with no_roof():
        yield
