"""Course labs: in a notebook ``show`` runs the visible checks; ``vswaplab grade`` runs all of them in a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vswaplab.lab.grading.model import Shown, grade_local

if TYPE_CHECKING:
    from vswaplab.lab.grading.counterexample import CounterExample  # it imports the machine, and this is a package

__all__ = ["show", "try_to_break"]


def show(lab: str, namespace: dict[str, Any], *, hidden: bool = False) -> Shown:
    """Run a lab's visible checks on a notebook's own code (``globals()``) and show what they found, as a table."""
    from vswaplab.lab.grading.labs import LABS

    return Shown(LABS[lab], tuple(grade_local(LABS[lab], namespace, hidden=hidden)))


def try_to_break(namespace: dict[str, Any]) -> CounterExample | None:
    """Run the published random machine on the three functions of lab 1; the shortest run that fails, or None."""
    from vswaplab.lab.grading.counterexample import find_counterexample
    from vswaplab.lab.grading.descriptor_lab import machine_with
    from vswaplab.lab.grading.remote import Local

    student = Local(namespace)
    return find_counterexample(lambda **shape: machine_with(student, **shape))
