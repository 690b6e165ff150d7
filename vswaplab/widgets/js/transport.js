// Transport: the controls of a player. Buttons, a slider, play with a speed, jumps to phases and events, and the keys.

import { h } from "./dom.js";
import { number } from "./words.js";

const SPEEDS = [1, 2, 5, 10, 25, 60, 250, 1000];
const TICK = 1000 / 60;

/** What a player needs: {length, position, seek(p), phases: [[label, position]]}. `moved()` follows every move. */
export class Transport {
  constructor(player, moved, unit = "event") {
    this.player = player;
    this.moved = moved;
    this.unit = unit; // what one step is
    this.playing = false;
    this.speed = player.length > 2000 ? 60 : player.length > 40 ? 5 : 1; // a short story is there to be read
    this.element = this.build();
    this.show();
  }

  build() {
    const button = (text, title, act) => h("button", { type: "button", textContent: text, title, onclick: act });
    const { player, unit } = this, capital = unit[0].toUpperCase() + unit.slice(1);
    this.first = button("First", `Go to the state before the first ${unit} (Home)`, () => this.go(0));
    this.back = button("Step back", `Take the last ${unit} back (left arrow)`, () => this.go(player.position - 1));
    this.play = button("Play", "Play or pause (space)", () => this.toggle());
    this.forward = button("Step forward", `Apply the next ${unit} (right arrow)`, () => this.go(player.position + 1));
    this.last = button("Last", `Go to the last ${unit} (End)`, () => this.go(player.length));
    this.slider = h("input", { type: "range", min: 0, max: player.length, step: 1, "aria-label": capital,
      oninput: () => this.go(Number(this.slider.value)) });
    this.event = h("input", { type: "number", min: 0, max: player.length, "aria-label": `${capital} number`,
      onchange: () => this.go(Number(this.event.value) || 0) });
    this.rate = h("select", { "aria-label": `Speed, ${unit}s a second`,
      onchange: () => { this.speed = Number(this.rate.value); } },
    ...SPEEDS.map((speed) => h("option", { value: speed, textContent: `${speed}/s`, selected: speed === this.speed })));
    const row = [this.first, this.back, this.play, this.forward, this.last, this.slider, this.event, this.rate];
    if (player.phases.length) row.push(this.phaseMenu());
    return h("div", { className: "vswaplab-transport", role: "group", "aria-label": `Step through the ${unit}s` }, ...row);
  }

  phaseMenu() {
    this.jump = h("select", { "aria-label": "Jump to a phase", onchange: () => this.go(Number(this.jump.value)) },
      h("option", { value: 0, textContent: "Before the first phase" }),
      ...this.player.phases.map(([label, at]) => h("option", { value: at, textContent: label })));
    return this.jump;
  }

  go(position) {
    this.player.seek(position);
    this.show();
    this.moved();
  }

  // -- playing --------------------------------------------------------------------------------------------------

  toggle(on = !this.playing) {
    if (on && this.player.position >= this.player.length) this.go(0);
    this.playing = on;
    this.play.textContent = on ? "Pause" : "Play";
    this.since = performance.now();
    this.owed = 0;
    if (on) requestAnimationFrame((now) => this.tick(now));
  }

  tick(now) {
    if (!this.playing || !this.element.isConnected) {
      this.playing = false;
      return;
    }
    this.owed += Math.min(250, Math.max(TICK, now - this.since)) * this.speed / 1000;
    this.since = now;
    const steps = Math.floor(this.owed);
    if (steps) {
      this.owed -= steps;
      this.go(this.player.position + steps);
    }
    if (this.player.position >= this.player.length) this.toggle(false);
    else requestAnimationFrame((next) => this.tick(next));
  }

  // -- keys -----------------------------------------------------------------------------------------------------

  /** Handle a key; true if it was one of ours. Fields keep the keys they need. */
  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return false;
    const target = event.target, tag = target.tagName;
    const typing = tag === "SELECT" || (tag === "INPUT" && target.type === "number");
    const { player } = this, phases = player.phases.map(([, at]) => at);
    const moves = {
      ArrowRight: () => this.go(player.position + (event.shiftKey ? 10 : 1)),
      ArrowLeft: () => this.go(player.position - (event.shiftKey ? 10 : 1)),
      Home: () => this.go(0),
      End: () => this.go(player.length),
      PageDown: () => this.go(phases.find((at) => at > player.position) ?? player.length),
      PageUp: () => this.go(phases.findLast((at) => at < player.position) ?? 0),
      " ": () => this.toggle(),
      "+": () => this.faster(1),
      "-": () => this.faster(-1),
    };
    if (typing || !(event.key in moves)) return false;
    if (event.key === " " && (tag === "BUTTON" || tag === "SUMMARY")) return false; // a press of that button
    if (tag === "SUMMARY" || target.closest?.(".vswaplab-fold-box")) return false;
    moves[event.key]();
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  faster(by) {
    const at = Math.max(0, Math.min(SPEEDS.length - 1, SPEEDS.indexOf(this.speed) + by));
    this.speed = SPEEDS[at];
    this.rate.value = String(this.speed);
  }

  show() {
    const { position, length } = this.player;
    this.slider.value = String(position);
    this.slider.setAttribute("aria-valuetext", `${this.unit} ${number(position)} of ${number(length)}`);
    if (document.activeElement !== this.event) this.event.value = String(position);
    this.first.disabled = this.back.disabled = position === 0;
    this.last.disabled = this.forward.disabled = position === length;
    if (this.jump) this.jump.value = String(this.player.phases.findLast(([, at]) => at <= position)?.[1] ?? 0);
  }
}
