"""Widgets: a figure you can step through, and predictions to make before a run."""

from vswaplab.widgets.predict import Prediction
from vswaplab.widgets.stepper import Stepper

__all__ = ["Prediction", "Stepper"]
