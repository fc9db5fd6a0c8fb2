// Sends asks to Python: at most one is under way; what the viewer does meanwhile waits, and equal steps are added up.
import { asking, msToWait } from "./leaving.js";

const SUMMED = new Set(["step", "micro", "next", "prev"]); // two of them are one with the sum of their numbers
const JUMPS = new Set(["seek", "home", "end"]); // make every step before them needless
const NAVIGATION = new Set([...SUMMED, ...JUMPS, "ref"]); // lead to another picture
const LOST_AFTER = 4000; // ms without an answer: the same ask is sent again (Python knows by its seq what it has done already)

export class Channel {
  /** `context()` returns what every ask carries (tick, speed, pinned cell); whoever can send sets `emit(ask)`. */
  constructor(context) {
    this.context = context;
    this.emit = () => {};
    this.seq = 0;
    this.asked = null; // the ask under way
    this.waiting = []; // asks to send after it
  }

  /** True while another picture is under way. */
  get navigating() {
    return [this.asked, ...this.waiting].some((ask) => ask && NAVIGATION.has(ask.cmd));
  }

  /** True while an ask with this command is under way or waits. */
  isAsking(cmd) {
    return this.asked?.cmd === cmd || this.waiting.some((ask) => ask.cmd === cmd);
  }

  /** Send an ask ({cmd, ...}) as soon as possible. Asks in vain vanish: steps forth and back, all steps before a jump. */
  send(ask) {
    if (JUMPS.has(ask.cmd)) this.waiting = this.waiting.filter((other) => !NAVIGATION.has(other.cmd));
    const last = this.waiting.at(-1);
    if (last?.cmd === ask.cmd && SUMMED.has(ask.cmd)) {
      last.n += ask.n;
      if (last.n === 0) this.waiting.pop();
    } else if (last?.cmd === ask.cmd) this.waiting[this.waiting.length - 1] = ask;
    else this.waiting.push(ask);
    this.sendNext();
  }

  /** Forget what has not been sent yet. */
  drop() {
    this.waiting = [];
  }

  /** Send the first ask that waits, unless one is under way or the page is being changed. */
  sendNext() {
    if (this.asked || !this.waiting.length) return;
    if (msToWait()) {
      clearTimeout(this.watch);
      this.watch = setTimeout(() => this.sendNext(), msToWait());
      return;
    }
    this.asked = { ...this.context(), ...this.waiting.shift(), seq: ++this.seq };
    this.sendUntilAnswered();
  }

  /** Send the ask under way, and again when no answer comes: a page that is being redrawn may swallow an ask. */
  sendUntilAnswered() {
    clearTimeout(this.watch);
    this.watch = setTimeout(() => this.sendUntilAnswered(), msToWait() || LOST_AFTER);
    if (msToWait()) return;
    asking(this, true);
    this.emit(this.asked);
  }

  close() {
    clearTimeout(this.watch);
    asking(this, false);
  }

  /** A message with this seq has come. Returns the ask that it answers, or null. */
  settle(seq) {
    const answered = this.asked && seq >= this.asked.seq ? this.asked : null;
    this.seq = Math.max(this.seq, seq);
    if (answered) {
      this.asked = null;
      asking(this, false);
      clearTimeout(this.watch);
    }
    return answered;
  }
}
