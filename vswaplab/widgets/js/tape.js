// The tape: the state at any event of a step log, forwards and backwards.
//
// What an event changes is kept when it is applied for the first time, so a step either way costs the same. Nothing
// here draws.

import { Backing, Event } from "./log.js";

const FIELDS = ["backing", "count", "cached", "memcg", "ref", "length", "folio", "shadow", "page"];

/** Page table entries, entries, devices and processes at one instant, things by their numbers in the log. */
export class State {
  constructor(log) {
    const c = log.c, entries = c.entry_number.length;
    this.pteKind = Uint8Array.from(c.pte0_kind); // 0 empty, 1 present, 2 swapped out
    this.pteRef = Int32Array.from(c.pte0_ref); // present: the frame; swapped out: the entry
    this.backing = Uint8Array.from(c.entry0_backing); // 255: not allocated
    for (const name of ["count", "cached", "memcg", "ref", "length", "folio", "shadow"]) {
      this[name] = Float64Array.from(c[`entry0_${name}`]);
    }
    this.page = new Float64Array(entries); // which page of its folio
    this.on = new Map(Object.entries(log.on).map(([type, pages]) => [Number(type), pages]));
    this.alive = new Set(log.alive);
    for (let e = 0; e < entries; e++) if (this.folio[e]) this.page[e] = pageOf(this, c, e);
  }
}

/** Page `i` of a large folio stands for the entry `i` after its first one. */
function pageOf(state, c, e) {
  const follows = e > 0 && state.folio[e - 1] === state.folio[e] && c.entry_number[e] === c.entry_number[e - 1] + 1;
  return follows ? state.page[e - 1] + 1 : 0;
}

const present = (set, key, is) => (is ? set.add(key) : set.delete(key));
const assign = (map, key, value) => (value === undefined ? map.delete(key) : map.set(key, value));

export class Tape {
  constructor(log) {
    this.log = log;
    this.length = log.events;
    this.state = new State(log);
    this.position = 0; // events applied
    this.undo = [];
  }

  /** Go to a position; out of range is the nearest end. */
  seek(position) {
    const to = Math.max(0, Math.min(this.length, Math.round(position)));
    while (this.position < to) this.apply(this.position++);
    while (this.position > to) this.takeBack(--this.position);
    return to;
  }

  /** What the last event changed: {pte, entry}, -1 where nothing did. */
  changed() {
    const i = this.position - 1, c = this.log.c;
    if (i < 0) return { pte: -1, entry: -1 };
    const kind = c.event[i];
    const onPte = kind === Event.PTE_MAP || kind === Event.PTE_SWAP || kind === Event.PTE_CLEAR;
    const onEntry = kind >= Event.ALLOC && kind <= Event.CACHE_DEL;
    return { pte: onPte ? c.pte[i] : -1, entry: onEntry ? c.entry[i] : -1 };
  }

  apply(i) {
    const { c } = this.log, state = this.state, kind = c.event[i];
    if (kind === Event.PTE_MAP || kind === Event.PTE_SWAP || kind === Event.PTE_CLEAR) {
      const pte = c.pte[i];
      if (this.undo[i] === undefined) this.undo[i] = [state.pteKind[pte], state.pteRef[pte]];
      state.pteKind[pte] = kind === Event.PTE_MAP ? 1 : kind === Event.PTE_SWAP ? 2 : 0;
      state.pteRef[pte] = kind === Event.PTE_MAP ? c.value[i] : kind === Event.PTE_SWAP ? c.entry[i] : -1;
    } else if (kind >= Event.ALLOC && kind <= Event.CACHE_DEL) {
      const e = c.entry[i];
      if (this.undo[i] === undefined) this.undo[i] = FIELDS.map((name) => state[name][e]);
      this.applyEntry(kind, e, i);
    } else if (kind === Event.SPAWN || kind === Event.EXIT) {
      this.undo[i] ??= [state.alive.has(c.pid[i])];
      present(state.alive, c.pid[i], kind === Event.SPAWN);
    } else if (kind === Event.SWAPON || kind === Event.SWAPOFF) {
      this.undo[i] ??= [state.on.get(c.ref[i])];
      assign(state.on, c.ref[i], kind === Event.SWAPON ? c.value[i] : undefined);
    }
  }

  applyEntry(kind, e, i) {
    const { c } = this.log, state = this.state;
    if (kind === Event.ALLOC) {
      for (const name of FIELDS) state[name][e] = 0;
      state.backing[e] = c.new[i];
      state.cached[e] = 1;
      state.memcg[e] = c.value[i];
    } else if (kind === Event.FREE) {
      for (const name of FIELDS) state[name][e] = 0;
      state.backing[e] = Backing.NONE;
    } else if (kind === Event.BACKING) {
      state.backing[e] = c.new[i];
      state.ref[e] = c.ref[i];
      state.length[e] = c.new[i] === Backing.ZSWAP ? c.value[i] : 0;
    } else if (kind === Event.CACHE_ADD) {
      state.cached[e] = 1;
      if (c.value[i]) {
        state.folio[e] = c.value[i];
        state.shadow[e] = 0;
        state.page[e] = pageOf(state, c, e);
      }
    } else if (kind === Event.CACHE_DEL) {
      state.cached[e] = state.folio[e] = state.page[e] = 0;
      state.shadow[e] = c.value[i];
    } else state.count[e] = c.value[i];
  }

  takeBack(i) {
    const { c } = this.log, state = this.state, kind = c.event[i], old = this.undo[i];
    if (kind === Event.PTE_MAP || kind === Event.PTE_SWAP || kind === Event.PTE_CLEAR) {
      [state.pteKind[c.pte[i]], state.pteRef[c.pte[i]]] = old;
    } else if (kind >= Event.ALLOC && kind <= Event.CACHE_DEL) {
      FIELDS.forEach((name, at) => { state[name][c.entry[i]] = old[at]; });
    } else if (kind === Event.SPAWN || kind === Event.EXIT) present(state.alive, c.pid[i], old[0]);
    else if (kind === Event.SWAPON || kind === Event.SWAPOFF) assign(state.on, c.ref[i], old[0]);
  }

  /** The frame of the folio that an entry has in the swap cache, or -1. */
  frameOf(e) {
    const { c, frameOf } = this.log, folio = this.state.folio[e];
    if (!folio) return -1;
    const first = c.folio_frame[folio - 1];
    if (first < 0 || !this.state.page[e]) return first;
    return frameOf.get(c.frame_pfn[first] + this.state.page[e]) ?? first;
  }
}
