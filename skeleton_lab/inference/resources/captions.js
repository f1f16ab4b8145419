// Below each player the classes of the window that the frame belongs to; ``at`` holds a window for every frame.
// Several pages of cards: the same players are loaded with other pieces.
const articles = players.map((player) => player.canvas.closest("article"));

function answer([name, share]) {
  const row = document.createElement("div");
  row.className = "answer";
  const bar = document.createElement("i");
  bar.style.width = `${100 * share}%`;
  const text = document.createElement("span");
  text.textContent = `${(100 * share).toFixed(1)} % ${name}`;
  row.append(bar, text);
  return row;
}

for (const [place, player] of players.entries()) {
  const told = articles[place].querySelector(".told");
  const seek = player.seek.bind(player);
  player.seek = (frame) => {
    seek(frame);
    const window = player.clip.told[player.clip.at[player.frame]] ?? [];
    if (window === player.shownWindow) return;
    player.shownWindow = window;
    told.replaceChildren(...window.map(({ who, best }) => {
      const box = document.createElement("div");
      const heading = document.createElement("h4");
      heading.textContent = who;
      box.append(heading, ...best.map(answer));
      return box;
    }));
  };
  player.seek(0);
}

// Numbers of clips from ``page * perPage`` on.
const cards = { page: 0, pages: Math.ceil(data.clips.length / data.perPage), bars: document.querySelectorAll(".pages") };

cards.show = (page) => {
  cards.page = Math.max(0, Math.min(cards.pages - 1, page));
  const first = cards.page * data.perPage;
  for (const [place, player] of players.entries()) {
    const clip = data.clips[first + place];
    articles[place].hidden = !clip;
    player.play(false);
    if (!clip || clip === player.clip) continue;
    articles[place].querySelector("h3").textContent = clip.title;
    articles[place].querySelector(".sub").textContent = clip.details;
    player.canvas.setAttribute("aria-label", `Skeleton of ${clip.title}, ${clip.details}. Arrow keys turn, space plays, comma and full stop step.`);
    player.slider.setAttribute("aria-label", `Frame: ${clip.title}`);
    player.load(first + place);
    player.seek(0);
  }
  const last = Math.min(first + data.perPage, data.clips.length);
  for (const bar of cards.bars) bar.update(cards.page, cards.pages, `cards ${first + 1} to ${last} of ${data.clips.length}`);
};

// Previous, where one is, next; ``bar.update(page, pages, text)``.
function pager(bar, go) {
  const [before, after] = ["Previous", "Next"].map((text) =>
    Object.assign(document.createElement("button"), { type: "button", textContent: text }));
  const where = document.createElement("output");
  bar.append(before, where, after);
  bar.update = (page, pages, text) => {
    bar.hidden = pages < 2;
    before.disabled = page === 0;
    after.disabled = page === pages - 1;
    where.textContent = text;
    before.onclick = () => go(page - 1);
    after.onclick = () => go(page + 1);
  };
}

for (const bar of cards.bars) pager(bar, cards.show);
cards.show(0);
