// The step log as Python packed it (vswaplab/widgets/step_log.py): a header and columns.

export const VERSION = 1;

export const Event = {
  MARK: 0, SPAWN: 1, EXIT: 2, SWAPON: 3, SWAPOFF: 4, ALLOC: 5, FREE: 6, BACKING: 7, DUPLICATE: 8, PUT: 9,
  CACHE_ADD: 10, CACHE_DEL: 11, PTE_MAP: 12, PTE_SWAP: 13, PTE_CLEAR: 14, FAULT: 15, WRITEOUT: 16,
  WRITEBACK: 17, RECLAIM: 18,
};
export const Backing = { SWAPFILE: 0, ZERO: 1, ZSWAP: 2, FOLIO: 3, NONE: 255 };
export const BACKING_NAMES = ["SWAPFILE", "ZERO", "ZSWAP", "FOLIO"];

const ARRAYS = {
  u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array, f8: Float64Array,
};

/** Columns of a block of bytes (DataView, ArrayBuffer or typed array), by name; `columns` is [[name, type, length]]. */
export function decodeColumns(columns, bytes) {
  const view = bytes instanceof ArrayBuffer ? new Uint8Array(bytes)
    : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // A typed array must begin at a multiple of its own size; a message's buffer need not.
  const whole = view.byteOffset % 8 ? view.slice() : view;
  const found = {};
  let at = whole.byteOffset;
  for (const [name, type, length] of columns) {
    const Kind = ARRAYS[type];
    if (Kind === undefined) throw new Error(`The step log has a column ${name} of an unknown type ${type}.`);
    const size = length * Kind.BYTES_PER_ELEMENT;
    if (at + size > whole.byteOffset + whole.byteLength) throw new Error(`The step log ends within column ${name}.`);
    found[name] = new Kind(whole.buffer, at, length);
    at += Math.ceil(size / 8) * 8;
  }
  return found;
}

/** The step log: header and columns in one object. */
export function decodeLog(header, bytes) {
  if (header.version !== VERSION) {
    throw new Error(`This player reads step logs of version ${VERSION}, not ${header.version}.`);
  }
  const columns = decodeColumns(header.columns, bytes);
  return { ...header, c: columns, events: header.events, frameOf: numbersOf(columns.frame_pfn) };
}

function numbersOf(values) {
  const found = new Map();
  values.forEach((value, i) => found.set(value, i));
  return found;
}
