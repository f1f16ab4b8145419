// Skeleton player: drag or arrow keys turn the view, space plays, comma and full stop step, the slider scrubs.
// A clip may bring a view, edges and sides of its own, and the numbers of the frames that were kept of it.
const YAW = Math.PI - 0.5; // from the sensor, which looks along +z, a little from the side
const PITCH = 0.12;
const FRAMES_PER_SECOND = data.fps ?? 24;
const SIDES = ["", "-left", "-right"]; // endings of the names of colours

function decode(clip) {
  if (clip.values) return;
  const bytes = Uint8Array.from(atob(clip.points), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  clip.values = Int16Array.from({ length: bytes.length / 2 }, (_, k) => view.getInt16(2 * k, true));
}

class Player {
  constructor(card) {
    this.canvas = card.querySelector("canvas");
    this.button = card.querySelector("button");
    this.slider = card.querySelector("input");
    this.output = card.querySelector("output");
    this.select = card.querySelector("select");
    this.playing = false;
    this.listen();
    this.load(Number(card.dataset.clip));
    redraw.push(() => this.draw());
  }

  load(number) {
    this.clip = data.clips[number];
    decode(this.clip);
    [this.yaw, this.pitch] = this.clip.view ?? [YAW, PITCH];
    this.slider.max = this.clip.shape[0] - 1;
    this.seek(Math.floor(this.clip.shape[0] / 2));
  }

  seek(frame) {
    this.frame = Math.max(0, Math.min(this.clip.shape[0] - 1, frame));
    this.slider.value = this.frame;
    const { numbers, shape } = this.clip;
    this.output.textContent = numbers ? `${numbers[this.frame]} / ${this.clip.total}` : `${this.frame + 1} / ${shape[0]}`;
    this.draw();
  }

  play(on) {
    this.playing = on;
    this.button.textContent = on ? "Pause" : "Play";
    if (!on) return;
    const rate = this.clip.fps ?? FRAMES_PER_SECOND; // less where frames were left out
    let last = performance.now();
    const tick = (now) => {
      if (!this.playing) return;
      const frames = Math.floor(((now - last) * rate) / 1000);
      if (frames > 0) {
        last += (frames * 1000) / rate;
        this.seek((this.frame + frames) % this.clip.shape[0]);
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  turn(right, up) {
    this.yaw -= right;
    this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch + up));
    this.draw();
  }

  listen() {
    this.button.addEventListener("click", () => this.play(!this.playing));
    this.slider.addEventListener("input", () => {
      this.play(false);
      this.seek(Number(this.slider.value));
    });
    this.select?.addEventListener("change", () => this.load(Number(this.select.value)));
    const stage = this.canvas;
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      this.from = [event.clientX, event.clientY];
    });
    stage.addEventListener("pointermove", (event) => {
      if (!this.from) return;
      this.turn((event.clientX - this.from[0]) / 120, (event.clientY - this.from[1]) / 120);
      this.from = [event.clientX, event.clientY];
    });
    for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => (this.from = null));
    stage.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const act = {
      ArrowLeft: () => this.turn(-0.15, 0),
      ArrowRight: () => this.turn(0.15, 0),
      ArrowUp: () => this.turn(0, 0.15),
      ArrowDown: () => this.turn(0, -0.15),
      " ": () => this.play(!this.playing),
      ",": () => this.seek(this.frame - 1),
      ".": () => this.seek(this.frame + 1),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  // Same view as clip_json.project, and a mild perspective.
  project(x, y, z) {
    const near = Math.sin(this.yaw) * x + Math.cos(this.yaw) * z;
    const right = Math.cos(this.yaw) * x - Math.sin(this.yaw) * z;
    const up = Math.cos(this.pitch) * y - Math.sin(this.pitch) * near;
    const depth = Math.sin(this.pitch) * y + Math.cos(this.pitch) * near;
    const grow = this.reach / (this.reach - depth);
    return [this.middle[0] + right * this.scale * grow, this.middle[1] - up * this.scale * grow, depth];
  }

  draw() {
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width || !height) return;
    const pen = sharp(this.canvas, width, height);
    const { radius, height: half } = this.clip;
    const tall = half * Math.cos(this.pitch) + radius * Math.abs(Math.sin(this.pitch));
    this.reach = 6 * Math.hypot(radius, half);
    this.scale = 0.86 * Math.min(width / 2 / radius, height / 2 / tall);
    this.middle = [width / 2, height / 2];
    pen.fillStyle = colour("empty");
    pen.fillRect(0, 0, width, height);
    if (!this.clip.flat) this.floor(pen, radius, -half);
    const persons = this.clip.shape[1];
    for (let person = 0; person < persons; person++) {
      if (this.clip.present[person][this.frame] === "1") this.body(pen, person);
    }
  }

  floor(pen, radius, y) {
    pen.strokeStyle = colour("rule");
    pen.lineWidth = 1;
    pen.beginPath();
    for (let k = -2; k <= 2; k++) {
      for (const [from, to] of [[[k / 2, -1], [k / 2, 1]], [[-1, k / 2], [1, k / 2]]]) {
        pen.moveTo(...this.project(from[0] * radius, y, from[1] * radius).slice(0, 2));
        pen.lineTo(...this.project(to[0] * radius, y, to[1] * radius).slice(0, 2));
      }
    }
    pen.stroke();
  }

  body(pen, person) {
    const [, persons, joints] = this.clip.shape;
    const start = (this.frame * persons + person) * joints * 3;
    const points = Array.from({ length: joints }, (_, joint) =>
      this.project(...this.clip.values.subarray(start + 3 * joint, start + 3 * joint + 3)));
    const found = (joint) => !this.clip.found || this.clip.found[start / 3 + joint] === "1";
    const inks = SIDES.map((side) => colour(`person${person % 2}${this.clip.sides ? side : ""}`));
    pen.lineCap = "round";
    const edges = this.clip.edges ?? data.edges;
    const bones = edges.filter(([a, b]) => found(a) && found(b)).map(([a, b, side]) => [points[a], points[b], side ?? 0]).sort((p, q) => p[0][2] + p[1][2] - q[0][2] - q[1][2]);
    for (const [a, b, side] of bones) {
      pen.strokeStyle = inks[side];
      pen.globalAlpha = this.nearness((a[2] + b[2]) / 2);
      pen.lineWidth = 3;
      pen.beginPath();
      pen.moveTo(a[0], a[1]);
      pen.lineTo(b[0], b[1]);
      pen.stroke();
    }
    for (const [joint, [x, y, depth]] of points.entries()) {
      if (!found(joint)) continue;
      this.dot(pen, [x, y, depth], inks[this.clip.sides?.[joint] ?? 0], person, joint);
    }
    pen.globalAlpha = 1;
  }

  // A joint; a page may draw it in another way.
  dot(pen, [x, y, depth], ink) {
    pen.fillStyle = ink;
    pen.globalAlpha = this.nearness(depth);
    pen.beginPath();
    pen.arc(x, y, 2.6, 0, 2 * Math.PI);
    pen.fill();
  }

  // What is far away is paler.
  nearness(depth) {
    return Math.max(0.45, Math.min(1, 0.75 + (0.5 * depth) / this.clip.radius));
  }
}

const players = Array.from(document.querySelectorAll("[data-clip]"), (card) => new Player(card));
