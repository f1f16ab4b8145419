// The accuracies of the classes: another order, and those that a search finds.
function matches(name, id, wanted) {
  const word = wanted.trim().toLowerCase();
  return !word || String(id) === word || name.toLowerCase().includes(word);
}

const classList = document.querySelector(".classes");
if (classList) {
  const items = [...classList.children];
  const orders = {
    worst: (a, b) => a.dataset.share - b.dataset.share || b.dataset.total - a.dataset.total,
    best: (a, b) => b.dataset.share - a.dataset.share || b.dataset.total - a.dataset.total,
    id: (a, b) => a.dataset.id - b.dataset.id,
    name: (a, b) => a.firstChild.textContent.localeCompare(b.firstChild.textContent),
    samples: (a, b) => b.dataset.total - a.dataset.total,
  };
  const search = document.getElementById("classes-search");
  const order = document.getElementById("classes-order");
  const update = () => {
    items.sort(orders[order.value]);
    classList.append(...items);
    let found = 0;
    for (const item of items) {
      item.hidden = !matches(item.firstChild.textContent, item.dataset.id, search.value);
      found += !item.hidden;
    }
    document.getElementById("classes-found").textContent = search.value ? `${found} of ${items.length} classes` : "";
  };
  search.addEventListener("input", update);
  order.addEventListener("change", update);
}

// Confusion matrix: rows are true classes, columns predictions, colour is the share of the row (square-root scale).
// Its classes can be put into another order, searched and enlarged; labels stay where they are when it is scrolled.
const LARGEST = 40; // pixels of a cell
const READABLE = 11.5; // of a cell whose class is named

// Of a colour, as WCAG 2 has it: 0 is black, 1 is white.
function luminance(rgb) {
  const linear = rgb.map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

// The parts of a colour of the theme, 0 to 255.
function rgb(name) {
  return colour(name).match(/[0-9a-f]{2}/gi).map((pair) => parseInt(pair, 16));
}

class ConfusionMatrix {
  constructor(canvas, { names, ids, cells, ...more }) {
    Object.assign(this, { ...more, canvas, names, ids, box: canvas.parentElement, chosen: null, zoom: 1 });
    this.table = ids.map(() => new Float64Array(ids.length));
    for (let k = 0; k < cells.length; k += 3) this.table[cells[k]][cells[k + 1]] = cells[k + 2];
    this.totals = this.table.map((row) => row.reduce((sum, value) => sum + value, 0));
    this.titles = names.map((name, k) => (name === `class ${ids[k]}` ? name : `${name} (${ids[k]})`));
    this.search = document.getElementById("confusion-search");
    this.order = document.getElementById("confusion-order");
    this.listen();
    this.arrange();
  }

  share(row, column) {
    return this.totals[row] ? this.table[row][column] / this.totals[row] : 0;
  }

  // Which classes are rows and columns, in which order.
  arrange() {
    const all = this.ids.map((_, k) => k);
    const accuracy = (k) => (this.totals[k] ? this.share(k, k) : 2); // without samples: last
    if (this.order.value === "accuracy") all.sort((a, b) => accuracy(a) - accuracy(b));
    if (this.order.value === "name") all.sort((a, b) => this.names[a].localeCompare(this.names[b]));
    const wanted = this.search.value;
    this.rows = all.filter((k) => matches(this.names[k], this.ids[k], wanted));
    this.columns = wanted.trim() ? all.filter((k) => this.rows.some((row) => row === k || this.table[row][k])) : all;
    this.chosen = null;
    hideTip();
    this.draw();
  }

  measure() {
    const width = this.box.clientWidth;
    const pen = this.canvas.getContext("2d");
    pen.font = "12px system-ui, sans-serif";
    const shown = this.rows.map((row) => pen.measureText(this.titles[row]).width);
    const widest = Math.max(34, Math.min(0.45 * width, Math.max(0, ...shown) + 12));
    const fitting = (left) => Math.max(2, Math.min(LARGEST, ((width - left - 2) / Math.max(this.columns.length, 1)) * this.zoom));
    const named = fitting(widest) >= READABLE;
    const left = named ? widest : 34;
    const cell = fitting(left);
    const [across, down] = [cell * this.columns.length, cell * this.rows.length];
    return { named, left, top: 22, cell, width: left + across + 2, height: 22 + down + 2 };
  }

  labels(pen) {
    const { named, left, top, cell, width, height } = this.layout;
    const [x, y] = [this.box.scrollLeft, this.box.scrollTop];
    const step = cell >= 17 ? 1 : cell >= 9 ? 5 : 10;
    pen.font = `${Math.max(9, Math.min(12, cell - 1))}px system-ui, sans-serif`;
    pen.textBaseline = "middle";
    pen.fillStyle = colour("card");
    pen.fillRect(x, 0, left, height);
    pen.fillRect(0, y, width, top);
    pen.fillStyle = colour("muted");
    const middle = (k) => (k + 0.5) * cell;
    const told = this.order.value === "id" && !this.search.value.trim() ? (k) => k % step === 0 : () => cell >= 15;
    pen.textAlign = "center";
    this.columns.forEach((column, k) => told(k) && left + middle(k) > x + left && pen.fillText(this.ids[column], left + middle(k), y + top - 9));
    pen.textAlign = "right";
    this.rows.forEach((row, k) => {
      if (top + middle(k) < y + top) return;
      if (named) pen.fillText(this.titles[row], x + left - 5, top + middle(k), left - 6);
      else if (told(k)) pen.fillText(this.ids[row], x + left - 5, top + middle(k));
    });
    pen.fillStyle = colour("card");
    pen.fillRect(x, y, left, top);
  }

  shade(row, column, empty, full) {
    const depth = Math.sqrt(this.share(row, column));
    return empty.map((value, c) => Math.round(value + (full[c] - value) * depth));
  }

  figure(row, column) {
    return Math.round(100 * this.share(row, column)) || "<1";
  }

  square(pen, k, n, empty, full) {
    const { left, top, cell } = this.layout;
    const [row, column] = [this.rows[k], this.columns[n]];
    const shade = this.shade(row, column, empty, full);
    pen.fillStyle = `rgb(${shade.join(",")})`;
    const gap = cell > 6 ? 1 : 0;
    pen.fillRect(left + n * cell, top + k * cell, cell - gap, cell - gap);
    if (cell < 26 || !this.table[row][column]) return;
    pen.fillStyle = luminance(shade) > 0.179 ? "#000" : "#fff"; // equal contrast there
    pen.font = "11px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(this.figure(row, column), left + (n + 0.5) * cell, top + (k + 0.5) * cell);
  }

  draw() {
    this.layout = this.measure();
    const { left, top, cell, width, height } = this.layout;
    this.canvas.style.width = width + "px";
    this.canvas.style.height = height + "px";
    const pen = sharp(this.canvas, width, height);
    const [empty, full] = ["empty", "full"].map(rgb);
    for (let k = 0; k < this.rows.length; k++) {
      for (let n = 0; n < this.columns.length; n++) this.square(pen, k, n, empty, full);
    }
    if (this.chosen) {
      const [k, n] = this.chosen;
      pen.strokeStyle = colour("bad");
      pen.lineWidth = 1;
      pen.strokeRect(left - 0.5, top + k * cell - 0.5, this.columns.length * cell, cell);
      pen.strokeRect(left + n * cell - 0.5, top - 0.5, cell, this.rows.length * cell);
      pen.lineWidth = 2.5;
      pen.strokeRect(left + n * cell - 0.5, top + k * cell - 0.5, cell, cell);
    }
    this.labels(pen);
  }

  choose(k, n, at) {
    const clamp = (value, list) => Math.max(0, Math.min(list.length - 1, value));
    const next = [clamp(k, this.rows), clamp(n, this.columns)];
    const moved = !this.chosen || next.some((value, place) => value !== this.chosen[place]);
    this.chosen = next;
    if (moved) this.draw();
    const { left, top, cell } = this.layout;
    const box = this.canvas.getBoundingClientRect();
    const [row, column] = [this.rows[next[0]], this.columns[next[1]]];
    const [x, y] = at ?? [box.left + left + (next[1] + 1) * cell, box.top + top + (next[0] + 1) * cell];
    showTip(x, y, this.told(row, column));
  }

  told(row, column) {
    return [
      row === column ? "recognised" : "confused",
      `true: ${this.titles[row]}`,
      `predicted: ${this.titles[column]}`,
      `${this.table[row][column]} of ${this.totals[row]} samples, ${(100 * this.share(row, column)).toFixed(1)} %`,
    ];
  }

  leave() {
    this.chosen = null;
    hideTip();
    this.draw();
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const { left, top, cell } = this.layout;
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const [n, k] = [Math.floor((x - left) / cell), Math.floor((y - top) / cell)];
    const covered = x < this.box.scrollLeft + left || y < this.box.scrollTop + top;
    if (covered || k >= this.rows.length || n >= this.columns.length) this.leave();
    else this.choose(k, n, [event.clientX, event.clientY]);
  }

  enlarge(factor) {
    this.zoom = Math.max(1, Math.min(8, this.zoom * factor));
    this.leave();
  }

  key(event) {
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!by || !this.rows.length) return;
    event.preventDefault();
    const [k, n] = this.chosen ?? [0, 0];
    this.choose(k + by[0], n + by[1]);
    const { left, top, cell } = this.layout;
    const seen = (place, from, size, before) => Math.min(Math.max(from, (place + 1) * cell + before - size), place * cell);
    this.box.scrollTo(
      seen(this.chosen[1], this.box.scrollLeft, this.box.clientWidth, left),
      seen(this.chosen[0], this.box.scrollTop, this.box.clientHeight, top),
    );
  }

  listen() {
    const { canvas } = this;
    for (const name of ["pointermove", "pointerdown"]) canvas.addEventListener(name, (event) => this.point(event));
    for (const name of ["pointerleave", "blur"]) canvas.addEventListener(name, () => this.leave());
    canvas.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()));
    this.search.addEventListener("input", () => this.arrange());
    this.order.addEventListener("change", () => this.arrange());
    document.getElementById("confusion-in").addEventListener("click", () => this.enlarge(1.5));
    document.getElementById("confusion-out").addEventListener("click", () => this.enlarge(1 / 1.5));
    redraw.push(() => this.draw());
  }
}

const confusionCanvas = document.getElementById("confusion");
if (confusionCanvas && data.confusion) new ConfusionMatrix(confusionCanvas, data.confusion);
