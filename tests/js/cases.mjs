// Step logs that Python packed, with what Python says of every position in them (tests/test_widgets_js.py).

import { readFileSync } from "node:fs";

import { decodeLog } from "../../vswaplab/widgets/js/log.js";
import { Tape } from "../../vswaplab/widgets/js/tape.js";

export const cases = JSON.parse(readFileSync(process.env.VSWAPLAB_CASES, "utf8"));

export function tapeOf(given) {
  const bytes = Buffer.from(given.data, "base64");
  const tape = new Tape(decodeLog(given.header, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)));
  tape.phases = given.header.phases;
  return tape;
}

/** A tape's state in the words of Python's tables. */
export function told(tape) {
  const { c } = tape.log, s = tape.state, ptes = [], entries = [];
  for (let p = 0; p < s.pteKind.length; p++) {
    if (!s.pteKind[p]) continue;
    const present = s.pteKind[p] === 1;
    ptes.push([c.pte_pid[p], c.pte_vpn[p], present, present ? c.frame_pfn[s.pteRef[p]] : nameOf(c, s.pteRef[p])]);
  }
  for (let e = 0; e < s.backing.length; e++) {
    if (s.backing[e] === 255) continue;
    const onDevice = s.backing[e] === 0;
    const handle = onDevice ? `${c.slot_type[s.ref[e]]}:${c.slot_number[s.ref[e]]}` : String(s.ref[e]);
    entries.push([nameOf(c, e), s.backing[e], s.count[e], s.cached[e], s.memcg[e], handle, s.length[e],
      s.folio[e] ? tape.log.pointers[s.folio[e] - 1] : "0x0", s.shadow[e] ? tape.log.shadows[s.shadow[e] - 1] : "0x0"]);
  }
  return { ptes, entries, devices: [...s.on].sort(), processes: [...s.alive].sort((a, b) => a - b) };
}

const nameOf = (c, e) => `${c.entry_type[e]}:${c.entry_number[e]}`;
