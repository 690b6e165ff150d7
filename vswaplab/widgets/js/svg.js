// SVG: a picture as a text. What paints on a canvas's context paints on one of these as well, and is written down.

let writing = false; // whether paths that are made now will be written down

/** A path: the browser's own, which can't be read back, or while a picture is written down one that can. */
export const newPath = () => (writing ? new Outline() : new Path2D());

const short = (value) => Math.round(value * 100) / 100;
const points = (values) => values.map(short).join(" ");
const SPECIAL = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const quoted = (text) => String(text).replace(/[&<>"]/g, (sign) => SPECIAL[sign]);
const ANCHORS = { left: "start", center: "middle", right: "end" };
const BASELINES = { middle: "central", top: "text-before-edge", bottom: "text-after-edge" };
const STATE = ["fillStyle", "strokeStyle", "lineWidth", "lineJoin", "font", "globalAlpha", "textAlign", "textBaseline", "dash", "clipped"];

/** A path as SVG writes it. */
class Outline {
  constructor() {
    this.d = "";
  }

  moveTo(...to) {
    this.d += `M${points(to)}`;
  }

  lineTo(...to) {
    this.d += `${this.d ? "L" : "M"}${points(to)}`;
  }

  bezierCurveTo(...to) {
    this.d += `C${points(to)}`;
  }

  quadraticCurveTo(...to) {
    this.d += `Q${points(to)}`;
  }

  /** A whole circle: the views have no other arcs. */
  arc(x, y, r) {
    this.d += `M${points([x + r, y])}A${points([r, r])} 0 1 1 ${points([x - r, y])}A${points([r, r])} 0 1 1 ${points([x + r, y])}Z`;
  }

  rect(x, y, wide, high) {
    this.d += `M${points([x, y])}h${short(wide)}v${short(high)}h${short(-wide)}Z`;
  }

  closePath() {
    this.d += "Z";
  }
}

export class SvgContext extends Outline {
  /** `measure(font, text)` returns a text's width; `ids` counts what is named in the picture. */
  constructor(measure, ids = { last: 0 }) {
    super();
    Object.assign(this, { fillStyle: "#000", strokeStyle: "#000", lineWidth: 1, lineJoin: "miter", font: "10px sans-serif", globalAlpha: 1,
      textAlign: "left", textBaseline: "alphabetic", dash: [], clipped: "" });
    this.measure = measure;
    this.ids = ids;
    this.kept = [];
    this.parts = []; // elements, in the order they were painted
  }

  get isWritten() {
    return true;
  }

  save() {
    this.kept.push(Object.fromEntries(STATE.map((name) => [name, this[name]])));
  }

  restore() {
    Object.assign(this, this.kept.pop());
  }

  beginPath() {
    this.d = "";
  }

  setLineDash(dash) {
    this.dash = dash;
  }

  put(name, attributes, inside = "") {
    const all = { ...attributes, ...(this.clipped && { "clip-path": `url(#${this.clipped})` }) };
    if (this.globalAlpha < 1) all.opacity = short(this.globalAlpha);
    const written = Object.entries(all).map(([key, value]) => ` ${key}="${quoted(value)}"`).join("");
    this.parts.push(inside ? `<${name}${written}>${inside}</${name}>` : `<${name}${written}/>`);
  }

  fill(path = this) {
    if (path.d) this.put("path", { d: path.d, fill: this.fillStyle });
  }

  get line() {
    const dash = this.dash.length ? { "stroke-dasharray": this.dash.join(" ") } : {};
    return { fill: "none", stroke: this.strokeStyle, "stroke-width": this.lineWidth, "stroke-linejoin": this.lineJoin, ...dash };
  }

  stroke(path = this) {
    if (path.d) this.put("path", { d: path.d, ...this.line });
  }

  fillRect(x, y, width, height) {
    this.put("rect", { x: short(x), y: short(y), width: short(width), height: short(height), fill: this.fillStyle });
  }

  strokeRect(x, y, width, height) {
    this.put("rect", { x: short(x), y: short(y), width: short(width), height: short(height), ...this.line });
  }

  clip(path = this) {
    this.clipped = this.name("clip");
    this.parts.push(`<clipPath id="${this.clipped}"><path d="${path.d}"/></clipPath>`);
  }

  fillText(text, x, y) {
    const [, bold, size, family] = /^(bold )?([\d.]+)px (.*)$/.exec(this.font);
    this.put("text", { x: short(x), y: short(y), fill: this.fillStyle, "font-family": family, "font-size": size, ...(bold && { "font-weight": "bold" }),
      "xml:space": "preserve", "text-anchor": ANCHORS[this.textAlign], ...(this.textBaseline in BASELINES && { "dominant-baseline": BASELINES[this.textBaseline] }) }, quoted(text));
  }

  measureText(text) {
    return { width: this.measure(this.font, text) };
  }

  name(what) {
    this.ids.last += 1;
    return `${what}${this.ids.last}`;
  }

  /** A small picture that repeats: what is painted on it becomes the pattern. */
  tile(width, height) {
    return Object.assign(new SvgContext(this.measure, this.ids), { width, height });
  }

  createPattern(tile) {
    const id = this.name("pattern");
    this.parts.push(`<pattern id="${id}" patternUnits="userSpaceOnUse" width="${tile.width}" height="${tile.height}">${tile.parts.join("")}</pattern>`);
    return `url(#${id})`;
  }
}

/** The elements of a picture that `paint(context)` paints. */
export function written(paint, measure, ids) {
  const context = new SvgContext(measure, ids);
  writing = true;
  try {
    paint(context);
  } finally {
    writing = false;
  }
  return context.parts.join("\n");
}

/** Pictures as one document: `{parts, x, y, width, height}` each, on one ground. */
export function svgDocument(pictures, ground, title) {
  const width = Math.max(...pictures.map((each) => each.x + each.width)), height = Math.max(...pictures.map((each) => each.y + each.height));
  const groups = pictures.map(({ parts, x, y }) => `<g transform="translate(${short(x)} ${short(y)})">\n${parts}\n</g>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${short(width)}" height="${short(height)}" viewBox="0 0 ${short(width)} ${short(height)}" role="img">
<title>${quoted(title)}</title>
<rect width="100%" height="100%" fill="${ground}"/>
${groups.join("\n")}
</svg>
`;
}
