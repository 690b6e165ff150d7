// Forms: what an answer is given with, of the browser's own controls. Each has an element, a value, and can be locked.

import { h } from "./dom.js";
import { inline } from "./prose.js";

let count = 0;

/** The form for a question's rules; `changed` is called when the reader changes the answer. */
export function formFor(rules, prompt, changed) {
  const Form = { choose: Choices, number: NumberField, order: Items, explain: Text }[rules.kind];
  return Form ? new Form(rules, prompt, changed) : null;
}

class Choices {
  constructor({ options }, prompt, changed) {
    const name = `vswaplab-choice-${++count}`;
    this.radios = options.map(([value]) => h("input", { type: "radio", name, value, onchange: changed }));
    const rows = this.radios.map((radio) => h("label", { className: "vswaplab-q-option" }, radio, h("span", {}, ...inline(radio.value))));
    this.element = h("fieldset", { className: "vswaplab-q-form" }, h("legend", { className: "vswaplab-hidden", textContent: prompt }), ...rows);
  }

  get value() {
    return this.radios.find((radio) => radio.checked)?.value ?? null;
  }

  set value(answer) {
    for (const radio of this.radios) radio.checked = radio.value === answer;
  }

  lock(locked) {
    for (const radio of this.radios) radio.disabled = locked;
  }
}

class NumberField {
  constructor({ unit }, prompt, changed) {
    // A text field: a number field takes neither a unit nor 1,048,576.
    this.field = h("input", { type: "text", inputMode: "decimal", autocomplete: "off", spellcheck: false, maxLength: 80,
      className: "vswaplab-q-number", oninput: changed, "aria-label": unit ? `${prompt} In ${unit}` : prompt });
    this.element = h("div", { className: "vswaplab-q-form vswaplab-q-line" }, this.field, h("span", { textContent: unit, "aria-hidden": "true" }));
  }

  get value() {
    return this.field.value;
  }

  set value(answer) {
    this.field.value = typeof answer === "string" ? answer : "";
  }

  lock(locked) {
    this.field.disabled = locked;
  }
}

class Items {
  constructor({ items, shown }, prompt, changed) {
    this.begin = shown;
    this.items = [...shown];
    this.changed = changed;
    this.said = h("div", { className: "vswaplab-hidden", role: "status" });
    this.list = h("ol", { className: "vswaplab-q-items", "aria-label": prompt });
    this.element = h("div", { className: "vswaplab-q-form" }, this.list, this.said);
    this.show();
    this.count = items.length;
  }

  get value() {
    return [...this.items];
  }

  set value(answer) {
    this.items = Array.isArray(answer) && answer.length === this.begin.length ? [...answer] : [...this.begin];
    this.show();
  }

  show() {
    const row = (item, at) => h("li", {}, h("span", {}, ...inline(item)), h("span", { className: "vswaplab-q-moves" },
      this.button("Move up", "↑", item, at, -1), this.button("Move down", "↓", item, at, 1)));
    this.list.replaceChildren(...this.items.map(row));
    this.lock(this.locked);
  }

  button(name, sign, item, at, by) {
    // Not disabled at the ends: a button that loses the focus by its own work leaves the keyboard nowhere.
    return h("button", { type: "button", textContent: sign, title: name, "aria-label": `${name}: ${item}`,
      "aria-disabled": String(at + by < 0 || at + by >= this.items.length), onclick: () => this.move(at, by) });
  }

  move(at, by) {
    const to = at + by;
    if (to < 0 || to >= this.items.length) return;
    const [item] = this.items.splice(at, 1);
    this.items.splice(to, 0, item);
    this.show();
    this.list.children[to].querySelectorAll("button")[by < 0 ? 0 : 1].focus();
    this.said.textContent = `${item}: place ${to + 1} of ${this.items.length}.`;
    this.changed();
  }

  lock(locked) {
    this.locked = locked;
    for (const button of this.list.querySelectorAll("button")) button.disabled = Boolean(locked);
  }
}

class Text {
  constructor({ rubric }, prompt, changed) {
    this.field = h("textarea", { rows: 4, maxLength: 4000, className: "vswaplab-q-text", "aria-label": prompt, oninput: changed });
    this.ticks = rubric.map(([point]) => h("input", { type: "checkbox", value: point, onchange: changed }));
    const rows = this.ticks.map((tick) => h("label", { className: "vswaplab-q-option" }, tick, h("span", {}, ...inline(tick.value))));
    this.rubric = h("fieldset", { className: "vswaplab-q-rubric", hidden: true }, h("legend", { textContent: "My text says that" }), ...rows);
    this.element = h("div", { className: "vswaplab-q-form" }, this.field, this.rubric);
  }

  /** The points to compare with are shown once there is a text to compare. */
  checked(kind) {
    this.rubric.hidden = !kind || kind === "missing";
  }

  get value() {
    return { text: this.field.value, met: this.ticks.filter((tick) => tick.checked).map((tick) => tick.value) };
  }

  set value(answer) {
    this.field.value = answer?.text ?? "";
    for (const tick of this.ticks) tick.checked = answer?.met?.includes(tick.value) ?? false;
  }

  lock(locked) {
    this.field.disabled = locked;
  }
}
