// Slot scene: what is to be seen of a state, before anybody paints it: marks, edges, headings, words.

import { Backing, BACKING_NAMES } from "./log.js";
import { address, capital, count, hex, number } from "./words.js";

const ZERO_LABEL = "zero page";
const WHERE = ["its block on the device", "zeromap bit; block unused", "zswap, {} bytes; block unused",
  "a folio alone; block unused"];
const PLACES = ["on the device", "by its zeromap bit", "in zswap", "in a folio alone"];

/** The marks and edges of a tape's state. Marks: {what, n, x, y, look, size}; edges: {from, to, …} as numbers. */
export class SlotScene {
  constructor(tape) {
    this.tape = tape;
    this.log = tape.log;
    this.legacy = this.log.design === "legacy";
    const c = this.log.c;
    this.usedFrames = new Uint8Array(c.frame_pfn.length); // 1 in use, 2 backs an entry
    this.wanted = new Uint8Array(c.entry_number.length); // a page table entry leads there
    this.usedSlots = new Uint8Array(c.slot_number.length);
  }

  /** Look at the state again; called once before painting. */
  refresh() {
    const { tape, log: { c } } = this, s = tape.state;
    this.usedFrames.fill(0);
    this.wanted.fill(0);
    this.usedSlots.fill(0);
    this.counts = { present: 0, swapped: 0, entries: 0, shared: 0, cached: 0, bytes: 0, backing: [0, 0, 0, 0] };
    const counts = this.counts;
    for (let p = 0; p < s.pteKind.length; p++) {
      if (s.pteKind[p] === 1) {
        counts.present += 1;
        this.usedFrames[s.pteRef[p]] = 1;
      } else if (s.pteKind[p] === 2) {
        counts.swapped += 1;
        if (s.pteRef[p] >= 0) this.wanted[s.pteRef[p]] = 1;
      }
    }
    for (let e = 0; e < s.backing.length; e++) {
      const backing = s.backing[e];
      if (backing === Backing.NONE) continue;
      counts.entries += 1;
      counts.backing[backing] += 1;
      counts.shared += s.count[e] > 1;
      counts.cached += s.cached[e];
      if (backing === Backing.ZSWAP) counts.bytes += s.length[e];
      if (backing === Backing.SWAPFILE) this.usedSlots[this.slotOf(e)] = 1;
      const frame = tape.frameOf(e);
      if (frame >= 0) this.usedFrames[frame] = backing === Backing.FOLIO ? 2 : this.usedFrames[frame] || 1;
    }
    this.c = c;
  }

  /** The physical slot of an entry: in legacy its own, always. */
  slotOf(e) {
    return this.legacy ? e : this.tape.state.ref[e];
  }

  // -- marks ----------------------------------------------------------------------------------------------------

  /** Call `mark(what, n, x, y, look, scale)` for everything that is there, `empty(x, y)` for every free place. */
  eachMark(mark, empty) {
    const { c } = this, s = this.tape.state, log = this.log;
    for (let p = 0; p < s.pteKind.length; p++) {
      if (s.pteKind[p]) mark("pte", p, c.pte_x[p], c.pte_y[p], s.pteKind[p] === 1 ? "present" : "swapped", 1);
      else empty(c.pte_x[p], c.pte_y[p]);
    }
    for (let e = 0; e < s.backing.length; e++) {
      const backing = s.backing[e], there = backing !== Backing.NONE;
      if (there) mark("entry", e, c.entry_x[e], c.entry_y[e], backing, 1);
      else if (this.wanted[e]) mark("entry", e, c.entry_x[e], c.entry_y[e], "none", 1);
      else empty(c.entry_x[e], c.entry_y[e]);
      if (backing === Backing.ZSWAP) mark("zswap", e, c.zswap_x[e], c.zswap_y[e], backing, this.scaleOf(e));
      else if (!Number.isNaN(c.zswap_x[e])) empty(c.zswap_x[e], c.zswap_y[e]);
      if (this.legacy && there && backing !== Backing.SWAPFILE) mark("slot", e, c.slot_x[e], c.slot_y[e], "reserved", 1);
    }
    for (let k = 0; k < c.slot_x.length; k++) {
      if (this.usedSlots[k]) mark("slot", k, c.slot_x[k], c.slot_y[k], Backing.SWAPFILE, 1);
      else if (!this.legacy || s.backing[k] === Backing.NONE) empty(c.slot_x[k], c.slot_y[k]);
    }
    if (log.zero && this.counts.backing[Backing.ZERO]) mark("zero", 0, log.zero[0], log.zero[1], Backing.ZERO, 1);
    for (let f = 0; f < this.usedFrames.length; f++) {
      if (this.usedFrames[f]) mark("frame", f, c.frame_x[f], c.frame_y[f], Backing.FOLIO, 1);
      else if (c.frame_pfn[f] >= 0) empty(c.frame_x[f], c.frame_y[f]);
    }
  }

  /** In a grid the area of a compressed object is its share of a page. */
  scaleOf(e) {
    return this.log.labelled ? 1 : Math.max(0.35, Math.sqrt(this.tape.state.length[e] / 4096));
  }

  // -- edges ----------------------------------------------------------------------------------------------------

  /** Call `edge(kind, look, x0, y0, x1, y1, down, pte, entry)` for every line. */
  eachEdge(edge) {
    const { c, tape } = this, s = tape.state, log = this.log;
    for (let p = 0; p < s.pteKind.length; p++) {
      const to = s.pteRef[p];
      if (s.pteKind[p] === 1) edge("pte", "pte", c.pte_x[p], c.pte_y[p], c.frame_x[to], c.frame_y[to], true, p, -1);
      else if (s.pteKind[p] === 2 && to >= 0) {
        edge("pte", "pte", c.pte_out[p], c.pte_y[p], c.entry_x[to], c.entry_y[to], false, p, to);
      }
    }
    for (let e = 0; e < s.backing.length; e++) {
      const backing = s.backing[e];
      if (backing === Backing.NONE) continue;
      const out = c.entry_out[e], x = c.entry_x[e], y = c.entry_y[e];
      if (backing === Backing.ZSWAP) edge("backing", backing, out, y, c.zswap_x[e], c.zswap_y[e], false, -1, e);
      else if (backing === Backing.ZERO && log.zero) edge("backing", backing, out, y, ...log.zero, false, -1, e);
      else if (backing === Backing.SWAPFILE) {
        const k = this.slotOf(e);
        edge("backing", backing, out, y, c.slot_x[k], c.slot_y[k], false, -1, e);
        if (!this.legacy) edge("rmap", backing, c.slot_x[k], c.slot_y[k] + 3, out, y + 3, false, -1, e);
      }
      const frame = tape.frameOf(e);
      if (frame < 0) continue;
      const kind = backing === Backing.FOLIO ? "backing" : "swapcache";
      edge(kind, Backing.FOLIO, x, y, c.frame_x[frame], c.frame_y[frame], true, -1, e);
    }
  }

  // -- words ----------------------------------------------------------------------------------------------------

  /** The short text beside a mark, "" for none. */
  labelOf(what, n) {
    const { c, log } = this, s = this.tape.state, full = log.fullLabels;
    if (what === "zero") return ZERO_LABEL;
    if (!log.labelled) return "";
    if (what === "pte") return full ? address(c.pte_vpn[n]) : (c.pte_vpn[n] % 0x100000).toString(16).padStart(5, "0");
    if (what === "entry") {
      const times = s.count[n];
      return full || times !== 1 ? `${c.entry_number[n]} ×${times}` : String(c.entry_number[n]);
    }
    if (what === "zswap") return full ? `${number(s.length[n])} bytes` : String(s.length[n]);
    if (what === "slot") {
      if (this.legacy && s.backing[n] !== Backing.SWAPFILE) return "";
      return full ? `${this.legacy ? "block" : "slot"} ${c.slot_number[n]}` : String(c.slot_number[n]);
    }
    const pfn = c.frame_pfn[n];
    if (pfn < 0) return "write-back page";
    return full ? `frame ${pfn}` : String(pfn);
  }

  /** Lines about a mark; the first is its name. */
  linesOf(what, n) {
    const { c, log } = this, s = this.tape.state;
    if (what === "pte") {
      const held = s.pteKind[n] === 1 ? `present: frame ${c.frame_pfn[s.pteRef[n]]}`
        : s.pteRef[n] < 0 ? "not present: a poison marker, the page is lost"
          : `not present: swp_entry_t ${this.entryWord(s.pteRef[n])}`;
      return [`PTE of ${log.processes[c.pte_pid[n]]}`, `address ${address(c.pte_vpn[n])}`, held];
    }
    if (what === "entry") return this.legacy ? this.legacyLines(n) : this.descriptorLines(n);
    if (what === "zswap") return [`zswap entry ${s.ref[n]}`, `${number(s.length[n])} bytes compressed`];
    if (what === "zero") return [ZERO_LABEL, "no bytes are stored"];
    if (what === "slot") return this.slotLines(n);
    const pfn = c.frame_pfn[n];
    const role = this.usedFrames[n] === 2 ? "backs an entry" : "backs no entry";
    return [pfn < 0 ? "write-back page" : `folio in frame ${pfn}`, role];
  }

  entryWord(e) {
    if (e < 0) return "?";
    const at = this.c.entry_number[e];
    return this.legacy ? `${this.c.entry_type[e]}:${at}` : String(at);
  }

  cacheLine(n) {
    const s = this.tape.state, log = this.log;
    if (s.shadow[n]) return `shadow: ${log.shadows[s.shadow[n] - 1]}`;
    return `swap_cache: ${s.folio[n] ? log.pointers[s.folio[n] - 1] : "0x0"}`;
  }

  descriptorLines(n) {
    const s = this.tape.state, at = this.c.entry_number[n];
    const place = `cluster ${Math.floor(at / 512)}, index ${at % 512}`;
    if (s.backing[n] === Backing.NONE) return [`virtual slot ${at}`, place, "not allocated: the PTE dangles"];
    const backing = s.backing[n];
    const handle = backing === Backing.ZSWAP ? `zswap_entry: ${hex(s.ref[n])}`
      : backing === Backing.SWAPFILE ? `slot: ${this.c.slot_type[s.ref[n]]}:${this.c.slot_number[s.ref[n]]}`
        : "slot / zswap_entry: 0";
    return [`virtual slot ${at}`, place, handle, this.cacheLine(n), `swap_count: ${s.count[n]}`, `memcgid: ${s.memcg[n]}`,
      `in_swapcache: ${s.cached[n]}`, `type: ${BACKING_NAMES[backing]} (${backing})`];
  }

  legacyLines(n) {
    const s = this.tape.state, backing = s.backing[n], name = `slot ${this.c.entry_number[n]} of ${this.device(n)}`;
    if (backing === Backing.NONE) return [name, "not allocated: the PTE dangles"];
    const table = s.shadow[n] ? this.cacheLine(n) : `folio: ${s.folio[n] ? this.log.pointers[s.folio[n] - 1] : "0x0"}`;
    return [name, `swap_map: count ${s.count[n]}${s.cached[n] ? ", has cache" : ""}`, `swap_cgroup: ${s.memcg[n]}`,
      `swap table: ${table}`, `zeromap: ${Number(backing === Backing.ZERO)}`,
      `zswap tree: ${backing === Backing.ZSWAP ? hex(s.ref[n]) : "none"}`, `contents ${PLACES[backing]}`];
  }

  device(n) {
    return this.log.devices[this.c.slot_type[n]] ?? `swapfile ${this.c.slot_type[n]}`;
  }

  slotLines(n) {
    const s = this.tape.state;
    if (this.legacy) {
      const held = s.backing[n] === Backing.SWAPFILE ? "holds the contents" : "unused: something else has the contents";
      return [`block ${this.c.slot_number[n]} of ${this.device(n)}`, held];
    }
    const owner = s.backing.findIndex((backing, e) => backing === Backing.SWAPFILE && s.ref[e] === n);
    const back = owner < 0 ? "rmap: none"
      : `rmap: entry ${this.entryWord(owner)}${s.cached[owner] && !s.count[owner] ? ", cache-only" : ""}`;
    return [`slot ${this.c.slot_number[n]} of ${this.device(n)}`, back];
  }

  /** The two lines over each block of the picture: [x, y, side, text, note]. */
  headings() {
    return this.log.blocks.map(([kind, name, x, y, side]) => [x, y, side, ...this.headingOf(kind, name)]);
  }

  headingOf(kind, name) {
    const { c, log, counts } = this, s = this.tape.state;
    const held = (test) => s.backing.reduce((sum, backing, e) => sum + (backing !== Backing.NONE && test(e, backing)), 0);
    if (kind === "pte") {
      let all = 0, out = 0;
      for (let p = 0; p < c.pte_pid.length; p++) {
        if (c.pte_pid[p] !== name || !s.pteKind[p]) continue;
        all += 1;
        out += s.pteKind[p] === 2;
      }
      return [capital(log.processes[name]), `PTEs: ${out} of ${all} swapped out`];
    }
    if (kind === "vslot") {
      return [`Virtual slots, cluster ${name}`, `${held((e) => Math.floor(c.entry_number[e] / 512) === name)} in use`];
    }
    if (kind === "slot") {
      return [capital(log.devices[name]), `${count(held((e) => c.entry_type[e] === name), "slot")} taken`];
    }
    if (kind === "block") {
      const taken = held((e) => c.entry_type[e] === name);
      const used = held((e, backing) => c.entry_type[e] === name && backing === Backing.SWAPFILE);
      return ["Its blocks on the device", `${used} of ${taken} hold the contents`];
    }
    if (kind === "zswap") {
      const area = log.labelled || this.legacy ? "" : " (area: size)";
      return ["zswap", `${number(counts.backing[2])} compressed, ${number(counts.bytes)} bytes${area}`];
    }
    if (kind === "zero") {
      return this.legacy ? ["Zero page", count(counts.backing[1], "zeromap bit")]
        : ["Zero page", `backs ${counts.backing[1]}, 0 bytes`];
    }
    if (kind === "swapfile") {
      let used = 0;
      for (let k = 0; k < this.usedSlots.length; k++) used += this.usedSlots[k] && c.slot_type[k] === name;
      return [capital(log.devices[name]), `${count(used, "slot")}, ${used * 4} KiB`];
    }
    return ["Memory: page frames", `${this.usedFrames.reduce((sum, used) => sum + (used > 0), 0)} in use`];
  }

  /** The picture in a few sentences. */
  alt() {
    const { counts, legacy } = this, names = ["a swapfile slot", "the zero page", "a zswap entry", "a folio in memory"];
    const ptes = `${count(counts.present + counts.swapped, "page table entry", "page table entries")}: `
      + `${counts.present} present, ${counts.swapped} swapped out.`;
    const kept = counts.backing.map((n, b) => (n ? `${n} ${legacy ? PLACES[b] : `backed by ${names[b]}`}` : ""))
      .filter(Boolean).join(", ");
    const slots = `${count(counts.entries, legacy ? "slot of a swapfile" : "virtual slot", legacy ? "slots of swapfiles"
      : "virtual slots")} ${legacy ? "taken" : "in use"}${kept ? `: ${kept}` : ""}.`;
    const more = (counts.shared ? ` ${counts.shared} shared by several page table entries.` : "")
      + (counts.cached ? ` ${counts.cached} in the swap cache.` : "");
    return `Slot graph${legacy ? ", legacy design" : ""}. ${ptes} ${slots}${more}`;
  }

  /** Where the contents of an entry are, for a cell of the table. */
  whereOf(e) {
    const { c } = this, s = this.tape.state, backing = s.backing[e];
    if (this.legacy) return WHERE[backing].replace("{}", s.length[e]);
    if (backing === Backing.ZSWAP) return `${s.length[e]} bytes`;
    return backing === Backing.SWAPFILE ? `slot ${c.slot_type[s.ref[e]]}:${c.slot_number[s.ref[e]]}` : "";
  }

  /** The picture as a table: [caption, heading, rows]; rows that the last event changed come first. */
  twin(limit = 2048) {
    const { c, tape } = this, s = tape.state, changed = tape.changed();
    const holders = new Map(), rows = [], mark = (is) => (is ? "changed" : "");
    for (let p = 0; p < s.pteKind.length; p++) {
      const name = `${c.pte_pid[p]}: ${address(c.pte_vpn[p])}`;
      if (s.pteKind[p] === 1) {
        rows.push([name, "", "present", `frame ${c.frame_pfn[s.pteRef[p]]}`, "", "", "", mark(p === changed.pte)]);
      } else if (s.pteKind[p] === 2) {
        holders.set(s.pteRef[p], [...(holders.get(s.pteRef[p]) ?? []), name]);
      }
    }
    for (let e = 0; e < s.backing.length; e++) {
      const b = s.backing[e];
      if (b === Backing.NONE) continue;
      rows.push([(holders.get(e) ?? ["none"]).join(", "), this.entryWord(e), BACKING_NAMES[b], this.whereOf(e),
        String(s.count[e]), s.cached[e] ? "yes" : "no", String(s.memcg[e]), mark(e === changed.entry)]);
    }
    rows.sort((one, other) => (other[7] === "changed") - (one[7] === "changed"));
    const heading = this.legacy
      ? ["PTE (process: address)", "slot", "contents", "where", "count", "has cache", "cgroup", "this step"]
      : ["PTE (process: address)", "entry", "type", "where", "swap_count", "in_swapcache", "memcgid", "this step"];
    const part = rows.length > limit ? ` (the first ${number(limit)} of ${number(rows.length)} rows)` : "";
    const caption = this.legacy ? "Page table entries, slots of swapfiles and contents" : "Page table entries, virtual slots and backings";
    return [caption + part, heading, rows.slice(0, limit)];
  }
}
