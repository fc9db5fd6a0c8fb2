// The live board of a page: takes messages from Python, plays their frames, and sends back what the viewer asks.
import { navigationAsk, nextReference } from "./actions.js";
import { Controls } from "./controls.js";
import { Cursor } from "./cursor.js";
import { Greeting } from "./greeting.js";
import { Inspection } from "./inspection.js";
import { listen } from "./keys.js";
import { arrived } from "./leaving.js";
import { Channel } from "./channel.js";
import { decode } from "./payload.js";
import { Reel } from "./reel.js";
import { View } from "./view.js";

const POLL_MS = 300; // between two asks while Python can do nothing for us yet
const WORK_MS = 50; // between two asks while Python works on the picture: each answer takes its time itself

export class LiveBoard {
  constructor(host) {
    this.header = null; // of the newest message
    this.tick = 0; // of the frame that is painted
    this.painted = false; // whether there is one
    this.walk = null; // {made, total, ...}: the references of the walk that is shown, on the page that shows walks
    const act = (name, value) => this.act(name, value);
    this.channel = new Channel(() => this.context());
    this.reel = new Reel({
      show: (frame) => this.paint(frame),
      more: () => this.channel.isAsking("run") || this.channel.send({ cmd: "run" }),
      ended: () => this.pause(),
    });
    this.controls = new Controls(act);
    this.inspection = new Inspection({
      jump: (tick) => this.act("seek", tick),
      close: () => this.act("unpin"),
      isRunning: () => this.reel.playing,
      mayAsk: () => !this.channel.asked && !this.reel.playing,
      tells: (board) => this.header.tells.includes(board),
      ask: (message) => this.channel.send(message),
      say: (text) => this.view.aloud.say(text),
    });
    this.cursor = new Cursor({
      hover: (panel, cell, event) => this.inspection.hover(panel, cell, event),
      click: (panel, cell) => this.click(panel, cell),
      escape: () => (this.inspection.pinned ? this.inspection.unpin() : this.view.focusStage()),
      say: (text) => this.view.aloud.say(text),
    });
    this.view = new View(host, { controls: this.controls, inspection: this.inspection }, {
      act,
      click: (panel, cell) => this.click(panel, cell),
      hover: (panel, cell, event) => this.hover(panel, cell, event),
      press: () => this.view.focusStage(),
      focus: (panel) => this.cursor.enter(panel),
      blur: () => this.cursor.leave(),
      key: (panel, event) => this.cursor.key(event),
    });
    this.inspection.attach(this.view);
    this.greeting = new Greeting(this.view);
    arrived();
    this.stopKeys = listen(act, () => !!this.walk);
  }

  /** The page is gone. */
  leave() {
    this.stopKeys();
    this.reel.close();
    this.view.close();
    clearTimeout(this.polling);
    this.inspection.close();
    this.greeting.close(false);
    this.channel.close();
  }

  // --- from Python -------------------------------------------------------------------------------------------------

  /** Take a message (bytes). The same one may come again (theme change, full rerun): it then changes nothing. */
  receive(data) {
    if (data === this.data) return;
    this.data = data;
    const { header, frames } = decode(data);
    const answered = this.channel.settle(header.seq);
    const picture = JSON.stringify([header.machine, header.seq, header.state, header.frames.map((f) => [f.tick, f.sentence]), header.micro]);
    const again = picture === this.picture && !answered;
    this.picture = picture;
    this.applyHeader(header);
    if (frames.length && !(again && this.painted)) this.receiveFrames(header, frames, answered);
    this.updateReady();
    this.channel.sendNext();
    if (header.query && header.state === "ready" && !this.walk?.late) this.announce(header);
  }

  /** Take over all of the header that is not a picture. */
  applyHeader(header) {
    const otherPace = !this.header || header.machine !== this.header.machine; // every machine begins with one of its own
    this.header = header;
    this.reel.setLimits(header.limits, header.pace ?? 0);
    if (otherPace) {
      this.reel.perFrame = header.per_frame;
      this.reel.delay = Math.round(1000 / header.fps);
      this.controls.setPace(this.reel.delay, this.reel.perFrame);
    }
    this.controls.setMostTick(header.limits.tick);
    this.controls.setKinds(header.kinds, header.kind);
    this.controls.setMarks(header.marks, header.kinds, header.palette.event_marks);
    this.view.applyHeader(header);
    this.view.setNotice(header, () => (this.channel.drop(), this.channel.send({ cmd: "cancel" })));
    this.greeting.apply(header);
    this.poll(header);
  }

  /** Ask again soon while the picture is missing, or is not yet a whole one, and when Python wants to be asked. */
  poll(header) {
    clearTimeout(this.polling);
    const late = header.frames.at(-1)?.more?.late && !header.playing;
    const soon = header.again || (late || header.state === "seeking" ? WORK_MS : POLL_MS);
    const wait = late || header.state !== "ready" ? soon : header.playing ? 0 : header.again;
    if (wait) this.polling = setTimeout(() => this.channel.send({ cmd: "poll" }), wait);
  }

  /** Play or paint the frames of a message. `answered`: the ask that it answers, or null. */
  receiveFrames(header, frames, answered) {
    const newMachine = header.machine !== this.machine; // none of its pictures has been painted
    this.machine = header.machine;
    frames.at(-1).found = { inspect: header.inspect, lit: header.lit, asked: answered };
    const { reel } = this;
    if (answered?.cmd === "run" && !newMachine) {
      if (!reel.playing) return; // paused meanwhile: what came too late is not shown
      reel.drained = header.playing === false;
      reel.enqueue(frames);
      return;
    }
    if (reel.playing && !newMachine && !answered && frames[0].tick >= reel.newestTick) {
      reel.enqueue(frames);
      return;
    }
    reel.queue = [];
    for (const frame of frames) this.paint(frame);
    reel.newestTick = this.tick;
    if (reel.playing) reel.refill(); // after a wait: nothing else would ask for more
    if (newMachine) {
      this.view.layout(true); // now the status line has its height
      if (header.playing) this.run();
      else this.pause(false);
      this.view.refocus();
    }
  }

  /** Let the follower (ui/follow.py) know what is on the screen; when it comes later it reads the variable. */
  announce({ now, query, playing }) {
    window.pagingvizNow = { now, query, running: playing, path: location.pathname };
    dispatchEvent(new CustomEvent("pagingviz:now", { detail: window.pagingvizNow }));
  }

  // --- on the screen -----------------------------------------------------------------------------------------------

  /** Show one frame on every board. */
  paint(frame) {
    const otherTick = frame.tick !== this.tick || !this.painted;
    this.walk = frame.more?.total === undefined ? null : frame.more;
    this.controls.setWalk(this.walk);
    if (this.walk && !this.channel.isAsking("ref")) this.wantedReference = this.walk.made;
    this.tick = frame.tick;
    this.painted = true;
    this.view.show(frame, this.header);
    if (frame.found) this.inspection.showFound(frame.found);
    else if (otherTick) this.inspection.forget();
    if (!this.reel.playing) this.view.describe();
    this.updateReady();
  }

  /** data-ready: "1" only while the picture of data-tick is painted and no other one is under way. */
  updateReady() {
    const still = this.reel.playing || !this.channel.navigating;
    this.view.setReady(this.painted && this.header.state === "ready" && !this.walk?.late && still);
  }

  // --- from the viewer ---------------------------------------------------------------------------------------------

  /** What every ask carries. */
  context() {
    const { reel, inspection: { pinned } } = this;
    return {
      tick: this.tick, from: reel.playing ? reel.newestTick : this.tick, frames: reel.batch, per_frame: reel.perFrame,
      fps: reel.fps, play: reel.playing, kind: this.controls.kind.value,
      board: pinned?.board ?? null, cell: pinned?.cell ?? null,
    };
  }

  run() {
    clearTimeout(this.polling); // what it asked for comes with the run's frames
    this.reel.newestTick = this.tick;
    this.view.setPlaying(true);
    this.reel.start();
  }

  /** Stop on the frame that is painted; `tell` Python, which may be ahead, to come back to it. */
  pause(tell = true) {
    const was = this.reel.playing;
    this.reel.stop();
    this.view.setPlaying(false);
    this.view.describe();
    if (was) this.channel.drop();
    if (was && tell) this.channel.send({ cmd: "stop" });
  }

  /** Do what a key or a control stands for. Nothing before the first picture. */
  act(name, value) {
    if (name === "greet") return this.greeting.toggle();
    if (!this.header || !this.painted) return;
    const ask = navigationAsk(name, value, this.header.limits.tick);
    if (ask) this.navigate(ask);
    else if (name === "toggle") {
      if (this.reel.playing) this.pause();
      else this.run();
    } else if (name === "unpin") this.inspection.unpin();
    else if (name === "deeper" || name === "higher") this.stepWalk(name === "deeper" ? 1 : -1);
    else if (name === "choose") this.view.choose(value);
    else if (name === "explain") return this.view.explain(value);
    else if (name === "kind") this.channel.send({ cmd: "kind", kind: value });
    else if (name === "delay" || name === "perFrame") {
      this.reel[name] = Number(value);
      if (!this.reel.playing) this.channel.send({ cmd: "speed" });
    }
    this.controls.scrubbing = name === "scrub";
    if (name !== "scrub" && name !== "unpin") this.view.refocus();
  }

  /** One reference of the walk on or back. Python gets the number, null for all of them. */
  stepWalk(by) {
    if (!this.walk) return;
    const { total } = this.walk;
    this.wantedReference = nextReference(this.wantedReference ?? this.walk.made, total, by);
    this.navigate({ cmd: "ref", n: this.wantedReference >= total ? null : this.wantedReference });
  }

  navigate(ask) {
    this.pause(false);
    this.channel.send(ask);
    this.updateReady();
  }

  /** The pointer is over a cell, or (-1) over none: then the cursor, where there is one, is seen again. */
  hover(panel, cell, event) {
    this.inspection.hover(panel, cell, event);
    if (cell < 0) this.cursor.show();
  }

  /** A click puts a cell under inspection; on the same cell again, or beside all cells, it ends that. */
  click(panel, cell) {
    if (cell < 0 || this.inspection.isPinned(panel, cell)) return this.inspection.unpin();
    this.pause(false);
    this.cursor.place(panel, cell);
    this.inspection.pin(panel, cell);
    this.channel.send({ cmd: "inspect" });
    this.view.refocus();
  }
}
