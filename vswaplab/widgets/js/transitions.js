// Transitions of backings: how often each happened up to a position, and by which events. Nothing here draws.

import { Backing, Event } from "./log.js";

export const STATES = [Backing.FOLIO, Backing.ZSWAP, Backing.SWAPFILE, Backing.ZERO];
export const TAKEN = "taken";
export const FREED = "freed";

/** Transitions that the state machine knows (section 3.8 of docs/facts.md), whether or not they occur. */
export const KNOWN = [
  [TAKEN, Backing.FOLIO],
  [Backing.FOLIO, Backing.ZSWAP], [Backing.ZSWAP, Backing.FOLIO],
  [Backing.FOLIO, Backing.ZERO], [Backing.ZERO, Backing.FOLIO],
  [Backing.FOLIO, Backing.SWAPFILE], [Backing.SWAPFILE, Backing.FOLIO],
  [Backing.ZSWAP, Backing.SWAPFILE], [Backing.SWAPFILE, Backing.ZSWAP],
  [Backing.ZSWAP, Backing.ZERO], [Backing.SWAPFILE, Backing.ZERO],
  [Backing.FOLIO, FREED], [Backing.ZSWAP, FREED], [Backing.SWAPFILE, FREED], [Backing.ZERO, FREED],
];

export const keyOf = (from, to) => `${from} ${to}`;

export class Transitions {
  constructor(log) {
    this.log = log;
    this.events = new Map(KNOWN.map(([from, to]) => [keyOf(from, to), []]));
    const { c } = log;
    for (let i = 0; i < log.events; i++) {
      const kind = c.event[i];
      if (kind === Event.ALLOC) this.note(TAKEN, c.new[i], i);
      else if (kind === Event.FREE) this.note(c.old[i], FREED, i);
      else if (kind === Event.BACKING) this.note(c.old[i], c.new[i], i);
    }
  }

  note(from, to, i) {
    const key = keyOf(from, to);
    if (!this.events.has(key)) this.events.set(key, []);
    this.events.get(key).push(i);
  }

  /** All transitions: those known, then whatever else occurs. */
  all() {
    return [...this.events.keys()].map((key) => key.split(" ").map((name) => (Number.isNaN(Number(name)) ? name : Number(name))));
  }

  /** How often one happened in the first `position` events. */
  count(from, to, position) {
    const found = this.events.get(keyOf(from, to)) ?? [];
    let low = 0, high = found.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (found[middle] < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The transition that the last of the first `position` events was, or null. */
  last(position) {
    const { c } = this.log, i = position - 1;
    if (i < 0) return null;
    if (c.event[i] === Event.ALLOC) return [TAKEN, c.new[i]];
    if (c.event[i] === Event.FREE) return [c.old[i], FREED];
    return c.event[i] === Event.BACKING ? [c.old[i], c.new[i]] : null;
  }
}
