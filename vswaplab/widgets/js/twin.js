// Twin player: both designs at one cursor, what differs, and counts as they grow.

import { Fold, h, pictureBox, table } from "./dom.js";
import { addMark, paintMarks } from "./marks.js";
import { FONT, Surface } from "./surface.js";
import { newPath } from "./svg.js";
import { colourOf } from "./theme.js";
import { Transport } from "./transport.js";
import { TwinLog } from "./twinlog.js";
import { TwinPanel } from "./twinpanel.js";
import { count, number } from "./words.js";

const CHART = { wide: 235, high: 96, top: 36, foot: 8, right: 14 };
const LOOKS = { legacy: [0, [6, 4], "square"], virtual: [2, [], "circle"] }; // as in the charts: colour, dash, marker

export class TwinPlayer {
  constructor(model, el) {
    this.model = model;
    this.header = model.get("header");
    this.twin = new TwinLog(this.header, model.get("data"));
    this.twin.seek(model.get("step"));
    this.panels = this.twin.sides.map((_, i) => new TwinPanel(this.twin, i));
    const { themes } = this.panels[0].log;
    this.charts = this.header.series.map((series) => new Surface(CHART.wide, CHART.high, themes, (...to) => this.chart(series, ...to)));
    this.status = h("div", { className: "vswaplab-status vswaplab-twin-status", role: "status" });
    this.transport = new Transport(this.twin, () => this.moved(), "operation");
    this.folds = [new Fold("What differs after this operation", () => this.differences()),
      new Fold("Events of this operation, in both designs", () => this.events()),
      new Fold("The same as a table", () => this.table(), "vswaplab-twin"),
      new Fold("The calls behind this picture", () => h("pre", { textContent: this.code() }))];
    const pictures = this.panels.map(() => pictureBox()), charts = this.charts.map(() => pictureBox());
    this.root = h("div", { className: "vswaplab-view vswaplab-twins", tabIndex: 0, role: "group",
      "aria-label": "Twin player: arrow keys step by operations, space plays, page keys change the phase" },
    this.transport.element, this.status, h("div", { className: "vswaplab-pair" }, ...pictures),
    h("div", { className: "vswaplab-pair vswaplab-charts" }, ...charts), ...this.folds.map((fold) => fold.element));
    this.folds[0].element.open = true;
    this.root.addEventListener("keydown", (event) => this.transport.key(event));
    this.root.player = this;
    el.replaceChildren(this.root);
    this.panels.forEach((panel, i) => panel.surface.attach(pictures[i]));
    this.charts.forEach((chart, i) => chart.attach(charts[i]));
    this.follow = () => {
      if (model.get("step") === this.twin.position) return;
      this.twin.seek(model.get("step"));
      this.transport.show();
      this.show();
    };
    model.on("change:step", this.follow);
    this.show();
  }

  moved() {
    this.show();
    if (this.transport.playing && this.twin.position < this.twin.length) return;
    this.model.set("step", this.twin.position);
    this.model.save_changes();
  }

  show() {
    const { position, length } = this.twin, told = this.header.steps[position - 1];
    this.status.setAttribute("aria-live", this.transport.playing ? "off" : "polite");
    const elsewhere = this.twin.elsewhere().size;
    const said = !told ? "Before the first operation; both machines are the same."
      : `${count(told.differences.length, "number")} ${told.differences.length === 1 ? "differs" : "differ"}; ${
        elsewhere ? `${count(elsewhere, "page")} in another kind of place (ringed)` : "every page is in the same kind of place"}.`;
    this.status.replaceChildren(h("b", { textContent: `operation ${position} of ${length}` }), told ? `: ${told.operation}` : "", h("br"),
      said, told?.error ? ` It failed: ${told.error}` : "");
    for (const { surface } of this.panels) surface.redraw();
    for (const chart of this.charts) chart.redraw();
    for (const fold of this.folds) fold.update();
  }

  // -- charts -----------------------------------------------------------------------------------------------------

  chart(series, context, theme) {
    const { wide, high, top, foot, right } = CHART, { position, length } = this.twin, { designs } = this.header;
    const most = Math.max(1, ...designs.flatMap((design) => series[design]));
    const x = (i) => 6 + (wide - right - 6) * i / Math.max(1, length), y = (value) => top + (high - top - foot) * (1 - value / most);
    const surface = this.charts[this.header.series.indexOf(series)];
    const now = designs.map((design) => `${design} ${number(series[design][position])}`).join(", ");
    surface.canvas.setAttribute("aria-label", `${series.name}, ${series.note}: ${now} after operation ${position}.`);
    context.strokeStyle = theme.faint;
    context.lineWidth = 1;
    context.strokeRect(5.5, top - 3.5, wide - right - 5, high - top - foot + 7);
    context.beginPath();
    context.moveTo(x(position), top - 4);
    context.lineTo(x(position), high - foot + 4);
    context.strokeStyle = theme.highlight;
    context.lineWidth = 2;
    context.stroke();
    for (const design of designs) {
      const [look, dash, marker] = LOOKS[design], colour = colourOf(theme, look), path = newPath();
      series[design].forEach((value, i) => (i ? path.lineTo(x(i), y(value)) : path.moveTo(x(i), y(value))));
      context.strokeStyle = colour;
      context.lineWidth = 2;
      context.setLineDash(dash);
      context.stroke(path);
      context.setLineDash([]);
      const mark = newPath();
      addMark(mark, marker, x(position), y(series[design][position]), 9);
      paintMarks(context, mark, marker, colour);
    }
    this.heading(context, theme, series);
  }

  heading(context, theme, series) {
    Object.assign(context, { textAlign: "left", textBaseline: "top", fillStyle: theme.text, font: `bold 12px ${FONT}` });
    context.fillText(series.name, 5, 1);
    const left = 11 + context.measureText(series.name).width;
    context.font = `11px ${FONT}`;
    context.fillText(series.note, left, 2);
    let at = 5;
    for (const design of this.header.designs) {
      const [look, , marker] = LOOKS[design], mark = newPath();
      addMark(mark, marker, at + 5, 24, 8);
      paintMarks(context, mark, marker, colourOf(theme, look));
      const words = `${design} ${number(series[design][this.twin.position])}`;
      context.font = `12px ${FONT}`;
      context.fillStyle = theme.text;
      context.fillText(words, at + 13, 18);
      at += 13 + context.measureText(words).width + 14;
    }
  }

  // -- words --------------------------------------------------------------------------------------------------------

  differences() {
    const told = this.header.steps[this.twin.position - 1];
    if (!told?.differences.length) return h("p", { textContent: "Nothing." });
    return table("Numbers that differ", ["what", "legacy", "virtual"], told.differences.map(([name, one, other]) => [name, number(one), number(other)]));
  }

  events() {
    const told = this.header.steps[this.twin.position - 1];
    if (!told?.events.length) return h("p", { textContent: "None: nothing of swap was touched." });
    return table("Tracepoints by kind", ["event", "legacy", "virtual", ""],
      told.events.map(([name, one, other]) => [name, number(one), number(other), one === other ? "" : "≠ differs"]));
  }

  table() {
    const [one, other] = this.twin.counts(), names = [...new Set([...one.keys(), ...other.keys()])];
    const places = names.map((name) => [name, number(one.get(name) ?? 0), number(other.get(name) ?? 0)]);
    const { position } = this.twin;
    const counted = this.header.series.map((series) => [`${series.name}: ${series.note}`,
      ...this.header.designs.map((design) => number(series[design][position]))]);
    return [table("Pages by where they are", ["place", "legacy", "virtual"], places), table("Counted so far", ["what", "legacy", "virtual"], counted)];
  }

  code() {
    return this.model.get("code").replaceAll("{step}", String(Math.max(0, this.twin.position - 1)));
  }

  close() {
    this.transport.toggle(false);
    this.model.off("change:step", this.follow);
    for (const { surface } of this.panels) surface.close();
    for (const chart of this.charts) chart.close();
  }
}
