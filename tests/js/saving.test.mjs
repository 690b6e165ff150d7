import assert from "node:assert/strict";
import { test } from "node:test";

import { addMark, paintMarks } from "../../vswaplab/widgets/js/marks.js";
import { arranged, csvOf } from "../../vswaplab/widgets/js/saving.js";
import { newPath, svgDocument, written } from "../../vswaplab/widgets/js/svg.js";

globalThis.Path2D = class { moveTo() {} };
const measure = (font, text) => text.length * 7;

test("what is painted stands in the SVG, in its order, with its looks", () => {
  const svg = written((context) => {
    const path = newPath();
    addMark(path, "circle", 10, 20, 8);
    paintMarks(context, path, "circle", "#0072b2");
    context.setLineDash([6, 4]);
    context.globalAlpha = 0.5;
    context.strokeStyle = "#d55e00";
    context.beginPath();
    context.moveTo(1.234567, 2);
    context.lineTo(3, 4);
    context.stroke();
    context.font = "bold 12px sans-serif";
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText('a < b & "c"', 5, 6);
  }, measure);
  assert.deepEqual(svg.split("\n"), [
    '<path d="M14 20M14 20A4 4 0 1 1 6 20A4 4 0 1 1 14 20Z" fill="#0072b2"/>',
    '<path d="M1.23 2L3 4" fill="none" stroke="#d55e00" stroke-width="1" stroke-linejoin="miter" stroke-dasharray="6 4" opacity="0.5"/>',
    '<text x="5" y="6" fill="#0072b2" font-family="sans-serif" font-size="12" font-weight="bold" xml:space="preserve" text-anchor="end" dominant-baseline="central" opacity="0.5">a &lt; b &amp; &quot;c&quot;</text>',
  ]);
});

test("save and restore, a clip that holds in between, a pattern of a tile", () => {
  const svg = written((context) => {
    const path = newPath(), tile = context.tile(6, 6);
    path.rect(0, 0, 9, 9);
    tile.fillRect(0, 0, 3, 3);
    context.save();
    context.clip(path);
    context.fillStyle = context.createPattern(tile, "repeat");
    context.fillRect(0, 0, 50, 50);
    context.restore();
    context.fillRect(1, 1, 2, 2);
  }, measure);
  assert.match(svg, /<clipPath id="clip1"><path d="M0 0h9v9h-9Z"\/><\/clipPath>/);
  assert.match(svg, /<rect x="0" y="0" width="50" height="50" fill="url\(#pattern2\)" clip-path="url\(#clip1\)"\/>/);
  assert.match(svg, /<rect x="1" y="1" width="2" height="2" fill="#000"\/>$/);
});

test("a path is the browser's own again when the picture is written, even if it failed", () => {
  assert.throws(() => written(() => { throw new Error("no"); }, measure), /no/);
  assert.ok(newPath() instanceof Path2D);
});

test("pictures stand in the rows of the page, at their own size", () => {
  const surface = (width, height) => ({ width, height });
  const at = arranged([{ surface: surface(100, 40), top: 10 }, { surface: surface(50, 60), top: 11 }, { surface: surface(80, 20), top: 200 }]);
  assert.deepEqual(at.map(({ x, y }) => [x, y]), [[0, 0], [112, 0], [0, 72]]);
  const svg = svgDocument(at.map((each) => ({ ...each, parts: "" })), "#fff", "two & one");
  assert.match(svg, /width="162" height="92" viewBox="0 0 162 92"/);
  assert.match(svg, /<title>two &amp; one<\/title>/);
});

test("tables become CSV that a spreadsheet reads", () => {
  const one = { caption: "slots", rows: [["slot", "backing"], ["1", 'says "ZERO", at last']] };
  assert.equal(csvOf([one]), 'slot,backing\r\n1,"says ""ZERO"", at last"\r\n');
  assert.equal(csvOf([one, { caption: "more", rows: [["a"]] }]), 'slots\r\nslot,backing\r\n1,"says ""ZERO"", at last"\r\n\r\nmore\r\na\r\n');
});
