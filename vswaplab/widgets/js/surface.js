// Surface: a canvas that is as wide as the page lets it be, sharp on any screen, and painted at most once a frame.

import { isDark, watchTheme } from "./theme.js";

const LEAST_SCALE = 0.7; // smaller, and words can't be read: then the box scrolls

export class Surface {
  /** `paint(context, theme)` draws in units of `width` by `height`; `themes` are Python's palettes by name. */
  constructor(width, height, themes, paint) {
    this.width = width;
    this.height = height;
    this.themes = themes;
    this.paint = paint;
    this.scale = 1;
    this.canvas = document.createElement("canvas");
    this.canvas.surface = this; // what saves it finds it there
    this.canvas.className = "vswaplab-canvas";
    this.canvas.setAttribute("role", "img");
    this.frame = 0;
    this.painted = 0; // frames painted so far
    this.observer = new ResizeObserver(() => this.fit());
    this.stop = watchTheme(() => this.redraw());
    this.print = () => this.now(); // paper has a theme of its own, and waits for no frame
    window.addEventListener("beforeprint", this.print);
    window.addEventListener("afterprint", this.print);
  }

  get theme() {
    return this.themes[isDark(this.canvas) ? "dark" : "light"];
  }

  attach(parent) {
    parent.append(this.canvas);
    this.parent = parent;
    this.observer.observe(parent);
    this.fit();
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
    this.fit();
  }

  fit() {
    const room = this.parent.clientWidth || this.width;
    this.scale = Math.max(LEAST_SCALE, Math.min(1, room / this.width));
    const ratio = window.devicePixelRatio || 1;
    const canvas = this.canvas;
    canvas.style.width = `${this.width * this.scale}px`;
    canvas.style.height = `${this.height * this.scale}px`;
    const wide = Math.round(this.width * this.scale * ratio), high = Math.round(this.height * this.scale * ratio);
    if (canvas.width !== wide || canvas.height !== high) {
      canvas.width = wide;
      canvas.height = high;
    }
    this.redraw();
  }

  /** Paint before the next frame, once however often it is asked. */
  redraw() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.now());
  }

  now() {
    this.frame = 0;
    const context = this.canvas.getContext("2d");
    const k = this.scale * (window.devicePixelRatio || 1);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.setTransform(k, 0, 0, k, 0, 0);
    this.paint(context, this.theme);
    this.painted += 1;
  }

  /** Where a pointer event is, in units of the drawing. */
  locate(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / this.scale, (event.clientY - box.top) / this.scale];
  }

  close() {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.observer.disconnect();
    window.removeEventListener("beforeprint", this.print);
    window.removeEventListener("afterprint", this.print);
    this.stop();
  }
}

export const FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
