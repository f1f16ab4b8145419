// Curves: a vertical line and the values of the epoch under the pointer, or of the one chosen with the arrow keys.
for (const svg of document.querySelectorAll("svg.chart[data-chart]")) {
  const chart = data.charts[svg.dataset.chart];
  const cross = svg.querySelector(".cross");
  let chosen = chart.epochs.length - 1;

  function show(place, clientY) {
    chosen = Math.max(0, Math.min(chart.epochs.length - 1, place));
    const x = chart.x[chosen];
    cross.setAttribute("x1", x);
    cross.setAttribute("x2", x);
    cross.setAttribute("visibility", "visible");
    const box = svg.getBoundingClientRect();
    const told = chart.series.filter((series) => series.text[chosen] !== null);
    const lines = told.map((series) => `${series.label}: ${series.text[chosen]}`);
    showTip(box.left + (x * box.width) / chart.width, clientY ?? box.top + box.height / 3, [`${chart.axis} ${chart.epochs[chosen]}`, ...lines]);
  }

  function hide() {
    cross.setAttribute("visibility", "hidden");
    hideTip();
  }

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) * chart.width) / box.width;
    const away = chart.x.map((point) => Math.abs(point - x));
    show(away.indexOf(Math.min(...away)), event.clientY);
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: chosen - 1, ArrowRight: chosen + 1, Home: 0, End: chart.epochs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    show(to);
  });
}
