// Checking without a kernel: the same feedback as vswaplab.lab.checking gives; a test holds the two equal.

const SPACE = /[ \t\n\r\u00a0\u2009\u202f]+/g;
const NUMBER = new RegExp("^([+-]?)([0-9]{1,3}(?:[,_ ][0-9]{3})+|[0-9]{0,18})([.][0-9]{0,12})?(?:e([+-]?[0-9]{1,2}))?"
  + " ?(%|[a-zµμ][a-zµμ ]{0,23})?$");
const FACTORS = [1024, 4096, 1000, 8];
const MAX_TEXT = 80;

const say = (kind, message) => ({ kind, message });
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (hole, name) => String(values[name]));
const trim = (text) => text.replace(SPACE, " ").replace(/^ +| +$/g, "");

/** What to say to an answer; `rules` and `words` are the question's, from Python. */
export function check(rules, answer, words) {
  return (CHECKS[rules.kind] ?? (() => say("missing", words.task)))(rules, answer, words);
}

function choose({ options, right }, answer, words) {
  const found = options.find(([option]) => option === answer);
  if (!found) return say("missing", words.choose);
  return answer === right ? say("correct", found[1] || words.right) : say("keep working", found[1]);
}

/** The number and the unit (in lower case, or "") that a text says; null if it says none. */
export function parse(text) {
  if (typeof text !== "string" || [...text].length > MAX_TEXT) return null;
  const found = NUMBER.exec(trim(text).replaceAll("\u2212", "-").toLowerCase());
  if (!found) return null;
  const [sign, whole, part, power, unit] = found.slice(1).map((each) => each ?? "");
  const digits = whole.replace(/[,_ ]/g, "");
  if (!digits && part.length < 2) return null;
  return [Number(`${sign}${digits || "0"}${part.length > 1 ? part : ""}e${power || "0"}`), unit];
}

function matches(rules, value, wanted) {
  const small = rules.answer && Math.abs(wanted) < Math.abs(rules.answer);
  const slack = small ? rules.tolerance * (Math.abs(wanted) / Math.abs(rules.answer)) : rules.tolerance;
  return Math.abs(value - wanted) <= Math.max(slack, 1e-9 * Math.abs(wanted));
}

function number(rules, answer, words) {
  const found = parse(answer);
  if (!found || rules.answer === null) return say("missing", words.number);
  const [value, unit] = found, known = Object.keys(rules.factors).length > 0;
  if (unit && !Object.hasOwn(rules.factors, unit)) {
    const kind = matches(rules, value, rules.answer) ? "almost" : "keep working";
    return say(kind, known ? fill(words.unit, { unit: rules.unit }) : words.bare);
  }
  return judge(rules, rules.answer, value * (unit ? rules.factors[unit] : 1), words);
}

function judge(rules, wanted, value, words) {
  if (matches(rules, value, wanted)) return say("correct", rules.right || words.right);
  const known = rules.near.find(([each]) => matches(rules, value, each));
  if (known) return say("keep working", known[1]);
  const factor = wanted && rules.unit
    && FACTORS.find((each) => matches(rules, value * each, wanted) || matches(rules, value / each, wanted));
  if (factor) return say("almost", fill(words.factor, { factor: factor.toLocaleString("en-US") }));
  return Math.abs(value - wanted) <= Math.abs(wanted) / 10 ? say("almost", words.close) : say("keep working", words.far);
}

function order(rules, answer, words) {
  const { items, because, right } = rules;
  if (!Array.isArray(answer) || answer.length !== items.length) return say("missing", words.order);
  const places = answer.map((item) => items.indexOf(item));
  if (places.includes(-1) || new Set(places).size !== items.length) return say("missing", words.order);
  const head = places.findIndex((place, at) => place !== at);
  if (head < 0) return say("correct", right || words.right);
  const kind = longestRise(places) === items.length - 1 ? "almost" : "keep working";
  const broken = because.find(([first, then]) => answer.indexOf(first) > answer.indexOf(then));
  if (broken) return say(kind, broken[2]);
  if (kind === "almost") return say(kind, words.one);
  return say(kind, head ? fill(words.head, { count: head }) : words.restart);
}

function longestRise(places) {
  const lengths = [];
  places.forEach((place, at) => lengths.push(1 + Math.max(0, ...lengths.filter((_, i) => i < at && places[i] < place))));
  return Math.max(...lengths);
}

function explain({ rubric, words: least }, answer, words) {
  const text = typeof answer?.text === "string" ? answer.text : "";
  if (text.split(SPACE).filter(Boolean).length < least) return say("missing", fill(words.text, { count: least }));
  const met = Array.isArray(answer.met) ? answer.met : [];
  const missing = rubric.filter(([point]) => !met.includes(point)).map(([, add]) => add);
  if (!missing.length) return say("correct", words.explained);
  if (missing.length === rubric.length) return say("keep working", words.tick);
  return say(2 * missing.length <= rubric.length ? "almost" : "keep working", missing[0]);
}

function predict({ asked, known, truth }, answer, words) {
  const chosen = asked.kind === "choose";
  const valid = chosen ? asked.options.some(([option]) => option === answer) : parse(answer) !== null;
  const given = valid ? (chosen ? answer : trim(answer)) : "";
  if (!known) return given ? say("recorded", words.recorded) : say("missing", chosen ? words.choose : words.number);
  if (!given) {
    const said = chosen ? asked.options.find(([option]) => option === asked.right)[1] : asked.right;
    return say("missing", join(fill(words.unpredicted, { truth }), said));
  }
  const found = check(asked, given, words), right = found.kind === "correct";
  const frame = fill(right ? words.predicted : words.surprised, { answer: given, truth });
  return say(found.kind, join(frame, right && found.message === words.right ? "" : found.message));
}

const join = (...sentences) => sentences.filter(Boolean).join(" ");

const CHECKS = { choose, number, order, explain, predict };
