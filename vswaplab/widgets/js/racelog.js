// Race log: both swapoffs at a moment, whole or stopped; what was predicted against what came. Nothing here draws.

export class RaceLog {
  constructor(header, data) {
    const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const values = new Float64Array(bytes.slice().buffer), wide = header.counted.length;
    let at = 0;
    this.header = header;
    this.tracks = header.tracks.map((track) => {
      const rows = Array.from({ length: track.samples }, (_, i) => values.subarray(at + i * wide, at + (i + 1) * wide));
      at += track.samples * wide;
      return { ...track, rows };
    });
    this.length = header.moments;
    this.phases = [];
    this.position = 0;
    this.stop = null; // {why, percent}: which stop both run into
    this.most = Math.max(...this.tracks.map(({ rows }) => workOf(rows.at(-1))));
  }

  seek(position) {
    this.position = Math.max(0, Math.min(this.length, Math.round(position)));
    return this.position;
  }

  /** The stop that a track runs into, or null. */
  stopOf(track) {
    if (!this.stop) return null;
    return this.header.stops.find(({ design, why, percent }) => design === track.design && why === this.stop.why && percent === this.stop.percent);
  }

  /** What a track has counted at the end of its way: the last sample, or where it was stopped. */
  end(track) {
    return this.stopOf(track)?.counted ?? track.rows.at(-1);
  }

  /** What a track has counted now: a moment is a share of the longest way, and work goes on at one pace for both. */
  now(track) {
    const ticks = this.most * this.position / this.length, end = this.end(track);
    if (workOf(end) <= ticks) return end;
    let low = 0, high = track.rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (workOf(track.rows[middle]) <= ticks) low = middle;
      else high = middle - 1;
    }
    return workOf(track.rows[low]) <= ticks ? track.rows[low] : new Float64Array(this.header.counted.length);
  }

  done(track) {
    return workOf(this.end(track)) <= this.most * this.position / this.length;
  }

  finished() {
    return this.tracks.every((track) => this.done(track));
  }

  /** Predicted against actual, whole swapoffs: [[what, predicted or null, actual, verdict]]. */
  verdicts(prediction) {
    const [legacy, virtual] = this.tracks.map(({ report }) => report);
    const rows = [["PTEs that legacy looks at", prediction.legacy, legacy.ptes_visited], ["PTEs that virtual looks at", prediction.virtual, virtual.ptes_visited],
      ["pages read, by either", prediction.pages, legacy.pages_read]];
    return rows.map(([what, guess, actual]) => [what, guess ?? null, actual, verdict(guess, actual)]);
  }
}

/** Ticks: tables, page table entries and slots looked at, and pages read, one each. */
export const workOf = (row) => row[0] + row[1] + row[2] + row[3];

function verdict(guess, actual) {
  if (guess === undefined || guess === null) return "not predicted";
  if (guess === actual) return "✓ exactly";
  if (!actual || !guess) return actual ? "✗ it is not 0" : "✗ it is 0";
  const ratio = guess > actual ? guess / actual : actual / guess;
  const times = ratio < 10 ? ratio.toFixed(1) : Math.round(ratio).toLocaleString("en-US");
  return `${ratio <= 1.1 ? "≈ near:" : "✗"} ${times} times too ${guess > actual ? "many" : "few"}`;
}
