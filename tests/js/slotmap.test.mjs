import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { decodeColumns } from "../../vswaplab/widgets/js/log.js";
import { FREE, SlotMap, deviceSlot, littleEndian } from "../../vswaplab/widgets/js/slotmap.js";

const cases = JSON.parse(readFileSync(process.env.VSWAPLAB_MAPS, "utf8"));

function mapOf({ header, data, given, cells }) {
  const map = new SlotMap(header, Buffer.from(data, "base64"));
  const bytes = new Uint8Array(Buffer.from(cells, "base64"));
  for (const { part, first, begin, columns } of given.windows) map.setWindow(part, first, decodeColumns(columns, bytes.slice(begin)));
  return map;
}

for (const given of cases) {
  const map = mapOf(given), { name, states, entries } = given;

  test(`${name}: cells at every zoom add up the states`, () => {
    states.forEach((state, part) => {
      for (let level = 0; level <= map.levels(part); level++) {
        const per = 2 ** level, nr = Math.ceil(state.length / per), found = map.cells(part, 0, per, nr);
        const wanted = new Uint32Array(nr * 5);
        state.forEach((kind, slot) => { if (kind < 5) wanted[Math.floor(slot / per) * 5 + kind] += 1; });
        assert.deepEqual(found, wanted, `part ${part}, ${per} slots a cell`);
      }
      assert.deepEqual(map.totals(part), [0, 1, 2, 3, 4].map((kind) => state.filter((each) => each === kind).length));
    });
  });

  test(`${name}: the first picture holds every slot in use`, () => {
    states.forEach((state, part) => {
      const last = state.findLastIndex((kind) => kind < FREE);
      assert.ok(last < 1024 * 2 ** map.fitting(part));
      assert.ok(map.fitting(part) <= map.levels(part));
    });
  });

  test(`${name}: the chain of every slot is what Python says`, () => {
    for (const { part, slot, backing, length, ptes, handle, device, frame, count } of entries) {
      const chain = map.chain(part, slot);
      assert.equal(chain.state, backing);
      assert.equal(chain.length, length);
      assert.deepEqual(chain.ptes, ptes);
      assert.equal(chain.frame, frame);
      if (handle) assert.equal(chain.handle, handle);
      if (device) assert.deepEqual(chain.device, device);
      if (chain.kind === "virtual") assert.equal(Number(chain.values[2]), count);
    }
  });

  test(`${name}: pages, objects and slots of a swapfile lead back to their slot`, () => {
    for (const { part, slot, backing, ptes, handle, device } of entries) {
      for (const [pid, vpn] of ptes) assert.deepEqual(map.find("page", `${pid} 0x${(vpn * 4096).toString(16)}`), [part, slot]);
      if (handle && backing === 2) assert.deepEqual(map.find("zswap", String(handle)), [part, slot]);
      if (device && backing === 0) assert.deepEqual(map.find("swapfile", device.join(":")), [part, slot]);
    }
    for (const [kind, text] of [["page", "0x7"], ["page", ""], ["zswap", "999999"], ["swapfile", "9:1"], ["slot", "99999999"], ["slot", "no"]]) {
      assert.equal(map.find(kind, text), null);
    }
  });

  test(`${name}: the next slot in use, both ways, is the neighbour among those in use`, () => {
    states.forEach((state, part) => {
      const used = [...state.keys()].filter((slot) => state[slot] < FREE);
      used.forEach((slot, i) => {
        assert.equal(map.next(part, slot, 1), used[i + 1] ?? slot);
        assert.equal(map.next(part, slot, -1), used[i - 1] ?? slot);
      });
      if (used.length) assert.equal(map.next(part, state.length - 1, -1), used.at(-1) === state.length - 1 ? used.at(-2) : used.at(-1));
    });
  });
}

test("numbers of up to eight bytes are read lowest first", () => {
  assert.equal(littleEndian([1, 2, 3, 4, 5, 6, 7, 255], 0, 8), 0xff07060504030201n);
  assert.deepEqual(deviceSlot(3n << 58n | 12n), [3, 12]);
});
