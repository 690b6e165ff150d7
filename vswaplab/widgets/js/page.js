// Views on a page without a kernel: each stands as JSON in a script element, its bytes compressed.

import { followInAddress, fragmentOf, goByAddress } from "./address.js";
import { complain } from "./dom.js";
import { render } from "./index.js";

/** What JupyterLab's model is to a view, with nobody behind it. */
export class PlainModel {
  /** `place` is the view's on its page, from 1. */
  constructor(traits, place = 1) {
    this.traits = traits;
    this.place = place;
    this.heard = new Map();
  }

  get(name) {
    return this.traits[name];
  }

  set(name, value) {
    if (this.traits[name] === value) return;
    this.traits[name] = value;
    for (const listener of this.heard.get(`change:${name}`) ?? []) listener();
  }

  save_changes() {}

  send() {}

  /** The address of this page at the step that the view shows. */
  link() {
    return `${location.href.split("#")[0]}#${fragmentOf(this, this.place)}`;
  }

  on(name, listener) {
    this.heard.set(name, [...(this.heard.get(name) ?? []), listener]);
  }

  off(name, listener) {
    this.heard.set(name, (this.heard.get(name) ?? []).filter((each) => each !== listener));
  }
}

/** Bytes from what Python wrote: zlib, in base 64. */
export async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function mount(script, el, nr) {
  try {
    const { packed, ...traits } = JSON.parse(script.textContent);
    for (const [name, text] of Object.entries(packed)) traits[name] = await inflate(text);
    el.model = new PlainModel(traits, nr);
    render({ model: el.model, el });
    el.arrive?.();
    followInAddress(el.model);
  } catch (error) {
    complain(el, error);
  }
}

/** Show every view of the page; a view far down is shown when it comes near, or when there is nothing else to do. */
export function mountAll() {
  const scripts = [...document.querySelectorAll('script[type="application/vswaplab+json"]')];
  const waiting = new Set(), idle = window.requestIdleCallback ?? ((act) => setTimeout(act, 200));
  const show = (place) => {
    if (!waiting.delete(place)) return null;
    near.unobserve(place);
    return mount(place.previousElementSibling, place, 1 + scripts.indexOf(place.previousElementSibling));
  };
  const near = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) if (isIntersecting) show(target);
  }, { rootMargin: "600px" });
  for (const script of scripts) {
    const place = document.createElement("div");
    place.className = "vswaplab-place";
    script.after(place);
    waiting.add(place);
    near.observe(place);
  }
  goByAddress(scripts);
  const next = () => {
    const [place] = waiting;
    if (place) show(place).then(() => idle(next));
  };
  setTimeout(() => idle(next), 1000); // what is in the window comes first
}
