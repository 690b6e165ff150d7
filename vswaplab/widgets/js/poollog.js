// Pool log: zswap's pool and its lists by age at any operation, forwards and backwards. Nothing here draws.

import { decodeColumns } from "./log.js";

export const STORE = 0;
export const FREE = 1;
export const VISIT = 2;
export const REFUSED = 3;

export class PoolLog {
  constructor(header, data) {
    this.header = header;
    this.c = decodeColumns(header.columns, data);
    this.length = header.operations;
    this.phases = header.phases;
    this.position = 0;
    this.zspages = new Map(); // serial number -> {klass, used: Set of object numbers, since}
    this.objects = new Map(); // entry -> {length, klass, zspage, object}
    this.lrus = new Map(); // memory cgroup -> [entry], the oldest first
    this.chances = new Set(); // entries with a second chance
    this.undo = [];
  }

  seek(position) {
    const to = Math.max(this.header.at_first, Math.min(this.length, Math.round(position)));
    while (this.position < to) this.apply(this.position++);
    while (this.position > to) this.takeBack(--this.position);
    return to;
  }

  lru(i) {
    const memcg = this.c.memcg[i];
    if (!this.lrus.has(memcg)) this.lrus.set(memcg, []);
    return this.lrus.get(memcg);
  }

  apply(i) {
    const { op, entry } = this.c, e = entry[i];
    if (op[i] === STORE) {
      this.place(i, e);
      this.lru(i).push(e);
      this.chances.add(e);
    } else if (op[i] === FREE) {
      const list = this.lru(i), at = list.indexOf(e);
      this.undo[i] = [at, this.chances.has(e)];
      this.remove(i, e);
      list.splice(at, 1);
      this.chances.delete(e);
    } else if (op[i] === VISIT) {
      const list = this.lru(i), at = list.indexOf(e);
      this.undo[i] = [at, this.chances.has(e)];
      list.splice(at, 1);
      list.push(e);
      this.chances.delete(e);
    }
  }

  takeBack(i) {
    const { op, entry } = this.c, e = entry[i];
    if (op[i] === STORE) {
      this.remove(i, e);
      this.lru(i).pop();
      this.chances.delete(e);
    } else if (op[i] === FREE || op[i] === VISIT) {
      const [at, chance] = this.undo[i], list = this.lru(i);
      if (op[i] === VISIT) list.pop();
      else this.place(i, e);
      list.splice(at, 0, e);
      if (chance) this.chances.add(e);
    }
  }

  place(i, e) {
    const { klass, zspage, object, length } = this.c;
    if (!this.zspages.has(zspage[i])) this.zspages.set(zspage[i], { klass: klass[i], used: new Set() });
    this.zspages.get(zspage[i]).used.add(object[i]);
    this.objects.set(e, { length: length[i], klass: klass[i], zspage: zspage[i], object: object[i] });
  }

  remove(i, e) {
    const { zspage, object } = this.c, page = this.zspages.get(zspage[i]);
    page.used.delete(object[i]);
    if (!page.used.size) this.zspages.delete(zspage[i]);
    this.objects.delete(e);
  }

  // -- questions ------------------------------------------------------------------------------------------------------

  pages() {
    return this.position ? this.c.pages[this.position - 1] : 0;
  }

  bytes() {
    let sum = 0;
    for (const { length } of this.objects.values()) sum += length;
    return sum;
  }

  /** By size class in use, rising: {klass, zspages: [[serial, used]]}, the fullest zspages first. */
  classes() {
    const found = new Map();
    for (const [serial, { klass, used }] of this.zspages) {
      if (!found.has(klass)) found.set(klass, []);
      found.get(klass).push([serial, used]);
    }
    for (const zspages of found.values()) zspages.sort((a, b) => b[1].size - a[1].size || a[0] - b[0]);
    return [...found].sort(([a], [b]) => a - b).map(([klass, zspages]) => ({ klass, zspages }));
  }

  /** Objects refused and pages written back so far. */
  counts() {
    let refused = 0, back = 0;
    for (let i = 0; i < this.position; i++) {
      refused += this.c.op[i] === REFUSED;
      back += this.c.op[i] === FREE && this.c.why[i] === 0;
    }
    return { refused, back };
  }

  /** The last operation in words. */
  describe() {
    const i = this.position - 1;
    if (i < 0) return "Before the first operation.";
    const { op, why, entry, length } = this.c, name = `Entry ${this.nameOf(entry[i])}`, small = name.toLowerCase();
    const size = this.header.classes[this.c.klass[i]][0];
    if (op[i] === STORE) return `${name} is stored: ${length[i].toLocaleString("en-US")} bytes in an object of ${size.toLocaleString("en-US")}; it is the youngest and has its second chance.`;
    if (op[i] === VISIT) return `Write-back looks at the oldest, ${small}: it is the youngest now${this.undo[i]?.[1] ? ", its second chance taken" : ", and has no second chance: it goes"}.`;
    if (op[i] === REFUSED) return `zswap did not take ${small}${why[i] === 0 ? ": it goes to the swapfile" : ": it stays in memory"}.`;
    const reason = { 0: "written back to the swapfile", 1: "replaced by the zero page", 2: "stored anew", 3: "read back into memory" }[why[i]] ?? "freed with its entry";
    return `${name} leaves, ${reason}; its object of ${size.toLocaleString("en-US")} bytes is free.`;
  }

  /** A legacy entry is device and offset. */
  nameOf(entry) {
    const type = Math.floor(entry / 2 ** 58);
    return type ? `${type}:${entry - type * 2 ** 58}` : String(entry);
  }
}
