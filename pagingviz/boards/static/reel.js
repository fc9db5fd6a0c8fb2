// Plays frames from a queue at the wanted pace and asks for the next batch in time.

const BATCH_MS = 1000; // one batch is about one second of playing
const FEWEST_FRAMES = 2; // of a batch
const EARLY_MS = 4; // a refresh of the screen that comes this little too early counts

export class Reel {
  /** `show(frame)` paints, `more()` asks for a batch, `ended()` is called when the last frame of a finished run is painted. */
  constructor({ show, more, ended }) {
    Object.assign(this, { show, more, ended });
    this.queue = [];
    this.playing = false;
    this.delay = 0; // ms between two frames that the viewer wants; 0 = every refresh of the screen
    this.perFrame = 1; // ticks between two frames
    this.newestTick = -1; // of the newest frame that has come
    this.drained = false; // Python has marked the newest frame as the last one of the run
    this.onRefresh = (now) => this.refresh(now);
    this.onVisible = () => document.hidden || this.jump();
    document.addEventListener("visibilitychange", this.onVisible);
  }

  /** `limits` of the header; `least`: ms between two frames that the server can give now, when many visitors run. */
  setLimits(limits, least) {
    this.limits = limits;
    this.least = least;
  }

  /** Milliseconds between two frames: the viewer's wish, or more when the server is busy. */
  get pace() {
    return Math.max(this.delay, this.least);
  }

  /** Frames a second that the viewer wants. */
  get fps() {
    return Math.round(1000 / Math.max(this.delay, 1000 / this.limits.fps));
  }

  /** Frames to ask for at once. */
  get batch() {
    const frames = Math.round(BATCH_MS / Math.max(this.pace, 1000 / this.limits.fps));
    return Math.min(this.limits.frames, Math.max(FEWEST_FRAMES, frames));
  }

  start() {
    if (this.playing) return;
    this.playing = true;
    this.drained = false;
    this.due = 0;
    this.refill();
    requestAnimationFrame(this.onRefresh);
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
    if (frames.length) this.newestTick = frames.at(-1).tick;
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

  /** The screen is about to be refreshed: show the next frame when it is due. */
  refresh(now) {
    if (!this.playing) return;
    requestAnimationFrame(this.onRefresh);
    if (now < this.due - EARLY_MS) return;
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
