// The front page's picture: one page of memory in both designs, moved on by scroll, by keys, or by its own clock.
// What each stage shows comes from the page (`vswaplab.export.site.front`), read off two machines of the model.

(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const WIDE = 560, HIGH = 252, PAUSE = 2600;
  const PLACES = { // x, y, width, height of each box
    pte: [2, 99, 146, 56],
    entry: [202, 99, 130, 56],
    memory: [392, 24, 160, 46],
    zswap: [392, 101, 160, 46],
    swapfile: [392, 178, 160, 46],
  };
  const KIND = { memory: "folio", zswap: "zswap", swapfile: "swapfile" };

  function s(name, attributes = {}, ...children) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  const centre = ([x, y, w, h]) => [x + w / 2, y + h / 2];
  const text = (x, y, words, className = "") => s("text", { x, y, class: className }, words);

  function box(name, title) {
    const [x, y, w, h] = PLACES[name];
    return s("g", { class: `vs-j-box vs-j-${name}` }, s("rect", { x, y, width: w, height: h, rx: 7 }), text(x, y - 7, title, "vs-j-title"));
  }

  /** One design: boxes that stay, arrows and the page that move. */
  class Track {
    constructor(design, title, stages) {
      this.design = design;
      this.stages = stages;
      this.marker = `vs-j-head-${design}`;
      const head = s("marker", { id: this.marker, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" },
        s("path", { d: "M0 0 L8 4 L0 8 Z", class: "vs-j-head" }));
      this.lines = s("g");
      this.names = s("g");
      this.page = s("g", { class: "vs-j-page" }, s("rect", { x: -13, y: -13, width: 26, height: 26, rx: 3 }), s("path", { d: "M-7 -5 H7 M-7 0 H7 M-7 5 H3" }));
      const slots = Array.from({ length: 6 }, (_, i) => s("rect", { x: 402 + i * 24, y: 188, width: 20, height: 26, rx: 2 }));
      this.slots = slots;
      this.root = s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", class: `vs-j vs-j-${design}` }, s("defs", {}, head),
        box("pte", "page table entry"), ...(design === "virtual" ? [box("entry", "virtual slot")] : []),
        box("memory", "memory"), box("zswap", "zswap, compressed"), box("swapfile", "swapfile"),
        s("g", { class: "vs-j-slots" }, ...slots), this.lines, this.page, this.names);
      this.title = Object.assign(document.createElement("h3"), { textContent: title });
    }

    show(at) {
      const stage = this.stages[at], virtual = this.design === "virtual";
      const { pte, entry } = PLACES, place = PLACES[stage.contents];
      const entryUsed = virtual && stage.backing !== null, slotUsed = stage.slot === "taken" || stage.slot === "holds";
      this.root.setAttribute("aria-label", this.words(stage));
      this.root.dataset.contents = stage.contents;
      this.root.dataset.slot = stage.slot;
      this.root.dataset.backing = stage.backing ?? "none";
      this.root.dataset.pte = stage.pte;
      this.root.dataset.entry = entryUsed;
      this.slots.forEach((slot, i) => slot.setAttribute("class", i === 1 && slotUsed ? `vs-j-${stage.slot}` : ""));
      this.page.dataset.kind = KIND[stage.contents];
      const [x, y] = stage.contents === "swapfile" ? [436, 201] : [place[0] + 26, place[1] + place[3] / 2];
      const scale = stage.contents === "zswap" ? 0.55 : stage.contents === "swapfile" ? 0.78 : 1;
      this.page.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
      const from = [pte[0] + pte[2], centre(pte)[1]];
      const lines = [];
      const end = stage.contents === "swapfile" ? [423, 201] : [place[0], centre(place)[1]];
      if (virtual && stage.pte === "entry") {
        lines.push([from, [entry[0], centre(entry)[1]]], [[entry[0] + entry[2], centre(entry)[1]], end]);
      } else if (!virtual && stage.pte === "entry") {
        lines.push([from, [423, 201]]);
        if (stage.contents === "zswap") lines.push([[436, 186], [place[0] + 26, place[1] + place[3] - 14], "vs-j-faint"]);
      } else lines.push([from, end, "", true]);
      this.lines.replaceChildren(...lines.map(([start, to, className = "", over = false]) => this.arrow(start, to, className, over)));
      this.names.replaceChildren(...this.labels(stage, entryUsed));
    }

    arrow([x1, y1], [x2, y2], className, over) {
      const middle = (x1 + x2) / 2, end = `${x2 - 2} ${y2}`;
      const d = over ? `M${x1} ${y1} C${x1 + 30} ${y1} ${x1 + 12} ${y2} ${x1 + 50} ${y2} L${end}` // above the virtual slot
        : x1 > 400 ? `M${x1} ${y1} L${x2} ${y2}` : `M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${end}`;
      return s("path", { d, class: `vs-j-line ${className}`, "marker-end": `url(#${this.marker})` });
    }

    labels(stage, entryUsed) {
      const { pte, entry } = PLACES;
      const found = [text(pte[0] + 10, pte[1] + 33, stage.named, "vs-j-value")];
      if (this.design === "virtual") {
        found.push(entryUsed ? text(entry[0] + 10, entry[1] + 25, "backed by", "vs-j-small") : text(entry[0] + 10, entry[1] + 34, "none", "vs-j-none"));
        if (entryUsed) found.push(text(entry[0] + 10, entry[1] + 44, stage.backing, "vs-j-value"));
      }
      const said = { memory: "4,096 bytes", zswap: `${stage.bytes.toLocaleString("en")} bytes`, swapfile: "" }[stage.contents];
      const place = PLACES[stage.contents];
      if (said) found.push(text(place[0] + 48, place[1] + 28, said, "vs-j-value"));
      const [x, y, , h] = PLACES.swapfile;
      const slot = { free: "no slot in use", taken: `slot ${stage.number} taken, not written`, holds: `slot ${stage.number} holds the page`, off: "taken away" }[stage.slot];
      found.push(text(x, y + h + 16, slot, stage.slot === "taken" ? "vs-j-small vs-j-warn" : "vs-j-small"));
      return found;
    }

    words({ named, contents, slot, backing, bytes }) {
      const where = { memory: "in memory", zswap: `in zswap, ${bytes} bytes`, swapfile: "on the swapfile" }[contents];
      const used = { free: "no slot of the swapfile is in use", taken: "a slot of the swapfile is taken and unused", holds: "a slot of the swapfile holds it", off: "there is no swapfile" }[slot];
      return `The page table entry names ${named}; the page is ${where}; ${backing && this.design === "virtual" ? `the backing is ${backing}; ` : ""}${used}.`;
    }
  }

  function start() {
    const root = document.querySelector(".vs-journey");
    if (!root) return;
    const found = JSON.parse(root.querySelector("script").textContent), picture = root.querySelector(".vs-journey-picture");
    const sections = [...root.querySelectorAll(".vs-stage")], last = sections.length - 1;
    const tracks = ["legacy", "virtual"].map((design) => new Track(design, found.titles[design], found[design]));
    const button = (words, label, act) => Object.assign(document.createElement("button"), { type: "button", textContent: words, ariaLabel: label, onclick: act });
    const told = Object.assign(document.createElement("output"), { className: "vs-j-told" });
    let at = -1, timer = 0, scrolled = 0;
    const back = button("←", "Step back", () => go(at - 1)), on = button("→", "Step forward", () => go(at + 1));
    const play = button("Play", "Play", () => toggle());
    const row = Object.assign(document.createElement("div"), { className: "vs-j-keys" });
    row.append(back, play, on, told);
    picture.append(...tracks.flatMap((track) => [track.title, track.root]), row);
    root.dataset.ready = "true";

    function show(next) {
      if (next === at) return;
      at = next;
      for (const track of tracks) track.show(at);
      sections.forEach((section, i) => section.classList.toggle("vs-here", i === at));
      told.textContent = `${at + 1} of ${last + 1}: ${sections[at].querySelector("h2").lastChild.textContent.trim()}`;
      back.disabled = at === 0;
      on.disabled = at === last;
      root.dataset.stage = String(at);
    }

    /** To a stage by key or button: the text follows, and its scrolling does not move the picture again. */
    function go(next) {
      const wanted = Math.max(0, Math.min(last, next));
      show(wanted);
      scrolled = performance.now();
      const smooth = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
      const box = sections[wanted].getBoundingClientRect();
      scrollTo({ top: scrollY + box.top - line() + 30, behavior: smooth });
    }

    /** How far down the page the stage that is read begins: below the middle, or below the picture. */
    const line = () => (matchMedia("(max-width: 959px)").matches ? picture.getBoundingClientRect().bottom + 60 : innerHeight * 0.42);

    function follow() {
      if (performance.now() - scrolled < 900) return;
      const here = sections.findLastIndex((section) => section.getBoundingClientRect().top <= line());
      show(Math.max(0, here));
    }

    function toggle(playing = !timer) {
      clearInterval(timer);
      timer = 0;
      play.textContent = play.ariaLabel = playing ? "Pause" : "Play";
      if (!playing) return;
      if (at === last) go(0);
      timer = setInterval(() => (at === last ? toggle(false) : go(at + 1)), PAUSE);
    }

    picture.addEventListener("keydown", (event) => {
      const moves = { ArrowRight: () => go(at + 1), ArrowLeft: () => go(at - 1), ArrowDown: () => go(at + 1), ArrowUp: () => go(at - 1), Home: () => go(0), End: () => go(last), " ": () => toggle() };
      if (!(event.key in moves) || (event.key === " " && event.target.tagName === "BUTTON") || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      moves[event.key]();
    });
    addEventListener("scroll", follow, { passive: true });
    for (const kind of ["wheel", "touchmove"]) addEventListener(kind, () => { scrolled = 0; if (timer) toggle(false); }, { passive: true });
    show(0);
    follow();
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
