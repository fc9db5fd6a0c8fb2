// The line to Python: at most one ask under way, what the user does meanwhile is summed into the next one.
import { asking, held } from "./leaving.js";

const SUMMED = new Set(["step", "micro", "next", "prev"]);
const MOTIONS = new Set([...SUMMED, "seek", "home", "end", "ref"]);
const JUMPS = new Set(["seek", "home", "end"]);
const LOST_AFTER = 4000; // ms without an answer: ask the same once more (Python knows by its seq what it has done already)

export class Link {
  /** `complete(ask)` adds what every ask carries (tick, speed, pinned cell); `emit(ask)` sends it. */
  constructor(complete) {
    this.complete = complete;
    this.emit = () => {};
    this.seq = 0;
    this.out = null;
    this.waiting = [];
  }

  /** True while a picture at another tick is under way. */
  get moving() {
    return [this.out, ...this.waiting].some((ask) => ask && MOTIONS.has(ask.cmd));
  }

  asks(cmd) {
    return this.out?.cmd === cmd || this.waiting.some((ask) => ask.cmd === cmd);
  }

  send(ask) {
    if (JUMPS.has(ask.cmd)) this.waiting = this.waiting.filter((other) => !MOTIONS.has(other.cmd));
    const last = this.waiting.at(-1);
    if (last?.cmd === ask.cmd && SUMMED.has(ask.cmd)) {
      last.n += ask.n;
      if (last.n === 0) this.waiting.pop();
    } else if (last?.cmd === ask.cmd) this.waiting[this.waiting.length - 1] = ask;
    else this.waiting.push(ask);
    this.pump();
  }

  /** Forget what has not been sent yet. */
  drop() {
    this.waiting = [];
  }

  pump() {
    if (this.out || !this.waiting.length) return;
    if (held()) {
      clearTimeout(this.watch);
      this.watch = setTimeout(() => this.pump(), held());
      return;
    }
    this.out = { ...this.complete(), ...this.waiting.shift(), seq: ++this.seq };
    this.insist();
  }

  /** Send what is out, and again when no answer comes: a page that is being redrawn may swallow an ask. */
  insist() {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => this.insist(), held() || LOST_AFTER);
    if (held()) return;
    asking(this, true);
    this.emit(this.out);
  }

  close() {
    clearTimeout(this.watch);
    asking(this, false);
  }

  /** A message with this seq has come: the ask it answers, or null. */
  settle(seq) {
    const answered = this.out && seq >= this.out.seq ? this.out : null;
    this.seq = Math.max(this.seq, seq);
    if (answered) {
      this.out = null;
      asking(this, false);
      clearTimeout(this.watch);
    }
    return answered;
  }
}
