import assert from "node:assert/strict";
import { test } from "node:test";

import { describe as sentence } from "../../vswaplab/widgets/js/words.js";
import { cases, tapeOf, told } from "./cases.mjs";

for (const given of cases) {
  test(`${given.name}: every state forwards and backwards is the one Python rebuilds`, () => {
    const tape = tapeOf(given);
    assert.equal(tape.length, given.states.length - 1);
    for (let at = 0; at <= tape.length; at++) {
      tape.seek(at);
      assert.deepEqual(told(tape), given.states[at], `forwards at ${at}`);
    }
    for (let at = tape.length; at >= 0; at--) {
      tape.seek(at);
      assert.deepEqual(told(tape), given.states[at], `backwards at ${at}`);
    }
  });

  test(`${given.name}: jumps of any length end in the same state`, () => {
    const tape = tapeOf(given);
    for (let i = 1, at = 0; i < 60; i++, at = (at * 31 + 17 * i) % (tape.length + 1)) {
      tape.seek(at);
      assert.deepEqual(told(tape), given.states[at]);
    }
  });

  test(`${given.name}: events are told in Python's words`, () => {
    const tape = tapeOf(given);
    given.words.forEach((words, i) => assert.equal(sentence(tape.log, i), words));
  });

  test(`${given.name}: what changed is what differs from the state before`, () => {
    const tape = tapeOf(given);
    for (let at = 1; at <= tape.length; at++) {
      tape.seek(at);
      const { pte, entry } = tape.changed();
      const differs = (what) => JSON.stringify(given.states[at][what]) !== JSON.stringify(given.states[at - 1][what]);
      assert.ok(pte >= 0 || !differs("ptes"), `at ${at}`);
      assert.ok(entry >= 0 || !differs("entries"), `at ${at}`);
    }
  });
}

test("out of range is the nearest end", () => {
  const tape = tapeOf(cases[0]);
  assert.equal(tape.seek(1e9), tape.length);
  assert.equal(tape.seek(-3), 0);
});
