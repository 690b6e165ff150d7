// The ledger's tables: the posting's beside what is computed, a sum line by line, what one design costs more, and the text twin.

import { table } from "./dom.js";
import { MIB, SHARES, liveAt, shownIn, totalOf } from "./ledgersum.js";
import { count } from "./words.js";

export const LABELS = { zero: "zero pages", zswap: "in zswap", disk: "on the disk" };
const PAGE = 4096, POSTED = [0, 25, 50, 75, 100];

export const sizeText = (slots) => {
  const size = slots * PAGE / MIB;
  return size < 1024 ? `${size} MiB` : size < 1048576 ? `${size / 1024} GiB` : `${size / 1048576} TiB`;
};
export const mib = (bytes) => (bytes / MIB).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
export const exact = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 3 });
export const percent = (value) => `${value.toLocaleString("en-US", { maximumFractionDigits: 2 })} %`;
const signed = (text, value) => (value > 0 ? `+${text}` : text).replace("-", "\u2212");
const plural = (unit) => (unit.endsWith("y") ? `${unit.slice(0, -1)}ies` : `${unit}s`);

/** The posting's table: pure columns with these sliders, and the published figure beside each. */
export function postingTable(view) {
  const { settings: s, header } = view;
  const same = s.slots === header.publishedSlots && s.mode === header.publishedMode && s.live_per_cluster === 512;
  let matches = 0;
  const columns = header.published.map(([design, backend, cells]) => {
    const own = { ...s, swapfile: false, zero: 0, zswap: backend === "zswap" ? 100 : 0, disk: backend === "disk" ? 100 : 0 };
    return { title: `${backend}, ${design}`, cell: (usage) => {
      const found = mib(totalOf(view.lines(design, usage, own))), wanted = mib(cells[usage] * MIB), match = found === wanted;
      matches += match;
      return same ? `${found} ${match ? "\u2713" : "\u2260"} ${wanted}` : `${found} [${wanted}]`;
    } };
  });
  const rows = POSTED.map((usage) => [`${usage} %`, ...columns.map(({ cell }) => cell(usage))]);
  const now = same ? `computed \u2713 published: ${matches} of ${POSTED.length * columns.length} agree`
    : `as these sliders say [published for ${sizeText(header.publishedSlots)}, as posted, packed]`;
  return table(`MiB for ${sizeText(s.slots)}, ${now}`, ["usage", ...columns.map(({ title }) => title)], rows);
}

/** What virtual costs more, by the chosen sum, at 0, 50, 100 % and at the cursor. */
export function netTable(view) {
  const { settings: s } = view, at = [...new Set([0, 50, 100, s.usage])].sort((one, other) => one - other);
  const rows = at.map((usage) => {
    const [old, own] = view.designs.map((design) => view.sum(design, usage)), live = liveAt(s, usage), gap = own - old;
    const each = (nr) => (nr ? `${signed(exact(gap / nr), gap)} B` : "");
    return [percent(usage), mib(own), mib(old), signed(mib(gap), gap), each(live), each(s.slots)];
  });
  const old = view.nameOf(s.baseline);
  return table(`Virtual less ${old}: ${view.header.counts[s.count].title}, MiB`,
    ["usage", "virtual", old, "difference", "an entry", "a slot"], rows);
}

/** The chosen sum at the cursor, line by line, with what it leaves out. */
export function lineTable(view) {
  const rows = [];
  for (const design of view.designs) {
    for (const line of view.lines(design)) {
      if (!line.nr) continue;
      rows.push([view.nameOf(design), line.name, `${exact(line.bytes)} B \u00d7 ${count(line.nr, line.unit, plural(line.unit))}`, mib(line.total),
        view.isCounted(line.name) ? "\u2713" : "left out"]);
    }
    rows.push([view.nameOf(design), "together", "", mib(view.sum(design)), ""]);
  }
  return table(`Line by line at ${percent(view.settings.usage)}`, ["design", "structure", "bytes \u00d7 how many", "MiB", "counted"], rows);
}

/** The picture as a table: every structure at 0, 10, ... 100 %. */
export function costTable(view) {
  const { settings: s, header } = view, at = Array.from({ length: 11 }, (_, i) => 10 * i);
  const told = (usage, bytes) => {
    const value = shownIn(s.unit, s, liveAt(s, usage), bytes);
    return value === null ? "" : s.unit === "MiB" ? mib(bytes) : exact(value);
  };
  const rows = view.designs.flatMap((design) => {
    const all = at.map((usage) => view.lines(design, usage));
    const named = header.terms[design][s.mode].map(({ name }, i) => [view.nameOf(design), name, ...at.map((usage, j) => told(usage, all[j][i].total))]);
    return [...named, [view.nameOf(design), "all", ...at.map((usage, j) => told(usage, totalOf(all[j])))]];
  });
  const mix = SHARES.filter((name) => s[name]).map((name) => `${s[name]} % ${LABELS[name]}`).join(", ");
  return table(`Metadata, ${header.units[s.unit]}, ${s.mode}: ${sizeText(s.slots)}, ${mix}`, ["design", "structure", ...at.map((usage) => `${usage} %`)], rows);
}
