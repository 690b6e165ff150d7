// Slot map: what Python sent of every slot, counted by cluster, and of the slots of a window. Nothing here draws.

import { decodeColumns } from "./log.js";

export const PER_ROW = 64;
export const ROWS = 16;
export const FREE = 4;
const CLUSTER = 512, KINDS = 5;

export class SlotMap {
  constructor(header, data) {
    this.design = header.design;
    this.whole = header.whole;
    const columns = decodeColumns(header.columns, data);
    this.parts = header.parts.map((part, i) => ({ ...part, counts: columns[`${i}_counts`], order: columns[`${i}_order`],
      list: columns[`${i}_list`], window: null }));
  }

  /** Take the slots from `first` on of a part. */
  setWindow(part, first, columns) {
    this.parts[part].window = { first, end: first + columns.state.length, c: columns };
  }

  covers(part, first, end) {
    const { window, slots } = this.parts[part];
    return window !== null && window.first <= first && Math.min(end, slots) <= window.end;
  }

  // -- at scale ---------------------------------------------------------------------------------------------------

  /** The coarsest zoom: cells of 2 ** k slots each of which the picture holds all. */
  levels(part) {
    let k = 0;
    while (PER_ROW * ROWS * 2 ** k < this.parts[part].slots) k += 1;
    return k;
  }

  /** The zoom at which the picture, from slot 0 on, holds all slots in use. */
  fitting(part) {
    const { counts } = this.parts[part];
    let last = counts.length - 1;
    while (last >= 0 && (counts[last] === 0 || last % KINDS === FREE)) last -= 1;
    const end = (Math.floor(last / KINDS) + 1) * CLUSTER;
    let k = 0;
    while (PER_ROW * ROWS * 2 ** k < end) k += 1;
    return k;
  }

  /** Slots by state for `nr` cells of `per` slots from `first` on: five numbers a cell; null where it isn't known. */
  cells(part, first, per, nr) {
    const { counts, slots, window } = this.parts[part], found = new Uint32Array(nr * KINDS);
    if (per >= CLUSTER) {
      const step = per / CLUSTER, clusters = counts.length / KINDS;
      for (let i = 0, at = first / CLUSTER; i < nr; i++) {
        for (let j = 0; j < step && at < clusters; j++, at++) {
          for (let kind = 0; kind < KINDS; kind++) found[i * KINDS + kind] += counts[at * KINDS + kind];
        }
      }
      return found;
    }
    if (!this.covers(part, first, first + nr * per)) return null;
    const { state } = window.c, end = Math.min(first + nr * per, slots);
    for (let slot = first; slot < end; slot++) {
      const kind = state[slot - window.first];
      if (kind < KINDS) found[Math.floor((slot - first) / per) * KINDS + kind] += 1;
    }
    return found;
  }

  /** Slots by state in all of a part. */
  totals(part) {
    const { counts } = this.parts[part], found = new Array(KINDS).fill(0);
    for (let i = 0; i < counts.length; i++) found[i % KINDS] += counts[i];
    return found;
  }

  /** What is known of a cluster: {number, order, list, counts}. */
  cluster(part, number) {
    const { counts, order, list, lists } = this.parts[part];
    const word = list[number] === 255 ? "" : lists[list[number]];
    return { number, order: order[number], list: word, counts: [...counts.subarray(number * KINDS, (number + 1) * KINDS)] };
  }

  // -- one slot ---------------------------------------------------------------------------------------------------

  /** The state of a slot; -1 if the window has it not. */
  state(part, slot) {
    const { window } = this.parts[part];
    return this.covers(part, slot, slot + 1) && slot >= 0 ? window.c.state[slot - window.first] : -1;
  }

  /** Which row of the window's columns a slot has, or -1. */
  row(part, slot) {
    if (this.state(part, slot) < 0) return -1;
    const { first, c: { live } } = this.parts[part].window, wanted = slot - first;
    let low = 0, high = live.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (live[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    return live[low] === wanted ? low : -1;
  }

  /** The next slot in use after (`step` 1) or before (-1) a slot; the slot itself if there is none. */
  next(part, slot, step) {
    const { counts, slots } = this.parts[part];
    for (let at = slot + step; at >= 0 && at < slots; at += step) {
      const cluster = Math.floor(at / CLUSTER) * KINDS;
      if (counts[cluster] + counts[cluster + 1] + counts[cluster + 2] + counts[cluster + 3] === 0) {
        at = step > 0 ? Math.floor(at / CLUSTER) * CLUSTER + CLUSTER - 1 : Math.floor(at / CLUSTER) * CLUSTER; // none here
        continue;
      }
      const state = this.state(part, at);
      if (state < 0) return at; // not in the window: the cluster has one somewhere
      if (state < FREE) return at;
    }
    return slot;
  }

  /** All that is known of a slot: its bytes by field, who holds it, what backs it. Null if the window has it not. */
  chain(part, slot) {
    const { window, kind, fields, size, type } = this.parts[part], state = this.state(part, slot);
    if (state < 0) return null;
    const found = { part, slot, kind, state, row: this.row(part, slot), bytes: [], ptes: [], handle: 0, length: 0, class: 0, frame: -1,
      device: null, owner: 0 };
    if (found.row < 0) return found;
    const { c } = window, { row } = found;
    found.bytes = [...c.record.subarray(row * size, (row + 1) * size)];
    found.values = fields.map(([, offset, nr]) => littleEndian(found.bytes, offset, nr));
    if (kind === "device") return { ...found, owner: c.owner[row], device: [type, slot] };
    for (let at = c.holder_at[row]; at < c.holder_at[row + 1]; at++) found.ptes.push([c.holder_pid[at], c.holder_vpn[at]]);
    Object.assign(found, { handle: c.handle[row], length: c.length[row], class: c.class[row], frame: c.frame[row] });
    if (kind === "legacy") found.device = [type, slot];
    else if (state === 0) found.device = deviceSlot(found.values[0]);
    return found;
  }

  // -- the other way ------------------------------------------------------------------------------------------------

  /** [part, slot] that a page, an object or a slot of a swapfile leads to, within the windows; null if none. */
  find(kind, text) {
    const numbers = (text.match(/0x[0-9a-f]+|\d+/gi) ?? []).map(Number);
    if (!numbers.length) return null;
    if (kind === "slot") return numbers[0] < this.parts[0].slots ? [0, numbers[0]] : null;
    if (kind === "swapfile") return this.ofDevice(numbers.length > 1 ? numbers[0] : 0, numbers.at(-1));
    for (const [i, { window, kind: is }] of this.parts.entries()) {
      if (is === "device" || window === null) continue;
      const row = kind === "zswap" ? this.rowOfObject(window.c, numbers[0]) : rowOfPage(window.c, numbers);
      if (row >= 0) return [i, window.first + window.c.live[row]];
    }
    return null;
  }

  rowOfObject({ handle, length }, wanted) {
    for (let row = 0; row < handle.length; row++) if (length[row] && handle[row] === wanted) return row;
    return -1;
  }

  /** A slot of a swapfile: in the virtual design the entry that its rmap names. */
  ofDevice(type, offset) {
    const part = this.parts.findIndex((each) => each.type === type && each.kind !== "virtual");
    if (part < 0 || offset >= this.parts[part].slots) return null;
    const chain = this.chain(part, offset);
    return chain?.owner ? [0, chain.owner] : [part, offset];
  }
}

/** A page by [address], or [pid, address]: the row that a page table entry of it leads to. */
function rowOfPage({ holder_at: at, holder_pid: pid, holder_vpn: vpn }, numbers) {
  const page = Math.floor(numbers.at(-1) / 4096);
  for (let holder = 0; holder < vpn.length; holder++) {
    if (vpn[holder] !== page || (numbers.length > 1 && pid[holder] !== numbers[0])) continue;
    let row = 0;
    while (at[row + 1] <= holder) row += 1;
    return row;
  }
  return -1;
}

/** An unsigned number of 1 to 8 bytes, lowest first. */
export function littleEndian(bytes, offset, nr) {
  let value = 0n;
  for (let i = nr - 1; i >= 0; i--) value = value << 8n | BigInt(bytes[offset + i]);
  return value;
}

/** [device, offset] of a physical slot's number. */
export const deviceSlot = (value) => [Number(value >> 58n), Number(value & (1n << 58n) - 1n)];
