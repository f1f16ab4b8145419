// What the parts of the page share: the data, the tooltip, sharp canvases, colours that follow the theme.
const data = JSON.parse(document.getElementById("data").textContent);
const tip = document.getElementById("tip");
const redraw = []; // called when a canvas may look different: theme or size changed

function showTip(x, y, lines) {
  tip.replaceChildren(...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = x + 14 + box.width > innerWidth ? x - 14 - box.width : x + 14;
  tip.style.left = Math.max(4, left) + "px";
  tip.style.top = Math.max(4, Math.min(y + 14, innerHeight - box.height - 4)) + "px";
}

function hideTip() {
  tip.hidden = true;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

// A drawing context in CSS pixels on a canvas of the screen's own resolution.
function sharp(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 8192 / Math.max(width, height, 1)); // browsers have a largest canvas
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  return pen;
}

function redrawAll() {
  for (const draw of redraw) draw();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
let settled = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(settled);
  settled = requestAnimationFrame(redrawAll);
});
