// Scenario tokens on a page, as vswaplab.workloads.token writes them: #vs1-… in the address opens a stepper's event.

const PREFIX = "vs1-";
const LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SAME = { O: "0", I: "1", L: "1" };
const EVENT = 4, DIGEST_BYTES = 4, CRC_BYTES = 3;

function crc24(bytes) {
  let crc = 0xb704ce;
  for (const byte of [...new TextEncoder().encode(PREFIX), bytes.length & 255, ...bytes]) {
    crc ^= byte << 16;
    for (let bit = 0; bit < 8; bit++) {
      crc <<= 1;
      if (crc & 0x1000000) crc ^= 0x1864cfb;
    }
  }
  return [crc >> 16, (crc >> 8) & 255, crc & 255];
}

function written(bytes) {
  let letters = "", bits = 0, held = 0;
  for (const byte of [...bytes, ...crc24(bytes)]) {
    bits = (bits << 8) | byte;
    for (held += 8; held >= 5; held -= 5) letters += LETTERS[(bits >> (held - 5)) & 31];
    bits &= (1 << held) - 1;
  }
  if (held) letters += LETTERS[(bits << (5 - held)) & 31];
  return PREFIX + letters.match(/.{1,4}/g).join("-");
}

function payloadOf(text) {
  if (!/^vs1-/i.test(text)) throw new Error(`A token begins with ${PREFIX}; copy all of it.`);
  const body = text.slice(PREFIX.length).toUpperCase().replace(/[OIL]/g, (letter) => SAME[letter]);
  const bytes = [];
  let bits = 0, held = 0;
  for (const letter of body.replaceAll("-", "")) {
    bits = ((bits << 5) | LETTERS.indexOf(letter)) & 0xfff;
    for (held += 5; held >= 8; held -= 8) bytes.push((bits >> (held - 8)) & 255);
  }
  const payload = bytes.slice(0, -CRC_BYTES), again = written(payload).slice(PREFIX.length);
  if (payload.length < 2 + DIGEST_BYTES || (body !== again && body !== again.replaceAll("-", ""))) {
    throw new Error("There is a typing error in the token: its checksum is wrong; copy it again.");
  }
  return payload;
}

function varint(bytes, at) {
  let number = 0, next = at;
  do number += (bytes[next] & 127) * 2 ** (7 * (next - at)); while (bytes[next++] & 128);
  return [number, next];
}

function bytesOf(number) {
  const bytes = [];
  for (; number > 127; number = Math.floor(number / 128)) bytes.push((number % 128) | 128);
  return [...bytes, number];
}

/** What a token names: the state (a token without its event) and the event, null for the last. An Error says what is wrong. */
export function parseToken(text) {
  const payload = payloadOf(text.trim()), [, afterStep] = varint(payload, 1 + DIGEST_BYTES);
  if (!(payload[0] & EVENT)) return { state: written(payload), event: null };
  const [event, afterEvent] = varint(payload, afterStep);
  const state = [payload[0] & ~EVENT, ...payload.slice(1, afterStep), ...payload.slice(afterEvent)];
  return { state: written(state), event };
}

/** The token of an event in a state. */
export function tokenAt(state, event) {
  const payload = payloadOf(state), [, afterStep] = varint(payload, 1 + DIGEST_BYTES);
  return written([payload[0] | EVENT, ...payload.slice(1, afterStep), ...bytesOf(event), ...payload.slice(afterStep)]);
}
