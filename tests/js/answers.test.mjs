// Answers on a page without a kernel: what the browser's storage refuses is kept when there is room again.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { isKept, keep, listen, recall } from "../../vswaplab/widgets/js/answers.js";

let stored, full;

beforeEach(() => {
  stored = new Map();
  full = false;
  globalThis.localStorage = {
    getItem: (key) => stored.get(key) ?? null,
    setItem: (key, value) => {
      if (full) throw new DOMException("full", "QuotaExceededError");
      stored.set(key, value);
    },
  };
});

const given = (answer) => ({ answer, attempts: 1, hints: 0, shown: false, revealed: false, asked: "a" });

test("what was answered while the storage was full is what is known, and is kept with the next answer", () => {
  keep("q/1", given("old"));
  full = true;
  keep("q/1", given("new"));
  keep("q/2", given("second"));
  assert.equal(recall("q/1", "a").answer, "new"); // not what the storage has
  assert.equal(recall("q/2", "a").answer, "second");
  assert.deepEqual([isKept("q/1"), isKept("q/2")], [false, false]);
  full = false;
  const told = [];
  const stop = listen("q/1", () => told.push(isKept("q/1")));
  keep("q/3", given("third"));
  stop();
  assert.deepEqual(told, [true]); // its note goes, too
  assert.deepEqual(["q/1", "q/2", "q/3"].map((id) => JSON.parse(stored.get(`vswaplab:${id}`)).answer), ["new", "second", "third"]);
  assert.deepEqual(["q/1", "q/2", "q/3"].map(isKept), [true, true, true]);
});

test("a page whose storage is out of bounds knows its answers as long as it is open", () => {
  Object.defineProperty(globalThis, "localStorage", { configurable: true, get() { throw new DOMException("no", "SecurityError"); } });
  keep("q/9", given("mine"));
  assert.equal(recall("q/9", "a").answer, "mine");
  assert.equal(recall("q/9", "other").answer, null);
  assert.equal(isKept("q/9"), false);
  Object.defineProperty(globalThis, "localStorage", { configurable: true, writable: true, value: { getItem: () => null, setItem() {} } });
  keep("q/9", given("mine"));
});
