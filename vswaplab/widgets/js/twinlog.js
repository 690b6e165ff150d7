// Twin log: both designs at the same operation. Nothing here draws.

import { BACKING_NAMES, decodeLog } from "./log.js";
import { Tape } from "./tape.js";

/** One design's tape, moved by operations. */
class Side {
  constructor(design, { log, begin, end, at }, bytes) {
    this.design = design;
    this.tape = new Tape(decodeLog(log, bytes.slice(begin, end)));
    this.at = at; // position in the tape after each operation, and before the first
    const { c } = this.tape.log;
    this.keys = Array.from(c.pte_pid, (pid, p) => `${pid}:${c.pte_vpn[p]}`);
  }

  seek(step) {
    this.tape.seek(this.at[step]);
  }

  /** Where each page is: key to "memory" or the name of its backing; pages that are nowhere are left out. */
  places() {
    const { state } = this.tape, found = new Map();
    this.keys.forEach((key, p) => {
      if (state.pteKind[p] === 1) found.set(key, "memory");
      else if (state.pteKind[p] === 2) found.set(key, state.pteRef[p] < 0 ? "lost" : BACKING_NAMES[state.backing[state.pteRef[p]]] ?? "gone");
    });
    return found;
  }
}

export class TwinLog {
  constructor(header, data) {
    const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.header = header;
    this.length = header.steps.length;
    this.sides = header.designs.map((design) => new Side(design, header[design], bytes));
    this.phases = header.steps.flatMap(({ operation }, i) => (operation.startsWith("mark ") ? [[operation.slice(5), i + 1]] : []));
    this.position = 0;
    this.seek(0);
  }

  seek(position) {
    this.position = Math.max(0, Math.min(this.length, Math.round(position)));
    const before = Math.max(0, this.position - 1);
    for (const side of this.sides) side.seek(before);
    this.before = this.sides.map((side) => side.places());
    for (const side of this.sides) side.seek(this.position);
    this.places = this.sides.map((side) => side.places());
    return this.position;
  }

  /** Keys of the pages that are not in the same kind of place in both designs. */
  elsewhere() {
    const [one, other] = this.places;
    return new Set([...one.keys(), ...other.keys()].filter((key) => one.get(key) !== other.get(key)));
  }

  /** Keys of the pages that the last operation moved, in one design. */
  moved(i) {
    const [now, before] = [this.places[i], this.before[i]];
    return new Set([...now.keys(), ...before.keys()].filter((key) => now.get(key) !== before.get(key)));
  }

  /** Pages by where they are: for each design a map from place to number. */
  counts() {
    return this.places.map((places) => {
      const found = new Map();
      for (const place of places.values()) found.set(place, (found.get(place) ?? 0) + 1);
      return found;
    });
  }
}
