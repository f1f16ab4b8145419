// All clips in step: those that end earlier hold their last frame.
class Together {
  constructor(bar) {
    this.button = bar.querySelector("button");
    this.slider = bar.querySelector("input");
    this.output = bar.querySelector("output");
    this.last = Math.max(...players.map((player) => player.clip.shape[0])) - 1;
    this.slider.max = this.last;
    this.playing = false;
    this.button.addEventListener("click", () => this.play(!this.playing));
    this.slider.addEventListener("input", () => {
      this.play(false);
      this.seek(Number(this.slider.value));
    });
    this.seek(Math.floor(this.last / 2));
  }

  seek(frame) {
    this.frame = frame;
    this.slider.value = frame;
    this.output.textContent = `${frame + 1} / ${this.last + 1}`;
    for (const player of players) player.seek(frame);
  }

  play(on) {
    this.playing = on;
    this.button.textContent = on ? "Pause" : "Play all";
    if (!on) return;
    for (const player of players) player.play(false);
    let before = performance.now();
    const tick = (now) => {
      if (!this.playing) return;
      const frames = Math.floor(((now - before) * FRAMES_PER_SECOND) / 1000);
      if (frames > 0) {
        before += (frames * 1000) / FRAMES_PER_SECOND;
        this.seek((this.frame + frames) % (this.last + 1));
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }
}

const bar = document.getElementById("together");
if (bar) new Together(bar);
