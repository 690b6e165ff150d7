// The byte ledger: sliders, the picture they move, the posting's table and both camps' sums.

import { Fold, h, pictureBox } from "./dom.js";
import { LedgerPicture, layout } from "./ledgerpicture.js";
import { SHARES, crossover, linesOf, liveAt, mostLive, moveShare, shownIn, totalOf } from "./ledgersum.js";
import { LABELS, costTable, exact, lineTable, mib, netTable, percent, postingTable, sizeText } from "./ledgertables.js";
import { Surface } from "./surface.js";
import { count } from "./words.js";

const PAGE = 4096, NARROW = 700;
const USAGES = Array.from({ length: 101 }, (_, i) => i);
const OWN = "settings of your own";
const LOOSE = ["usage", "unit"]; // a preset stays the same preset when these change

export class ByteLedger {
  constructor(model, el) {
    this.model = model;
    this.header = model.get("header");
    if (this.header.version !== 1) throw new Error(`This view reads ledgers of version 1, not ${this.header.version}.`);
    this.settings = model.get("settings");
    this.narrow = null;
    this.surface = new Surface(968, 500, this.header.themes, (...to) => this.paint(...to));
    this.surface.canvas.addEventListener("click", (event) => this.pointed(event));
    this.status = h("div", { className: "vswaplab-status", role: "status", "aria-live": "polite" });
    this.boxes = h("div", { className: "vswaplab-ledger-boxes" });
    this.twin = new Fold("The same as a table", () => costTable(this), "vswaplab-twin");
    this.code = new Fold("The calls behind this picture", () => h("pre", { textContent: this.calls() }));
    const picture = pictureBox();
    this.root = h("div", { className: "vswaplab-view vswaplab-ledger", tabIndex: 0, role: "group",
      "aria-label": "Byte ledger: arrow keys move the usage, page keys by quarters" },
    this.choices(), this.sliders(), this.status, picture, this.boxes, this.twin.element, this.code.element);
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.player = this;
    el.replaceChildren(this.root);
    this.surface.attach(picture);
    this.observer = new ResizeObserver(() => this.fit(picture));
    this.observer.observe(picture);
    this.follow = () => {
      if (JSON.stringify(model.get("settings")) === JSON.stringify(this.settings)) return;
      this.settings = model.get("settings");
      this.show();
    };
    model.on("change:settings", this.follow);
    this.fit(picture);
    this.show();
  }

  // -- controls -------------------------------------------------------------------------------------------------

  choices() {
    const { header } = this, select = (label, options, changed) => {
      const element = h("select", { "aria-label": label, onchange: () => changed(element.value) },
        ...options.map(([value, text]) => h("option", { value, textContent: text })));
      return element;
    };
    this.preset = select("Preset", [["", OWN], ...header.presets], (name) => {
      const found = header.presets.find(([each]) => each === name);
      if (found) this.set({ ...found[2] });
    });
    this.fields = { mode: select("How bytes are counted", Object.entries(header.modes), (mode) => this.set({ mode })),
      count: select("Which structures are added up", Object.entries(header.counts).map(([name, { title }]) => [name, title]), (value) => this.set({ count: value })),
      baseline: select("What virtual swap is held against", Object.entries(header.baselines).map(([name, { title }]) => [name, title]), (baseline) => this.set({ baseline })),
      unit: select("Unit", Object.entries(header.units), (unit) => this.set({ unit })) };
    const field = (title, element) => h("label", {}, h("span", { textContent: title }), element);
    return h("div", { className: "vswaplab-ledger-choices" }, field("Preset", this.preset), field("Against", this.fields.baseline), field("Counted", this.fields.mode),
      field("Added up", this.fields.count), field("Unit", this.fields.unit));
  }

  sliders() {
    const { header } = this;
    this.ranges = {};
    const range = (name, title, max, get, put, text) => {
      const input = h("input", { type: "range", min: 0, max, step: 1, "aria-label": title, oninput: () => this.set(put(Number(input.value))) });
      const output = h("output", {});
      this.ranges[name] = { input, output, get, text };
      return h("label", { className: "vswaplab-ledger-range" }, h("span", { textContent: title }), input, output);
    };
    const stops = (list) => [(s, name) => list.indexOf(s[name]), (at, name) => ({ [name]: list[at] })];
    const [sizeAt, toSize] = stops(header.sizes), [liveOf, toLive] = stops(header.live);
    const shares = SHARES.map((name) => range(name, `Share ${LABELS[name]}`, 100, (s) => s[name], (value) => moveShare(this.settings, name, value), (s) => `${s[name]} %`));
    this.keep = h("input", { type: "checkbox", onchange: () => this.set({ swapfile: this.keep.checked }) });
    return h("div", { className: "vswaplab-ledger-sliders" },
      h("div", {},
        range("slots", "Size of the device", header.sizes.length - 1, (s) => sizeAt(s, "slots"), (at) => toSize(at, "slots"), (s) => sizeText(s.slots)),
        range("usage", "Usage, the cursor", 100, (s) => s.usage, (usage) => ({ usage }), (s) => percent(s.usage)),
        range("live_per_cluster", "Live slots in each cluster", header.live.length - 1, (s) => liveOf(s, "live_per_cluster"),
          (at) => toLive(at, "live_per_cluster"), (s) => `${s.live_per_cluster} of 512`),
        h("label", { className: "vswaplab-ledger-keep" }, this.keep, " virtual swap keeps the swapfile when no page is on it")),
      h("div", {}, ...shares,
        h("p", { className: "vswaplab-ledger-note", textContent: "Shares add up to 100 %: when one moves, the other two keep their ratio." })));
  }

  key(event) {
    if (event.target !== this.root && /^(INPUT|SELECT|SUMMARY)$/.test(event.target.tagName)) return;
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { usage } = this.settings, far = event.shiftKey ? 10 : 1;
    const to = { ArrowLeft: usage - far, ArrowRight: usage + far, Home: 0, End: 100,
      PageUp: 25 * (Math.ceil(usage / 25) - 1), PageDown: 25 * (Math.floor(usage / 25) + 1) }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.set({ usage: Math.max(0, Math.min(100, to)) });
  }

  pointed(event) {
    const [x, y] = this.surface.locate(event), { panels, totals } = layout(this.narrow);
    const box = [...panels, totals].find((each) => x >= each.x - 4 && x <= each.x + each.wide + 4 && y >= each.y && y <= each.y + each.high);
    if (box) this.set({ usage: Math.max(0, Math.min(100, Math.round(100 * (x - box.x) / box.wide))) });
  }

  set(changes) {
    this.settings = { ...this.settings, ...changes };
    this.model.set("settings", this.settings);
    this.model.save_changes();
    this.show();
  }

  fit(picture) {
    const narrow = (picture.clientWidth || 968) < NARROW;
    if (narrow === this.narrow) return;
    this.narrow = narrow;
    const { width, height } = layout(narrow);
    this.surface.resize(width, height);
  }

  // -- sums -----------------------------------------------------------------------------------------------------

  /** What is compared: the baseline, then virtual swap. */
  get designs() {
    return [this.settings.baseline, "virtual"];
  }

  nameOf(design) {
    return this.header.baselines[design]?.name ?? design;
  }

  get counted() {
    return this.header.counts[this.settings.count].of;
  }

  isCounted(name) {
    return this.counted === null || this.counted.includes(name);
  }

  /** The terms that the chosen sum adds up. */
  get countedTerms() {
    const own = (terms) => terms.filter(({ name }) => this.isCounted(name));
    return Object.fromEntries(this.designs.map((design) => [design,
      Object.fromEntries(Object.entries(this.header.terms[design]).map(([mode, terms]) => [mode, own(terms)]))]));
  }

  lines(design, usage = this.settings.usage, settings = this.settings, terms = this.header.terms) {
    return linesOf(terms, settings, liveAt(settings, usage), design);
  }

  sum(design, usage = this.settings.usage) {
    return totalOf(this.lines(design, usage, this.settings, this.countedTerms));
  }

  work() {
    const { settings: s, header } = this, live = USAGES.map((usage) => liveAt(s, usage)), series = {};
    for (const design of this.designs) {
      const all = live.map((nr) => linesOf(header.terms, s, nr, design));
      const bands = header.terms[design][s.mode].map(({ name }, at) => ({ name, look: header.looks[name][0], pattern: header.looks[name][1],
        counted: this.isCounted(name), values: all.map((lines, i) => shownIn(s.unit, s, live[i], lines[at].total)) }));
      bands.sort((one, other) => Number(other.counted) - Number(one.counted));
      const add = (chosen) => all.map((lines, i) => shownIn(s.unit, s, live[i], totalOf(lines.filter(chosen))));
      series[design] = { design, bands, totals: add(({ name }) => this.isCounted(name)), full: add(() => true) };
    }
    // An entry alone carries all that is static: what the first few cost leaves the frame.
    const ends = this.designs.map((design) => series[design].full), last = USAGES.length - 1;
    const top = s.unit === "entry" ? 2.2 * Math.max(...ends.map((each) => each[last])) : 1.06 * Math.max(...ends.flat());
    this.found = { series, top: top || 1, crossing: this.crossing() };
  }

  crossing() {
    const { settings: s } = this, live = crossover(this.countedTerms, s);
    if (live === null) return { live, shown: false, label: "virtual costs less at any usage" };
    if (live <= 1) return { live, shown: false, label: "virtual costs more from the first entry on" };
    const at = 100 * live / mostLive(s), lines = linesOf(this.countedTerms, s, live, s.baseline);
    return { live, shown: true, percent: at, value: shownIn(s.unit, s, live, totalOf(lines)), label: `equal at ${at.toFixed(2)} %, ${count(live, "entry", "entries")}` };
  }

  words(value) {
    return this.settings.unit === "MiB" ? value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 }) : `${exact(value)} B`;
  }

  // -- showing --------------------------------------------------------------------------------------------------

  show() {
    const { settings: s } = this, camp = this.header.counts[s.count], { note } = this.header.baselines[s.baseline];
    this.work();
    for (const [name, { input, output, get, text }] of Object.entries(this.ranges)) {
      input.value = get(s);
      output.textContent = text(s);
      input.setAttribute("aria-valuetext", text(s));
      if (name === "usage") input.setAttribute("aria-label", s.live_per_cluster === 512 ? "Usage, the cursor" : "Usage of clusters, the cursor");
    }
    for (const [name, select] of Object.entries(this.fields)) select.value = s[name];
    this.keep.checked = s.swapfile;
    this.preset.value = this.presetName();
    this.status.replaceChildren(...this.said());
    this.boxes.replaceChildren(
      h("section", { tabIndex: 0, "aria-label": "The posting's table" }, h("h4", { textContent: "The posting's table [S3]" }), postingTable(this), netTable(this)),
      h("section", { tabIndex: 0, "aria-label": "The sum" }, h("h4", { textContent: `The sum: ${camp.title}` }), h("p", { textContent: camp.side }),
        h("p", { textContent: camp.without[s.mode] }), ...(note ? [h("p", { textContent: note })] : []), lineTable(this)));
    this.surface.redraw();
    this.twin.update();
    this.code.update();
  }

  presetName() {
    const same = (loose) => ([, , own]) => Object.entries(own).every(([name, value]) => loose.includes(name) || this.settings[name] === value);
    const { presets } = this.header, fits = presets.filter(same(LOOSE));
    this.chosen = (presets.find(same([])) ?? fits.find(([name]) => name === this.chosen) ?? fits[0])?.[0] ?? "";
    return this.chosen;
  }

  said() {
    const { settings: s, found } = this, live = liveAt(s, s.usage), of = s.live_per_cluster === 512 ? "" : " of the clusters";
    const cost = this.designs.map((design) => this.sum(design)), gap = cost[1] - cost[0];
    const each = (bytes) => (live ? ` (${exact(bytes / live)} bytes an entry)` : "");
    const share = percent(100 * Math.abs(gap) / (s.slots * PAGE));
    const more = gap === 0 ? "They cost the same." : `Virtual costs ${mib(Math.abs(gap))} MiB ${gap > 0 ? "more" : "less"}, ${share} of the device.`;
    const label = found.crossing.label, part = this.counted ? ` Added up: ${this.counted.join(" and ")} alone.` : "";
    return [h("b", { textContent: `At ${percent(s.usage)}${of}, ${count(live, "entry", "entries")}: ` }),
      `${this.nameOf(s.baseline)} ${mib(cost[0])} MiB${each(cost[0])}, virtual ${mib(cost[1])} MiB${each(cost[1])}. ${more} `,
      `${label.slice(0, 1) === "e" ? "Totals are " : "In all, "}${label}.${part}`];
  }

  mixText() {
    const { settings: s } = this;
    return SHARES.filter((name) => s[name]).map((name) => `${s[name]} % ${LABELS[name]}`).join(", ");
  }

  alt() {
    const { settings: s, found } = this, ends = (design) => [0, 100].map((usage) => mib(this.sum(design, usage)));
    const kinds = this.designs.map((design) => {
      const names = found.series[design].bands.filter(({ values }) => values.some(Boolean)).map(({ name }) => name);
      return `${this.nameOf(design)} from ${ends(design).join(" to ")} MiB: ${names.join(", ")}`;
    });
    return `Metadata over usage as stacked bands, ${this.header.units[s.unit]}, for a device of ${sizeText(s.slots)}, ${this.mixText()}, ${s.mode}. ` +
      `${kinds.join(". ")}. Totals: ${found.crossing.label}. Cursor at ${percent(s.usage)}.`;
  }

  paint(context, theme) {
    const { settings: s, found } = this, mix = SHARES.filter((name) => s[name]).map((name) => `${s[name]} % ${name}`).join(", ");
    const note = `${sizeText(s.slots)}, ${this.narrow ? "" : `${mix}, `}${s.mode}`;
    this.surface.canvas.setAttribute("aria-label", this.alt());
    new LedgerPicture(context, theme, this.header, { ...found, layout: layout(this.narrow), usages: USAGES, usage: s.usage, unit: s.unit,
      words: (value) => this.words(value),
      designs: this.designs, names: Object.fromEntries(this.designs.map((design) => [design, this.nameOf(design)])),
      notes: { [s.baseline]: this.header.units[s.unit], virtual: note } }).paint();
  }

  calls() {
    const python = (value) => (typeof value === "boolean" ? (value ? "True" : "False") : String(value));
    return this.model.get("code").replace(/\{(\w+)\}/g, (hole, name) => (name in this.settings ? python(this.settings[name]) : hole));
  }

  close() {
    this.observer.disconnect();
    this.model.off("change:settings", this.follow);
    this.surface.close();
  }
}
