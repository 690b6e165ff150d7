"""The course labs, by name. Whoever grades has them; a learner's sandbox does not."""

from vswaplab.lab.grading.labs import lab1, lab2, lab3, lab4

__all__ = ["LABS", "REFERENCES"]

LABS = {lab.LAB.name: lab.LAB for lab in (lab1, lab2, lab3, lab4)}
REFERENCES = {lab.LAB.name: lab.reference for lab in (lab1, lab2, lab3, lab4)}
"""What makes a namespace with a solution, by lab."""
