// Slot map explorer: from all slots down to one, its chain both ways, its bytes, its cluster and its history.

import { Fold, h, pictureBox, table } from "./dom.js";
import { decodeColumns } from "./log.js";
import { MapCanvas, NAMES } from "./mapcanvas.js";
import { chainBoxes, hexStrip, stateName } from "./slotchain.js";
import { FREE, PER_ROW, ROWS, SlotMap } from "./slotmap.js";
import { address, count, number } from "./words.js";

const VIEW = PER_ROW * ROWS, CLUSTER = 512;
const WINDOW = 1 << 15; // slots asked for at once
const FINDS = [["slot", "slot"], ["page", "page (address, or pid and address)"], ["zswap", "zswap entry"], ["swapfile", "slot of a swapfile (device:slot)"]];

export class SlotExplorer {
  constructor(model, el) {
    this.model = model;
    this.header = model.get("header");
    this.map = new SlotMap(this.header, model.get("data"));
    this.takeWindow();
    [this.part, this.slot] = [model.get("part"), model.get("chosen")];
    this.level = this.start();
    this.first = 0;
    this.asked = "";
    this.canvas = new MapCanvas(this.header.themes, this.header.shapes, () => this.shown(), (slot) => this.choose(this.part, slot));
    this.build(el);
    this.listeners = { "change:cells": () => this.arrived(), "change:chosen": () => this.follow(), "change:part": () => this.follow(),
      "change:history": () => this.folds[0].update(), "change:answer": () => this.say(model.get("answer")) };
    for (const [name, listener] of Object.entries(this.listeners)) model.on(name, listener);
    this.show();
  }

  build(el) {
    const button = (text, title, onclick) => h("button", { type: "button", textContent: text, title, onclick });
    this.menu = h("select", { "aria-label": "Map", onchange: () => this.choose(Number(this.menu.value), 0, true) },
      ...this.map.parts.map((part, i) => h("option", { value: i, textContent: part.name })));
    this.zoom = h("input", { type: "range", min: 0, step: 1, "aria-label": "Zoom", oninput: () => this.zoomTo(this.coarsest() - Number(this.zoom.value)) });
    this.kind = h("select", { "aria-label": "What to find" }, ...FINDS.map(([value, textContent]) => h("option", { value, textContent })));
    this.text = h("input", { type: "text", "aria-label": "Its number or address", placeholder: "number",
      onkeydown: (event) => { if (event.key === "Enter") this.find(this.kind.value, this.text.value); } });
    this.message = h("span", { className: "vswaplab-message", role: "alert" });
    const controls = h("div", { className: "vswaplab-row", role: "group", "aria-label": "Find and zoom" }, this.menu,
      this.zoomLabel = h("label", {}, "zoom ", this.zoom), button("◀ in use", "The slot in use before this one (Page up)", () => this.step(-1)),
      button("in use ▶", "The next slot in use (Page down)", () => this.step(1)), this.kind, this.text,
      button("Find", "Go there", () => this.find(this.kind.value, this.text.value)), this.message);
    this.status = h("div", { className: "vswaplab-status vswaplab-explorer-status", role: "status" });
    this.chain = h("div", { className: "vswaplab-chain", role: "group", "aria-label": "Chain" });
    this.strip = h("div", { className: "vswaplab-strip", role: "group", "aria-label": "Bytes" });
    this.folds = [new Fold("History of this slot", () => this.history()), new Fold("Its cluster, as a bitmap", () => this.cluster()),
      new Fold("The same as a table", () => this.table(), "vswaplab-twin"),
      new Fold("The calls behind this picture", () => h("pre", { textContent: this.code() }))];
    this.folds[0].element.open = true;
    const picture = pictureBox();
    this.root = h("div", { className: "vswaplab-view vswaplab-explorer", tabIndex: 0, role: "group",
      "aria-label": "Slot map: arrow keys move, plus and minus zoom, page keys go to the next slot in use" },
    controls, picture, this.status, this.chain, this.strip, ...this.folds.map((fold) => fold.element));
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.player = this;
    el.replaceChildren(this.root);
    this.canvas.surface.attach(picture);
  }

  // -- where we are ---------------------------------------------------------------------------------------------------

  get per() {
    return 2 ** this.level;
  }

  coarsest() {
    return this.map.levels(this.part);
  }

  start() {
    return Math.max(this.finest(), this.map.fitting(this.part));
  }

  /** Without a kernel, what was not sent can't be looked at closer than by clusters. */
  finest() {
    return this.map.whole || this.header.kernel ? 0 : Math.min(9, this.coarsest());
  }

  choose(part, slot, anew = false) {
    this.part = part;
    this.slot = Math.max(0, Math.min(this.map.parts[part].slots - 1, slot));
    this.message.textContent = "";
    if (anew) {
      this.level = this.start();
      this.first = 0;
    }
    this.keepInView();
    this.show();
    if (this.model.get("chosen") === this.slot && this.model.get("part") === part) return;
    this.model.set("part", part);
    this.model.set("chosen", this.slot);
    this.model.save_changes();
  }

  follow() {
    const [part, slot] = [this.model.get("part"), this.model.get("chosen")];
    if (part === this.part && slot === this.slot) return;
    if (part !== this.part) [this.part, this.level] = [part, Math.min(this.level, this.map.levels(part))];
    this.slot = slot;
    this.keepInView();
    this.show();
  }

  keepInView() {
    const span = VIEW * this.per, row = PER_ROW * this.per, { slots } = this.map.parts[this.part];
    if (this.slot < this.first || this.slot >= this.first + span) this.first = this.slot - span / 2;
    const last = Math.max(0, Math.ceil(slots / row) * row - span);
    this.first = Math.max(0, Math.min(last, Math.floor(this.first / row) * row));
  }

  zoomTo(level) {
    this.level = Math.max(this.finest(), Math.min(this.coarsest(), level));
    const row = PER_ROW * this.per;
    this.first = Math.floor(this.slot / row) * row - row * (ROWS / 2);
    this.keepInView();
    this.show();
  }

  step(by) {
    this.choose(this.part, this.map.next(this.part, this.slot, by));
  }

  key(event) {
    const { target } = event, tag = target.tagName;
    if (event.ctrlKey || event.altKey || event.metaKey || tag === "SELECT" || tag === "INPUT" || tag === "SUMMARY") return;
    if (target.closest?.(".vswaplab-fold-box")) return;
    const move = (cells) => () => this.choose(this.part, (Math.floor(this.slot / this.per) + cells) * this.per);
    const moves = { ArrowRight: move(1), ArrowLeft: move(-1), ArrowDown: move(PER_ROW), ArrowUp: move(-PER_ROW),
      Home: () => this.choose(this.part, 0), End: () => this.choose(this.part, this.map.parts[this.part].slots - 1),
      PageDown: () => this.step(1), PageUp: () => this.step(-1),
      "+": () => this.zoomTo(this.level - 1), "-": () => this.zoomTo(this.level + 1) };
    if (!(event.key in moves)) return;
    moves[event.key]();
    event.preventDefault();
    event.stopPropagation();
  }

  find(kind, text) {
    this.message.textContent = "";
    const found = this.map.find(kind, text);
    if (found) {
      this.choose(...found, found[0] !== this.part);
    } else if (this.header.kernel && !this.map.whole) this.ask({ find: [kind, text] });
    else this.say(`Nothing here answers to ${kind} ${text || "(nothing)"}; try the number of one in use.`);
  }

  say(words) {
    this.message.textContent = words;
  }

  // -- what Python has, and a page has not ----------------------------------------------------------------------------

  takeWindow() {
    const given = this.model.get("given"), bytes = this.model.get("cells");
    const view = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (const { part, first, begin, columns } of given.windows ?? []) {
      this.map.setWindow(part, first, decodeColumns(columns, view.slice(begin)));
    }
  }

  arrived() {
    this.takeWindow();
    this.asked = "";
    this.show();
  }

  ask(want) {
    const key = JSON.stringify(want);
    if (!this.header.kernel || key === this.asked) return;
    this.asked = key;
    this.model.set("want", want);
    this.model.save_changes();
  }

  /** Ask for the slots in view, or around the chosen one, if they are not here. */
  require() {
    const cluster = Math.floor(this.slot / CLUSTER) * CLUSTER, { slots } = this.map.parts[this.part];
    const [first, end] = this.per < CLUSTER ? [this.first, Math.min(slots, this.first + VIEW * this.per)] : [cluster, cluster + CLUSTER];
    if (this.map.covers(this.part, first, end) && this.map.covers(this.part, cluster, cluster + CLUSTER)) return;
    const nr = Math.max(WINDOW, 2 * (end - first)), start = Math.max(0, Math.floor((first + end) / 2 / CLUSTER) * CLUSTER - nr / 2);
    this.ask({ part: this.part, first: start, nr });
  }

  // -- what is shown ------------------------------------------------------------------------------------------------

  shown() {
    const { part, first, per, slot } = this, { slots } = this.map.parts[part];
    const nr = Math.min(VIEW, Math.ceil((slots - first) / per));
    const broken = this.header.broken?.slots.filter(([at]) => at === part).map(([, each]) => each) ?? [];
    return { part, first, per, slots, chosen: slot, broken, cells: this.map.cells(part, first, per, nr), alt: this.alt() };
  }

  show() {
    this.require();
    const coarsest = this.coarsest();
    Object.assign(this.zoom, { max: coarsest - this.finest(), value: coarsest - this.level, disabled: coarsest === this.finest() });
    this.zoomLabel.hidden = this.zoom.disabled;
    this.zoom.setAttribute("aria-valuetext", this.per === 1 ? "a cell is one slot" : `a cell is ${number(this.per)} slots`);
    this.menu.value = String(this.part);
    this.menu.hidden = this.map.parts.length < 2;
    this.canvas.surface.redraw();
    const chain = this.map.chain(this.part, this.slot), broken = this.brokenHere(chain);
    this.status.replaceChildren(...this.words(chain, broken));
    const go = (kind, text) => this.find(kind, text);
    this.chain.replaceChildren(...(chain ? chainBoxes(this.map, chain, { processes: this.header.processes, broken, go }) : []));
    this.strip.replaceChildren(...(chain?.bytes.length ? hexStrip(this.map, chain) : []));
    for (const fold of this.folds) fold.update();
  }

  brokenHere(chain) {
    const { broken } = this.header;
    return broken && chain && broken.slots.some(([part, slot]) => part === this.part && slot === this.slot) ? broken : null;
  }

  words(chain, broken) {
    const { part, slot } = this, at = Math.floor(slot / CLUSTER), cluster = this.map.cluster(part, at);
    const used = cluster.counts.slice(0, FREE).reduce((sum, nr) => sum + nr, 0);
    const known = cluster.list ? `, order ${cluster.order}, ${number(used)} of 512 in use, ${cluster.list}` : ", not in use";
    const here = chain ? stateName(chain.state) : "fetching it…";
    const parts = [h("b", { textContent: `${this.map.parts[part].name}: slot ${number(slot)}` }), ` · ${here} · cluster ${number(at)}${known}`];
    if (!chain && !this.header.kernel) parts[1] = ` · this page holds the map by clusters; the lab opens each slot · cluster ${number(at)}${known}`;
    const { broken: found } = this.header;
    if (found) parts.push(h("br"), h("b", { className: "vswaplab-broken", textContent: `✗ ${found.invariant}` }), `: ${found.detail}${broken ? "" : " (marked in the map)"}`);
    return parts;
  }

  alt() {
    const totals = this.map.totals(this.part).map((nr, kind) => `${number(nr)} ${NAMES[kind]}`).join(", ");
    const { name, slots } = this.map.parts[this.part], end = Math.min(slots, this.first + VIEW * this.per);
    const broken = this.header.broken ? ` Broken: ${this.header.broken.invariant}.` : "";
    return `Map of ${name}: ${number(slots)} slots; ${totals}. Shown: slots ${number(this.first)} to ${number(end - 1)}, ${number(this.per)} a cell; chosen: ${number(this.slot)}.${broken}`;
  }

  history() {
    const { stories } = this.header, told = stories ? stories[this.part]?.[this.slot] ?? [] : this.model.get("history");
    if (!stories && !this.header.kernel) return h("p", { textContent: "The trace of this run is in the lab." });
    if (!told.length) return h("p", { textContent: "The trace says nothing of this slot." });
    return h("ol", { className: "vswaplab-history" }, ...told.map(([step, sentence]) => h("li", { textContent: `event ${number(step)}: ${sentence}` })));
  }

  cluster() {
    const at = Math.floor(this.slot / CLUSTER) * CLUSTER, rows = [];
    if (!this.map.covers(this.part, at, at + CLUSTER)) return h("p", { textContent: "Its slots are not here." });
    for (let row = 0; row < CLUSTER; row += 64) {
      const bits = Array.from({ length: 64 }, (_, i) => (this.map.state(this.part, at + row + i) < FREE ? 1 : 0));
      rows.push([`${number(at + row)}`, bits.join("").replace(/(.{8})(?=.)/g, "$1 ")]);
    }
    const each = this.map.cluster(this.part, at / CLUSTER), run = 2 ** each.order;
    const said = each.list ? ` Order ${each.order}: it hands out ranges of ${count(run, "slot")}, aligned to their length.` : "";
    return [h("p", { textContent: `Cluster ${number(at / CLUSTER)}, 512 slots, a bit each.${said}` }), table("Bitmap, slot by slot", ["from slot", "in use"], rows)];
  }

  table() {
    const parts = this.map.parts.map((part, i) => [part.name, number(part.slots), ...this.map.totals(i).map(number)]);
    const chain = this.map.chain(this.part, this.slot), rows = chain ? this.rows(chain) : [];
    return [table("Slots by state", ["part", "slots", ...NAMES], parts), table(`Slot ${number(this.slot)} of ${this.map.parts[this.part].name}`, ["what", "is"], rows)];
  }

  rows(chain) {
    const rows = [["state", stateName(chain.state)]];
    for (const [pid, vpn] of chain.ptes) rows.push(["page table entry", `${address(vpn)} of ${this.header.processes[pid] ?? `process ${pid}`}`]);
    if (chain.length) rows.push(["zswap entry", `${number(chain.handle)}: ${count(chain.length, "byte")}, size class ${number(chain.class)}`]);
    if (chain.device) rows.push(["slot of a swapfile", chain.device.join(":")]);
    if (chain.owner) rows.push(["rmap", `entry ${number(chain.owner)}`]);
    if (chain.frame >= 0) rows.push(["folio in memory", `frame ${number(chain.frame)}`]);
    this.map.parts[chain.part].fields.forEach(([name], i) => chain.bytes.length && rows.push([name, `0x${chain.values[i].toString(16)}`]));
    return rows;
  }

  code() {
    return this.model.get("code").replaceAll("{part}", String(this.part)).replaceAll("{slot}", String(this.slot));
  }

  close() {
    for (const [name, listener] of Object.entries(this.listeners)) this.model.off(name, listener);
    this.canvas.surface.close();
  }
}
