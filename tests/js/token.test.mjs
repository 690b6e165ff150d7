import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { parseToken, tokenAt } from "../../vswaplab/widgets/js/token.js";

const { tokens, wrong } = JSON.parse(readFileSync(process.env.VSWAPLAB_TOKENS, "utf8"));

test("tokens that Python wrote are read, and written again", () => {
  for (const { text, state, event } of tokens) {
    assert.deepEqual(parseToken(text), { state, event });
    assert.deepEqual(parseToken(` ${text.toLowerCase()} `), { state, event });
    if (event !== null) assert.equal(tokenAt(state, event), text);
  }
});

test("any one wrong character is refused", () => {
  for (const text of wrong) assert.throws(() => parseToken(text), /token/i, text);
});
