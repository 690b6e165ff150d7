// Slot graph: a slot scene on a canvas.

import { MarkLayer } from "./marklayer.js";
import { addMark, paintMarks } from "./marks.js";
import { FONT, Surface } from "./surface.js";
import { SlotScene } from "./slotscene.js";
import { newPath } from "./svg.js";
import { colourOf } from "./theme.js";

const LEGEND = 30; // room below the picture
const MARGIN = 24; // and to its right, for the last label
const FEW = 8;
const MANY = 1200; // entries from which lines are a haze: then some of them stand for all
const LOOKS = [["present", "PTE, present"], ["swapped", "PTE, swapped out"], [2, "zswap"], [1, "zero page"],
  [0, "swapfile"], [3, "folio in memory"]];
const DASH = { pte: [], backing: [], swapcache: [2, 3], rmap: [6, 4] };

export class SlotGraph {
  /** `chosen(what, n)` is called when a mark is clicked. */
  constructor(tape, chosen = () => {}) {
    this.tape = tape;
    this.log = tape.log;
    this.scene = new SlotScene(tape);
    this.layer = this.log.labelled ? null : new MarkLayer(this.scene);
    this.broken = []; // [{edge, ptes: [], entries: [], label}] drawn as broken
    this.surface = new Surface(this.log.width + MARGIN, this.log.height + LEGEND, this.log.themes, (...to) => this.paint(...to));
    this.surface.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.surface.canvas.addEventListener("pointerleave", () => this.hide());
    this.surface.canvas.addEventListener("click", (event) => {
      const hit = this.hit(...this.surface.locate(event));
      chosen(hit?.what ?? null, hit?.n ?? -1);
    });
    this.tip = document.createElement("div");
    this.tip.className = "vswaplab-tip";
    this.tip.hidden = true;
  }

  attach(parent) {
    parent.append(this.tip);
    this.surface.attach(parent);
  }

  redraw() {
    this.surface.redraw();
  }

  close() {
    this.surface.close();
  }

  // -- painting -------------------------------------------------------------------------------------------------

  paint(context, theme) {
    this.scene.refresh();
    const broken = this.broken.map(({ label }) => ` Broken: ${label}.`).join("");
    this.surface.canvas.setAttribute("aria-label", this.scene.alt() + broken);
    this.changed = this.tape.changed();
    this.paintEdges(context, theme);
    this.paintThings(context, theme);
    this.paintHeadings(context, theme);
    this.paintBroken(context, theme);
    this.paintLegend(context, theme);
  }

  paintEdges(context, theme) {
    const dense = !this.log.fullLabels, paths = new Map(), bold = newPath(), broken = newPath();
    this.every = Math.ceil(this.scene.counts.entries / MANY);
    let changes = 0;
    this.scene.eachEdge((kind, look, x0, y0, x1, y1, down, pte, entry) => {
      const key = `${kind} ${look}`;
      if (!paths.has(key)) paths.set(key, newPath());
      if (this.every <= 1 || (kind !== "rmap" && (pte < 0 ? entry : pte) % this.every === 0)) {
        curve(paths.get(key), x0, y0, x1, y1, down);
      }
      const isChanged = kind === "pte" ? pte === this.changed.pte : entry >= 0 && entry === this.changed.entry && kind !== "rmap";
      if (isChanged) {
        curve(bold, x0, y0, x1, y1, down);
        changes += 1;
      }
      if (this.isBroken(pte, entry, kind)) curve(broken, x0, y0, x1, y1, down);
    });
    for (const [key, path] of paths) {
      const [kind, look] = key.split(" ");
      context.strokeStyle = colourOf(theme, look === "pte" ? "pte" : Number(look));
      context.globalAlpha = dense ? (kind === "backing" ? 0.26 : 0.17) : 0.75;
      context.lineWidth = dense ? 1 : 1.4;
      context.setLineDash(dense ? [] : DASH[kind]);
      context.stroke(path);
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
    strokeWith(context, bold, theme.highlight, changes <= FEW ? 3 : 1.2);
    context.setLineDash([10, 3]);
    strokeWith(context, broken, theme.broken, 3.5);
    context.setLineDash([]);
  }

  isBroken(pte, entry, kind) {
    return this.broken.some(({ edge, ptes, entries }) => {
      if (edge === "pte" || edge === "contents") return kind === "pte" && (ptes.includes(pte) || entries.includes(entry));
      const alone = edge === "swapcache" && kind === "backing" && this.tape.state.backing[entry] === 3;
      return (edge === kind || alone) && entries.includes(entry);
    });
  }

  /** A ring of its own shape around what is broken, and the name of the rule beside the first of it. */
  paintBroken(context, theme) {
    const { c } = this.log;
    for (const { ptes, entries, label } of this.broken) {
      const places = [...ptes.map((p) => [c.pte_x[p], c.pte_y[p]]), ...entries.map((e) => [c.entry_x[e], c.entry_y[e]])];
      const rings = newPath();
      for (const [x, y] of places) addMark(rings, "diamond-open", x, y, this.log.mark + 5);
      strokeWith(context, rings, theme.broken, 2.5);
      if (!places.length) continue;
      context.font = `bold 12px ${FONT}`;
      const [x, y] = places.at(-1), wide = context.measureText(label).width + 10, left = Math.min(x, this.log.width - wide);
      context.fillStyle = theme.ground;
      context.fillRect(left - 5, y + this.log.mark + 4, wide, 18);
      context.fillStyle = theme.broken;
      context.textAlign = "left";
      context.textBaseline = "middle";
      context.fillText(label, left, y + this.log.mark + 13);
    }
  }

  /** Many marks: an image of them, then what the last event changed ringed. */
  paintMany(context, theme) {
    const { log, scene } = this, rings = newPath(), { canvas, scale } = this.surface;
    this.layer.paint(context, theme, canvas, scale * (window.devicePixelRatio || 1));
    const { pte, entry } = this.changed;
    for (const [what, n] of [["pte", pte], ["entry", entry], ["zswap", entry], ["slot", entry < 0 ? -1 : scene.slotOf(entry)]]) {
      if (n < 0 || !this.layer.has(what, n) || !this.isChanged(what, n)) continue;
      const [xs, ys] = this.layer.places[what];
      addMark(rings, "circle-open", xs[n], ys[n], log.mark + 9);
    }
    strokeWith(context, rings, theme.highlight, 3);
    if (!log.zero || !scene.counts.backing[1]) return;
    const zero = newPath(), [x, y] = log.zero;
    addMark(zero, log.shapes[1], x, y, log.mark);
    paintMarks(context, zero, log.shapes[1], colourOf(theme, 1), 2);
    this.paintLabels(context, theme, [["zero", x, y, scene.labelOf("zero", 0)]]);
  }

  paintThings(context, theme) {
    if (this.layer) {
      this.paintMany(context, theme);
      return;
    }
    const { log, scene } = this, paths = new Map(), rings = newPath(), labels = [];
    const dot = Math.max(3, log.mark / 3), small = dot / 2;
    context.fillStyle = theme.faint;
    scene.eachMark(() => {}, (x, y) => context.fillRect(x - small, y - small, dot, dot));
    scene.eachMark((what, n, x, y, look, scale) => {
      if (!paths.has(look)) paths.set(look, newPath());
      addMark(paths.get(look), log.shapes[look], x, y, log.mark * scale);
      if (this.isChanged(what, n)) addMark(rings, "circle-open", x, y, log.mark + 9);
      const label = scene.labelOf(what, n);
      if (label) labels.push([what, x, y, label]);
    }, () => {});
    for (const [look, path] of paths) paintMarks(context, path, log.shapes[look], colourOf(theme, look), look === "reserved" ? 1.5 : 2);
    strokeWith(context, rings, theme.highlight, 3);
    this.paintLabels(context, theme, labels);
  }

  isChanged(what, n) {
    if (what === "pte") return n === this.changed.pte;
    if (this.changed.entry < 0) return false;
    if (what === "entry" || what === "zswap") return n === this.changed.entry;
    return what === "slot" && this.tape.state.backing[this.changed.entry] === 0 && n === this.scene.slotOf(this.changed.entry);
  }

  paintLabels(context, theme, labels) {
    const { log } = this, gap = log.mark / 2 + 8;
    context.font = `${log.font}px ${FONT}`;
    context.fillStyle = theme.text;
    context.textBaseline = "middle";
    for (const [what, x, y, label] of labels) {
      const left = what === "pte" && log.fullLabels;
      context.textAlign = left ? "right" : "left";
      context.fillText(label, left ? x - gap : x + gap, y);
    }
  }

  paintHeadings(context, theme) {
    context.fillStyle = theme.text;
    context.textBaseline = "middle";
    for (const [x, y, side, text, note] of this.scene.headings()) {
      const at = side === "left" ? x - 36 : side === "end" ? x + this.log.mark / 2 : x - this.log.mark / 2;
      context.textAlign = side === "over" ? "left" : "right";
      context.font = `bold 12px ${FONT}`;
      context.fillText(text, at, y + 7);
      context.font = `12px ${FONT}`;
      context.fillText(note, at, y + 22);
    }
  }

  paintLegend(context, theme) {
    const legacy = this.scene.legacy, y = this.log.height + LEGEND / 2;
    const looks = legacy ? [...LOOKS.map(([look, name]) => [look, look === 0 ? "on the device" : name]),
      ["reserved", "slot taken, block unused"]] : LOOKS;
    context.font = `12px ${FONT}`;
    context.textAlign = "left";
    context.textBaseline = "middle";
    let x = 14;
    for (const [look, name] of looks) {
      const path = newPath();
      addMark(path, this.log.shapes[look], x, y, 11);
      paintMarks(context, path, this.log.shapes[look], colourOf(theme, look));
      context.fillStyle = theme.text;
      context.fillText(name, x + 13, y);
      x += 13 + context.measureText(name).width + 24;
    }
    if (this.every > 1) context.fillText(`1 line of ${this.every} is drawn`, x, y);
  }

  // -- pointing -------------------------------------------------------------------------------------------------

  /** The mark at a place, or null. */
  hit(x, y) {
    let found = null, best = Math.max(8, this.log.mark * 0.75) ** 2;
    this.scene.eachMark((what, n, markX, markY) => {
      const far = (markX - x) ** 2 + (markY - y) ** 2;
      if (far < best) [found, best] = [{ what, n, x: markX, y: markY }, far];
    }, () => {});
    return found;
  }

  point(event) {
    const hit = this.hit(...this.surface.locate(event));
    if (!hit) {
      this.hide();
      return;
    }
    const [name, ...lines] = this.scene.linesOf(hit.what, hit.n);
    const title = document.createElement("b");
    title.textContent = name;
    this.tip.replaceChildren(title, ...lines.flatMap((line) => [document.createElement("br"), line]));
    this.tip.hidden = false;
    const { canvas, scale, width } = this.surface;
    const right = hit.x > width * 0.66;
    this.tip.style.top = `${canvas.offsetTop + hit.y * scale + 10}px`;
    this.tip.style.left = right ? "auto" : `${canvas.offsetLeft + hit.x * scale + 10}px`;
    this.tip.style.right = right ? `${canvas.parentElement.clientWidth - canvas.offsetLeft - hit.x * scale + 10}px` : "auto";
  }

  hide() {
    this.tip.hidden = true;
  }
}

/** A curve that leaves level and arrives level, or (`down`) from above. */
export function curve(path, x0, y0, x1, y1, down) {
  path.moveTo(x0, y0);
  if (down) path.bezierCurveTo(x0 + Math.max(-70, Math.min(70, x1 - x0)), y0, x1, y1 - (y1 - y0) * 0.6, x1, y1);
  else path.bezierCurveTo(x0 + (x1 - x0) / 2, y0, x1 - (x1 - x0) / 2, y1, x1, y1);
}

function strokeWith(context, path, colour, width) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke(path);
}
