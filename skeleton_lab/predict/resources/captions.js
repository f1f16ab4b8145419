// Below each player the classes of the window that the frame belongs to; ``at`` holds a window for every frame.
for (const player of players) {
  const told = player.canvas.closest("article").querySelector(".told");
  const seek = player.seek.bind(player);
  player.seek = (frame) => {
    seek(frame);
    const number = player.clip.at[player.frame];
    if (number === player.shownWindow) return;
    player.shownWindow = number;
    told.replaceChildren(...(player.clip.told[number] ?? []).map(({ who, best }) => {
      const box = document.createElement("div");
      const heading = document.createElement("h4");
      heading.textContent = who;
      box.append(heading, ...best.map(([name, share]) => {
        const row = document.createElement("div");
        row.className = "answer";
        const bar = document.createElement("i");
        bar.style.width = `${100 * share}%`;
        const text = document.createElement("span");
        text.textContent = `${(100 * share).toFixed(1)} % ${name}`;
        row.append(bar, text);
        return row;
      }));
      return box;
    }));
  };
  player.seek(0);
}
