// DOM: elements in one call, and the parts that all views share.

/** An element: `props` are properties, or attributes where the name has a dash or is "role"; children are appended. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for" || name === "scope") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** A table with a caption; a cell is text. */
export function table(caption, heading, rows) {
  const head = h("tr", {}, ...heading.map((text) => h("th", { scope: "col", textContent: text })));
  const body = rows.map((row) => h("tr", {}, ...row.map((text) => h("td", { textContent: text }))));
  return h("table", {}, h("caption", { textContent: caption }), h("thead", {}, head), h("tbody", {}, ...body));
}

/** A part that is folded, filled by `fill(box)` when it is opened and at each `update` while it is open. */
export class Fold {
  constructor(title, fill, className = "") {
    this.box = h("div", { className: "vswaplab-fold-box", tabIndex: 0, role: "region", "aria-label": title });
    this.element = h("details", { className: `vswaplab-fold ${className}` }, h("summary", { textContent: title }), this.box);
    this.element.fold = this; // what saves its table finds it there
    this.fill = fill;
    this.element.addEventListener("toggle", () => this.update());
  }

  update() {
    if (this.element.open) this.box.replaceChildren(...[this.fill()].flat());
  }
}

/** The box of a picture: where there is less room than the picture needs it scrolls, by keyboard too. */
export function pictureBox() {
  return h("div", { className: "vswaplab-picture", tabIndex: 0, role: "region", "aria-label": "Picture" });
}

/** Where and how the host (JupyterLab or a page) is told what goes wrong: one sentence in place of the view. */
export function complain(el, error) {
  console.error(error);
  el.replaceChildren(h("p", { className: "vswaplab-error", role: "alert", textContent: error.message }));
}
