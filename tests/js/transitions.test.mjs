import assert from "node:assert/strict";
import { test } from "node:test";

import { Transitions, keyOf } from "../../vswaplab/widgets/js/transitions.js";
import { cases, tapeOf } from "./cases.mjs";

for (const given of cases) {
  test(`${given.name}: transitions are counted as Python counts them`, () => {
    const tape = tapeOf(given), transitions = new Transitions(tape.log);
    const found = {};
    for (const [from, to] of transitions.all()) {
      const nr = transitions.count(from, to, tape.length);
      if (nr) found[keyOf(from, to)] = nr;
    }
    assert.deepEqual(found, given.transitions);
  });

  test(`${given.name}: counts grow by one at the event that makes the transition`, () => {
    const tape = tapeOf(given), transitions = new Transitions(tape.log);
    for (let at = 1; at <= tape.length; at++) {
      const last = transitions.last(at);
      for (const [from, to] of transitions.all()) {
        const grown = transitions.count(from, to, at) - transitions.count(from, to, at - 1);
        assert.equal(grown, Number(last !== null && keyOf(...last) === keyOf(from, to)), `at ${at}`);
      }
    }
  });
}
