import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { RaceLog, workOf } from "../../vswaplab/widgets/js/racelog.js";

const cases = JSON.parse(readFileSync(process.env.VSWAPLAB_RACES, "utf8"));

for (const { name, header, data, samples } of cases) {
  const race = new RaceLog(header, new Uint8Array(Buffer.from(data, "base64")));

  test(`${name}: a track shows the last sample that its ticks allow, at every moment, both ways`, () => {
    const moments = [...Array(race.length + 1).keys()];
    for (const moment of [...moments, ...moments.reverse()]) {
      race.seek(moment);
      const ticks = race.most * moment / race.length;
      race.tracks.forEach((track, i) => {
        const wanted = samples[i].findLast((row) => workOf(row) <= ticks) ?? samples[i][0].map(() => 0);
        assert.deepEqual([...race.now(track)], wanted, `${track.design} at ${moment}`);
      });
    }
  });

  test(`${name}: nobody is ahead of what was counted, and both are done in the end`, () => {
    race.seek(race.length);
    assert.ok(race.finished());
    race.tracks.forEach((track, i) => assert.deepEqual([...race.now(track)], samples[i].at(-1)));
    race.seek(0);
    race.tracks.forEach((track) => assert.equal(workOf(race.now(track)), 0));
  });

  test(`${name}: a stop ends a track where Python's run was stopped`, () => {
    for (const why of Object.keys(header.whys)) {
      for (const percent of header.parts) {
        race.stop = { why, percent };
        race.seek(race.length);
        for (const track of race.tracks) {
          const stop = header.stops.find((each) => each.design === track.design && each.why === why && each.percent === percent);
          assert.deepEqual([...race.now(track)], stop.counted);
          assert.ok(race.done(track));
        }
      }
    }
    race.stop = null;
  });
}

test("a prediction is exact, near, or so many times off", () => {
  const race = new RaceLog(cases[0].header, new Uint8Array(Buffer.from(cases[0].data, "base64")));
  const [legacy] = race.tracks, actual = legacy.report.ptes_visited;
  const said = (prediction) => race.verdicts(prediction).map(([, , , verdict]) => verdict);
  assert.deepEqual(said({}), ["not predicted", "not predicted", "not predicted"]);
  assert.equal(said({ legacy: actual })[0], "✓ exactly");
  assert.match(said({ legacy: Math.round(actual * 1.05) })[0], /^≈ near/);
  assert.match(said({ legacy: actual * 3 })[0], /^✗ 3\.0 times too many/);
  assert.match(said({ legacy: Math.ceil(actual / 100) })[0], /^✗ \d+ times too few/);
  assert.equal(said({ legacy: 0 })[0], "✗ it is not 0");
  assert.equal(said({ virtual: 0 })[1], "✓ exactly");
  assert.equal(said({ virtual: 10 })[1], "✗ it is 0");
});
