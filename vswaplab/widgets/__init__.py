"""Widgets: pictures you can step through, and questions; `vswaplab.lab` makes those."""

from vswaplab.widgets.break_it import BreakIt
from vswaplab.widgets.explorer import SlotExplorer
from vswaplab.widgets.flow import BackingFlow
from vswaplab.widgets.ledger import ByteLedger
from vswaplab.widgets.question import QuestionView, VerdictView
from vswaplab.widgets.race import SwapoffRace
from vswaplab.widgets.state_machine import StateMachine
from vswaplab.widgets.stepper import Stepper
from vswaplab.widgets.twin import TwinPlayer
from vswaplab.widgets.zswap_pool import ZswapPool

__all__ = [
    "BackingFlow",
    "BreakIt",
    "ByteLedger",
    "QuestionView",
    "SlotExplorer",
    "StateMachine",
    "Stepper",
    "SwapoffRace",
    "TwinPlayer",
    "VerdictView",
    "ZswapPool",
]
