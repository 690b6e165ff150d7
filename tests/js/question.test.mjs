import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { check } from "../../vswaplab/widgets/js/checking.js";

const { words, cases } = JSON.parse(readFileSync(process.env.VSWAPLAB_QUESTION_CASES, "utf8"));

test(`a page says what Python says, ${cases.length} times`, () => {
  assert.ok(cases.length > 4000);
  for (const { rules, answer, said } of cases) {
    assert.deepEqual(check(rules, answer, words), said, JSON.stringify([rules.kind, answer]));
  }
});
