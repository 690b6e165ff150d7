// Slot chain: page table entries, slot and backing as boxes with arrows; the slot's bytes; its cluster. In the DOM, so
// that every part can be reached, read and pressed.

import { h } from "./dom.js";
import { BACKING_NAMES } from "./log.js";
import { FREE } from "./slotmap.js";
import { address, count, hex, number } from "./words.js";

const MANY = 4; // page table entries shown one by one
const STATES = [...BACKING_NAMES, "free", "in no cluster", "never handed out"];
export const stateName = (state) => STATES[state] ?? "not known yet";
const LINKS = { pte: ["pte"], backing: ["backing"], rmap: ["rmap"], swapcache: ["swapcache"], contents: ["pte"], descriptor: ["slot"] };

/** The boxes and arrows of a chain. `go(part, slot)` is called for what leads on; `broken` is a finding here, or null. */
export function chainBoxes(map, chain, { processes, broken, go }) {
  const is = (link) => broken !== null && (LINKS[broken.edge] ?? ["slot"]).includes(link);
  const box = (title, lines, className = "") => h("div", { className: `vswaplab-box ${className}` },
    h("b", { textContent: title }), ...lines.flatMap((line) => [h("br"), line]));
  const arrow = (text, link) => h("div", { className: `vswaplab-arrow ${is(link) ? "vswaplab-broken" : ""}` },
    h("span", { textContent: text }), h("span", { className: "vswaplab-line", textContent: is(link) ? "⇢✗" : "→" }),
    is(link) ? h("span", { textContent: broken.invariant }) : "");
  if (chain.kind === "device") return deviceBoxes(map, chain, { box, arrow, go });
  const parts = [];
  if (chain.state < FREE) {
    const shown = chain.ptes.slice(0, MANY).map(([pid, vpn]) => `${address(vpn)} of ${processes[pid] ?? `process ${pid}`}`);
    if (chain.ptes.length > MANY) shown.push(`and ${count(chain.ptes.length - MANY, "more", "more")}`);
    if (!shown.length) shown.push("none");
    parts.push(box(chain.ptes.length === 1 ? "page table entry" : "page table entries", shown, "vswaplab-box-pte"), arrow("swap entry", "pte"));
  }
  const name = chain.kind === "legacy" ? `slot ${number(chain.slot)} of ${map.parts[chain.part].name}` : `virtual slot ${number(chain.slot)}`;
  parts.push(box(name, [stateName(chain.state), ...(is("slot") ? [`✗ ${broken.invariant}`] : [])], is("slot") ? "vswaplab-broken" : ""));
  if (chain.state < FREE) parts.push(arrow(how(chain), "backing"), ...backing(chain, { box, arrow, go, is }));
  return parts;
}

function how({ kind, state }) {
  if (kind !== "legacy") return ["type 0: slot", "type 1", "type 2: zswap_entry", "type 3: swap_cache"][state];
  return ["its own block", "zeromap bit", "zswap tree", "swap table"][state];
}

function backing(chain, { box, arrow, go, is }) {
  const { state, device, frame } = chain, parts = [];
  if (state === 2) {
    const lines = chain.length ? [`${number(chain.length)} bytes`, `in objects of ${number(chain.class)}`] : ["its pool is not part", "of this model"];
    parts.push(box(chain.length ? `zswap entry ${number(chain.handle)}` : "zswap entry", lines));
  } else if (state === 1) parts.push(box("zero page", ["no bytes"]));
  else if (state === 0 && device) {
    const [type, offset] = device;
    const button = chain.kind === "legacy" ? `slot ${number(offset)}` : h("button", { type: "button",
      textContent: `slot ${number(offset)}`, onclick: () => go("swapfile", `${type}:${offset}`) });
    parts.push(box(`swapfile ${type}`, [button, ...(is("rmap") ? ["rmap ✗"] : [])], is("rmap") ? "vswaplab-broken" : ""));
  } else parts.push(box("folio", [frame < 0 ? "not there" : `frame ${number(frame)}`]));
  if (chain.kind === "legacy" && state !== 0) parts.push(box("its block", ["taken, not used"], "vswaplab-box-faint"));
  if (frame >= 0 && state !== 3) parts.push(arrow("and in the swap cache", "swapcache"), box("folio", [`frame ${number(frame)}`]));
  return parts;
}

function deviceBoxes(map, chain, { box, arrow, go }) {
  const own = box(`slot ${number(chain.slot)} of ${map.parts[chain.part].name}`, [chain.state === 0 ? "in use" : stateName(chain.state)]);
  if (!chain.owner) return [own];
  const to = h("button", { type: "button", textContent: `virtual slot ${number(chain.owner)}`, onclick: () => go("slot", String(chain.owner)) });
  return [own, arrow("rmap", "rmap"), box("its entry", [to])];
}

/** The bytes of a slot, field by field, with what each says. */
export function hexStrip(map, chain) {
  const { fields } = map.parts[chain.part];
  return fields.map(([name, offset, nr], i) => h("div", { className: "vswaplab-field" },
    h("code", { textContent: chain.bytes.slice(offset, offset + nr).map((byte) => byte.toString(16).padStart(2, "0")).join(" ") }),
    h("b", { textContent: name }), h("span", { textContent: meaning(name, chain.values[i], chain) })));
}

function meaning(name, value, chain) {
  if (name === "flags") return `type ${STATES[Number(value >> 1n & 3n)]}, in_swapcache ${value & 1n}`;
  if (name === "swap_map") return swapMap(Number(value));
  if (name.startsWith("slot /")) {
    return !value ? "none" : chain.state === 0 ? `slot ${chain.device[1]} of swapfile ${chain.device[0]}` : `zswap entry ${value > 1n << 53n ? hex(value) : value}`;
  }
  if (name.startsWith("swap_cache") || name === "swap table word") return !value ? "empty" : value & 1n ? `shadow ${hex(value)}` : `folio ${hex(value)}`;
  if (name === "rmap word") return `entry ${value & (1n << 63n) - 1n}${value >> 63n ? ", cache-only" : ""}`;
  return String(value);
}

function swapMap(byte) {
  if (byte === 0xbf) return "tmpfs has it";
  return `count ${byte & 0x3f}${byte & 0x80 ? ", goes on" : ""}${byte & 0x40 ? ", has-cache" : ""}`;
}
