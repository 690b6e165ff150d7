import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { layout, stepOf } from "../../vswaplab/widgets/js/ledgerpicture.js";
import { SHARES, crossover, lineOf, linesOf, liveAt, moveShare, shownIn, spread, totalOf, unitsOf } from "../../vswaplab/widgets/js/ledgersum.js";

const { header, grid, proposals, spreads } = JSON.parse(readFileSync(process.env.VSWAPLAB_LEDGER, "utf8"));
const { terms } = header, baselines = Object.keys(header.baselines);

test("every structure at every size, mix, sparseness and usage is Python's to the bit", () => {
  for (const { settings, costs } of grid) {
    for (const { usage, live, lines } of costs) {
      assert.equal(liveAt(settings, usage), live);
      [...baselines, "virtual"].forEach((design, at) => {
        assert.deepEqual(linesOf(terms, settings, live, design).map(({ total }) => total), lines[at], JSON.stringify({ settings, usage, design }));
      });
    }
  }
});

test("crossovers are Python's to the entry", () => {
  for (const { settings, crossovers } of grid) {
    for (const baseline of baselines) assert.equal(crossover(terms, { ...settings, baseline }), crossovers[baseline], `${baseline} ${JSON.stringify(settings)}`);
  }
});

test("proposals cost what their own formula says", () => {
  for (const { name, terms: own, settings, live, total } of proposals) {
    const units = unitsOf(settings, live, "virtual");
    assert.equal(totalOf(own.map((term) => lineOf(term, units))), total, `${name} ${live}`);
  }
});

test("the published table is what the terms give", () => {
  const start = header.presets[0][2];
  for (const [design, backend, cells] of header.published) {
    const settings = { ...start, zswap: backend === "zswap" ? 100 : 0, disk: backend === "disk" ? 100 : 0 };
    for (const [usage, mib] of Object.entries(cells)) {
      assert.equal(totalOf(linesOf(terms, settings, liveAt(settings, Number(usage)), design)) / 1048576, mib);
    }
  }
});

test("shares add up to 100 wherever one is moved, and the other two keep their ratio", () => {
  for (const start of [{ zero: 0, zswap: 100, disk: 0 }, { zero: 10, zswap: 60, disk: 30 }, { zero: 100, zswap: 0, disk: 0 }]) {
    for (const name of SHARES) {
      for (let value = 0; value <= 100; value++) {
        const found = moveShare(start, name, value), others = SHARES.filter((each) => each !== name);
        assert.equal(found[name], value);
        assert.equal(found.zero + found.zswap + found.disk, 100);
        const [one, other] = others, before = start[one] + start[other];
        if (before) assert.ok(Math.abs(found[one] - (100 - value) * start[one] / before) <= 0.5);
        assert.ok(others.every((each) => found[each] >= 0));
      }
    }
  }
});

test("with nothing else to share, what is freed goes to zswap", () => {
  assert.deepEqual(moveShare({ zero: 0, zswap: 0, disk: 100 }, "disk", 70), { zero: 0, zswap: 30, disk: 70 });
  assert.deepEqual(moveShare({ zero: 0, zswap: 100, disk: 0 }, "zswap", 70), { zswap: 70, zero: 30, disk: 0 });
});

test("bytes an entry are not said where none is in use", () => {
  const s = header.presets[0][2];
  assert.equal(shownIn("entry", s, 0, 100), null);
  assert.equal(shownIn("entry", s, 50, 100), 2);
  assert.equal(shownIn("slot", s, 0, s.slots), 1);
  assert.equal(shownIn("MiB", s, 0, 1048576), 1);
});

test("labels are kept apart as Python keeps them", () => {
  for (const { given, found } of spreads) assert.deepEqual(spread(...given), found);
});

test("panels stay inside the picture and apart, wide and narrow", () => {
  for (const narrow of [false, true]) {
    const { width, height, panels, totals } = layout(narrow), boxes = [...panels, totals];
    for (const box of boxes) {
      assert.ok(box.x > 0 && box.x + box.wide < width && box.y > 0 && box.y + box.high < height);
      for (const other of boxes) {
        assert.ok(other === box || box.x + box.wide < other.x || other.x + other.wide < box.x || box.y + box.high < other.y || other.y + other.high < box.y);
      }
    }
    assert.equal(panels[0].high, panels[1].high);
  }
});

test("an axis has three to seven steps", () => {
  for (let top = 0.01; top < 1e6; top *= 1.37) {
    const steps = Math.floor(top / stepOf(top));
    assert.ok(steps >= 2 && steps <= 7, `${top}: ${steps}`);
  }
});
