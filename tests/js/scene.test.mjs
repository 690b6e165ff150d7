import assert from "node:assert/strict";
import { test } from "node:test";

import { SlotScene } from "../../vswaplab/widgets/js/slotscene.js";
import { cases, tapeOf } from "./cases.mjs";

for (const given of cases) {
  test(`${given.name}: every mark and every edge has a place`, () => {
    const tape = tapeOf(given), scene = new SlotScene(tape);
    for (let at = 0; at <= tape.length; at++) {
      tape.seek(at);
      scene.refresh();
      scene.eachMark((what, n, x, y) => assert.ok(Number.isFinite(x + y), `${what} ${n} at ${at}`), (x, y) => assert.ok(Number.isFinite(x + y)));
      scene.eachEdge((kind, look, ...where) => assert.ok(where.slice(0, 4).every(Number.isFinite), `${kind} at ${at}`));
    }
  });

  test(`${given.name}: the table has the rows that Python's has`, () => {
    const tape = tapeOf(given), scene = new SlotScene(tape);
    for (const [at, rows] of Object.entries(given.twins)) {
      tape.seek(Number(at));
      scene.refresh();
      const [, heading, found] = scene.twin();
      assert.equal(heading.length, 8);
      const key = (row) => row.join("|");
      assert.deepEqual(found.map(key).sort(), rows.map(key).sort(), `at ${at}`);
    }
  });

  test(`${given.name}: the words for the picture count what the state has`, () => {
    const tape = tapeOf(given), scene = new SlotScene(tape);
    for (const at of [0, Math.floor(tape.length / 2), tape.length]) {
      tape.seek(at);
      scene.refresh();
      const state = given.states[at], out = state.ptes.filter((pte) => !pte[2]).length;
      assert.match(scene.alt(), new RegExp(`${state.ptes.length - out} present, ${out} swapped out`));
      assert.equal(scene.counts.entries, state.entries.length);
    }
  });

  test(`${given.name}: each mark says what it is`, () => {
    const tape = tapeOf(given), scene = new SlotScene(tape);
    tape.seek(tape.length);
    scene.refresh();
    scene.eachMark((what, n) => {
      const lines = scene.linesOf(what, n);
      assert.ok(lines.length >= 2 && lines.every((line) => line && !/undefined|NaN/.test(line)), `${what} ${n}: ${lines}`);
      assert.ok(!/undefined|NaN/.test(scene.labelOf(what, n)));
    }, () => {});
    for (const heading of scene.headings()) assert.ok(!/undefined|NaN/.test(heading.join()));
  });
}
