// zswap's pool: its pictures at one cursor, with words and tables.

import { Fold, h, pictureBox, table } from "./dom.js";
import { PoolLog } from "./poollog.js";
import { CLASSES, LIMITS, SIZES, WIDE, ageLayout, paintAges, paintClasses, paintLimits, paintSizes } from "./poolpictures.js";
import { Surface } from "./surface.js";
import { Transport } from "./transport.js";
import { count, number } from "./words.js";

export class ZswapPool {
  constructor(model, el) {
    this.model = model;
    this.header = model.get("header");
    this.log = new PoolLog(this.header, model.get("data"));
    const { themes } = this.header, pane = (wide, high, paint, alt) => {
      const surface = new Surface(wide, high, themes, (context, theme) => {
        surface.canvas.setAttribute("aria-label", alt());
        paint(context, theme);
      });
      return surface;
    };
    const layout = ageLayout(this.log, this.longest());
    this.log.seek(model.get("step"));
    this.surfaces = [
      pane(WIDE, CLASSES.high, (...to) => paintClasses(...to, this.log), () => this.altClasses()),
      pane(WIDE, LIMITS.high, (...to) => paintLimits(...to, this.log), () => this.altLimits()),
      pane(WIDE, layout.high, (...to) => paintAges(...to, this.log, layout), () => this.altAges())];
    this.sizes = this.header.histograms.map((each) => pane(SIZES.wide, SIZES.high, (...to) => paintSizes(...to, this.log, each), () => altSizes(each)));
    this.status = h("div", { className: "vswaplab-status vswaplab-pool-status", role: "status" });
    this.transport = new Transport(this.log, () => this.moved(), "operation");
    this.folds = [new Fold("The same as a table", () => this.tables(), "vswaplab-twin"),
      new Fold("The calls behind this picture", () => h("pre", { textContent: model.get("code") }))];
    const boxes = this.surfaces.map(() => pictureBox()), sizes = this.sizes.map(() => pictureBox());
    this.root = h("div", { className: "vswaplab-view vswaplab-pool", tabIndex: 0, role: "group",
      "aria-label": "zswap pool: arrow keys step by operations, space plays, page keys change the phase" },
    this.transport.element, this.status, ...boxes, h("div", { className: "vswaplab-pair vswaplab-sizes" }, ...sizes), ...this.folds.map((fold) => fold.element));
    this.root.addEventListener("keydown", (event) => this.transport.key(event));
    this.root.player = this;
    el.replaceChildren(this.root);
    this.surfaces.forEach((surface, i) => surface.attach(boxes[i]));
    this.sizes.forEach((surface, i) => surface.attach(sizes[i]));
    this.follow = () => {
      if (model.get("step") === this.log.position) return;
      this.log.seek(model.get("step"));
      this.transport.show();
      this.show();
    };
    model.on("change:step", this.follow);
    this.show();
  }

  /** The most pages that are stored at any operation. */
  longest() {
    const { op } = this.log.c;
    let stored = 0, most = 1;
    for (const each of op) {
      stored += each === 0 ? 1 : each === 1 ? -1 : 0;
      most = Math.max(most, stored);
    }
    return most;
  }

  moved() {
    this.show();
    if (this.transport.playing && this.log.position < this.log.length) return;
    this.model.set("step", this.log.position);
    this.model.save_changes();
  }

  show() {
    const { log } = this, pages = log.pages(), bytes = log.bytes(), { refused, back } = log.counts();
    this.status.setAttribute("aria-live", this.transport.playing ? "off" : "polite");
    this.status.replaceChildren(h("b", { textContent: `operation ${log.position} of ${log.length}` }),
      ` · ${count(log.objects.size, "page")} stored in ${number(bytes)} bytes, the pool takes ${count(pages, "page")} (${number(pages * 4096)} bytes)`,
      ` · ${number(back)} written back, ${number(refused)} not taken`, h("br"), log.describe());
    for (const surface of [...this.surfaces, ...this.sizes]) surface.redraw();
    for (const fold of this.folds) fold.update();
  }

  altClasses() {
    const classes = this.log.classes(), zspages = classes.reduce((sum, each) => sum + each.zspages.length, 0);
    return `zspages by size class: ${count(zspages, "zspage")} in ${count(classes.length, "size class", "size classes")}, ${count(this.log.objects.size, "object")}.`;
  }

  altLimits() {
    const { limits } = this.header, said = limits ? ` Full at ${number(limits.max)} pages, accepts again below ${number(limits.accept)}.` : "";
    return `Pages of the pool over ${number(this.log.length)} operations: ${number(this.log.pages())} now.${said}`;
  }

  altAges() {
    const order = [...this.log.lrus.values()].flat();
    return `List by age: ${count(order.length, "page")}, ${number(order.filter((entry) => this.log.chances.has(entry)).length)} with a second chance${order.length ? `; the oldest is entry ${this.log.nameOf(order[0])}` : ""}.`;
  }

  tables() {
    const { log } = this, classes = log.classes().map(({ klass, zspages }) => {
      const [size, pages, objs] = log.header.classes[klass], used = zspages.reduce((sum, [, objects]) => sum + objects.size, 0);
      return [number(size), number(pages), number(zspages.length), number(used), `${Math.round(100 * used / (objs * zspages.length))} %`];
    });
    const ages = [...log.lrus.values()].flat().slice(0, 40).map((entry) => [log.nameOf(entry), number(log.objects.get(entry).length), log.chances.has(entry) ? "yes" : "no"]);
    const sizes = this.header.histograms.map(({ codec, pages, mean, incompressible }) => [codec, number(pages), number(mean), number(incompressible)]);
    return [table("Size classes in use", ["object, bytes", "pages a zspage", "zspages", "objects in use", "full"], classes),
      table("The forty oldest pages", ["entry", "bytes", "second chance"], ages),
      table("Real pages by codec", ["codec", "pages", "mean, bytes", "not smaller"], sizes)];
  }

  close() {
    this.transport.toggle(false);
    this.model.off("change:step", this.follow);
    for (const surface of [...this.surfaces, ...this.sizes]) surface.close();
  }
}

function altSizes({ codec, pages, mean, incompressible }) {
  return `Compressed sizes of ${number(pages)} real pages with ${codec}: ${number(mean)} bytes in the mean, ${number(incompressible)} not smaller than a page.`;
}
