// The ledger's picture: a panel of stacked bands for each design on one scale, and a panel of the two totals.

import { spread } from "./ledgersum.js";
import { addMark, paintMarks } from "./marks.js";
import { FONT } from "./surface.js";
import { newPath } from "./svg.js";
import { colourOf } from "./theme.js";

const AXIS = 46, GUTTER = 184, GAP = 15, HEAD = 30, FOOT = 34, TOTALS = 118;
const WIDE = { width: 968, high: 250, columns: 2 }, NARROW = { width: 500, high: 200, columns: 1 };
// How the totals of the baseline and of virtual swap are drawn, whatever the baseline is.
const LOOKS = { baseline: { look: 0, dash: [7, 4], shape: "square" }, virtual: { look: 2, dash: [], shape: "circle" } };
const lookOf = (design) => LOOKS[design] ?? LOOKS.baseline;

/** Where the panels are, for a page that is wide or narrow. */
export function layout(narrow) {
  const { width, high, columns } = narrow ? NARROW : WIDE, each = width / columns, inner = each - AXIS - GUTTER;
  const row = HEAD + high + FOOT, rows = 2 / columns;
  const panels = [0, 1].map((at) => ({ x: (at % columns) * each + AXIS, y: Math.floor(at / columns) * row + HEAD, wide: inner, high }));
  const totals = { x: AXIS, y: rows * row + HEAD, wide: width - AXIS - GUTTER, high: TOTALS };
  return { width, height: totals.y + TOTALS + FOOT, panels, totals };
}

/** A step of an axis: 1, 2 or 5 times a power of ten, three to six of them. */
export function stepOf(top) {
  const rough = top / 6, power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
}

export class LedgerPicture {
  constructor(context, theme, header, shown) {
    Object.assign(this, { context, theme, header, shown });
  }

  /** `shown`: {layout, usages, designs: [baseline, virtual], names, series by design: {bands, counted}, top, crossing, usage, unit, words(value)}. */
  paint() {
    const { layout: at, series, designs } = this.shown;
    designs.forEach((design, i) => this.panel(at.panels[i], design, series[design], series[designs[1 - i]]));
    this.totals(at.totals);
  }

  // -- a design -------------------------------------------------------------------------------------------------

  panel(box, design, own, other) {
    const { shown } = this, { usages, top } = shown, ends = [];
    const x = (usage) => box.x + box.wide * usage / 100, y = (value) => box.y + box.high * (1 - Math.min(value, top * 1.5) / top);
    this.grid(box, top, shown.unit, y);
    this.inside(box, () => {
      let below = usages.map(() => 0);
      for (const band of own.bands) {
        if (!band.values.some(Boolean)) continue;
        const above = below.map((value, i) => value + (band.values[i] ?? NaN)), path = newPath();
        const here = usages.map((_, i) => i).filter((i) => Number.isFinite(above[i]));
        here.forEach((i) => path.lineTo(x(usages[i]), y(above[i])));
        [...here].reverse().forEach((i) => path.lineTo(x(usages[i]), y(below[i])));
        path.closePath();
        this.band(box, path, band);
        const last = here.at(-1);
        ends.push({ at: y((above[last] + below[last]) / 2), text: `${band.name} ${shown.words(band.values[last])}`, faint: !band.counted });
        below = above.map((value) => (Number.isFinite(value) ? value : 0));
      }
      this.line(usages, other.totals, x, y, other.design, true);
    });
    const last = usages.length - 1;
    ends.push({ at: y(own.totals[last]), text: `${shown.names[design]} ${shown.words(own.totals[last])}`, bold: true });
    ends.push({ at: y(other.totals[last]), text: `${shown.names[other.design]} ${shown.words(other.totals[last])}`, dash: true });
    this.gutter(box, ends);
    this.cursor(box, x, y);
    this.heading(box, shown.names[design], shown.notes[design]);
  }

  /** A band: the look's colour, and lines of a slope of their own; what a sum leaves out is an outline alone. */
  band(box, path, { look, pattern, counted }) {
    const { context, theme } = this, colour = colourOf(theme, look);
    context.fillStyle = context.strokeStyle = colour;
    context.lineWidth = 1;
    if (counted) {
      context.globalAlpha = 0.42;
      context.fill(path);
      context.globalAlpha = 0.8;
      context.save();
      context.clip(path);
      this.hatch(box, pattern);
      context.restore();
      context.globalAlpha = 1;
    } else {
      context.globalAlpha = 0.08;
      context.fill(path);
      context.globalAlpha = 0.6;
      context.setLineDash([2, 3]);
    }
    context.stroke(path);
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  hatch(box, pattern) {
    const { context } = this, gap = 8, far = box.wide + box.high;
    context.beginPath();
    for (let at = -far; at < far; at += gap) {
      if (pattern === "/" || pattern === "x") { context.moveTo(box.x + at, box.y + box.high); context.lineTo(box.x + at + box.high, box.y); }
      if (pattern === "\\" || pattern === "x") { context.moveTo(box.x + at, box.y); context.lineTo(box.x + at + box.high, box.y + box.high); }
      if (at < 0) continue;
      if ((pattern === "-" || pattern === "+") && at < box.high) { context.moveTo(box.x, box.y + at); context.lineTo(box.x + box.wide, box.y + at); }
      if ((pattern === "|" || pattern === "+") && at < box.wide) { context.moveTo(box.x + at, box.y); context.lineTo(box.x + at, box.y + box.high); }
    }
    context.lineWidth = 0.9;
    context.stroke();
    if (pattern !== ".") return;
    context.beginPath();
    for (let row = 0; row * gap / 2 < box.high; row++) {
      for (let at = (row % 2) * gap / 2; at < box.wide; at += gap) context.rect(box.x + at, box.y + row * gap / 2, 1.4, 1.4);
    }
    context.fill();
  }

  // -- the totals -----------------------------------------------------------------------------------------------

  totals(box) {
    const { shown, context, theme } = this, { usages, series, crossing } = shown, last = usages.length - 1;
    const top = shown.top, x = (usage) => box.x + box.wide * usage / 100;
    const y = (value) => box.y + box.high * (1 - Math.min(value, top * 1.5) / top);
    this.grid(box, top, shown.unit, y);
    this.inside(box, () => {
      for (const design of shown.designs) this.line(usages, series[design].totals, x, y, design, false);
    });
    for (const design of shown.designs) this.marks(box, series[design].totals, x, y, design);
    this.gutter(box, shown.designs.map((design) => ({ at: y(series[design].totals[last]), bold: true, mark: design,
      text: `${shown.names[design]} ${shown.words(series[design].totals[last])}` })));
    this.cursor(box, x, y);
    this.heading(box, "Totals", "");
    context.font = `bold 12px ${FONT}`;
    context.fillStyle = theme.text;
    context.textBaseline = "alphabetic";
    if (!crossing.shown) {
      context.textAlign = "right";
      context.fillText(crossing.label, box.x + box.wide, box.y - 10);
      return;
    }
    const path = newPath(), at = [x(crossing.percent), y(crossing.value)];
    addMark(path, "diamond-open", ...at, 13);
    paintMarks(context, path, "diamond-open", theme.text, 2);
    const right = crossing.percent < 50;
    context.textAlign = right ? "left" : "right";
    context.fillText(crossing.label, Math.min(box.x + box.wide, Math.max(box.x + 6, at[0] + (right ? -4 : 4))), box.y - 10);
  }

  // -- parts ----------------------------------------------------------------------------------------------------

  inside(box, draw) {
    this.context.save();
    this.context.beginPath();
    this.context.rect(box.x, box.y, box.wide, box.high);
    this.context.clip();
    draw();
    this.context.restore();
  }

  /** A total: with a rim of the ground's colour, to be seen on bands of any colour. */
  line(usages, values, x, y, design, over) {
    const { context, theme } = this, { look, dash } = lookOf(design), path = newPath();
    usages.forEach((usage, i) => {
      if (!Number.isFinite(values[i])) return;
      path.lineTo(x(usage), y(values[i]));
    });
    context.lineJoin = "round";
    if (over) {
      context.strokeStyle = theme.ground;
      context.lineWidth = 4.5;
      context.globalAlpha = 0.8;
      context.stroke(path);
      context.globalAlpha = 1;
    }
    context.strokeStyle = over ? theme.text : colourOf(theme, look);
    context.lineWidth = 2;
    context.setLineDash(over ? [6, 4] : dash);
    context.stroke(path);
    context.setLineDash([]);
  }

  /** Marks on a total, at quarters: shape as well as colour. */
  marks(box, values, x, y, design) {
    const { look, shape } = lookOf(design), path = newPath();
    this.shown.usages.forEach((usage, i) => {
      if (usage % 25 || !Number.isFinite(values[i]) || y(values[i]) < box.y - 4) return;
      addMark(path, shape, x(usage), y(values[i]), 7);
    });
    paintMarks(this.context, path, shape, colourOf(this.theme, look));
  }

  grid(box, top, unit, y) {
    const { context, theme } = this, step = stepOf(top);
    context.font = `11px ${FONT}`;
    context.textBaseline = "middle";
    context.lineWidth = 1;
    for (let value = 0; value <= top * 1.0001; value += step) {
      context.strokeStyle = theme.faint;
      context.beginPath();
      context.moveTo(box.x, Math.round(y(value)) + 0.5);
      context.lineTo(box.x + box.wide, Math.round(y(value)) + 0.5);
      context.stroke();
      context.fillStyle = theme.text;
      context.textAlign = "right";
      context.fillText(Number(value.toPrecision(6)).toLocaleString("en-US"), box.x - 6, y(value));
    }
    context.textBaseline = "top";
    for (const usage of [0, 25, 50, 75, 100]) {
      context.textAlign = usage ? (usage === 100 ? "right" : "center") : "left";
      context.fillText(`${usage} %`, box.x + box.wide * usage / 100, box.y + box.high + 7);
    }
  }

  /** What ends at the right edge of a panel, named there; names are kept apart. */
  gutter(box, ends) {
    const { context, theme } = this, places = spread(ends.map(({ at }) => at), GAP, box.y + 4, box.y + box.high - 2);
    context.textAlign = "left";
    context.textBaseline = "middle";
    ends.forEach(({ at, text, bold, dash, faint, mark }, i) => {
      const from = Math.max(box.y, Math.min(box.y + box.high, at)), edge = box.x + box.wide;
      context.globalAlpha = 1;
      context.strokeStyle = context.fillStyle = theme.text;
      context.lineWidth = 0.8;
      context.setLineDash(dash ? [3, 2] : []);
      context.beginPath();
      context.moveTo(edge + 2, from);
      context.lineTo(edge + 13, places[i]);
      context.stroke();
      context.setLineDash([]);
      let left = edge + 16;
      if (mark) {
        const path = newPath(), { look, shape } = lookOf(mark);
        addMark(path, shape, left + 4, places[i], 8);
        paintMarks(context, path, shape, colourOf(theme, look));
        left += 13;
      }
      context.fillStyle = theme.text;
      context.font = `${bold ? "bold " : faint ? "italic " : ""}11px ${FONT}`;
      context.fillText(faint ? `(${text})` : text, left, places[i]);
    });
  }

  cursor(box, x, y) {
    const { context, theme, shown } = this, at = x(shown.usage);
    if (shown.crossing.shown) {
      context.strokeStyle = theme.text;
      context.lineWidth = 1.2;
      context.setLineDash([1.5, 3]);
      context.beginPath();
      context.moveTo(x(shown.crossing.percent), box.y);
      context.lineTo(x(shown.crossing.percent), y(0));
      context.stroke();
      context.setLineDash([]);
    }
    context.strokeStyle = theme.highlight;
    context.lineWidth = 2.5;
    context.beginPath();
    context.moveTo(at, box.y - 4);
    context.lineTo(at, y(0) + 5);
    context.stroke();
  }

  heading(box, title, note) {
    const { context, theme } = this;
    context.textAlign = "left";
    context.textBaseline = "alphabetic";
    context.fillStyle = theme.text;
    context.font = `bold 12px ${FONT}`;
    const left = box.x - AXIS + 4;
    context.fillText(title, left, box.y - 10);
    const wide = context.measureText(title).width;
    context.font = `12px ${FONT}`;
    context.fillText(note, left + wide + 8, box.y - 10);
  }
}
