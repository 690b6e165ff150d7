// Map canvas: cells of slots, each a small bar of what its slots are; a cell of one slot is the mark of its backing.

import { addMark, paintMarks } from "./marks.js";
import { PER_ROW, ROWS } from "./slotmap.js";
import { FONT, Surface } from "./surface.js";
import { newPath } from "./svg.js";
import { colourOf } from "./theme.js";
import { number } from "./words.js";

const CELL = 13, LEFT = 84, TOP = 4, LEGEND = 26;
const ORDER = [0, 2, 1, 3]; // from the bottom: swapfile, zswap, zero, folio
export const NAMES = ["SWAPFILE", "ZERO", "ZSWAP", "FOLIO", "free"];
const KINDS = 5, SLOPES = { 1: "dots", 2: "slant", 3: "lines" };

const TEXTURES = new Map(); // made once for each colour; a picture that is written down has its own

/** A fill of a backing's colour with a texture of its own: colour is never alone. */
export function texture(context, colour, backing) {
  if (context.isWritten) return woven(context, colour, backing);
  const key = `${colour} ${backing}`;
  if (!TEXTURES.has(key)) TEXTURES.set(key, woven(context, colour, backing));
  return TEXTURES.get(key);
}

function woven(context, colour, backing) {
  const tile = context.isWritten ? context.tile(6, 6) : new OffscreenCanvas(6, 6), pen = context.isWritten ? tile : tile.getContext("2d");
  pen.fillStyle = pen.strokeStyle = colour;
  pen.globalAlpha = backing === 0 ? 1 : 0.4;
  pen.fillRect(0, 0, 6, 6);
  pen.globalAlpha = 1;
  pen.beginPath();
  if (SLOPES[backing] === "slant") for (const at of [-6, 0, 6]) { pen.moveTo(at, 6); pen.lineTo(at + 6, 0); }
  if (SLOPES[backing] === "lines") { pen.moveTo(0, 1.5); pen.lineTo(6, 1.5); pen.moveTo(0, 4.5); pen.lineTo(6, 4.5); }
  if (SLOPES[backing] === "dots") pen.rect(2, 2, 2, 2);
  pen.stroke();
  return context.createPattern(tile, "repeat");
}

export class MapCanvas {
  /** `state()` says what to show: {part, first, per, cells, slots, chosen, broken, alt}; `choose(slot)` is called on a click. */
  constructor(themes, shapes, state, choose) {
    this.shapes = shapes;
    this.state = state;
    this.surface = new Surface(LEFT + PER_ROW * CELL + 8, TOP + ROWS * CELL + LEGEND, themes, (...to) => this.paint(...to));
    this.surface.canvas.addEventListener("click", (event) => {
      const [x, y] = this.surface.locate(event), { first, per, slots } = this.state();
      const column = Math.floor((x - LEFT) / CELL), row = Math.floor((y - TOP) / CELL);
      if (column < 0 || column >= PER_ROW || row < 0 || row >= ROWS) return;
      choose(Math.min(slots - 1, first + (row * PER_ROW + column) * per));
    });
  }

  paint(context, theme) {
    const shown = this.state(), rows = Math.min(ROWS, Math.ceil((shown.slots - shown.first) / (PER_ROW * shown.per)));
    const height = TOP + Math.max(1, rows) * CELL + LEGEND;
    if (this.surface.height !== height) {
      this.surface.resize(this.surface.width, height);
      return; // it paints again
    }
    this.surface.canvas.setAttribute("aria-label", shown.alt);
    if (shown.cells) this.paintCells(context, theme, shown);
    else this.say(context, theme, "Fetching the slots…", rows);
    this.paintRows(context, theme, shown, rows);
    this.paintChosen(context, theme, shown);
    this.paintLegend(context, theme, height - LEGEND / 2 + 2, shown.per);
  }

  place(i) {
    return [LEFT + (i % PER_ROW) * CELL, TOP + Math.floor(i / PER_ROW) * CELL];
  }

  paintCells(context, theme, { cells, per, slots, first }) {
    const bars = [0, 1, 2, 3].map(() => []), free = newPath(), dots = newPath(), side = CELL - 1;
    const marks = [0, 1, 2, 3].map(() => newPath());
    for (let i = 0; i < cells.length / KINDS && first + i * per < slots; i++) {
      const [x, y] = this.place(i), there = Math.min(per, slots - first - i * per);
      let base = y + side;
      for (const kind of ORDER) {
        const nr = cells[i * KINDS + kind];
        if (!nr) continue;
        if (per === 1) addMark(marks[kind], this.shapes[kind], x + side / 2, y + side / 2, 8);
        const tall = Math.max(1, side * nr / there);
        base -= tall;
        bars[kind].push(x, base, tall);
      }
      if (cells[i * KINDS + 4]) free.rect(x, y, side, Math.max(0, base - y));
      else if (base === y + side) dots.rect(x + side / 2 - 1, y + side / 2 - 1, 2, 2);
    }
    context.fillStyle = theme.faint;
    context.globalAlpha = 0.55;
    context.fill(free);
    context.globalAlpha = 1;
    context.fill(dots);
    for (const kind of ORDER) {
      if (per === 1) paintMarks(context, marks[kind], this.shapes[kind], colourOf(theme, kind));
      else {
        context.fillStyle = texture(context, colourOf(theme, kind), kind);
        for (let at = 0; at < bars[kind].length; at += 3) context.fillRect(bars[kind][at], bars[kind][at + 1], side, bars[kind][at + 2]);
      }
    }
  }

  say(context, theme, words, rows) {
    context.font = `13px ${FONT}`;
    context.fillStyle = theme.text;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(words, LEFT + PER_ROW * CELL / 2, TOP + rows * CELL / 2);
  }

  paintRows(context, theme, { first, per }, rows) {
    context.font = `11px ${FONT}`;
    context.fillStyle = theme.text;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (let row = 0; row < rows; row++) context.fillText(number(first + row * PER_ROW * per), LEFT - 8, TOP + row * CELL + CELL / 2);
  }

  paintChosen(context, theme, { first, per, chosen, broken, cells }) {
    if (!cells) return;
    const ring = (slot, colour, width) => {
      const i = Math.floor((slot - first) / per);
      if (i < 0 || i >= PER_ROW * ROWS) return;
      const [x, y] = this.place(i);
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.strokeRect(x - 1.5, y - 1.5, CELL + 2, CELL + 2);
    };
    for (const slot of broken) {
      const [x, y] = this.place(Math.floor((slot - first) / per)), path = newPath();
      if (slot < first || slot >= first + PER_ROW * ROWS * per) continue;
      addMark(path, "diamond-open", x + CELL / 2 - 0.5, y + CELL / 2 - 0.5, CELL + 3);
      paintMarks(context, path, "diamond-open", theme.broken, 2);
    }
    ring(chosen, theme.ground, 5);
    ring(chosen, theme.highlight, 2.5);
  }

  paintLegend(context, theme, y, per) {
    context.font = `12px ${FONT}`;
    context.textAlign = "left";
    context.textBaseline = "middle";
    let x = LEFT;
    const put = (words, wide) => {
      context.fillStyle = theme.text;
      context.fillText(words, x + wide, y);
      x += wide + context.measureText(words).width + 20;
    };
    for (const kind of ORDER) {
      if (per === 1) {
        const path = newPath();
        addMark(path, this.shapes[kind], x + 5, y, 10);
        paintMarks(context, path, this.shapes[kind], colourOf(theme, kind));
      } else {
        context.fillStyle = texture(context, colourOf(theme, kind), kind);
        context.fillRect(x, y - 6, 12, 12);
      }
      put(NAMES[kind], 17);
    }
    context.fillStyle = theme.faint;
    context.fillRect(x, y - 6, 12, 12);
    put("free, in a cluster in use", 17);
    put(per === 1 ? "a cell is one slot" : `a cell is ${number(per)} slots`, 0);
  }
}
