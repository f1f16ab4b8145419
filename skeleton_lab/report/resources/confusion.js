// Confusion matrix: rows are true classes, columns predictions, colour is the share of the row (square-root scale).
function startConfusion(canvas, { names, ids, cells }) {
  const count = names.length;
  const table = Array.from({ length: count }, () => new Float64Array(count));
  for (let k = 0; k < cells.length; k += 3) table[cells[k]][cells[k + 1]] = cells[k + 2];
  const totals = table.map((row) => row.reduce((sum, value) => sum + value, 0));
  const titles = names.map((name, k) => (name === `class ${ids[k]}` ? name : `${name} (${ids[k]})`));
  let layout = null;
  let chosen = null;

  function rgb(name) {
    return colour(name).match(/[0-9a-f]{2}/gi).map((pair) => parseInt(pair, 16));
  }

  function measure() {
    const width = canvas.parentElement.clientWidth - 30;
    const pen = canvas.getContext("2d");
    pen.font = "12px system-ui, sans-serif";
    const widest = Math.min(220, Math.max(...titles.map((title) => pen.measureText(title).width)) + 12);
    const named = (Math.min(width, 1050) - widest) / count >= 11.5;
    const left = named ? widest : 34;
    const cell = Math.max(2, Math.min(56, (width - left - 2) / count));
    return { named, left, top: 22, cell, width: left + cell * count + 2, height: 22 + cell * count + 2 };
  }

  function labels(pen) {
    const { named, left, top, cell } = layout;
    const step = cell >= 17 ? 1 : cell >= 9 ? 5 : 10;
    const size = Math.max(9, Math.min(12, cell - 1));
    pen.fillStyle = colour("muted");
    pen.font = `${size}px system-ui, sans-serif`;
    for (let k = 0; k < count; k++) {
      const middle = (k + 0.5) * cell;
      pen.textBaseline = "middle";
      pen.textAlign = "right";
      if (named) pen.fillText(titles[k], left - 5, top + middle, left - 6);
      else if (k % step === 0) pen.fillText(ids[k], left - 5, top + middle);
      pen.textAlign = "center";
      if (k % step === 0) pen.fillText(ids[k], left + middle, top - 9);
    }
  }

  function square(pen, row, column, empty, full) {
    const { left, top, cell } = layout;
    const share = totals[row] ? table[row][column] / totals[row] : 0;
    const depth = Math.sqrt(share);
    pen.fillStyle = `rgb(${empty.map((value, k) => Math.round(value + (full[k] - value) * depth)).join(",")})`;
    const gap = cell > 6 ? 1 : 0;
    pen.fillRect(left + column * cell, top + row * cell, cell - gap, cell - gap);
    if (cell < 30 || !table[row][column]) return;
    pen.fillStyle = depth > 0.55 ? colour("card") : colour("text");
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(Math.round(100 * share) || "<1", left + (column + 0.5) * cell, top + (row + 0.5) * cell);
  }

  function draw() {
    layout = measure();
    canvas.style.width = layout.width + "px";
    canvas.style.height = layout.height + "px";
    const pen = sharp(canvas, layout.width, layout.height);
    const [empty, full] = [rgb("empty"), rgb("full")];
    labels(pen);
    for (let row = 0; row < count; row++) {
      for (let column = 0; column < count; column++) square(pen, row, column, empty, full);
    }
    if (!chosen) return;
    const { left, top, cell } = layout;
    pen.strokeStyle = colour("bad");
    pen.lineWidth = 1;
    pen.strokeRect(left - 0.5, top + chosen.row * cell - 0.5, count * cell, cell);
    pen.strokeRect(left + chosen.column * cell - 0.5, top - 0.5, cell, count * cell);
    pen.lineWidth = 2.5;
    pen.strokeRect(left + chosen.column * cell - 0.5, top + chosen.row * cell - 0.5, cell, cell);
  }

  function choose(row, column, at) {
    const clamp = (value) => Math.max(0, Math.min(count - 1, value));
    const next = { row: clamp(row), column: clamp(column) };
    const moved = !chosen || next.row !== chosen.row || next.column !== chosen.column;
    chosen = next;
    if (moved) draw();
    const { left, top, cell } = layout;
    const box = canvas.getBoundingClientRect();
    const number = table[chosen.row][chosen.column];
    const share = totals[chosen.row] ? ((100 * number) / totals[chosen.row]).toFixed(1) : "0.0";
    const [x, y] = at ?? [box.left + left + (chosen.column + 1) * cell, box.top + top + (chosen.row + 1) * cell];
    showTip(x, y, [
      chosen.row === chosen.column ? "recognised" : "confused",
      `true: ${titles[chosen.row]}`,
      `predicted: ${titles[chosen.column]}`,
      `${number} of ${totals[chosen.row]} samples, ${share} %`,
    ]);
  }

  function leave() {
    chosen = null;
    hideTip();
    draw();
  }

  function point(event) {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - layout.left) / layout.cell);
    const row = Math.floor((event.clientY - box.top - layout.top) / layout.cell);
    if (row < 0 || column < 0 || row >= count || column >= count) leave();
    else choose(row, column, [event.clientX, event.clientY]);
  }

  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("blur", leave);
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!by) return;
    event.preventDefault();
    const from = chosen ?? { row: 0, column: 0 };
    choose(from.row + by[0], from.column + by[1]);
  });
  draw();
  redraw.push(draw);
}

const confusionCanvas = document.getElementById("confusion");
if (confusionCanvas && data.confusion) startConfusion(confusionCanvas, data.confusion);
