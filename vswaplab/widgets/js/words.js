// Words: events, numbers and names as text. The sentences themselves come from Python with the log.

export const number = (value) => Math.round(value).toLocaleString("en-US");
export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;
export const hex = (value) => `0x${value.toString(16)}`;
export const address = (vpn) => `0x${(vpn * 4096).toString(16)}`;
export const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

/** What an entry is called within a sentence. */
export function entryName(log, e) {
  if (e < 0) return "no entry";
  const at = log.c.entry_number[e];
  return log.design === "legacy" ? `slot ${at} of swapfile ${log.c.entry_type[e]}` : `entry ${at}`;
}

/** A template with its holes filled for event `i` (counted from 0). */
export function fill(log, template, i) {
  const { c } = log;
  const e = c.entry[i], physical = c.ref[i];
  const isSlot = c.event[i] === 7 && c.new[i] === 0 && physical >= 0;
  const fields = {
    Entry: () => capital(entryName(log, e)),
    entry: () => entryName(log, e),
    address: () => address(c.vpn[i]),
    pid: () => c.pid[i],
    slot: () => physical,
    got: () => number(physical),
    physical: () => (isSlot ? `slot ${c.slot_number[physical]} of swapfile ${c.slot_type[physical]}` : "no slot"),
    value: () => (c.event[i] === 12 ? c.frame_pfn[c.value[i]] : c.value[i]),
    amount: () => number(c.value[i]),
    pointer: () => log.pointers[c.value[i] - 1],
    label: () => log.marks[i + 1] ?? "",
    cluster: () => (e < 0 ? "" : Math.floor(c.entry_number[e] / 512)),
    index: () => (e < 0 ? "" : c.entry_number[e] % 512),
    type: () => (e < 0 ? physical : c.entry_type[e]),
    offset: () => (e < 0 ? "" : c.entry_number[e]),
  };
  return template.replace(/\{(\w+)\}/g, (hole, name) => (name in fields ? String(fields[name]()) : hole));
}

/** What event `i` (counted from 0) says, as one plain sentence. */
export const describe = (log, i) => fill(log, log.kinds[log.c.kind[i]].sentence, i);
