// Plays frames from a queue at the wanted pace and asks for the next batch in time.

const BATCH_MS = 1000; // one batch is about one second of playing
const MOST_FRAMES = 60, FEWEST_FRAMES = 2;

export class Player {
  /** `show(frame)` paints, `more()` asks for a batch, `ended()` is told when the last frame of a finished run is painted. */
  constructor({ show, more, ended }) {
    Object.assign(this, { show, more, ended });
    this.queue = [];
    this.playing = false;
    this.delay = 33; // ms between two frames; 0 = every screen refresh
    this.least = 0; // ms: what the server can give now, when many visitors run
    this.perFrame = 1; // ticks between two frames
    this.lastSent = -1; // tick of the newest frame that has come
    this.drained = false; // Python has said that nothing follows
    this.tickOver = (now) => this.loop(now);
    this.onVisible = () => document.hidden || this.jump();
    document.addEventListener("visibilitychange", this.onVisible);
  }

  /** Frames to ask for at once. */
  get batch() {
    return Math.min(MOST_FRAMES, Math.max(FEWEST_FRAMES, Math.round(BATCH_MS / Math.max(this.pace, 1000 / 60))));
  }

  /** Milliseconds between two frames: the viewer's wish, or slower when the server is busy. */
  get pace() {
    return Math.max(this.delay, this.least);
  }

  start() {
    if (this.playing) return;
    this.playing = true;
    this.drained = false;
    this.due = 0;
    this.refill();
    requestAnimationFrame(this.tickOver);
  }

  stop() {
    this.playing = false;
    this.queue = [];
  }

  close() {
    this.stop();
    document.removeEventListener("visibilitychange", this.onVisible);
  }

  enqueue(frames) {
    for (const frame of frames) this.queue.push(frame);
    if (frames.length) this.lastSent = frames.at(-1).tick;
    this.refill();
  }

  refill() {
    if (this.playing && !this.drained && this.queue.length < this.batch / 2) this.more();
  }

  /** After a hidden tab: everything at once up to the newest frame. */
  jump() {
    if (!this.playing || this.queue.length < 2) return;
    for (const frame of this.queue.splice(0)) this.show(frame);
    this.refill();
  }

  loop(now) {
    if (!this.playing) return;
    requestAnimationFrame(this.tickOver);
    if (now < this.due - 4) return; // 4 ms: a refresh that comes a little early counts
    const frame = this.queue.shift();
    if (frame) {
      this.due = Math.max(this.due + this.pace, now - this.pace); // keep the pace, never hurry after a stall
      this.show(frame);
      this.refill();
    } else if (this.drained) {
      this.stop();
      this.ended();
    }
  }
}
