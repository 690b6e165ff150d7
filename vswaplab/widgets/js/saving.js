// Saving: a view's pictures as SVG and PNG, its table as CSV, and the address or token of the event that it shows.

import { h } from "./dom.js";
import { svgDocument, written } from "./svg.js";
import { tokenAt } from "./token.js";

const GAP = 12, SHARP = 2; // between pictures; pixels of a PNG for each unit

/** Numbers and words as a spreadsheet takes them: tables one after the other, each with its caption over it. */
export function csvOf(tables) {
  const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = tables.flatMap(({ caption, rows }, i) => [...(i ? [[]] : []), ...(tables.length > 1 ? [[caption]] : []), ...rows]);
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** Where pictures go: rows as the page has them, however wide it is. `{surface, top}` each, in order. */
export function arranged(placed) {
  let x = 0, y = 0, high = 0, last = null;
  return placed.map(({ surface, top }) => {
    if (last !== null && Math.abs(top - last) > 4) [x, y, high] = [0, y + high + GAP, 0];
    last = top;
    const at = { surface, x, y, width: surface.width, height: surface.height };
    x += surface.width + GAP;
    high = Math.max(high, surface.height);
    return at;
  });
}

function pictureOf(root) {
  const pen = document.createElement("canvas").getContext("2d"), ids = { last: 0 };
  const measure = (font, text) => {
    pen.font = font;
    return pen.measureText(text).width;
  };
  const canvases = [...root.querySelectorAll("canvas")].filter((canvas) => canvas.surface && canvas.offsetParent);
  const theme = canvases[0].surface.theme;
  const pictures = arranged(canvases.map((canvas) => ({ surface: canvas.surface, top: canvas.getBoundingClientRect().top })));
  const parts = pictures.map(({ surface, ...at }) => ({ ...at, parts: written((context) => surface.paint(context, theme), measure, ids) }));
  return svgDocument(parts, theme.ground, canvases.map((canvas) => canvas.getAttribute("aria-label")).join(" "));
}

/** A picture's points: the browser draws the SVG itself. */
async function rasterOf(svg) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = h("canvas", { width: image.width * SHARP, height: image.height * SHARP });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

const texts = (cells) => [...cells].map((cell) => cell.textContent);

function tablesOf(fold) {
  return [fold.fill()].flat().flatMap((element) => (element.matches?.("table") ? [element] : [...(element.querySelectorAll?.("table") ?? [])]))
    .map((each) => ({ caption: each.caption?.textContent ?? "", rows: [...each.rows].map((row) => texts(row.cells)) }));
}

function save(name, blob) {
  const link = h("a", { download: name, href: URL.createObjectURL(blob) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** The row below a view that has pictures. A page's model has `link()`, the address of what the view shows. */
export function savingRow(model, root) {
  const twin = root.querySelector(".vswaplab-twin")?.fold, said = h("span", { role: "status" });
  const kind = model.get("view"), file = (suffix) => `vswaplab-${kind}${model.get("step") > 0 ? `-${model.get("step")}` : ""}.${suffix}`;
  const button = (textContent, act) => h("button", { type: "button", textContent, onclick: async () => {
    try {
      said.textContent = await act() ?? "";
    } catch (error) {
      said.textContent = `That did not work: ${error.message}`;
    }
  } });
  const row = h("div", { className: "vswaplab-saving" }, "Save as ",
    button("SVG", () => save(file("svg"), new Blob([pictureOf(root)], { type: "image/svg+xml" }))),
    button("PNG", async () => save(file("png"), await rasterOf(pictureOf(root)))));
  if (twin) row.append(button("CSV", () => save(file("csv"), new Blob([csvOf(tablesOf(twin))], { type: "text/csv" }))));
  const state = model.get("header")?.token, linked = model.link && model.get("step") !== undefined;
  if (state || linked) {
    row.append(" · ", button(linked ? "Copy a link to this step" : "Copy the token of this step", async () => {
      await navigator.clipboard.writeText(linked ? model.link() : tokenAt(state, model.get("step")));
      return "Copied.";
    }));
  }
  row.append(said);
  return row;
}
