// Joints as large and coloured as what they say, and under the player the curve and the map of the clip in time.
const CURVE = 64; // pixels of the curve, of a row of the map, of the line of times
const ROW = 13;
const TIMES = 18;
const chooser = document.getElementById("method");
const ink = (value) => colour(value < 0 ? "against" : "for");

class Heat {
  constructor(player) {
    this.player = player;
    this.clip = player.clip;
    this.canvas = player.canvas.closest("article").querySelector(".map");
    this.pieces = this.clip.bounds.length - 1;
    this.rows = this.clip.persons * this.clip.parts.length;
    this.at = [0, 0]; // row and piece that the keyboard reads
    this.canvas.style.height = `${CURVE + this.rows * ROW + TIMES}px`;
    this.listen();
    redraw.push(() => this.draw());
  }

  // -1 to 1 of a row (a part of a person) in a piece of time.
  value(row, piece) {
    return this.clip.maps[chooser.value][row * this.pieces + piece] / data.finest;
  }

  odds(value) {
    return (value * this.clip.reach[chooser.value]).toFixed(3);
  }

  // The piece that a frame of the player belongs to.
  piece(frame) {
    const number = this.clip.numbers[frame] - 1;
    const next = this.clip.bounds.findIndex((bound) => bound > number);
    return next < 0 ? this.pieces - 1 : Math.max(0, next - 1);
  }

  // What a joint says at the moment that the player shows; a person who is not explained says nothing.
  said(person, joint) {
    return person < this.clip.persons ? this.value(person * this.clip.parts.length + this.clip.of[joint], this.piece(this.player.frame)) : 0;
  }

  name(row) {
    const part = this.clip.parts[row % this.clip.parts.length];
    return this.clip.persons > 1 ? `${part} (${Math.floor(row / this.clip.parts.length) + 1})` : part;
  }

  x(frame) {
    const [first, last] = [this.clip.bounds[0], this.clip.bounds.at(-1)];
    return this.left + ((frame - first) / (last - first)) * (this.width - this.left);
  }

  draw() {
    this.width = this.canvas.clientWidth;
    if (!this.width) return;
    this.left = Math.min(112, 0.3 * this.width);
    const pen = sharp(this.canvas, this.width, CURVE + this.rows * ROW + TIMES);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.fillStyle = colour("empty");
    pen.fillRect(this.left, 0, this.width - this.left, CURVE + this.rows * ROW);
    for (let row = 0; row < this.rows; row++) this.line(pen, row);
    this.curve(pen);
    this.times(pen);
  }

  line(pen, row) {
    const top = CURVE + row * ROW;
    pen.fillStyle = colour("muted");
    pen.textAlign = "right";
    pen.fillText(this.name(row), this.left - 5, top + ROW / 2, this.left - 6);
    for (let piece = 0; piece < this.pieces; piece++) {
      const value = this.value(row, piece);
      const begin = this.x(this.clip.bounds[piece]);
      pen.fillStyle = ink(value);
      pen.globalAlpha = Math.abs(value);
      pen.fillRect(begin, top, this.x(this.clip.bounds[piece + 1]) - begin, ROW - 1);
    }
    pen.globalAlpha = 1;
  }

  sums() {
    return Array.from({ length: this.pieces }, (_, piece) => {
      let sum = 0;
      for (let row = 0; row < this.rows; row++) sum += this.value(row, piece);
      return sum;
    });
  }

  curve(pen) {
    const sums = this.sums();
    const high = Math.max(...sums, 0);
    const low = Math.min(...sums, 0);
    const y = (value) => 5 + ((high - value) / (high - low || 1)) * (CURVE - 12);
    pen.textAlign = "right";
    pen.fillStyle = colour("muted");
    pen.fillText(this.odds(high), this.left - 5, y(high) + 3);
    if (low < -0.2 * high) pen.fillText(this.odds(low), this.left - 5, y(low) - 3);
    for (const [piece, sum] of sums.entries()) {
      const [begin, end] = [this.x(this.clip.bounds[piece]), this.x(this.clip.bounds[piece + 1])];
      pen.fillStyle = ink(sum);
      pen.fillRect(begin, Math.min(y(0), y(sum)), Math.max(1, end - begin - 1), Math.max(1, Math.abs(y(sum) - y(0))));
    }
    pen.fillStyle = colour("muted");
    pen.fillRect(this.left, y(0), this.width - this.left, 1);
  }

  // Seconds, and where the skeleton is.
  times(pen) {
    const [first, last] = [this.clip.bounds[0], this.clip.bounds.at(-1)];
    const bottom = CURVE + this.rows * ROW;
    pen.fillStyle = colour("muted");
    for (const [frame, align] of [[first, "left"], [(first + last) / 2, "center"], [last, "right"]]) {
      pen.textAlign = align;
      pen.fillText(`${(frame / this.clip.rate).toFixed(1)} s`, this.x(frame), bottom + TIMES / 2 + 1);
    }
    pen.fillStyle = colour("text");
    pen.fillRect(this.x(this.clip.numbers[this.player.frame] - 0.5) - 0.75, 0, 1.5, bottom);
  }

  tell(row, piece, x, y) {
    const seconds = [0, 1].map((k) => (this.clip.bounds[piece + k] / this.clip.rate).toFixed(2));
    const what = row < 0 ? `all together: ${this.odds(this.sums()[piece])}` : `${this.name(row)}: ${this.odds(this.value(row, piece))}`;
    showTip(x, y, [what, `${seconds[0]} to ${seconds[1]} s`]);
  }

  seek(piece) {
    const middle = (this.clip.bounds[piece] + this.clip.bounds[piece + 1] + 1) / 2;
    const at = this.clip.numbers.findIndex((number) => number >= middle);
    this.player.play(false);
    this.player.seek(at < 0 ? this.clip.numbers.length - 1 : at);
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left;
    const piece = this.clip.bounds.findIndex((bound) => this.x(bound) > x) - 1;
    const row = Math.floor((event.clientY - box.top - CURVE) / ROW);
    return x < this.left || piece < 0 || row >= this.rows ? null : [Math.max(-1, row), piece];
  }

  listen() {
    this.canvas.addEventListener("pointermove", (event) => {
      const place = this.place(event);
      if (place) this.tell(...place, event.clientX, event.clientY);
      else hideTip();
    });
    this.canvas.addEventListener("click", (event) => {
      const place = this.place(event);
      if (place) this.seek(place[1]);
    });
    for (const away of ["pointerleave", "blur"]) this.canvas.addEventListener(away, hideTip);
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!by) return;
    event.preventDefault();
    const row = Math.max(-1, Math.min(this.rows - 1, this.at[0] + by[0]));
    const piece = Math.max(0, Math.min(this.pieces - 1, this.at[1] + by[1]));
    this.at = [row, piece];
    this.seek(piece);
    const box = this.canvas.getBoundingClientRect();
    this.tell(row, piece, box.left + this.x(this.clip.bounds[piece]), box.top + CURVE + (row + 1) * ROW);
  }
}

for (const player of players) {
  const heat = new Heat(player);
  const seek = player.seek.bind(player);
  player.seek = (frame) => {
    seek(frame);
    heat.draw();
  };
  player.dot = (pen, [x, y], usual, person, joint) => {
    const value = heat.said(person, joint);
    pen.globalAlpha = 1;
    pen.fillStyle = Math.abs(value) < 0.04 ? usual : ink(value);
    pen.beginPath();
    pen.arc(x, y, 2.4 + 8 * Math.sqrt(Math.abs(value)), 0, 2 * Math.PI);
    pen.fill();
  };
}
chooser.addEventListener("change", redrawAll);
redrawAll();
