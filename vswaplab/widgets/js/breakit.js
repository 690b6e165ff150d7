// Break-it mode: a stepper over a machine without one rule; the learner finds the event, the place and the invariant.

import { CORRECT, judge, solved } from "./brokencheck.js";
import { h } from "./dom.js";
import { Stepper } from "./stepper.js";

const SIGNS = { missing: "…", "keep working": "✗", almost: "≈", correct: "✓" };

export class BreakIt extends Stepper {
  constructor(model, el) {
    super(model, el);
    this.quiz = this.log.quiz;
    this.shown = false;
    this.root.classList.add("vswaplab-breakit");
    this.transport.element.before(h("p", { className: "vswaplab-task" }, ...this.task()));
    this.picture.before(this.form());
    this.show();
  }

  task() {
    const { operation, within: [first, last] } = this.quiz;
    return ["One rule was taken from this machine. All invariants held until ", h("b", { textContent: operation }),
      ` (events ${first} to ${last}); after it one did not. Find the event, the place and the invariant.`];
  }

  form() {
    const option = ([value, text]) => h("option", { value, textContent: text });
    const menu = (label, pairs) => h("select", { "aria-label": label }, option(["", `${label}…`]), ...pairs.map(option));
    this.event = h("input", { type: "number", min: 1, max: this.tape.length, "aria-label": "Event at which it goes wrong" });
    this.place = menu("Place", Object.entries(this.quiz.places));
    this.invariant = menu("Invariant", this.quiz.choices.map((name) => [name, name]));
    const button = (text, onclick) => h("button", { type: "button", textContent: text, onclick });
    this.reveal = button("Show me", () => this.uncover());
    this.feedback = h("ul", { className: "vswaplab-feedback" });
    return h("div", { className: "vswaplab-answer", role: "group", "aria-label": "Your answer" },
      h("div", { className: "vswaplab-row" }, h("label", {}, "event ", this.event),
        button("The one shown", () => { this.event.value = String(this.position); }), this.place, this.invariant,
        button("Check", () => this.check()), this.reveal),
      h("div", { role: "status" }, this.feedback));
  }

  answer() {
    return { event: this.event.value, place: this.place.value, invariant: this.invariant.value };
  }

  check() {
    const found = judge(this.quiz, this.answer());
    this.feedback.replaceChildren(...found.map(([what, kind, message]) => h("li", {
      className: `vswaplab-${kind.replace(" ", "-")}` }, h("b", { textContent: `${SIGNS[kind]} ${what}: ${kind}. ` }), message)));
    if (solved(found)) this.uncover();
  }

  /** Colour the place, name it, and go to the event. */
  uncover() {
    this.shown = true;
    this.reveal.disabled = true;
    const { quiz } = this;
    this.feedback.append(h("li", { className: `vswaplab-${CORRECT}` }, h("b", { textContent: "The rule that is missing: " }), quiz.rule, " ",
      quiz.without, h("br"), `Event ${quiz.event}, ${quiz.places[quiz.edge]}; ${quiz.invariant}: ${quiz.detail}.`));
    this.transport.go(quiz.event);
  }

  /** Of the entries found at the end of the operation, those whose count is wrong by now, and who holds them. */
  miscounted() {
    const { quiz, tape: { state } } = this, holds = (p, e) => state.pteKind[p] === 2 && state.pteRef[p] === e;
    const holders = (e) => [...state.pteKind.keys()].filter((p) => holds(p, e));
    const entries = quiz.entries.filter((e) => (state.backing[e] === 255 ? 0 : state.count[e]) !== holders(e).length);
    return { entries, ptes: quiz.ptes.filter((p) => entries.some((e) => holds(p, e))) };
  }

  show() {
    if (this.quiz) {
      const { edge, event, invariant } = this.quiz, parts = edge === "pte" ? this.miscounted() : this.quiz;
      this.graph.broken = this.shown && this.position >= event
        ? [{ edge, ptes: parts.ptes, entries: parts.entries, label: invariant }] : [];
    }
    super.show();
  }
}
