// Backing flow: how many entries each backing has, at every event; and the view of it.

import { Fold, h, pictureBox, table } from "./dom.js";
import { Backing, Event, decodeLog } from "./log.js";
import { addMark, paintMarks } from "./marks.js";
import { FONT, Surface } from "./surface.js";
import { newPath } from "./svg.js";
import { Tape } from "./tape.js";
import { colourOf } from "./theme.js";
import { Transport } from "./transport.js";
import { describe, number } from "./words.js";

const WIDTH = 940, HEIGHT = 320, LEFT = 54, RIGHT = 150, TOP = 26, FOOT = 40;
const ORDER = [Backing.SWAPFILE, Backing.ZSWAP, Backing.ZERO, Backing.FOLIO]; // from the bottom
const NAMES = ["SWAPFILE", "ZERO", "ZSWAP", "FOLIO"];

/** Entries by backing after each event: four arrays of one more than there are events. */
export function flowOf(log) {
  const tape = new Tape(log), { c } = log, counts = [0, 0, 0, 0];
  for (const backing of tape.state.backing) if (backing < 4) counts[backing] += 1;
  const flow = counts.map(() => new Uint32Array(log.events + 1));
  counts.forEach((nr, backing) => { flow[backing][0] = nr; });
  for (let i = 0; i < log.events; i++) {
    const kind = c.event[i], e = c.entry[i];
    if (kind === Event.ALLOC || kind === Event.FREE || kind === Event.BACKING) {
      const was = tape.state.backing[e];
      tape.seek(i + 1);
      if (was < 4) counts[was] -= 1;
      if (tape.state.backing[e] < 4) counts[tape.state.backing[e]] += 1;
    }
    for (let backing = 0; backing < 4; backing++) flow[backing][i + 1] = counts[backing];
  }
  return flow;
}

export class BackingFlow {
  constructor(model, el) {
    this.model = model;
    this.log = decodeLog(model.get("header"), model.get("data"));
    this.flow = flowOf(this.log);
    this.phases = this.log.phases;
    this.length = this.log.events;
    this.position = model.get("step");
    this.most = 1;
    for (let i = 0; i <= this.length; i++) this.most = Math.max(this.most, this.flow.reduce((sum, each) => sum + each[i], 0));
    this.surface = new Surface(WIDTH, HEIGHT, this.log.themes, (...to) => this.paint(...to));
    this.surface.canvas.addEventListener("click", (event) => {
      const [x] = this.surface.locate(event);
      this.transport.go(Math.round((x - LEFT) / (WIDTH - LEFT - RIGHT) * this.length));
    });
    this.status = h("div", { className: "vswaplab-status", role: "status" });
    this.twin = new Fold("The same as a table", () => this.table(), "vswaplab-twin");
    this.code = new Fold("The calls behind this picture", () => h("pre", { textContent: model.get("code") }));
    this.transport = new Transport(this, () => this.moved());
    const picture = pictureBox();
    this.root = h("div", { className: "vswaplab-view vswaplab-flow", tabIndex: 0, role: "group",
      "aria-label": "Backings over time: arrow keys step, space plays" },
    this.transport.element, this.status, picture, this.twin.element, this.code.element);
    this.root.addEventListener("keydown", (event) => this.transport.key(event));
    this.root.player = this;
    el.replaceChildren(this.root);
    this.surface.attach(picture);
    this.follow = () => {
      if (model.get("step") === this.position) return;
      this.seek(model.get("step"));
      this.transport.show();
      this.show();
    };
    model.on("change:step", this.follow);
    this.show();
  }

  seek(position) {
    this.position = Math.max(0, Math.min(this.length, Math.round(position)));
    return this.position;
  }

  moved() {
    this.show();
    if (this.transport.playing && this.position < this.length) return;
    this.model.set("step", this.position);
    this.model.save_changes();
  }

  show() {
    const said = this.position ? describe(this.log, this.position - 1) : "Before the first event.";
    this.status.setAttribute("aria-live", this.transport.playing ? "off" : "polite");
    this.status.replaceChildren(h("b", { textContent: `event ${this.position} of ${this.length}` }), h("br"), said);
    this.surface.redraw();
    this.twin.update();
  }

  now() {
    return NAMES.map((name, backing) => [name, this.flow[backing][this.position]]);
  }

  alt() {
    const said = this.now().map(([name, nr]) => `${number(nr)} ${name}`).join(", ");
    return `Entries by backing over ${number(this.length)} events, as stacked areas; after event ${number(this.position)}: ${said}.`;
  }

  table() {
    const at = [...new Set([0, ...this.phases.map(([, position]) => position - 1), this.position, this.length])].sort((a, b) => a - b);
    const rows = at.map((i) => [number(i), this.phases.findLast(([, position]) => position - 1 === i)?.[0] ?? "",
      ...NAMES.map((_, backing) => number(this.flow[backing][i]))]);
    return table("Entries by backing, before each phase and at this event", ["event", "before the phase", ...NAMES], rows);
  }

  // -- the picture ----------------------------------------------------------------------------------------------

  paint(context, theme) {
    this.surface.canvas.setAttribute("aria-label", this.alt());
    const wide = WIDTH - LEFT - RIGHT, high = HEIGHT - TOP - FOOT, { length } = this;
    const x = (i) => LEFT + wide * i / Math.max(1, length), y = (nr) => TOP + high * (1 - nr / this.most);
    const base = new Float64Array(length + 1), steps = Math.max(1, Math.ceil(length / 1500));
    for (const backing of ORDER) {
      const path = newPath(), top = this.flow[backing];
      path.moveTo(x(0), y(base[0]));
      for (let i = 0; i <= length; i += steps) path.lineTo(x(i), y(base[i] + top[i]));
      path.lineTo(x(length), y(base[length] + top[length]));
      for (let i = length; i >= 0; i -= steps) path.lineTo(x(i), y(base[i]));
      path.closePath();
      this.fill(context, theme, path, backing);
      for (let i = 0; i <= length; i++) base[i] += top[i];
    }
    this.axes(context, theme, x, y);
    this.names(context, theme);
  }

  /** Colour, and lines of a slope of their own: colour is never alone. */
  fill(context, theme, path, backing) {
    const colour = colourOf(theme, backing);
    context.fillStyle = colour;
    context.globalAlpha = 0.55;
    context.fill(path);
    context.globalAlpha = 1;
    context.save();
    context.clip(path);
    context.strokeStyle = colour;
    context.lineWidth = 1;
    context.beginPath();
    const slope = [0, 1, -1, 3][backing], gap = 9;
    if (slope === 3) for (let at = LEFT; at < WIDTH; at += gap) { context.moveTo(at, 0); context.lineTo(at, HEIGHT); }
    else for (let at = -WIDTH; at < 2 * WIDTH; at += gap) { context.moveTo(0, at); context.lineTo(WIDTH, at + slope * WIDTH); }
    context.stroke();
    context.restore();
    context.strokeStyle = colour;
    context.lineWidth = 1.4;
    context.stroke(path);
  }

  axes(context, theme, x, y) {
    context.font = `11px ${FONT}`;
    context.fillStyle = context.strokeStyle = theme.text;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const share of [0, 0.5, 1]) {
      const nr = Math.round(this.most * share);
      context.fillText(number(nr), LEFT - 8, y(nr));
    }
    context.textAlign = "left";
    context.fillText("entries", 4, 10);
    context.lineWidth = 1;
    let free = -Infinity;
    for (const [label, position] of this.phases) {
      const at = x(position - 1);
      context.globalAlpha = 0.5;
      context.beginPath();
      context.moveTo(at, TOP);
      context.lineTo(at, HEIGHT - FOOT + 6);
      context.stroke();
      context.globalAlpha = 1;
      if (at < free) continue;
      context.fillText(label, at + 3, HEIGHT - FOOT + 14);
      free = at + context.measureText(label).width + 12;
    }
    context.lineWidth = 2.5;
    context.strokeStyle = theme.highlight;
    context.beginPath();
    context.moveTo(x(this.position), TOP - 8);
    context.lineTo(x(this.position), HEIGHT - FOOT);
    context.stroke();
  }

  /** What each area is, and how many entries it has now, at the right, in the order of the areas. */
  names(context, theme) {
    context.textAlign = "left";
    [...ORDER].reverse().forEach((backing, rank) => {
      const at = TOP + 16 + 30 * rank, path = newPath();
      addMark(path, this.log.shapes[backing], WIDTH - RIGHT + 22, at, 12);
      paintMarks(context, path, this.log.shapes[backing], colourOf(theme, backing), 2);
      context.fillStyle = theme.text;
      context.font = `bold 12px ${FONT}`;
      context.fillText(`${NAMES[backing]}: ${number(this.flow[backing][this.position])}`, WIDTH - RIGHT + 38, at);
    });
  }

  close() {
    this.transport.toggle(false);
    this.model.off("change:step", this.follow);
    this.surface.close();
  }
}
