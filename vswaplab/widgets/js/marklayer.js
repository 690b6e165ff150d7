// Mark layer: the marks of a dense picture, kept as an image. A step changes a few of thousands, and only these are
// painted anew; to paint all takes longer than a frame.

import { addMark, paintMarks } from "./marks.js";
import { newPath } from "./svg.js";
import { colourOf } from "./theme.js";

const LOOKS = [0, 1, 2, 3, "present", "swapped", "reserved", "none"];
const EMPTY = 1; // nothing there but a dot; 0: not painted yet
const SIZES = 90; // steps of a mark's scale
const SPACING = 0.72; // a mark's width as a share of its cell (figures/layout.py)
const BATCH = 32; // marks in one path: filling a path takes longer than its parts from about there on

/** The number that says how a mark looks: which look, how large. */
export const codeOf = (look, scale) => 2 + LOOKS.indexOf(look) * (2 * SIZES) + Math.round(scale * SIZES);

export class MarkLayer {
  constructor(scene) {
    this.scene = scene;
    const { c } = scene.log;
    this.places = { pte: [c.pte_x, c.pte_y], entry: [c.entry_x, c.entry_y], zswap: [c.zswap_x, c.zswap_y],
      slot: [c.slot_x, c.slot_y], frame: [c.frame_x, c.frame_y] };
    this.codes = {};
    this.painted = {};
    for (const [what, [x]] of Object.entries(this.places)) {
      this.codes[what] = new Int16Array(x.length);
      this.painted[what] = new Int16Array(x.length);
    }
    this.key = ""; // of the image: size and colours
    this.repainted = 0; // marks painted by the last call
  }

  /** Whether there is a mark, and not a dot or nothing. */
  has(what, n) {
    return this.codes[what][n] > EMPTY;
  }

  /** How every mark looks now; the number of those that look otherwise than in the image. */
  read() {
    for (const codes of Object.values(this.codes)) codes.fill(EMPTY);
    this.scene.eachMark((what, n, x, y, look, scale) => {
      if (what !== "zero") this.codes[what][n] = codeOf(look, scale);
    }, () => {});
    let changes = 0;
    for (const [what, codes] of Object.entries(this.codes)) {
      const painted = this.painted[what];
      for (let n = 0; n < codes.length; n++) changes += codes[n] !== painted[n];
    }
    return changes;
  }

  /** Paint the marks: the image, brought up to date. `canvas` and `scale` are those of the surface. */
  paint(context, theme, canvas, scale) {
    if (context.isWritten) {
      this.write(context, theme);
      return;
    }
    const key = `${canvas.width} ${canvas.height} ${scale} ${theme.text}`;
    if (key !== this.key) {
      this.key = key;
      this.image = new OffscreenCanvas(canvas.width, canvas.height);
      for (const painted of Object.values(this.painted)) painted.fill(0);
    }
    this.repainted = this.read();
    const pen = this.image.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    if (this.repainted) this.update(pen, theme);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.image, 0, 0);
    context.setTransform(scale, 0, 0, scale, 0, 0);
  }

  /** Paint all of them where nothing can be kept: on a picture that is written down. */
  write(context, theme) {
    const kept = this.painted;
    this.painted = Object.fromEntries(Object.entries(this.codes).map(([what, codes]) => [what, new Int16Array(codes.length)]));
    this.read();
    this.update(context, theme);
    this.painted = kept;
  }

  update(pen, theme) {
    const { log } = this.scene, half = log.mark / SPACING / 2, dot = Math.max(3, log.mark / 3), batches = new Map();
    const flush = (look, batch) => {
      paintMarks(pen, batch.path, log.shapes[look], colourOf(theme, look), look === "reserved" ? 1 : 1.4); // thin enough to stay within its cell
      batch.path = newPath();
      batch.size = 0;
    };
    for (const [what, codes] of Object.entries(this.codes)) {
      const painted = this.painted[what], [xs, ys] = this.places[what];
      for (let n = 0; n < codes.length; n++) {
        if (codes[n] === painted[n]) continue;
        const x = xs[n], y = ys[n];
        if (painted[n]) pen.clearRect(x - half, y - half, 2 * half, 2 * half);
        painted[n] = codes[n];
        if (Number.isNaN(x) || (what === "frame" && log.c.frame_pfn[n] < 0 && codes[n] === EMPTY)) continue;
        if (codes[n] === EMPTY) {
          pen.fillStyle = theme.faint;
          pen.fillRect(x - dot / 2, y - dot / 2, dot, dot);
          continue;
        }
        const code = codes[n] - 2, look = LOOKS[Math.floor(code / (2 * SIZES))];
        if (!batches.has(look)) batches.set(look, { path: newPath(), size: 0 });
        const batch = batches.get(look);
        addMark(batch.path, log.shapes[look], x, y, log.mark * (code % (2 * SIZES)) / SIZES);
        if (++batch.size >= BATCH) flush(look, batch);
      }
    }
    for (const [look, batch] of batches) flush(look, batch);
  }
}
