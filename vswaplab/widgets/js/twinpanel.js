// Twin panel: one design at one instant, as strips: pages by where they are, slots, the swapfile, compressed objects.

import { addMark, paintMarks } from "./marks.js";
import { FONT, Surface } from "./surface.js";
import { newPath } from "./svg.js";
import { colourOf } from "./theme.js";
import { count, number } from "./words.js";

const WIDTH = 470, LEFT = 6, LINE = 17, GAP = 12;
const TITLES = { legacy: "Legacy: page tables hold slots of the swapfile", virtual: "Virtual: page tables hold virtual slots" };
const LOOKS = [["present", "memory"], [2, "zswap"], [1, "zero page"], [0, "swapfile"], [3, "folio alone"], ["reserved", "taken, unused"]];
const LOOK_OF = { memory: "present", SWAPFILE: 0, ZERO: 1, ZSWAP: 2, FOLIO: 3 };

export class TwinPanel {
  constructor(twin, i) {
    this.twin = twin;
    this.i = i;
    this.side = twin.sides[i];
    this.log = this.side.tape.log;
    this.layout();
    this.surface = new Surface(WIDTH, this.height, this.log.themes, (...to) => this.paint(...to));
  }

  /** Cells are as large as the longest strip lets them be; both designs have the same. */
  layout() {
    const most = Math.max(...this.twin.sides.map(({ keys, tape: { log: { c } } }) => Math.max(keys.length, c.entry_number.length)));
    this.cell = Math.max(5, Math.min(24, Math.floor(Math.sqrt(WIDTH * 80 / Math.max(1, most)))));
    this.perRow = Math.floor((WIDTH - 2 * LEFT) / this.cell);
    const rows = (nr) => Math.max(1, Math.ceil(nr / this.perRow));
    const tall = (side) => {
      const { c } = side.tape.log, pids = new Map();
      for (const pid of c.pte_pid) pids.set(pid, (pids.get(pid) ?? 0) + 1);
      const strips = [...pids.values(), ...(side.design === "virtual" ? [c.entry_number.length] : []), c.slot_number.length, c.entry_number.length];
      return strips.reduce((sum, nr) => sum + LINE + rows(nr) * this.cell + GAP, 26);
    };
    this.height = Math.max(...this.twin.sides.map(tall)) + 26;
  }

  paint(context, theme) {
    this.surface.canvas.setAttribute("aria-label", this.alt());
    this.context = context;
    this.theme = theme;
    this.y = 4;
    this.text(TITLES[this.side.design], `bold 13px ${FONT}`);
    this.y += 6;
    this.pages();
    if (this.side.design === "virtual") this.slots();
    this.swapfile();
    this.objects();
    this.legend();
  }

  text(words, font = `12px ${FONT}`) {
    Object.assign(this.context, { font, fillStyle: this.theme.text, textAlign: "left", textBaseline: "top" });
    this.context.fillText(words, LEFT, this.y);
    this.y += LINE;
  }

  /** A strip of `nr` cells; `look(i)` is the look of one, null for none, `scale(i)` its size. */
  strip(nr, look, scale = () => 1, each = () => {}) {
    const paths = new Map(), { cell, perRow, context, theme } = this, dots = newPath();
    for (let i = 0; i < nr; i++) {
      const x = LEFT + (i % perRow + 0.5) * cell, y = this.y + (Math.floor(i / perRow) + 0.5) * cell, is = look(i);
      if (is === null) dots.rect(x - 1, y - 1, 2, 2);
      else {
        if (!paths.has(is)) paths.set(is, newPath());
        addMark(paths.get(is), this.log.shapes[is], x, y, Math.max(3, cell * 0.66 * scale(i)));
      }
      each(i, x, y);
    }
    context.fillStyle = theme.faint;
    context.fill(dots);
    for (const [is, path] of paths) paintMarks(context, path, this.log.shapes[is], colourOf(theme, is), is === "reserved" ? 1.2 : 1.6);
    this.y += Math.max(1, Math.ceil(nr / perRow)) * cell + GAP;
  }

  pages() {
    const { c } = this.log, places = this.twin.places[this.i], elsewhere = this.twin.elsewhere(), moved = this.twin.moved(this.i);
    for (const pid of new Set(c.pte_pid)) {
      const mine = [...c.pte_pid.keys()].filter((p) => c.pte_pid[p] === pid), keys = mine.map((p) => this.side.keys[p]);
      const swapped = keys.filter((key) => places.has(key) && places.get(key) !== "memory").length;
      this.text(`process ${pid}: ${count(keys.filter((key) => places.has(key)).length, "page")}, ${number(swapped)} swapped out`);
      const rings = newPath(), bars = newPath();
      this.strip(mine.length, (i) => LOOK_OF[places.get(keys[i])] ?? (places.has(keys[i]) ? "none" : null), () => 1, (i, x, y) => {
        const half = this.cell / 2 - 0.5;
        if (elsewhere.has(keys[i])) rings.rect(x - half, y - half, 2 * half, 2 * half);
        if (moved.has(keys[i])) bars.rect(x - half + 1, y + half - 1, 2 * half - 2, 2);
      });
      this.context.fillStyle = this.theme.text;
      this.context.fill(bars);
      this.context.strokeStyle = this.theme.highlight;
      this.context.lineWidth = 2;
      this.context.stroke(rings);
    }
  }

  slots() {
    const { state } = this.side.tape, nr = state.backing.length, used = [...state.backing].filter((backing) => backing < 4).length;
    this.text(`virtual slots: ${number(used)} in use`);
    this.strip(nr, (e) => (state.backing[e] < 4 ? state.backing[e] : null));
  }

  /** The slots of the swapfiles: in legacy each entry has one of its own, in virtual only what is there. */
  swapfile() {
    const { c } = this.log, { state } = this.side.tape, legacy = this.side.design === "legacy", nr = c.slot_number.length;
    const holds = new Uint8Array(nr);
    if (legacy) state.backing.forEach((backing, e) => { if (backing < 4) holds[e] = backing === 0 ? 2 : 1; });
    else state.backing.forEach((backing, e) => { if (backing === 0) holds[state.ref[e]] = 2; });
    const taken = holds.filter((is) => is).length, written = holds.filter((is) => is === 2).length;
    this.text(`swapfile: ${count(taken, "slot")} taken, ${number(written)} of them with the contents`);
    this.strip(nr, (k) => (holds[k] === 2 ? 0 : holds[k] ? "reserved" : null));
  }

  objects() {
    const { state } = this.side.tape, stored = [...state.backing.keys()].filter((e) => state.backing[e] === 2);
    const bytes = stored.reduce((sum, e) => sum + state.length[e], 0);
    this.text(`zswap: ${count(stored.length, "object")}, ${number(bytes)} bytes`);
    this.strip(stored.length, () => 2, (i) => 0.55 + 0.75 * state.length[stored[i]] / 4096);
  }

  legend() {
    const { context, theme } = this;
    let x = LEFT;
    this.y = this.height - 18;
    context.font = `11px ${FONT}`;
    context.textBaseline = "middle";
    for (const [look, name] of LOOKS) {
      if (look === "reserved" && this.side.design !== "legacy") continue;
      const path = newPath();
      addMark(path, this.log.shapes[look], x + 5, this.y + 8, 9);
      paintMarks(context, path, this.log.shapes[look], colourOf(theme, look), 1.4);
      context.fillStyle = theme.text;
      context.fillText(name, x + 13, this.y + 9);
      x += 13 + context.measureText(name).width + 11;
    }
  }

  alt() {
    const places = [...this.twin.counts()[this.i]].map(([place, nr]) => `${number(nr)} ${place}`).join(", ") || "no pages";
    return `${this.side.design}, after operation ${this.twin.position}: ${places}; ${number(this.twin.elsewhere().size)} pages differ from the other design.`;
  }
}
