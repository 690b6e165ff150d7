"""The stepper: the slot graph at any event of a trace, forwards and backwards.

>>> Stepper(machine)  # doctest: +SKIP

Everything it shows follows from its one trait, `step`; the picture is updated in place. All of it works from the
keyboard with the buttons, and says what it shows in words and as a table too.
"""

from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets
import plotly.graph_objects as go
import traitlets

from vswaplab.figures.slot_graph import slot_graph_figure, trace_updates
from vswaplab.widgets.step_model import StepModel

__all__ = ["Stepper"]

_STYLE = """<style>
.vswaplab-stepper .js-plotly-plot .scatterlayer text, .vswaplab-stepper .js-plotly-plot .legend text
  { fill: var(--jp-ui-font-color1, currentColor) !important; }
.vswaplab-stepper-status { min-height: 4.2em; font-size: 14px; line-height: 1.4; }
.vswaplab-stepper-alt { position: absolute !important; width: 1px; height: 1px; clip-path: inset(50%); }
.vswaplab-stepper-twin table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.vswaplab-stepper-twin caption { text-align: left; }
.vswaplab-stepper-twin th, .vswaplab-stepper-twin td
  { text-align: left; padding: 1px 12px 1px 0; border-bottom: 1px solid var(--jp-border-color2, #ccc); }
.vswaplab-stepper-twin { max-height: 320px; overflow: auto; }
</style>"""


class Stepper(ipywidgets.VBox):
    """Slot graph of a machine's trace (or of a `Trace`), one event at a time.

    `step` is the number of events shown so far, 0 to `last`; it begins at the last unless told. `pid`, `entry` and
    `every_event` choose the events, see `StepModel`.
    """

    step = traitlets.Int(0, help="Events shown so far")
    last = traitlets.Int(0, read_only=True, help="Events there are to show")

    def __init__(
        self,
        source: Any,
        *,
        pid: int | None = None,
        entry: int | None = None,
        every_event: bool = False,
        step: int | None = None,
        max_nodes: int = 2048,
        theme: str = "auto",
    ) -> None:
        self.model = StepModel(source, pid=pid, entry=entry, every_event=every_event, max_nodes=max_nodes)
        self._theme = theme
        start = len(self.model) if step is None else max(0, min(len(self.model), step))
        self._figure_at(start)
        self._make_controls()
        super().__init__(children=self._parts())
        self.add_class("vswaplab-stepper")
        self.set_trait("last", len(self.model))
        self.step = start
        self._show()

    @traitlets.validate("step")
    def _in_range(self, proposal: dict[str, Any]) -> int:
        return max(0, min(self.last, int(proposal["value"])))

    # -- parts ---------------------------------------------------------------------------------------------------

    def _figure_at(self, position: int) -> None:
        model = self.model
        self._drawn = trace_updates(model.scene(position), self._theme)
        figure = slot_graph_figure(model.state(position), layout=model.layout, theme=self._theme)
        self.figure = go.FigureWidget(data=self._drawn, layout=figure.layout)
        self.figure._config = {"displayModeBar": False}

    def _make_controls(self) -> None:
        def button(name: str, tooltip: str, to: Any) -> Any:
            made = ipywidgets.Button(description=name, tooltip=tooltip, layout=ipywidgets.Layout(width="auto"))
            made.on_click(lambda _: self.set_trait("step", to()))
            return made

        self.first_button = button("First", "Go to the state before the first event", lambda: 0)
        self.back_button = button("Step back", "Take the last event back", lambda: self.step - 1)
        self.forward_button = button("Step forward", "Apply the next event", lambda: self.step + 1)
        self.last_button = button("Last", "Go to the last event", lambda: self.last)
        wide = ipywidgets.Layout(flex="1 1 240px", width="auto")
        self.slider = ipywidgets.IntSlider(
            value=0, min=0, max=len(self.model), description="Event", continuous_update=False, layout=wide
        )
        options = [("choose a phase", 0), *((phase.label, phase.position) for phase in self.model.phases)]
        self.jump = ipywidgets.Dropdown(
            options=options, description="Jump to", layout=ipywidgets.Layout(flex="0 1 280px", width="auto")
        )
        self.slider.observe(lambda change: self.set_trait("step", change["new"]), "value")
        self.jump.observe(self._jumped, "value")
        self.status = ipywidgets.HTML()
        self.status.add_class("vswaplab-stepper-status")
        self.alt = ipywidgets.HTML()
        self.alt.add_class("vswaplab-stepper-alt")
        self.twin = ipywidgets.HTML()
        self.twin.add_class("vswaplab-stepper-twin")
        self.code = ipywidgets.HTML()
        self.details = ipywidgets.Accordion(
            children=[self.twin, self.code],
            titles=("The same as a table", "The calls behind this picture"),
            selected_index=None,
        )
        self.details.observe(lambda _: self._show_details(), "selected_index")

    def _parts(self) -> list[Any]:
        buttons = [self.first_button, self.back_button, self.forward_button, self.last_button]
        row = ipywidgets.HBox(
            [*buttons, self.slider, self.jump], layout=ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        )
        return [ipywidgets.HTML(_STYLE), row, self.status, self.figure, self.alt, self.details]

    # -- following the trait -------------------------------------------------------------------------------------

    def _jumped(self, change: dict[str, Any]) -> None:
        if change["new"] and not self._following:
            self.step = change["new"]

    _following = False

    @traitlets.observe("step")
    def _moved(self, _: dict[str, Any]) -> None:
        self._show()

    def _show(self) -> None:
        position, model = self.step, self.model
        self._draw(trace_updates(model.scene(position), self._theme))
        self._following = True  # what follows from the step must not set it again
        self.slider.value = position
        phase = model.phase(position)
        self.jump.value = phase.position if phase is not None else 0
        self._following = False
        self.first_button.disabled = self.back_button.disabled = position == 0
        self.last_button.disabled = self.forward_button.disabled = position == self.last
        self.status.value = self._status()
        self.alt.value = f'<p role="img" aria-label="{escape(model.alt(position))}">{escape(model.alt(position))}</p>'
        self._show_details()

    def _draw(self, traces: list[dict[str, Any]]) -> None:
        """Send only what differs from the picture on the screen."""
        with self.figure.batch_update():
            for drawn, wanted, shown in zip(self._drawn, traces, self.figure.data, strict=True):
                changes = {name: value for name, value in wanted.items() if drawn.get(name) != value}
                if changes:
                    shown.update(changes, overwrite=True)
        self._drawn = traces

    def _status(self) -> str:
        record, phase = self.model.record(self.step), self.model.phase(self.step)
        where = f" &middot; {escape(phase.label)}" if phase is not None else ""
        head = f"<b>event {self.step} of {self.last}</b>{where}"
        if record is None:
            return f'<div role="status">{head}<br>Before the first event.</div>'
        kernel = record.kernel
        call = f"in the kernel: <code>{escape(kernel.function)}</code> [{kernel.source}]" if kernel.function else ""
        return f'<div role="status">{head}<br>{escape(record.describe())}<br>{call}</div>'

    def _show_details(self) -> None:
        """Fill what is unfolded; the rest is not worth sending at each step."""
        if self.details.selected_index == 0:
            self.twin.value = self.model.twin(self.step)
        elif self.details.selected_index == 1:
            self.code.value = f"<pre>{escape(self.show_code())}</pre>"

    def show_code(self) -> str:
        """Return the library calls that make this picture."""
        step = self.model.steps[self.step - 1] if self.step else self.model.first - 1
        before = max(self.model.first - 1, step - 1)
        return (
            "from vswaplab.figures.slot_graph import slot_graph_figure\n"
            f"now, before = machine.trace.step({step}), machine.trace.step({before})\n"
            "slot_graph_figure(now, highlight=now.diff(before))\n"
            + (f"machine.trace[{step}].describe()\n" if self.step else "")
        )
