// Questions: one with its form, its feedback, its hints and its solution; and the verdict of a run on a prediction.
//
// With a kernel, Python's checker has the last word and keeps the answers. Without one, checking.js says the same, and
// the browser keeps them. What was checked here is shown at once in both cases.

import { formFor } from "./answerforms.js";
import { isKept, keep, listen, recall } from "./answers.js";
import { check } from "./checking.js";
import { h } from "./dom.js";
import { FeedbackBox } from "./feedback.js";
import { inline, prose } from "./prose.js";

const TITLES = { choose: "Choose", number: "Number", order: "Order", explain: "Explain", predict: "Predict", task: "Task", help: "Help" };
const LEVELS = ["where to look", "what to think of", "how to begin"];
const NEEDS_LAB = "This one is checked by running Python: start the lab with make lab.";
const UNKEPT = "This browser keeps nothing for this page: answers go when it is closed.";

let count = 0;

const isAlone = (model) => !model.widget_manager;
const button = (text, onclick, className = "") => h("button", { type: "button", textContent: text, onclick, className });

/** Rules as they may be used now: on a page the run has spoken already, but not to who has not asked it to. */
const rulesFor = (header, given, alone) => (header.rules.kind === "predict" && alone && !given.revealed
  ? { ...header.rules, known: false } : header.rules);

export class Question {
  constructor(model, el) {
    this.model = model;
    this.alone = isAlone(model);
    this.header = model.get("header");
    const { rules, prompt, id, asked } = this.header;
    this.given = this.alone ? recall(id, asked) : { ...model.get("given") };
    this.form = formFor(rules.kind === "predict" ? rules.asked : rules, prompt, () => this.edited());
    this.box = new FeedbackBox(this.header.themes);
    this.build(rules, prompt, `vswaplab-q-${++count}`);
    this.root.player = this;
    el.replaceChildren(this.root);
    this.stops = this.follow(model, id);
    if (this.form) this.form.value = this.given.answer;
    this.show();
  }

  build(rules, prompt, name) {
    this.submit = h("button", { type: "submit", className: "vswaplab-q-main", textContent: rules.kind === "predict" ? "Record my prediction" : "Check" });
    this.compare = button("Compare with the run", () => this.change({ revealed: true }));
    this.again = button("Start over", () => this.startOver());
    this.buttons = h("div", { className: "vswaplab-q-line" }, this.submit, this.compare, this.again);
    this.note = h("p", { className: "vswaplab-q-note" });
    this.folds = h("div", { className: "vswaplab-q-folds" }, ...this.hints(), ...this.solution());
    const title = h("p", { className: "vswaplab-q-prompt", id: name },
      h("span", { className: "vswaplab-q-title", textContent: TITLES[rules.kind] }), " ", ...inline(prompt));
    this.root = h("form", { className: "vswaplab-view vswaplab-question", tabIndex: -1, "aria-labelledby": name,
      "data-lm-suppress-shortcuts": "true", noValidate: true, onsubmit: (event) => this.submitted(event) },
    title, ...(this.form ? [this.form.element, this.buttons] : []), this.box.element, this.note, this.folds);
  }

  /** Hear of what changes elsewhere: the kernel's feedback, a run's answer, another view of the same question. */
  follow(model, id) {
    if (this.alone) {
      return [listen(id, () => { this.given = recall(id, this.header.asked); this.show(); })];
    }
    const header = () => { this.header = model.get("header"); this.show(); };
    const given = () => this.taken({ ...model.get("given") });
    const feedback = () => this.show();
    const pairs = [["header", header], ["given", given], ["feedback", feedback]];
    for (const [name, listener] of pairs) model.on(`change:${name}`, listener);
    return pairs.map(([name, listener]) => () => model.off(`change:${name}`, listener));
  }

  taken(given) {
    const other = JSON.stringify(given.answer) !== JSON.stringify(this.given.answer);
    this.given = given;
    if (other && this.form) this.form.value = given.answer;
    this.show();
  }

  get rules() {
    return rulesFor(this.header, this.given, this.alone);
  }

  get locked() {
    return this.header.rules.kind === "predict" && (this.alone ? this.given.revealed : this.rules.known || this.given.revealed);
  }

  /** What is to be said now: the kernel's word on this attempt if it is there, else what is found here. */
  get feedback() {
    if (this.unchecked) return null;
    const said = this.model.get("feedback"), tried = this.given.attempts > 0;
    if (!this.alone && said?.kind && said.attempt === this.given.attempts) return said;
    if (!this.form || (!tried && !(this.rules.kind === "predict" && this.rules.known))) return null;
    return check(this.rules, this.given.answer, this.header.words);
  }

  submitted(event) {
    event.preventDefault();
    if (this.locked) return;
    this.unchecked = false;
    this.change({ answer: this.form.value, attempts: this.given.attempts + 1 });
  }

  edited() {
    this.unchecked = JSON.stringify(this.form.value) !== JSON.stringify(this.given.answer);
    this.show();
  }

  startOver() {
    this.unchecked = false;
    this.change({ answer: null, attempts: 0, hints: 0, shown: false, revealed: false });
    this.form.value = null;
    for (const fold of this.folds.querySelectorAll("details")) fold.open = false;
    this.root.querySelector("input, textarea, button").focus();
  }

  change(changes) {
    this.given = { ...this.given, ...changes };
    if (this.alone) {
      keep(this.header.id, this.given); // which shows it
    } else {
      this.model.set("given", this.given);
      this.model.save_changes();
      this.show();
    }
  }

  hints() {
    const { hints } = this.header;
    this.hintFolds = hints.map((text, at) => h("details", { className: "vswaplab-fold", ontoggle: (event) => {
      if (event.target.open && this.given.hints <= at) this.change({ hints: at + 1 });
    } }, h("summary", { textContent: `Hint ${at + 1} of ${hints.length}: ${LEVELS[at]}` }), h("div", { className: "vswaplab-q-fold" }, ...prose(text))));
    return this.hintFolds;
  }

  solution() {
    if (!this.header.solution) return [];
    this.solutionBox = h("div", { className: "vswaplab-q-fold" });
    this.solutionFold = h("details", { className: "vswaplab-fold", ontoggle: (event) => {
      if (event.target.open && this.mayLook && !this.given.shown) this.change({ shown: true });
    } }, h("summary", { textContent: "Solution" }), this.solutionBox);
    return [this.solutionFold];
  }

  /** The solution opens after an attempt, or to who asks for it outright. */
  get mayLook() {
    return this.given.shown || this.given.attempts > 0;
  }

  show() {
    const { feedback, locked } = this, recorded = this.given.attempts > 0;
    const predict = this.header.rules.kind === "predict";
    const lab = this.alone && this.header.rules.kind === "task" ? { kind: "missing", message: NEEDS_LAB } : null;
    this.box.show(feedback ?? lab, { wordless: Boolean(lab) || (predict && this.rules.known) });
    this.form?.checked?.(this.given.attempts > 0 && this.form.value.text ? feedback?.kind ?? "edited" : "");
    this.form?.lock(locked);
    this.submit.hidden = locked;
    this.submit.disabled = predict && recorded && !this.unchecked;
    this.compare.hidden = !(this.alone && predict && this.header.rules.known && feedback?.kind === "recorded");
    this.again.hidden = !recorded || (locked && !this.alone);
    this.hintFolds.forEach((fold, at) => { fold.hidden = at > this.given.hints; });
    this.note.textContent = this.alone ? (isKept(this.header.id) ? "" : UNKEPT) : this.header.note ?? "";
    this.showSolution();
  }

  showSolution() {
    if (!this.solutionFold || this.solutionShown === this.mayLook) return;
    this.solutionShown = this.mayLook;
    this.solutionBox.replaceChildren(...(this.mayLook ? prose(this.header.solution)
      : [h("p", { textContent: "Try first: any attempt opens this." }), button("Show me", () => this.change({ shown: true }))]));
  }

  close() {
    this.box.close();
    for (const stop of this.stops) stop();
  }
}

/** What a run says of a prediction, where the run stands. */
export class Verdict {
  constructor(model, el) {
    this.model = model;
    this.header = model.get("header");
    this.alone = isAlone(model);
    this.box = new FeedbackBox(this.header.themes);
    this.root = h("div", { className: "vswaplab-view vswaplab-verdict", role: "group", "aria-label": "What the run says" }, this.box.element);
    this.root.player = this;
    el.replaceChildren(this.root);
    this.stop = this.alone && this.header.rules.kind === "predict" ? listen(this.header.id, () => this.show()) : () => {};
    this.show();
  }

  show() {
    const { rules, words, id, asked } = this.header;
    if (!this.alone || rules.kind !== "predict") {
      this.box.show(this.model.get("feedback"), { wordless: rules.kind === "predict" });
      return;
    }
    const given = recall(id, asked);
    const reveal = (text) => h("div", {}, button(text, () => { keep(id, { ...given, revealed: true }); }));
    if (given.revealed) this.box.show(check(rules, given.answer, words), { wordless: true });
    else if (given.attempts) this.box.show({ kind: "recorded", message: "Your prediction stands above." }, { more: [reveal("Compare with the run")] });
    else this.box.show({ kind: "missing", message: "No prediction is recorded yet." }, { wordless: true, more: [reveal("Show what the run says")] });
  }

  close() {
    this.box.close();
    this.stop();
  }
}
