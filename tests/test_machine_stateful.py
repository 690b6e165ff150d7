"""Every operation of the machine in random order, against a dictionary of bytes.

``VSWAPLAB_EXAMPLES=5000 make test TEST_ARGS=tests/test_machine_stateful.py`` runs longer.
"""

from __future__ import annotations

import os
from functools import partial

import pytest
from hypothesis import HealthCheck, settings

from vswaplab import Machine
from vswaplab.testing import swap_machine

EXAMPLES = int(os.environ.get("VSWAPLAB_EXAMPLES", "200"))

SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

VirtualMachine = swap_machine(partial(Machine, design="virtual"))
LegacyMachine = swap_machine(partial(Machine, design="legacy"))


@pytest.mark.slow
class TestVirtualMachine(VirtualMachine.TestCase):  # type: ignore[name-defined,misc]
    settings = SETTINGS


@pytest.mark.slow
class TestLegacyMachine(LegacyMachine.TestCase):  # type: ignore[name-defined,misc]
    settings = SETTINGS
