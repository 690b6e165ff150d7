import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { PoolLog } from "../../vswaplab/widgets/js/poollog.js";

const cases = JSON.parse(readFileSync(process.env.VSWAPLAB_POOLS, "utf8"));
const picture = (log) => JSON.stringify([[...log.lrus].map(([memcg, list]) => [memcg, list]), [...log.chances].sort(),
  log.classes().map(({ klass, zspages }) => [klass, zspages.map(([serial, used]) => [serial, [...used].sort()])]), log.bytes(), log.pages()]);

for (const { name, header, data, ages, classes, pages, stored } of cases) {
  const log = new PoolLog(header, new Uint8Array(Buffer.from(data, "base64")));
  log.seek(log.length);

  test(`${name}: at the end the pool is the machine's`, () => {
    assert.equal(log.pages(), pages);
    assert.equal(log.objects.size, stored);
    const mine = log.classes().map(({ klass, zspages }) => [header.classes[klass][0], zspages.length,
      zspages.reduce((sum, [, used]) => sum + used.size, 0)]);
    assert.deepEqual(mine, classes);
    const lists = [...log.lrus].filter(([, list]) => list.length).map(([memcg, list]) => [memcg, list.map((entry) => [entry, log.chances.has(entry)])]);
    assert.deepEqual(lists.sort((a, b) => a[0] - b[0]), ages);
  });

  test(`${name}: backwards and in jumps every state is what it was forwards`, () => {
    const states = [];
    for (let at = header.at_first; at <= log.length; at++) {
      log.seek(at);
      states[at] = picture(log);
    }
    for (let at = log.length; at >= header.at_first; at -= 3) {
      log.seek(at);
      assert.equal(picture(log), states[at], `at ${at}`);
    }
    for (let i = 0; i < 50; i++) {
      const at = header.at_first + (i * 7919) % (log.length - header.at_first + 1);
      log.seek(at);
      assert.equal(picture(log), states[at], `at ${at}`);
    }
  });

  test(`${name}: every operation is told in a sentence, and nothing is done before the first`, () => {
    for (let at = header.at_first; at <= log.length; at++) {
      log.seek(at);
      assert.match(log.describe(), /\.$/);
    }
    assert.equal(log.seek(-5), header.at_first);
  });
}
