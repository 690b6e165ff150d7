// The address of a page: #vs1-… in it opens the stepper of that state at that event, and follows where one steps;
// #view-3-12 opens the third view of the page at its step 12, for those whose state has no token.

import { h } from "./dom.js";
import { parseToken, tokenAt } from "./token.js";

const ELSEWHERE = "What the address names is not on this page; a token opens anywhere with vswaplab token.";
const PAUSE = 400; // ms: a browser refuses an address that changes with every key held down

let own = ""; // the address as this page wrote it

/** What the address names, `{script, event}`; null if it names no view. An Error says what is wrong with it. */
function named(scripts) {
  const text = decodeURIComponent(location.hash.slice(1)), place = /^view-(\d+)-(\d+)$/.exec(text);
  if (place) return { script: scripts[Number(place[1]) - 1], event: Number(place[2]) };
  if (!/^vs\d+-/i.test(text)) return null;
  const { state, event } = parseToken(text);
  return { script: scripts.find((each) => stateOf(each) === state), event };
}

/** The fragment that leads to a view: its token if its state has one, else its place on the page. */
export function fragmentOf(model, place) {
  const state = model.get("header")?.token, step = model.get("step");
  return state ? tokenAt(state, step) : `view-${place}-${step}`;
}

const stateOf = (script) => /"token":"(vs1-[0-9A-Z-]+)"/.exec(script.textContent)?.[1];

function complain(message) {
  document.querySelector(".vswaplab-address")?.remove();
  if (message) document.body.prepend(h("p", { className: "vswaplab-error vswaplab-address", role: "alert", textContent: message }));
}

/** Go to what the address names, if it is among the views of the page, now and whenever it changes. */
export function goByAddress(scripts) {
  const go = () => {
    if (location.hash === own) return;
    try {
      const wanted = named(scripts);
      if (!wanted) return;
      const { script, event } = wanted;
      complain(script ? "" : ELSEWHERE);
      if (!script) return;
      const place = script.nextElementSibling;
      place.scrollIntoView({ block: "start" });
      place.arrive = () => arrive(place, event); // once it is mounted, if it is not yet
      if (place.model) place.arrive();
    } catch (error) {
      complain(error.message);
    }
  };
  addEventListener("hashchange", go);
  go();
}

function arrive(place, event) {
  if (event !== null) place.model.set("step", event);
  place.querySelector(".vswaplab-view")?.focus({ preventScroll: true });
}

/** Keep the address at where a view of a named state stands. */
export function followInAddress(model) {
  const state = model.get("header")?.token;
  if (!state) return;
  let timer = 0;
  model.on("change:step", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      own = `#${tokenAt(state, model.get("step"))}`;
      history.replaceState(null, "", own);
    }, PAUSE);
  });
}
