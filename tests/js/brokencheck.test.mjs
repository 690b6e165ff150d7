import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { judge, solved } from "../../vswaplab/widgets/js/brokencheck.js";

const quizzes = JSON.parse(readFileSync(process.env.VSWAPLAB_QUIZZES, "utf8"));
const kinds = (quiz, answer) => judge(quiz, answer).map(([, kind]) => kind);

for (const quiz of quizzes) {
  const right = { event: String(quiz.event), place: quiz.edge, invariant: quiz.invariant };
  test(`${quiz.rule}: the right answer is correct, in each part`, () => {
    assert.deepEqual(kinds(quiz, right), ["correct", "correct", "correct"]);
    assert.ok(solved(judge(quiz, right)));
  });

  test(`${quiz.rule}: no answer is missing, and no part of it is solved`, () => {
    assert.deepEqual(kinds(quiz, { event: "", place: "", invariant: "" }), ["missing", "missing", "missing"]);
    assert.deepEqual(kinds(quiz, { ...right, event: "twelve" })[0], "missing");
    assert.ok(!solved(judge(quiz, { ...right, event: "" })));
  });

  test(`${quiz.rule}: no other event, place or invariant is correct`, () => {
    for (let event = 0; event <= quiz.within[1] + 20; event++) {
      if (event === quiz.event) continue;
      const [kind, message] = judge(quiz, { ...right, event: String(event) })[0].slice(1);
      const within = event >= quiz.within[0] && event <= quiz.within[1];
      assert.equal(kind, within ? "almost" : "keep working");
      if (within) assert.match(message, event < quiz.event ? /a later/ : /an earlier/);
    }
    for (const place of Object.keys(quiz.places)) {
      if (place !== quiz.edge) assert.equal(kinds(quiz, { ...right, place })[1], "keep working");
    }
    for (const invariant of quiz.choices) {
      if (invariant === quiz.invariant) continue;
      const near = quiz.edges[invariant] === quiz.edge;
      assert.equal(kinds(quiz, { ...right, invariant })[2], near ? "almost" : "keep working");
    }
  });
}
