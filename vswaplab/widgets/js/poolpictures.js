// Pool pictures: zspages by size class, pages against the limits, the list by age, and sizes by codec.

import { addMark, paintMarks } from "./marks.js";
import { FREE, REFUSED } from "./poollog.js";
import { FONT } from "./surface.js";
import { newPath } from "./svg.js";
import { colourOf } from "./theme.js";
import { number } from "./words.js";

export const WIDE = 940;
const LEFT = 58, RIGHT = 12, ZSWAP = 2;
export const CLASSES = { high: 190, top: 26, foot: 34 };
export const LIMITS = { high: 128, top: 26, foot: 12 };
export const SIZES = { wide: 305, high: 112, top: 34, foot: 22 };

export function words(context, theme, text, x, y, { font = "12px", align = "left" } = {}) {
  Object.assign(context, { font: `${font} ${FONT}`, fillStyle: theme.text, textAlign: align, textBaseline: "middle" });
  context.fillText(text, x, y);
}

/** A heading, and what goes with it. */
function heading(context, theme, title, note) {
  words(context, theme, title, LEFT, 9, { font: "bold 12px" });
  words(context, theme, note, LEFT + context.measureText(title).width + 12, 9, { font: "11px" });
}

/** A column for each size class, a box for each zspage, filled as far as its objects are in use. */
export function paintClasses(context, theme, log) {
  const { high, top, foot } = CLASSES, classes = log.classes(), room = high - top - foot;
  heading(context, theme, "zspages by size class", "a box is a zspage, with its objects in use; below, the bytes of an object");
  if (!classes.length) {
    words(context, theme, "the pool is empty", WIDE / 2, high / 2, { align: "center" });
    return;
  }
  const most = Math.max(3, ...classes.map(({ zspages }) => zspages.length)), tall = Math.min(40, room / most);
  const step = Math.min(46, (WIDE - LEFT - RIGHT) / classes.length), wide = Math.max(3, step - 3), last = log.position - 1;
  const outlines = newPath(), fills = newPath(), now = newPath();
  classes.forEach(({ klass, zspages }, column) => {
    const x = LEFT + column * step, objs = log.header.classes[klass][2];
    zspages.forEach(([serial, used], row) => {
      const y = high - foot - (row + 1) * tall, inner = Math.max(1, tall - 2);
      outlines.rect(x, y, wide, inner);
      if (wide / objs >= 2) for (const object of used) fills.rect(x + wide * object / objs, y, wide / objs - 0.6, inner);
      else fills.rect(x, y, wide * used.size / objs, inner); // too many to tell apart: their share
      if (last >= 0 && log.c.zspage[last] === serial) now.rect(x - 1.5, y - 1.5, wide + 3, inner + 3);
    });
    if (column % Math.ceil(34 / step) === 0) words(context, theme, number(log.header.classes[klass][0]), x + wide / 2, high - foot + 11, { font: "11px", align: "center" });
  });
  context.fillStyle = colourOf(theme, ZSWAP);
  context.fill(fills);
  context.strokeStyle = theme.text;
  context.globalAlpha = 0.55;
  context.lineWidth = 0.8;
  context.stroke(outlines);
  context.globalAlpha = 1;
  context.strokeStyle = theme.highlight;
  context.lineWidth = 2.5;
  context.stroke(now);
  words(context, theme, "bytes", LEFT - 8, high - foot + 11, { font: "11px", align: "right" });
}

/** Pages of the pool at every operation, with the limits, what was refused and what was written back. */
export function paintLimits(context, theme, log) {
  const { high, top, foot } = LIMITS, { limits } = log.header, { pages, op, why } = log.c;
  const peak = pages.reduce((best, each) => Math.max(best, each), 1), near = limits && limits.accept < 4 * peak;
  const most = near ? Math.max(peak, limits.max) * 1.06 : peak * 1.15, wide = WIDE - LEFT - RIGHT - 110;
  const x = (i) => LEFT + wide * i / Math.max(1, log.length), y = (value) => top + (high - top - foot) * (1 - value / most);
  const far = limits && !near ? `; full at ${number(limits.max)} pages (${limits.max_percent} % of memory), far above` : "";
  heading(context, theme, "pages of the pool", `□ written back to the swapfile   ✕ not taken by zswap${far}`);
  const line = newPath(), area = newPath(), gone = newPath(), refused = newPath();
  area.moveTo(x(0), y(0));
  line.moveTo(x(0), y(0));
  for (let i = 0; i < log.length; i++) {
    line.lineTo(x(i + 1), y(pages[i]));
    area.lineTo(x(i + 1), y(pages[i]));
    if (op[i] === FREE && why[i] === 0) addMark(gone, "square-open", x(i + 1), y(pages[i]) - 7, 5);
    if (op[i] === REFUSED) addMark(refused, "x", x(i + 1), top + 4, 6);
  }
  area.lineTo(x(log.length), y(0));
  context.fillStyle = context.strokeStyle = colourOf(theme, ZSWAP);
  context.globalAlpha = 0.25;
  context.fill(area);
  context.globalAlpha = 1;
  context.lineWidth = 1.8;
  context.stroke(line);
  paintMarks(context, gone, "square-open", colourOf(theme, 0), 1);
  paintMarks(context, refused, "x", theme.broken, 1.6);
  if (near) for (const [value, name, dash] of [[limits.max, `full: ${number(limits.max)}`, []], [limits.accept, `accepts again: ${number(limits.accept)}`, [5, 4]]]) {
    context.strokeStyle = theme.text;
    context.setLineDash(dash);
    context.lineWidth = 1.2;
    context.beginPath();
    context.moveTo(LEFT, y(value));
    context.lineTo(LEFT + wide, y(value));
    context.stroke();
    context.setLineDash([]);
    words(context, theme, name, LEFT + wide + 6, y(value) + (name[0] === "f" ? -2 : 4), { font: "11px" });
  }
  context.strokeStyle = theme.highlight;
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x(log.position), top - 2);
  context.lineTo(x(log.position), high - foot);
  context.stroke();
  words(context, theme, number(peak), LEFT - 6, y(peak), { font: "11px", align: "right" });
  words(context, theme, "0", LEFT - 6, y(0), { font: "11px", align: "right" });
}

/** How many cells of the list by age fit, and how tall its picture is. */
export function ageLayout(log, longest) {
  const cell = longest <= 240 ? 14 : longest <= 1200 ? 9 : 6, perRow = Math.floor((WIDE - LEFT - RIGHT) / cell);
  return { cell, perRow, high: 30 + Math.max(1, Math.ceil(longest / perRow)) * cell + 22 };
}

/** Pages from the oldest to the youngest; those with a second chance are filled, the others hollow. */
export function paintAges(context, theme, log, { cell, perRow, high }) {
  const order = [...log.lrus.values()].flat(), last = log.position - 1, filled = newPath(), hollow = newPath(), now = newPath();
  heading(context, theme, "by age, the oldest first", "◆ has its second chance   ◇ has lost it: written back when it is the oldest   □ last touched");
  order.forEach((entry, i) => {
    const x = LEFT + (i % perRow + 0.5) * cell, y = 24 + (Math.floor(i / perRow) + 0.5) * cell;
    addMark(log.chances.has(entry) ? filled : hollow, "diamond", x, y, cell * 0.6);
    if (last >= 0 && log.c.entry[last] === entry) now.rect(x - cell / 2, y - cell / 2, cell, cell);
  });
  paintMarks(context, filled, "diamond", colourOf(theme, ZSWAP));
  paintMarks(context, hollow, "diamond-open", colourOf(theme, ZSWAP), 1.2);
  context.strokeStyle = theme.highlight;
  context.lineWidth = 2;
  context.stroke(now);
  if (!order.length) words(context, theme, "nothing is stored", LEFT, 32);
  else {
    const oldest = order[0], next = log.chances.has(oldest) ? "it loses its second chance and becomes the youngest" : "it goes to the swapfile";
    words(context, theme, `write-back would look at entry ${log.nameOf(oldest)} next: ${next}`, LEFT, high - 9, { font: "11px" });
  }
}

/** One codec's compressed sizes of real pages; the page of the last operation is marked. */
export function paintSizes(context, theme, log, { codec, counts, pages, mean, incompressible }) {
  const { wide, high, top, foot } = SIZES, most = Math.max(...counts), left = 8, room = wide - left - 10, bar = room / counts.length;
  const own = log.header.limits?.compressor === codec, last = log.position - 1;
  words(context, theme, `${codec}${own ? " (this machine's)" : ""}`, left, 9, { font: "bold 12px" });
  words(context, theme, `${number(pages)} real pages: mean ${number(mean)} bytes, ${number(incompressible)} not smaller`, left, 24, { font: "11px" });
  context.fillStyle = colourOf(theme, ZSWAP);
  counts.forEach((nr, bin) => {
    const tall = (high - top - foot) * nr / most;
    context.fillRect(left + bin * bar, high - foot - tall, Math.max(1, bar - 1), tall);
  });
  context.fillStyle = theme.text;
  context.fillRect(left, high - foot, room, 1);
  for (const size of [0, 1024, 2048, 3072, 4096]) words(context, theme, number(size), left + room * size / 4096, high - foot + 10, { font: "10px", align: size ? (size === 4096 ? "right" : "center") : "left" });
  if (own && last >= 0 && log.c.length[last]) {
    const path = newPath();
    addMark(path, "triangle-right", left + room * log.c.length[last] / 4096, high - foot - 8, 9);
    paintMarks(context, path, "triangle-right", theme.highlight);
  }
}
