import assert from "node:assert/strict";
import { test } from "node:test";

import { flowOf } from "../../vswaplab/widgets/js/flow.js";
import { cases, tapeOf } from "./cases.mjs";

for (const given of cases) {
  test(`${given.name}: entries by backing are those of the state, at every position`, () => {
    const flow = flowOf(tapeOf(given).log);
    given.states.forEach((state, at) => {
      const counts = [0, 0, 0, 0];
      for (const entry of state.entries) counts[entry[1]] += 1;
      assert.deepEqual(flow.map((each) => each[at]), counts, `at ${at}`);
    });
  });
}
