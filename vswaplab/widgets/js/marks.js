// Marks: the shapes of figures/palette.py on a canvas. A path holds many marks, so that a look is painted in one go.

const OPEN = "-open";

/** Add the outline of one mark to a path. `size` is its width, as plotly counts it. */
export function addMark(path, shape, x, y, size) {
  const r = size / 2;
  const kind = shape.endsWith(OPEN) ? shape.slice(0, -OPEN.length) : shape;
  if (kind === "circle") {
    path.moveTo(x + r, y);
    path.arc(x, y, r, 0, 2 * Math.PI);
  } else if (kind === "square") {
    path.rect(x - r, y - r, size, size);
  } else if (kind === "diamond") {
    const d = r * 1.3;
    path.moveTo(x, y - d);
    path.lineTo(x + d, y);
    path.lineTo(x, y + d);
    path.lineTo(x - d, y);
    path.closePath();
  } else if (kind === "triangle-right") {
    const d = r * 1.1;
    path.moveTo(x - d * 0.7, y - d);
    path.lineTo(x + d, y);
    path.lineTo(x - d * 0.7, y + d);
    path.closePath();
  } else { // a cross
    path.moveTo(x - r, y - r);
    path.lineTo(x + r, y + r);
    path.moveTo(x + r, y - r);
    path.lineTo(x - r, y + r);
  }
}

/** Paint a path of marks of one look. */
export function paintMarks(context, path, shape, colour, width = 1.6) {
  if (shape.endsWith(OPEN) || shape === "x") {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke(path);
  } else {
    context.fillStyle = colour;
    context.fill(path);
  }
}
