// The address of a page: #vs1-… in it opens the stepper of that state at that event, and follows where one steps.

import { h } from "./dom.js";
import { parseToken, tokenAt } from "./token.js";

const ELSEWHERE = "The token in the address is of a state that is not on this page; open it with vswaplab token.";
const PAUSE = 400; // ms: a browser refuses an address that changes with every key held down

let own = ""; // the address as this page wrote it

/** What the address names, `{state, event}`; null if it names no state. An Error says what is wrong with it. */
function named() {
  const text = decodeURIComponent(location.hash.slice(1));
  return /^vs\d+-/i.test(text) ? parseToken(text) : null;
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
      const wanted = named();
      if (!wanted) return;
      const script = scripts.find((each) => stateOf(each) === wanted.state);
      complain(script ? "" : ELSEWHERE);
      if (!script) return;
      const place = script.nextElementSibling;
      place.scrollIntoView({ block: "start" });
      place.arrive = () => arrive(place, wanted.event); // once it is mounted, if it is not yet
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
