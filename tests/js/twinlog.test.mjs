import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { TwinLog } from "../../vswaplab/widgets/js/twinlog.js";

const cases = JSON.parse(readFileSync(process.env.VSWAPLAB_TWINS, "utf8"));

for (const { name, header, data, steps } of cases) {
  const twin = new TwinLog(header, new Uint8Array(Buffer.from(data, "base64")));
  const agrees = (at) => {
    const told = steps[at - 1];
    assert.equal(twin.seek(at), at);
    if (!told) return assert.deepEqual(twin.places.map((places) => places.size), [0, 0]);
    told.pages.forEach((pages, i) => assert.deepEqual(Object.fromEntries(twin.places[i]), pages, `operation ${at}`));
    assert.deepEqual([...twin.elsewhere()].sort(), told.elsewhere.sort());
    const before = steps[at - 2]?.pages ?? [{}, {}];
    told.pages.forEach((pages, i) => {
      const keys = [...new Set([...Object.keys(pages), ...Object.keys(before[i])])];
      assert.deepEqual([...twin.moved(i)].sort(), keys.filter((key) => pages[key] !== before[i][key]).sort());
    });
  };

  test(`${name}: both designs are where Python has them after every operation, forwards`, () => {
    for (let at = 0; at <= twin.length; at++) agrees(at);
  });

  test(`${name}: and backwards, and in jumps`, () => {
    for (let at = twin.length; at >= 0; at--) agrees(at);
    for (let i = 0; i < 60; i++) agrees((i * 7919) % (twin.length + 1));
  });

  test(`${name}: out of range is the nearest end`, () => {
    assert.equal(twin.seek(-5), 0);
    assert.equal(twin.seek(1e6), twin.length);
  });
}
