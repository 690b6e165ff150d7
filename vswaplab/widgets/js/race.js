// Swapoff race: two tracks, a prediction, and stops midway.

import { Fold, h, pictureBox, table } from "./dom.js";
import { texture } from "./mapcanvas.js";
import { addMark, paintMarks } from "./marks.js";
import { RaceLog, workOf } from "./racelog.js";
import { FONT, Surface } from "./surface.js";
import { newPath } from "./svg.js";
import { colourOf } from "./theme.js";
import { Transport } from "./transport.js";
import { count, number } from "./words.js";

const WIDTH = 940, LEFT = 10, RIGHT = 24, LANE = 118, TOP = 8, BAR = 26, FOOT = 24;
const KINDS = [["page tables", 3, 0], ["page table entries", 1, 1], ["slots of the device", 0, 2], ["pages read", 2, 3]]; // name, texture, column
const NAMES = { legacy: "Legacy", virtual: "Virtual" };

export class SwapoffRace {
  constructor(model, el) {
    this.model = model;
    this.header = model.get("header");
    this.race = new RaceLog(this.header, model.get("data"));
    this.race.seek(model.get("step"));
    this.surface = new Surface(WIDTH, TOP + 2 * LANE + FOOT, this.header.themes, (...to) => this.paint(...to));
    this.status = h("div", { className: "vswaplab-status vswaplab-race-status", role: "status" });
    this.transport = new Transport(this.race, () => this.moved(), "moment");
    this.transport.speed = 60;
    this.transport.rate.value = "60";
    this.folds = [new Fold("The state after it", () => this.after()), new Fold("The same as a table", () => this.table(), "vswaplab-twin"),
      new Fold("The calls behind this picture", () => h("pre", { textContent: model.get("code") }))];
    this.folds[0].element.open = true;
    this.result = h("div", { role: "status", className: "vswaplab-race-result" });
    const picture = pictureBox();
    this.root = h("div", { className: "vswaplab-view vswaplab-race", tabIndex: 0, role: "group",
      "aria-label": "Swapoff race: arrow keys step, space plays" },
    this.task(), this.predictions(), this.transport.element, this.status, picture, this.result, ...this.folds.map((fold) => fold.element));
    this.root.addEventListener("keydown", (event) => this.transport.key(event));
    this.root.player = this;
    el.replaceChildren(this.root);
    this.surface.attach(picture);
    this.follow = () => {
      if (model.get("step") === this.race.position) return;
      this.race.seek(model.get("step"));
      this.transport.show();
      this.show();
    };
    model.on("change:step", this.follow);
    this.show();
  }

  task() {
    const { swapped, mapped, strangers } = this.header.setting;
    const others = strangers ? ` Beside it ${count(strangers, "stranger")} ${strangers === 1 ? "maps" : "map"} ${number(mapped)} pages${strangers === 1 ? "" : " each"}, one of which was swapped once.` : "";
    return h("p", { className: "vswaplab-task" }, `A device holds ${count(swapped, "page")} of one process.${others} It is swapped off.`);
  }

  predictions() {
    const given = this.model.get("prediction") ?? {};
    const field = (name, label) => h("label", {}, `${label} `, h("input", { type: "number", min: 0, value: given[name] ?? "", name,
      onchange: () => this.predict() }));
    this.fields = [field("legacy", "PTEs that legacy looks at"), field("virtual", "PTEs that virtual looks at"), field("pages", "pages read")];
    this.end = h("select", { className: "vswaplab-wide", "aria-label": "What stops it", onchange: () => this.choose(this.end.value) },
      h("option", { value: "", textContent: "let both run to the end" }),
      ...Object.entries(this.header.whys).flatMap(([why, words]) => this.header.parts.map((percent) => h("option", {
        value: `${why} ${percent}`, textContent: `${words} at ${percent} %` }))));
    return h("div", { className: "vswaplab-row", role: "group", "aria-label": "Predict before you play" },
      h("b", { textContent: "Predict:" }), ...this.fields, this.end);
  }

  predict() {
    const given = {};
    for (const label of this.fields) {
      const input = label.querySelector("input");
      if (input.value !== "" && Number.isFinite(Number(input.value))) given[input.name] = Number(input.value);
    }
    this.model.set("prediction", given);
    this.model.save_changes();
    this.show();
  }

  choose(text) {
    const [why, percent] = text.split(" ");
    this.race.stop = text ? { why, percent: Number(percent) } : null;
    this.show();
  }

  moved() {
    this.show();
    if (this.transport.playing && this.race.position < this.race.length) return;
    this.model.set("step", this.race.position);
    this.model.save_changes();
  }

  show() {
    const { race } = this;
    this.status.setAttribute("aria-live", this.transport.playing ? "off" : "polite");
    const said = race.tracks.map((track) => {
      const now = race.now(track), state = race.done(track) ? this.ended(track) : "on its way";
      return `${NAMES[track.design]}: ${number(workOf(now))} of ${number(workOf(race.end(track)))} ticks, ${state}`;
    });
    this.status.replaceChildren(h("b", { textContent: said[0] }), h("br"), h("b", { textContent: said[1] }));
    this.result.replaceChildren(...(race.finished() && !race.stop ? this.verdict() : []));
    this.surface.redraw();
    for (const fold of this.folds) fold.update();
  }

  ended(track) {
    const stop = this.race.stopOf(track);
    if (!stop || !stop.error) return stop ? "done before memory was missed" : "done";
    return stop.why === "signal" ? "stopped by a signal: EINTR" : "killed for want of memory";
  }

  verdict() {
    const rows = this.race.verdicts(this.model.get("prediction") ?? {});
    return [table("Predicted against actual", ["what", "predicted", "actual", ""], rows.map(([what, guess, actual, words]) => [what,
      guess === null ? "" : number(guess), number(actual), words]))];
  }

  // -- the picture --------------------------------------------------------------------------------------------------

  paint(context, theme) {
    this.surface.canvas.setAttribute("aria-label", this.alt());
    this.race.tracks.forEach((track, i) => this.lane(context, theme, track, TOP + i * LANE));
    this.legend(context, theme, TOP + 2 * LANE + FOOT / 2);
  }

  fill(context, theme, look) {
    const colour = look === 1 ? theme.pte : colourOf(theme, look === 2 ? 3 : look === 3 ? 1 : 0);
    return texture(context, colour, [0, 2, 3, 1][look]);
  }

  lane(context, theme, track, top) {
    const { race } = this, now = race.now(track), wide = WIDTH - LEFT - RIGHT, scale = wide / race.most, y = top + 44;
    Object.assign(context, { fillStyle: theme.text, textAlign: "left", textBaseline: "middle", font: `bold 13px ${FONT}` });
    context.fillText(NAMES[track.design], LEFT, top + 10);
    context.font = `12px ${FONT}`;
    context.fillText(track.design === "legacy" ? "walks the page tables of every process that ever swapped" : "scans the device, and asks the rmap whose each slot is", LEFT + 62, top + 10);
    context.fillText(KINDS.map(([name, , column]) => `${number(now[column])} ${name}`).join("   "), LEFT, top + 29);
    context.strokeStyle = theme.faint;
    context.strokeRect(LEFT + 0.5, y + 0.5, Math.max(2, workOf(race.end(track)) * scale), BAR);
    let x = LEFT;
    for (const [, look, column] of KINDS) {
      context.fillStyle = this.fill(context, theme, look);
      context.fillRect(x, y, now[column] * scale, BAR);
      x += now[column] * scale;
    }
    this.blocks(context, theme, track, y + BAR + 8, scale);
    this.runner(context, theme, track, x, y);
  }

  /** What there is to walk, to scale, under the bar. */
  blocks(context, theme, track, y, scale) {
    let x = LEFT;
    context.font = `11px ${FONT}`;
    for (const [name, nr] of track.walked) {
      const wide = nr * scale;
      context.strokeStyle = context.fillStyle = theme.text;
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(x + 0.5, y + 5);
      context.lineTo(x + 0.5, y);
      context.lineTo(x + Math.max(1, wide - 2), y);
      context.lineTo(x + Math.max(1, wide - 2), y + 5);
      context.stroke();
      const { rounds } = track.report, words = `${name}: ${number(nr)}${rounds > 1 ? `, scanned ${rounds === 2 ? "twice" : `${rounds} times`}` : ""}`;
      if (context.measureText(words).width < wide + (track.walked.length === 1 ? 400 : 0)) context.fillText(words, x + 2, y + 13);
      x += wide;
    }
  }

  runner(context, theme, track, x, y) {
    const { race } = this, path = newPath(), stop = race.stopOf(track);
    const shape = race.done(track) ? (stop?.error ? "x" : "square") : "triangle-right";
    addMark(path, shape, Math.min(WIDTH - 12, x + 8), y + BAR / 2, 14);
    paintMarks(context, path, shape, shape === "x" ? theme.broken : theme.highlight, 4);
  }

  legend(context, theme, y) {
    Object.assign(context, { font: `12px ${FONT}`, textAlign: "left", textBaseline: "middle" });
    let x = LEFT;
    for (const [name, look] of KINDS) {
      context.fillStyle = this.fill(context, theme, look);
      context.fillRect(x, y - 6, 14, 12);
      context.fillStyle = theme.text;
      context.fillText(name, x + 19, y);
      x += 19 + context.measureText(name).width + 22;
    }
    context.fillText("a tick is one of these", x, y);
  }

  alt() {
    const parts = this.race.tracks.map((track) => {
      const now = this.race.now(track);
      return `${track.design}: ${KINDS.map(([name, , column]) => `${number(now[column])} ${name}`).join(", ")}, ${this.race.done(track) ? this.ended(track) : "on its way"}`;
    });
    return `Swapoff race at moment ${this.race.position} of ${this.race.length}. ${parts.join(". ")}.`;
  }

  // -- words --------------------------------------------------------------------------------------------------------

  after() {
    const { race } = this, { swapped } = this.header.setting;
    if (!race.finished()) return h("p", { textContent: "Both have to be done, or stopped, first." });
    const rows = race.tracks.map((track) => {
      const stop = race.stopOf(track), on = stop ? stop.still_on : false;
      return [track.design, on ? "on, as before" : "off", number(stop ? stop.on_device : 0), on ? stop.error : "no error",
        `${number(swapped)} pages read back, ${number(stop ? stop.pages_lost : 0)} lost; every invariant holds`];
    });
    return table("After swapoff", ["design", "device", "slots in use on it", "what swapoff said", "checked"], rows);
  }

  table() {
    const { race } = this, rows = this.header.counted.map((name, column) => [name.replaceAll("_", " "),
      ...race.tracks.map((track) => number(race.now(track)[column])), ...race.tracks.map((track) => number(track.rows.at(-1)[column]))]);
    const seconds = race.tracks.map(({ design, report }) => `${design} ${(1000 * report.seconds).toFixed(1)} ms`).join(", ");
    return [table("Counted", ["what", "legacy now", "virtual now", "legacy in all", "virtual in all"], rows),
      h("p", { textContent: `The model itself took ${seconds}. A page read costs far more than an entry looked at, and both read as many.` })];
  }

  close() {
    this.transport.toggle(false);
    this.model.off("change:step", this.follow);
    this.surface.close();
  }
}
