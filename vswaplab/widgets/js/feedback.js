// Feedback: one box with a shape, a word and a sentence; the shape and the border differ, not the colour alone.

import { h } from "./dom.js";
import { inline } from "./prose.js";
import { isDark, watchTheme } from "./theme.js";

const SHAPES = {
  missing: '<circle cx="10" cy="10" r="7.5" fill="none" stroke-dasharray="3 2.9"/>',
  "keep working": '<path d="m10 2 8 8-8 8-8-8Z" fill="none"/><path d="M6.8 10h6.2M10.6 7.6 13 10l-2.4 2.4" fill="none"/>',
  almost: '<circle cx="10" cy="10" r="7.5" fill="none"/><path d="M10 2.5a7.5 7.5 0 0 1 0 15Z" fill="currentColor"/>',
  correct: '<circle cx="10" cy="10" r="7.5" fill="none"/><path d="m6.2 10.3 2.7 2.7 5-5.6" fill="none"/>',
  recorded: '<rect x="3" y="3" width="14" height="14" rx="2" fill="none"/><circle cx="10" cy="10" r="3" fill="currentColor"/>',
};

export class FeedbackBox {
  constructor(themes) {
    this.themes = themes;
    this.element = h("div", { className: "vswaplab-q-feedback", role: "status" });
    this.stop = watchTheme(() => this.colour());
  }

  /**
   * Show feedback, `{kind, message}` with perhaps `rows` of [name, passed, message]; null empties the box. A prediction
   * says itself how it went: its word is left out (`wordless`).
   */
  show(feedback, { wordless = false, more = [] } = {}) {
    this.kind = feedback?.kind;
    this.element.dataset.kind = this.kind ?? "";
    if (!feedback?.kind) {
      this.element.replaceChildren();
      return;
    }
    const icon = h("span", { className: "vswaplab-q-icon", "aria-hidden": "true" });
    icon.innerHTML = `<svg viewBox="0 0 20 20" width="20" height="20" stroke="currentColor" stroke-width="1.8"
      stroke-linecap="round" stroke-linejoin="round">${SHAPES[this.kind] ?? ""}</svg>`;
    const word = wordless ? [] : [h("b", { textContent: `${this.kind.slice(0, 1).toUpperCase()}${this.kind.slice(1)}.` }), " "];
    const rows = (feedback.rows ?? []).map(([name, passed, message]) => h("li", {},
      h("b", { textContent: passed ? "✓ passed" : "✗ failed" }), ` ${name}`, message ? `: ${message}` : ""));
    this.element.replaceChildren(icon, h("div", {}, ...word, ...inline(feedback.message),
      ...(rows.length ? [h("ul", { className: "vswaplab-q-rows" }, ...rows)] : []), ...more));
    this.colour();
  }

  colour() {
    const around = this.element.parentElement ?? document.body, name = isDark(around) ? "dark" : "light", theme = this.themes[name];
    around.style.colorScheme = name; // for the browser's own controls
    this.element.style.setProperty("--vs-kind", theme[this.kind] ?? theme.missing);
  }

  close() {
    this.stop();
  }
}
