// Any two runs: who is right where the other is wrong, by class, and what one takes for what more often than the other.
const paired = data.paired;

function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return paired.bytes === 1 ? bytes : new Uint16Array(bytes.buffer);
}

// Two-sided p of a fair coin that shows so many heads and tails: McNemar's exact test.
function coin(heads, tails) {
  const [count, fewer] = [heads + tails, Math.min(heads, tails)];
  const logs = [-count * Math.LN2];
  for (let k = 1; k <= fewer; k++) logs.push(logs[k - 1] + Math.log((count - k + 1) / k));
  const largest = logs[fewer];
  return Math.min(1, 2 * Math.exp(largest) * logs.reduce((sum, log) => sum + Math.exp(log - largest), 0));
}

// p of many tests, adjusted by Holm 1979.
function holm(p) {
  const order = p.map((_, k) => k).sort((a, b) => p[a] - p[b]);
  const adjusted = [];
  let highest = 0;
  order.forEach((k, rank) => {
    highest = Math.max(highest, Math.min(1, p[k] * (p.length - rank)));
    adjusted[k] = highest;
  });
  return adjusted;
}

function shortP(p) {
  return p < 0.0001 ? "< 0.0001" : p.toFixed(4);
}

function signed(points) {
  return (points > 0 ? "+" : points < 0 ? "−" : "±") + Math.abs(points).toFixed(1);
}

// How many more clips of a row's class the second run takes for a column's than the first does.
class Difference extends ConfusionMatrix {
  compared(table, names) {
    this.table = table;
    this.pairNames = names;
    this.arrange();
  }

  // For the order "worst first": the accuracy that the second run wins is what is asked for.
  share(row, column) {
    return this.clips[row] ? this.table[row][column] / this.clips[row] : 0;
  }

  shade(row, column, empty) {
    const share = this.share(row, column);
    const [full, depth] = [rgb(share < 0 ? "a" : "b"), Math.sqrt(Math.min(1, Math.abs(share)))];
    return empty.map((value, c) => Math.round(value + (full[c] - value) * depth));
  }

  figure(row, column) {
    const count = this.table[row][column];
    return count > 0 ? `+${count}` : `−${-count}`;
  }

  told(row, column) {
    const count = this.table[row][column];
    const which = count < 0 ? this.pairNames[0] : this.pairNames[1];
    return [
      row === column ? "recognised" : "confused",
      `true: ${this.titles[row]}`,
      `predicted: ${this.titles[column]}`,
      count ? `${Math.abs(count)} more of ${this.clips[row]} clips by ${which}` : "as often by both",
    ];
  }
}

class TwoRuns {
  constructor() {
    this.truth = unpacked(paired.labels);
    this.answers = paired.predicted.map(unpacked);
    this.selects = ["pair-a", "pair-b"].map((id) => document.getElementById(id));
    this.list = document.querySelector(".changes");
    this.order = document.getElementById("changes-order");
    this.search = document.getElementById("changes-search");
    const place = new Map(paired.ids.map((id, k) => [id, k]));
    this.place = (id) => place.get(id);
    this.clips = paired.ids.map(() => 0);
    for (const label of this.truth) this.clips[this.place(label)]++;
    const canvas = document.getElementById("confusion");
    this.matrix = new Difference(canvas, { names: paired.names, ids: paired.ids, cells: [], clips: this.clips });
    for (const select of this.selects) select.addEventListener("change", () => this.update());
    this.order.addEventListener("change", () => this.show());
    this.search.addEventListener("input", () => this.show());
    this.update();
  }

  get names() {
    return this.selects.map((select) => paired.runs[select.value]);
  }

  update() {
    const [a, b] = this.selects.map((select) => this.answers[select.value]);
    const table = paired.ids.map(() => new Float64Array(paired.ids.length));
    this.classes = paired.ids.map((id, k) => ({ id, k, clips: this.clips[k], a: 0, b: 0, onlyA: 0, onlyB: 0 }));
    let both = 0;
    this.truth.forEach((label, clip) => {
      const each = this.classes[this.place(label)];
      const [mine, theirs] = [a[clip] === label, b[clip] === label];
      each.a += mine;
      each.b += theirs;
      each.onlyA += mine && !theirs;
      each.onlyB += theirs && !mine;
      both += mine && theirs;
      table[each.k][this.place(a[clip])]--;
      table[each.k][this.place(b[clip])]++;
    });
    this.classes = this.classes.filter((each) => each.clips);
    for (const each of this.classes) each.p = coin(each.onlyA, each.onlyB);
    holm(this.classes.map((each) => each.p)).forEach((p, k) => (this.classes[k].holm = p));
    this.say(both);
    this.show();
    this.matrix.compared(table, this.names);
  }

  say(both) {
    const sum = (key) => this.classes.reduce((total, each) => total + each[key], 0);
    const [onlyA, onlyB, count] = [sum("onlyA"), sum("onlyB"), this.truth.length];
    const share = (right) => `${((100 * right) / count).toFixed(2)} %`;
    const sure = this.classes.filter((each) => each.holm < 0.05).length;
    document.getElementById("pair-told").textContent =
      `A is right in ${share(sum("a"))}, B in ${share(sum("b"))} of ${count.toLocaleString("en")} clips: both in ${both}, ` +
      `A alone in ${onlyA}, B alone in ${onlyB}. McNemar's exact test: p ${shortP(coin(onlyA, onlyB))}. ` +
      `${sure} of ${this.classes.length} classes differ at the 5 % level after Holm's correction.`;
  }

  show() {
    const change = (each) => (each.b - each.a) / each.clips;
    const orders = {
      size: (x, y) => Math.abs(change(y)) - Math.abs(change(x)),
      b: (x, y) => change(y) - change(x),
      a: (x, y) => change(x) - change(y),
      p: (x, y) => x.p - y.p,
      id: () => 0,
    };
    const wanted = this.search.value;
    const shown = this.classes.filter((each) => matches(paired.names[each.k], each.id, wanted));
    shown.sort((x, y) => orders[this.order.value](x, y) || x.id - y.id);
    this.list.replaceChildren(...shown.map((each) => this.item(each, change(each))));
    document.getElementById("changes-found").textContent = wanted ? `${shown.length} of ${this.classes.length} classes` : "";
  }

  item(each, change) {
    const made = (tag, text = "", name = "") => Object.assign(document.createElement(tag), { textContent: text, className: name });
    const [line, track, bar] = [made("li"), made("span", "", "change"), made("span", "", change < 0 ? "less" : "")];
    track.setAttribute("aria-hidden", "true");
    bar.style.left = `${Math.min(50, 50 + 50 * change)}%`;
    bar.style.width = `${50 * Math.abs(change)}%`;
    track.append(bar);
    const share = (right) => `${((100 * right) / each.clips).toFixed(1)} %`;
    const sub = `A ${share(each.a)}, B ${share(each.b)} of ${each.clips}; A alone ${each.onlyA}, B alone ${each.onlyB}; ` +
      `p ${shortP(each.p)}, corrected ${shortP(each.holm)}`;
    line.append(made("span", paired.names[each.k]), track, made("span", signed(100 * change), "number"), made("span", sub, "sub"));
    return line;
  }
}

if (paired) new TwoRuns();
