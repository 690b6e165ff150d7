// The stepper: the slot graph at any event of a trace, forwards and backwards, with the event in words beside it.

import { Fold, h, pictureBox, table } from "./dom.js";
import { decodeLog } from "./log.js";
import { SlotGraph } from "./slotgraph.js";
import { Tape } from "./tape.js";
import { Transport } from "./transport.js";
import { describe, fill } from "./words.js";

export class Stepper {
  constructor(model, el) {
    this.model = model;
    this.log = decodeLog(model.get("header"), model.get("data"));
    this.tape = new Tape(this.log);
    this.tape.phases = this.log.phases;
    this.tape.seek(model.get("step"));
    this.graph = new SlotGraph(this.tape);
    this.status = h("div", { className: "vswaplab-status vswaplab-stepper-status", role: "status" });
    this.transport = new Transport(this.tape, () => this.moved());
    this.folds = [
      new Fold("The same as a table", () => table(...this.graph.scene.twin()), "vswaplab-twin"),
      new Fold("Show me the kernel", () => this.kernel()),
      new Fold("The calls behind this picture", () => h("pre", { textContent: this.code() })),
    ];
    this.picture = pictureBox();
    this.root = h("div", { className: "vswaplab-view vswaplab-stepper", tabIndex: 0, role: "group",
      "aria-label": "Stepper: arrow keys step, space plays, page keys change the phase" },
    this.transport.element, this.status, this.picture, ...this.folds.map((fold) => fold.element));
    this.root.addEventListener("keydown", (event) => this.transport.key(event));
    this.root.player = this; // what tests read back
    el.replaceChildren(this.root);
    this.graph.attach(this.picture);
    this.follow = () => this.followModel();
    model.on("change:step", this.follow);
    this.show();
  }

  get position() {
    return this.tape.position;
  }

  moved() {
    this.show();
    if (this.transport.playing) return; // the kernel hears of it when playing ends
    this.tell();
  }

  tell() {
    if (this.model.get("step") === this.tape.position) return;
    this.model.set("step", this.tape.position);
    this.model.save_changes();
  }

  followModel() {
    if (this.model.get("step") === this.tape.position) return;
    this.tape.seek(this.model.get("step"));
    this.transport.show();
    this.show();
  }

  show() {
    this.status.setAttribute("aria-live", this.transport?.playing ? "off" : "polite");
    this.status.replaceChildren(...this.words());
    this.graph.redraw();
    for (const fold of this.folds ?? []) fold.update();
    if (this.transport && !this.transport.playing && this.position === this.tape.length) this.tell();
  }

  words() {
    const { log, tape } = this, i = tape.position - 1;
    const phase = log.phases.findLast(([, at]) => at <= tape.position);
    const head = h("b", { textContent: `event ${tape.position} of ${tape.length}` });
    const where = phase ? ` · ${phase[0]}` : "";
    if (i < 0) return [head, where, h("br"), "Before the first event."];
    const kind = log.kinds[log.c.kind[i]];
    const call = kind.function ? [h("br"), "in the kernel: ", h("code", { textContent: kind.function }), ` [${kind.source}]`] : [];
    return [head, where, h("br"), describe(log, i), ...call];
  }

  kernel() {
    const i = this.tape.position - 1;
    if (i < 0) return h("p", { textContent: "Step to an event first." });
    const kind = this.log.kinds[this.log.c.kind[i]], parts = [];
    if (kind.function) {
      const [title, url] = this.log.sources[kind.source] ?? [kind.source, ""];
      const source = url ? h("a", { href: url, target: "_blank", rel: "noopener", textContent: title }) : title;
      parts.push(h("p", {}, "Function: ", h("code", { textContent: kind.function }), ", read from ", source, ` [${kind.source}].`));
    }
    if (kind.drgn.length) {
      parts.push(h("p", { textContent: "The same on a live machine, with drgn (it reads and changes nothing):" }),
        h("pre", { textContent: kind.drgn.map((line) => fill(this.log, line, i)).join("\n") }));
    }
    return parts.length ? parts : h("p", { textContent: "The model's own record; no one function of the kernel stands for it." });
  }

  code() {
    const i = this.tape.position - 1, step = i < 0 ? -1 : this.log.c.step[i];
    return this.model.get("code").replaceAll("{step}", String(step)).replaceAll("{before}", String(Math.max(-1, step - 1)));
  }

  close() {
    this.transport.toggle(false);
    this.model.off("change:step", this.follow);
    this.graph.close();
  }
}
