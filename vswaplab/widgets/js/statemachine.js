// The state machine of backings: its transitions with counts that grow as the position moves.

import { Fold, h, pictureBox, table } from "./dom.js";
import { decodeLog } from "./log.js";
import { addMark, paintMarks } from "./marks.js";
import { FONT, Surface } from "./surface.js";
import { newPath } from "./svg.js";
import { Tape } from "./tape.js";
import { colourOf } from "./theme.js";
import { Transport } from "./transport.js";
import { FREED, STATES, TAKEN, Transitions, keyOf } from "./transitions.js";
import { count, describe, number } from "./words.js";

const WIDTH = 940, HEIGHT = 430;
const NAMES = { 0: "SWAPFILE", 1: "ZERO", 2: "ZSWAP", 3: "FOLIO", taken: "taken", freed: "freed" };
const PLACES = { 3: [170, 220], 2: [470, 80], 0: [770, 220], 1: [470, 360], taken: [170, 70] };
const EXITS = { 3: [60, 330], 2: [660, 40], 0: [880, 330], 1: [660, 400] };
const RADIUS = 15, BEND = 34, LISTED = 200;

export class StateMachine {
  constructor(model, el) {
    this.model = model;
    this.log = decodeLog(model.get("header"), model.get("data"));
    this.tape = new Tape(this.log);
    this.tape.phases = this.log.phases;
    this.tape.seek(model.get("step"));
    this.transitions = new Transitions(this.log);
    this.surface = new Surface(WIDTH, HEIGHT, this.log.themes, (...to) => this.paint(...to));
    this.surface.canvas.addEventListener("click", (event) => this.choose(this.hit(...this.surface.locate(event))));
    this.status = h("div", { className: "vswaplab-status", role: "status" });
    this.select = h("select", { "aria-label": "Transition whose events are listed", onchange: () => this.choose(this.select.value) });
    this.list = new Fold("Events of the chosen transition", () => this.events());
    this.twin = new Fold("The same as a table", () => this.table(), "vswaplab-twin");
    this.code = new Fold("The calls behind this picture", () => h("pre", { textContent: model.get("code") }));
    this.transport = new Transport(this.tape, () => this.moved());
    const picture = pictureBox();
    this.root = h("div", { className: "vswaplab-view vswaplab-statemachine", tabIndex: 0, role: "group",
      "aria-label": "State machine of backings: arrow keys step, space plays" },
    this.transport.element, this.status, picture, h("label", {}, "Transition: ", this.select),
    this.list.element, this.twin.element, this.code.element);
    this.root.addEventListener("keydown", (event) => this.transport.key(event));
    this.root.player = this;
    el.replaceChildren(this.root);
    this.fillSelect();
    this.choose(this.select.value);
    this.surface.attach(picture);
    this.follow = () => {
      if (model.get("step") === this.tape.position) return;
      this.tape.seek(model.get("step"));
      this.transport.show();
      this.show();
    };
    model.on("change:step", this.follow);
    this.show();
  }

  fillSelect() {
    const options = this.transitions.all().map(([from, to]) => {
      const nr = this.transitions.count(from, to, this.log.events);
      return h("option", { value: keyOf(from, to), textContent: `${NAMES[from]} to ${NAMES[to]} (${number(nr)})`, disabled: !nr });
    });
    this.select.replaceChildren(...options);
    this.select.value = options.find((option) => !option.disabled)?.value ?? "";
  }

  choose(key) {
    if (!key) return;
    this.chosen = key;
    this.select.value = key;
    this.list.update();
    this.surface.redraw();
  }

  moved() {
    this.show();
    if (this.transport.playing && this.tape.position < this.tape.length) return;
    this.model.set("step", this.tape.position);
    this.model.save_changes();
  }

  show() {
    const { tape, log } = this, i = tape.position - 1;
    const said = i < 0 ? "Before the first event." : describe(log, i);
    this.status.setAttribute("aria-live", this.transport.playing ? "off" : "polite");
    this.status.replaceChildren(h("b", { textContent: `event ${tape.position} of ${tape.length}` }), h("br"), said);
    this.surface.redraw();
    this.twin.update();
  }

  // -- words ----------------------------------------------------------------------------------------------------

  counts() {
    return this.transitions.all().map(([from, to]) => [from, to, this.transitions.count(from, to, this.tape.position)]);
  }

  table() {
    const rows = this.counts().map(([from, to, nr]) => [NAMES[from], NAMES[to], number(nr)]);
    return table(`Transitions in the first ${number(this.tape.position)} events`, ["from", "to", "times"], rows);
  }

  alt() {
    const said = this.counts().filter(([, , nr]) => nr).map(([from, to, nr]) => `${NAMES[from]} to ${NAMES[to]} ${count(nr, "time")}`);
    return `State machine of backings after ${count(this.tape.position, "event")}. ${said.join(", ") || "Nothing has happened"}.`;
  }

  events() {
    const found = this.transitions.events.get(this.chosen) ?? [];
    const items = found.slice(0, LISTED).map((i) => h("li", {}, h("button", { type: "button", textContent: `${i + 1}`,
      "aria-label": `Go to event ${i + 1}`, onclick: () => this.transport.go(i + 1) }), ` ${describe(this.log, i)}`));
    const more = found.length > LISTED ? [h("p", { textContent: `The first ${LISTED} of ${number(found.length)}.` })] : [];
    return [...more, h("ul", { className: "vswaplab-events" }, ...items)];
  }

  // -- the picture ----------------------------------------------------------------------------------------------

  /** The ends and the middle of an arrow. */
  shape(from, to) {
    const [x0, y0] = PLACES[from], [x1, y1] = to === FREED ? EXITS[from] : PLACES[to];
    const far = Math.hypot(x1 - x0, y1 - y0), ux = (x1 - x0) / far, uy = (y1 - y0) / far;
    const bend = to === FREED || from === TAKEN ? 0 : BEND;
    const middle = [(x0 + x1) / 2 - uy * bend, (y0 + y1) / 2 + ux * bend];
    const leave = RADIUS + 6, start = [x0 + ux * leave, y0 + uy * leave];
    const end = [x1 - ux * (to === FREED ? 4 : leave), y1 - uy * (to === FREED ? 4 : leave)];
    return { start, end, middle, label: [(start[0] + end[0]) / 4 + middle[0] / 2, (start[1] + end[1]) / 4 + middle[1] / 2] };
  }

  paint(context, theme) {
    this.surface.canvas.setAttribute("aria-label", this.alt());
    const last = this.transitions.last(this.tape.position), lastKey = last ? keyOf(...last) : "";
    const most = Math.max(1, ...this.counts().map(([, , nr]) => nr));
    for (const [from, to, nr] of this.counts()) {
      if (PLACES[from] === undefined || (to !== FREED && PLACES[to] === undefined) || from === to) continue;
      this.paintArrow(context, theme, from, to, nr, most, lastKey === keyOf(from, to));
    }
    this.paintStates(context, theme);
  }

  paintArrow(context, theme, from, to, nr, most, isLast) {
    const { start, end, middle, label } = this.shape(from, to), chosen = this.chosen === keyOf(from, to);
    const colour = isLast ? theme.highlight : nr ? colourOf(theme, typeof to === "number" ? to : "present") : theme.faint;
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = nr ? 1.2 + 4 * Math.log1p(nr) / Math.log1p(most) : 1;
    context.setLineDash(nr ? [] : [3, 4]);
    context.beginPath();
    context.moveTo(...start);
    context.quadraticCurveTo(...middle, ...end);
    context.stroke();
    context.setLineDash([]);
    const angle = Math.atan2(end[1] - middle[1], end[0] - middle[0]), size = 5 + context.lineWidth;
    context.beginPath();
    context.moveTo(end[0] + 4 * Math.cos(angle), end[1] + 4 * Math.sin(angle));
    for (const turn of [2.6, -2.6]) context.lineTo(end[0] + size * Math.cos(angle + turn), end[1] + size * Math.sin(angle + turn));
    context.fill();
    if (to === FREED) this.text(context, theme, `freed ${number(nr)}`, end[0], end[1] + (end[1] < 100 ? -12 : 14), chosen, nr);
    else if (nr || chosen) this.text(context, theme, number(nr), ...label, chosen, nr);
  }

  text(context, theme, words, x, y, boxed, strong) {
    context.font = `${boxed || strong ? "bold " : ""}12px ${FONT}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const wide = context.measureText(words).width + 10;
    context.fillStyle = theme.ground;
    context.fillRect(x - wide / 2, y - 9, wide, 18);
    if (boxed) {
      context.strokeStyle = theme.text;
      context.lineWidth = 1.5;
      context.strokeRect(x - wide / 2, y - 9, wide, 18);
    }
    context.fillStyle = theme.text;
    context.fillText(words, x, y);
  }

  paintStates(context, theme) {
    const s = this.tape.state, held = [0, 0, 0, 0];
    for (const backing of s.backing) if (backing < 4) held[backing] += 1;
    for (const state of STATES) {
      const [x, y] = PLACES[state], path = newPath();
      addMark(path, this.log.shapes[state], x, y, 2 * RADIUS);
      paintMarks(context, path, this.log.shapes[state], colourOf(theme, state), 3);
      const below = state === 2 ? -34 : 34;
      this.text(context, theme, `${NAMES[state]}: ${number(held[state])}`, x, y + below, false, 1);
    }
    this.text(context, theme, "an entry is taken", ...PLACES[TAKEN], false, 0);
  }

  /** The transition whose label or line is nearest to a place, "" if none is near. */
  hit(x, y) {
    let found = "", best = 40 ** 2;
    for (const [from, to] of this.transitions.all()) {
      if (PLACES[from] === undefined || (to !== FREED && PLACES[to] === undefined) || from === to) continue;
      const { label, end } = this.shape(from, to), at = to === FREED ? end : label;
      const far = (at[0] - x) ** 2 + (at[1] - y) ** 2;
      if (far < best && this.transitions.count(from, to, this.log.events)) [found, best] = [keyOf(from, to), far];
    }
    return found;
  }

  close() {
    this.transport.toggle(false);
    this.model.off("change:step", this.follow);
    this.surface.close();
  }
}
