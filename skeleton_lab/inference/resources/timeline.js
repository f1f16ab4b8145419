// Of every recording a strip for everybody and for each person: the action of every time, in colours.
const ROWS = 20; // recordings at once
const PALETTE = ["#56b4e9", "#f5a623", "#5cc9a0", "#e98cbf", "#f0e442", "#b39ddb", "#ff8a65", "#80cbc4", "#c5e1a5", "#bcaaa4", "#90caf9", "#ffcc80"];
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

// Colours go to the classes in the order of their time; beyond the palette hues that are far from their neighbours.
const time = new Map();
for (const { lanes } of data.timeline) {
  for (const [, parts] of lanes) for (const [first, end, kind] of parts) time.set(kind, (time.get(kind) ?? 0) + end - first);
}
const ranked = [...time.keys()].sort((a, b) => time.get(b) - time.get(a));
const inks = new Map(ranked.map((kind, k) => [kind, PALETTE[k] ?? `hsl(${(k * 137.5) % 360} 50% ${k % 2 ? 66 : 80}%)`]));

function element(name, className, text) {
  return Object.assign(document.createElement(name), { className, textContent: text ?? "" });
}

function clock(seconds) {
  const tenths = Math.round(10 * seconds);
  const minutes = Math.floor(tenths / 600);
  const rest = (tenths % 600) / 10;
  if (!minutes) return `${rest.toFixed(1)} s`;
  const before = minutes < 60 ? `${minutes}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}`;
  return `${before}:${rest.toFixed(1).padStart(4, "0")}`;
}

// The card and the frame in it that show a frame of a recording.
function jump(recording, frame) {
  const number = data.clips.findIndex((clip) => clip.recording === recording && clip.numbers.at(-1) > frame);
  const last = data.clips.findLastIndex((clip) => clip.recording === recording);
  const found = number < 0 ? last : number;
  if (found < 0) return;
  cards.show(Math.floor(found / data.perPage));
  const place = found % data.perPage;
  const at = data.clips[found].numbers.findIndex((shown) => shown > frame);
  players[place].seek(at < 0 ? data.clips[found].numbers.length - 1 : at);
  articles[place].scrollIntoView({ block: "nearest" });
  players[place].canvas.focus({ preventScroll: true });
}

function stretch(recording, total, [first, end, kind, share, doubt]) {
  const part = element("button", "stretch", data.classes[kind]);
  part.type = "button";
  part.tabIndex = -1;
  part.style.left = `${(100 * first) / total}%`;
  part.style.width = `${(100 * (end - first)) / total}%`;
  part.style.background = inks.get(kind);
  const lines = [`${clock(first / data.fps)} to ${clock(end / data.fps)}`, `${(100 * share).toFixed(1)} % ${data.classes[kind]}`];
  if (doubt) lines.push("perhaps none of these");
  part.classList.toggle("doubt", Boolean(doubt));
  part.setAttribute("aria-label", lines.join(", "));
  const tell = () => {
    const box = part.getBoundingClientRect();
    showTip(box.left + box.width / 2, box.bottom, lines);
  };
  part.addEventListener("pointerenter", tell);
  part.addEventListener("focus", tell);
  for (const away of ["pointerleave", "blur"]) part.addEventListener(away, hideTip);
  part.addEventListener("click", () => jump(recording, first));
  return part;
}

function lane(recording, total, [who, parts]) {
  const strip = element("div", "strip");
  strip.tabIndex = 0;
  strip.setAttribute("role", "group");
  strip.setAttribute("aria-label", `Timeline, ${who}: arrow keys go from action to action`);
  strip.append(...parts.map((part) => stretch(recording, total, part)));
  strip.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const now = [...strip.children].indexOf(document.activeElement);
    strip.children[Math.max(0, Math.min(strip.children.length - 1, now + by))]?.focus();
  });
  const row = element("div", "lane");
  row.append(element("span", "who sub", who), strip);
  return row;
}

function axis(total) {
  const seconds = total / data.fps;
  const step = STEPS.find((each) => seconds / each <= (innerWidth < 600 ? 4 : 8)) ?? STEPS.at(-1) * Math.ceil(seconds / STEPS.at(-1) / 8);
  const line = element("div", "axis");
  for (let at = 0; at <= seconds + 1e-9; at += step) {
    const mark = element("span", "sub", clock(at));
    mark.style.left = `${(100 * at) / seconds}%`;
    if (at / seconds > 0.94) mark.classList.add("end");
    line.append(mark);
  }
  const row = element("div", "lane");
  row.append(element("span", "who"), line);
  return row;
}

function entry(recording) {
  const { name, label, total, lanes } = data.timeline[recording];
  const box = element("div", "recording");
  const heading = element("h3", "", `${name}, ${clock(total / data.fps)}`);
  const said = lanes.length === 1 || lanes[0]?.[0] === "all" ? lanes[0][1] : [];
  const mark = said.length === 1 ? (data.classes[said[0][2]] === label ? " ✓" : " ✗") : "";
  if (label !== undefined) heading.append(element("span", "sub", ` label: ${label}${mark}`));
  box.append(heading, ...(lanes.length ? [...lanes.map((each) => lane(recording, total, each)), axis(total)] : [element("p", "muted", "nobody is seen")]));
  return box;
}

// A name that does not fit into its stretch is not cut: the tip has it.
function fit() {
  for (const part of document.querySelectorAll(".stretch")) {
    part.classList.remove("narrow");
    part.classList.toggle("narrow", part.scrollWidth > part.clientWidth);
  }
}

function legend() {
  const total = [...time.values()].reduce((sum, value) => sum + value, 0);
  const box = element("div", "actions legend");
  for (const kind of ranked) {
    const key = element("span", "");
    const swatch = element("i", "swatch");
    swatch.style.background = inks.get(kind);
    key.append(swatch, `${data.classes[kind]} ${((100 * time.get(kind)) / total).toFixed(1)} %`);
    box.append(key);
  }
  return box;
}

const board = document.getElementById("timeline");
const list = element("div", "");
const rowsBar = element("div", "controls rows");
const pages = Math.ceil(data.timeline.length / ROWS);
function showRows(page) {
  const first = page * ROWS;
  const last = Math.min(first + ROWS, data.timeline.length);
  list.replaceChildren(...Array.from({ length: last - first }, (_, k) => entry(first + k)));
  rowsBar.update(page, pages, `recordings ${first + 1} to ${last} of ${data.timeline.length}`);
  fit();
}
pager(rowsBar, showRows);
board.append(legend(), rowsBar, list);
showRows(0);
redraw.push(fit);
