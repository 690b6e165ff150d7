// The ledger's sums: terms that Python sends, evaluated for any size, mix and usage. Nothing here draws.
// The rules are those of vswaplab/observe/ledger_mix.py; Node holds the two together.

const CLUSTER = 512, CHUNK = 64, TREE_SLOTS = 16384, PAGE = 4096;
const TREE_CLUSTERS = TREE_SLOTS / CLUSTER, LEAF_CLUSTERS = CHUNK * CHUNK / CLUSTER;
const STATIC = ["slot", "cluster", "tree"];
export const SHARES = ["zero", "zswap", "disk"];
export const MIB = 1048576;

const ceil = (a, b) => Math.ceil(a / b);

/** Nodes of the zswap trees, for entries that fill the first `live` slots of each cluster in turn. */
export function treeNodes(entries, live) {
  const span = TREE_CLUSTERS * live, full = Math.floor(entries / span), rest = entries % span, leaves = ceil(live, CHUNK);
  let nodes = full * (TREE_CLUSTERS * leaves + TREE_CLUSTERS / LEAF_CLUSTERS + 1);
  if (!rest) return nodes;
  const whole = Math.floor(rest / live), over = rest % live, clusters = whole + (over > 0);
  const last = (clusters - 1) * CLUSTER + (over || live) - 1;
  if (last === 0) return nodes; // index 0 alone stands in the root
  nodes += whole * leaves + ceil(over, CHUNK);
  if (last >= CHUNK) nodes += ceil(clusters, LEAF_CLUSTERS);
  return nodes + (last >= CHUNK * CHUNK);
}

/** Nodes of an xarray of clusters 0 to `clusters` - 1. */
export function mapNodes(clusters) {
  let nodes = 0;
  for (let last = clusters - 1; last > 0;) {
    last = Math.floor(last / CHUNK);
    nodes += last + 1;
  }
  return nodes;
}

export const mostLive = (s) => s.slots / CLUSTER * s.live_per_cluster;
/** Entries in use at a usage in percent of the clusters. */
export const liveAt = (s, usage) => Math.floor(mostLive(s) * usage / 100 + 0.5);

/** How many of `live` entries each backing has. */
export function backingsOf(s, live) {
  const zero = Math.floor((2 * live * s.zero + 100) / 200), upTo = Math.floor((2 * live * (s.zero + s.zswap) + 100) / 200);
  return { zero, zswap: upTo - zero, disk: live - upTo };
}

/** How many there are of each unit; `device` says whether there is a swapfile. */
export function unitsOf(s, live, design) {
  const here = backingsOf(s, live), k = s.live_per_cluster, slots = s.slots + (s.mode === "as allocated" ? 1 : 0);
  const used = SHARES.reduce((sum, name) => sum + ceil(here[name], k), 0);
  return { device: design !== "virtual" || s.disk > 0 || s.swapfile, slot: slots, cluster: ceil(slots, CLUSTER), tree: ceil(slots, TREE_SLOTS),
    "live entry": live, "zswap entry": here.zswap, "disk entry": here.disk, "used cluster": used,
    "zswap cluster": ceil(here.zswap, k), "disk cluster": ceil(here.disk, k),
    "tree node": treeNodes(here.zswap, k), "map node": mapNodes(used) };
}

/** A term with its units and bytes. */
export function lineOf(term, units) {
  const nr = units.device || !term.device ? units[term.unit] : 0, bytes = nr * term.bytes;
  return { ...term, nr, total: term.pages ? Math.ceil(bytes / PAGE) * PAGE : bytes, static: STATIC.includes(term.unit) };
}

/** A design's structures with `live` entries in use. `terms[design][mode]` is what Python sent. */
export const linesOf = (terms, s, live, design) => {
  const units = unitsOf(s, live, design);
  return terms[design][s.mode].map((term) => lineOf(term, units));
};

export const totalOf = (lines) => lines.reduce((sum, line) => sum + line.total, 0);

/** The smallest number of entries at which virtual costs more than a baseline, or null: by bisection, as in Python. */
export function crossover(terms, s, baseline = s.baseline) {
  const more = (live) => totalOf(linesOf(terms, s, live, "virtual")) > totalOf(linesOf(terms, s, live, baseline));
  let below = 0, above = mostLive(s);
  if (more(0)) return 0;
  if (!more(above)) return null;
  while (above - below > 1) {
    const middle = Math.floor((below + above) / 2);
    if (more(middle)) above = middle;
    else below = middle;
  }
  return above;
}

/** Shares after one of them was moved: the three add up to 100, the other two keep their ratio (alone, zswap takes all). */
export function moveShare(s, name, value) {
  const [one, other] = SHARES.filter((each) => each !== name), rest = 100 - value, sum = s[one] + s[other];
  const toOne = sum ? Math.round(rest * s[one] / sum) : one === "zswap" ? rest : other === "zswap" ? 0 : rest;
  return { [name]: value, [one]: toOne, [other]: rest - toOne };
}

/** What one structure costs in the unit that is shown: bytes a slot of the device, bytes an entry in use, or MiB. */
export function shownIn(unit, s, live, bytes) {
  if (unit === "MiB") return bytes / MIB;
  return unit === "slot" ? bytes / s.slots : live ? bytes / live : null;
}

/** Places as near to `wanted` as can be, `gap` apart, inside `low` to `high` if they fit; as figures/chart.py has it. */
export function spread(wanted, gap, low, high) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b] || a - b), groups = [];
  const first = ([sum, n]) => Math.max(low, Math.min(high - (n - 1) * gap, sum / n - (n - 1) * gap / 2));
  for (const i of order) {
    groups.push([wanted[i], 1]);
    while (groups.length > 1) {
      const last = groups.at(-1), before = groups.at(-2);
      if (first(last) >= first(before) + before[1] * gap) break;
      groups.pop();
      before[0] += last[0];
      before[1] += last[1];
    }
  }
  const flat = groups.flatMap((group) => Array.from({ length: group[1] }, (_, rank) => first(group) + rank * gap));
  const places = new Array(wanted.length);
  order.forEach((i, rank) => { places[i] = flat[rank]; });
  return places;
}
