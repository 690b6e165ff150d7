// The site's own script: charts drawn when they come near, in the page's colours; hints; the lab page's address.
// PALETTES, set above, gives for each colour that suits any ground that of a light or a dark one.

(() => {
  const HERE = document.currentScript.src;
  const dark = () => document.documentElement.dataset.theme === "dark";
  const SLIDER = 78; // what plotly's own slider takes of a chart's height (figures/chart.py)
  const CONFIG = { displaylogo: false, displayModeBar: false, responsive: false };

  // -- charts -------------------------------------------------------------------------------------------------------

  /** The figure with the colours that suit any ground taken for those of this one. */
  function coloured(value, to) {
    if (typeof value === "string") return to.get(value.toLowerCase()) ?? value;
    if (Array.isArray(value)) return value.map((each) => coloured(each, to));
    if (value && typeof value === "object" && !ArrayBuffer.isView(value)) {
      return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, coloured(each, to)]));
    }
    return value;
  }

  const coloursNow = () => new Map(Object.entries(PALETTES[dark() ? "dark" : "light"]));

  let library = null;

  /** plotly.js, which is large, once the first chart comes near. */
  function plotly() {
    library ??= new Promise((resolve, reject) => {
      const script = Object.assign(document.createElement("script"), { src: new URL("plotly.min.js", HERE), onload: resolve, onerror: reject });
      document.head.append(script);
    });
    return library;
  }

  async function drawChart(figure) {
    await plotly();
    const box = figure.querySelector(".vs-chart-box");
    figure.given ??= JSON.parse(figure.querySelector("script").textContent);
    if (figure.given.frames && !figure.querySelector(".vs-frames")) box.before(frameSlider(figure));
    const { data, layout } = coloured(atFrame(figure), coloursNow());
    box.setAttribute("aria-label", layout.meta?.alt ?? "A chart");
    await Plotly.react(box, data, { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" }, CONFIG);
    fit(figure);
    figure.dataset.drawn = "true";
    if (!figure.querySelector(".vs-downloads")) figure.append(downloads(figure, box));
  }

  /** A figure as it stands: of one with frames the one chosen, with no slider of plotly's. */
  function atFrame({ given, frame }) {
    if (!given.frames) return given;
    const { data, layout } = given.frames[frame];
    return { data, layout: { ...given.layout, ...layout, height: given.layout.height - SLIDER, sliders: [] } };
  }

  function frameSlider(figure) {
    const { frames, layout } = figure.given, [slider] = layout.sliders, prefix = slider.currentvalue.prefix;
    const put = (tag, props, ...children) => {
      const element = Object.assign(document.createElement(tag), props);
      element.append(...children);
      return element;
    };
    figure.frame = slider.active;
    figure.dataset.height = String(layout.height - SLIDER);
    const told = put("output", { textContent: frames[figure.frame].name });
    const range = put("input", { type: "range", min: 0, max: frames.length - 1, value: figure.frame, oninput: () => {
      figure.frame = Number(range.value);
      told.textContent = frames[figure.frame].name;
      range.setAttribute("aria-valuetext", told.textContent);
      drawChart(figure);
    } });
    range.setAttribute("aria-valuetext", told.textContent);
    return put("div", { className: "vs-frames" }, put("label", {}, prefix, range), told);
  }

  /** A chart has one size, so that its labels never run into each other; a narrow page shows it smaller, to a limit. */
  function fit(figure) {
    const box = figure.querySelector(".vs-chart-box"), { width, height } = figure.dataset;
    const scale = Math.max(0.62, Math.min(1, figure.clientWidth / width));
    box.style.transform = scale < 1 ? `scale(${scale})` : "";
    box.style.width = `${width}px`;
    box.style.height = `${height}px`;
    box.style.marginBottom = `${(scale - 1) * height}px`;
    box.style.marginRight = `${(scale - 1) * width}px`;
  }

  function downloads(figure, box) {
    const name = `${location.pathname.split("/").pop().replace(".html", "")}-${[...document.querySelectorAll(".vs-chart")].indexOf(figure) + 1}`;
    const { width, height } = figure.dataset;
    const image = (format) => Plotly.downloadImage(box, { format, filename: name, width: Number(width), height: Number(height), scale: format === "png" ? 2 : 1 });
    const button = (text, act) => Object.assign(document.createElement("button"), { type: "button", textContent: text, onclick: act });
    const row = document.createElement("div");
    row.className = "vs-downloads";
    row.append("Save as ", button("SVG", () => image("svg")), button("PNG", () => image("png")), button("CSV", () => save(`${name}.csv`, csv(atFrame(figure).data))));
    return row;
  }

  /** The numbers of a chart's traces, one row a point. */
  function csv(traces) {
    const quote = (value) => (/[",\n]/.test(String(value ?? "")) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
    const rows = [["series", "x", "y"]];
    for (const { name, x, y, mode, hoverinfo } of traces) {
      if (mode === "text" || hoverinfo === "skip") continue; // labels, not data
      const xs = plain(x), ys = plain(y);
      for (let i = 0; i < Math.max(xs.length, ys.length); i++) {
        if (xs[i] !== null || ys[i] !== null) rows.push([name ?? "", xs[i] ?? i, ys[i] ?? ""]);
      }
    }
    return rows.map((row) => row.map(quote).join(",")).join("\r\n");
  }

  const KINDS = { f8: Float64Array, f4: Float32Array, i1: Int8Array, i2: Int16Array, i4: Int32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };

  function plain(values) {
    if (!values?.bdata) return values ?? [];
    return [...new KINDS[values.dtype](Uint8Array.from(atob(values.bdata), (letter) => letter.charCodeAt(0)).buffer)];
  }

  function save(name, text) {
    const link = Object.assign(document.createElement("a"), { download: name, href: URL.createObjectURL(new Blob([text], { type: "text/csv" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function charts() {
    const all = [...document.querySelectorAll(".vs-chart")];
    if (!all.length) return;
    const near = new IntersectionObserver((seen) => {
      for (const { isIntersecting, target } of seen) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        drawChart(target);
      }
    }, { rootMargin: "600px" });
    for (const figure of all) {
      fit(figure);
      near.observe(figure);
    }
    new MutationObserver(() => all.filter((figure) => figure.dataset.drawn).forEach(drawChart))
      .observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    addEventListener("resize", () => all.forEach(fit));
    drawQuietly(all);
  }

  /** The charts that nobody has come near yet, one whenever there is nothing else to do: printed, a page has them all. */
  function drawQuietly(all) {
    const idle = window.requestIdleCallback ?? ((act) => setTimeout(act, 200));
    const next = () => {
      const left = all.find((figure) => !figure.dataset.drawn);
      if (left) drawChart(left).then(() => idle(next));
    };
    addEventListener("load", () => setTimeout(() => idle(next), 1000));
  }

  /** Paper is light, whatever the screen is. */
  function printing() {
    const root = document.documentElement;
    let screen = root.dataset.theme;
    addEventListener("beforeprint", () => {
      screen = root.dataset.theme;
      root.dataset.theme = "light";
      for (const figure of document.querySelectorAll(".vs-chart[data-drawn]")) drawChart(figure);
    });
    addEventListener("afterprint", () => { root.dataset.theme = screen; });
  }

  // -- hints --------------------------------------------------------------------------------------------------------

  /** What a term or a source is, beside it: by pointer or focus, gone with Escape; the pointer may go into it. */
  function hints() {
    const tip = Object.assign(document.createElement("div"), { className: "vs-hint", role: "tooltip", id: "vs-hint", hidden: true });
    document.body.append(tip);
    let owner = null, timer = 0;
    const hide = () => {
      owner?.removeAttribute("aria-describedby");
      owner = null;
      tip.hidden = true;
    };
    const show = (link) => {
      clearTimeout(timer);
      owner = link;
      tip.textContent = link.dataset.hint;
      tip.hidden = false;
      link.setAttribute("aria-describedby", tip.id);
      const at = link.getBoundingClientRect();
      tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - tip.offsetWidth - 8)) + scrollX}px`;
      tip.style.top = `${(at.top > tip.offsetHeight + 12 ? at.top - tip.offsetHeight - 6 : at.bottom + 6) + scrollY}px`;
    };
    const later = () => { timer = setTimeout(hide, 200); };
    for (const link of document.querySelectorAll("a[data-hint]")) {
      link.addEventListener("pointerenter", (event) => event.pointerType !== "touch" && show(link));
      link.addEventListener("focus", () => show(link));
      link.addEventListener("pointerleave", later);
      link.addEventListener("blur", hide);
    }
    tip.addEventListener("pointerenter", () => clearTimeout(timer));
    tip.addEventListener("pointerleave", later);
    document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  }

  // -- what scrolls sideways can be reached by key ----------------------------------------------------------------------

  function reach() {
    for (const box of document.querySelectorAll(".cell_output .output, .pst-scrollable-table-container, div.highlight pre, .vs-chart")) {
      if (box.scrollWidth > box.clientWidth + 1 && !box.hasAttribute("tabindex")) box.tabIndex = 0;
    }
    for (const toggle of document.querySelectorAll("summary:has(> .toctree-toggle)")) { // the theme gives it a sign and no name
      const link = toggle.closest("li")?.querySelector("a");
      toggle.setAttribute("aria-label", `Pages of ${link?.textContent.trim() ?? "this section"}`);
    }
  }

  /** The lab page, come to from a lesson, says which notebook that is. */
  function lesson() {
    const place = document.getElementById("vs-this-lesson"), name = location.hash.slice(1);
    if (!place || !/^\w+$/.test(name)) return;
    const code = (text) => Object.assign(document.createElement("code"), { textContent: text });
    const link = Object.assign(document.createElement("a"), { href: `http://localhost:8888/lab/tree/notebooks/${name}.ipynb`, textContent: "open it there" });
    place.replaceChildren("In the lab, open ", code(`notebooks/${name}.ipynb`), ". If the lab is running on this computer already, ", link, ".");
  }

  function start() {
    charts();
    hints();
    lesson();
    reach();
    printing();
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
