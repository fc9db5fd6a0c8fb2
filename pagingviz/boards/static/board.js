// The live board of a page: takes messages from Python, plays them on its canvases, sends back what the viewer asks.
import { arrange } from "./arrange.js";
import { Controls } from "./controls.js";
import { el, grouped, say } from "./dom.js";
import { Inspector, Lens } from "./inspector.js";
import { listen } from "./keys.js";
import { arrived } from "./leaving.js";
import { Link } from "./link.js";
import { Panel } from "./panel.js";
import { decode } from "./payload.js";
import { Player } from "./player.js";

const POLL_MS = 300; // while Python has no picture yet
const HOVER_MS = 120; // the pointer rests this long before Python is asked about a cell

class Board {
  constructor(host) {
    this.panels = new Map();
    this.header = null;
    this.tick = 0;
    this.pinned = null; // {board, cell} under inspection
    this.hovered = null;
    this.link = new Link(() => this.context());
    this.player = new Player({
      show: (frame) => this.paint(frame),
      more: () => this.link.asks("run") || this.link.send({ cmd: "run" }),
      ended: () => this.pause(),
    });
    this.controls = new Controls((name, value) => this.act(name, value));
    this.inspector = new Inspector({ jump: (tick) => this.act("seek", tick), close: () => this.act("unpin") });
    this.lens = new Lens();
    this.chips = el("ul", { class: "chips", "aria-label": "Status" });
    this.grid = el("div", { class: "boards" });
    this.notice = el("div", { class: "notice", role: "status", hidden: true });
    this.rail = el("div", { class: "rail" }, this.inspector.node);
    this.stage = el("div", { class: "stage", tabindex: "-1" }, this.grid, this.rail, this.notice);
    this.tabs = el("nav", { class: "tabs", "aria-label": "Boards" });
    this.sentence = el("p", { class: "what" });
    this.source = el("code", { class: "source" });
    this.saying = el("div", { class: "sentence", "aria-live": "polite", "aria-atomic": "true" }, this.sentence, this.source);
    this.root = el("div", { class: "board", "data-theme": "light" },
      this.controls.node, this.controls.timeline, this.chips, this.tabs, this.stage, this.saying, this.lens.node);
    host.replaceChildren(this.root);
    arrived();
    this.deaf = listen((name, value) => this.act(name, value), () => !!this.walk);
    this.resized = new ResizeObserver(() => this.layout());
    this.resized.observe(host);
    this.onWindow = () => this.layout();
    addEventListener("resize", this.onWindow);
    this.onFonts = () => this.layout(true); // before, words had other widths, and a line too many took room from the cells
    document.fonts.addEventListener("loadingdone", this.onFonts);
  }

  leave() {
    this.deaf();
    this.player.close();
    this.resized.disconnect();
    removeEventListener("resize", this.onWindow);
    document.fonts.removeEventListener("loadingdone", this.onFonts);
    clearTimeout(this.polling);
    clearTimeout(this.hovering);
    this.link.close();
  }

  // --- from Python -------------------------------------------------------------------------------------------------

  /** One message. The same one may come again (theme change, full rerun): it then changes nothing. */
  receive(data) {
    if (data === this.data) return;
    this.data = data;
    const { header, frames } = decode(data);
    const answered = this.link.settle(header.seq);
    const name = JSON.stringify([header.machine, header.seq, header.state, header.frames.map((f) => [f.tick, f.sentence]), header.micro]);
    const fresh = header.machine !== this.machine; // not yet seen a picture of it
    const seen = name === this.name && !answered;
    this.name = name;
    this.dress(header);
    this.setNotice(header);
    if (frames.length && !(seen && this.painted)) this.take(header, frames, answered, fresh);
    this.ready();
    this.link.pump();
    if (header.query && header.state === "ready") { // the follower (ui/follow.py) hears it, or reads it when it comes later
      window.pagingvizNow = { now: header.now, query: header.query, running: header.playing, path: location.pathname };
      dispatchEvent(new CustomEvent("pagingviz:now", { detail: window.pagingvizNow }));
    }
  }

  /** All of the header that is not a picture. */
  dress(header) {
    const first = !this.header;
    this.header = header;
    this.root.dataset.theme = header.theme;
    this.setPresent(!!header.present);
    this.root.classList.toggle("columns", !!header.boards[0]?.place?.length);
    this.root.classList.toggle("walks", !!header.boards[0]?.heads?.length);
    this.root.classList.toggle("compact", !!header.compact && !header.present);
    this.player.least = header.pace ?? 0;
    if (first) {
      this.player.perFrame = header.per_frame ?? 1;
      this.player.delay = Math.round(1000 / (header.fps || 30));
      this.controls.setPace(this.player.delay, this.player.perFrame);
    }
    this.controls.setKinds(header.kinds ?? [], header.kind);
    this.controls.setMarks(header.marks ?? [], header.kinds ?? []);
    const wanted = new Set(header.boards.map((board) => board.id));
    for (const [id, panel] of this.panels) if (!wanted.has(id)) panel.node.remove(), this.panels.delete(id);
    let resize = !!header.present !== this.wasPresent;
    this.wasPresent = !!header.present;
    for (const board of header.boards) {
      let panel = this.panels.get(board.id);
      if (!panel) {
        panel = new Panel(board.id, { click: (p, cell) => this.click(p, cell), hover: (p, cell, event) => this.hover(p, cell, event) });
        this.panels.set(board.id, panel);
        this.grid.append(panel.node);
        resize = true;
      }
      resize = panel.setPlan(board, header.palette) || resize;
    }
    if (resize) this.layout(true);
  }

  take(header, frames, answered, fresh) {
    this.machine = header.machine;
    frames.at(-1).found = { inspect: header.inspect ?? null, lit: header.lit ?? {}, asked: answered };
    const running = answered?.cmd === "run" && !fresh;
    if (running && !this.player.playing) return; // paused meanwhile: what came too late is not shown
    if (running) {
      this.player.drained = header.playing === false;
      this.player.enqueue(frames);
      return;
    }
    if (this.player.playing && !fresh && !answered && frames[0].tick >= this.player.lastSent) {
      this.player.enqueue(frames);
      return;
    }
    this.player.queue = [];
    for (const frame of frames) this.paint(frame);
    this.player.lastSent = this.tick;
    if (this.player.playing) this.player.refill(); // after a wait: nothing else would ask for more
    if (fresh) {
      this.layout(true); // now the status line has its height
      if (header.playing) this.run();
      else this.pause(false);
      this.refocus();
    }
  }

  /** Presenter mode lies above the whole page, whatever surrounds the board. */
  setPresent(present) {
    if (present === this.root.classList.contains("present")) return;
    this.root.classList.toggle("present", present);
    if (present) {
      this.root.popover = "manual";
      this.root.showPopover();
    } else this.root.removeAttribute("popover");
  }

  /** Message over the boards while there is no true picture. */
  setNotice(header) {
    clearTimeout(this.polling);
    const waiting = header.state !== "ready";
    if (header.frames.at(-1)?.more?.late && !header.playing) { // a picture, but not yet a whole one
      this.polling = setTimeout(() => this.link.send({ cmd: "poll" }), POLL_MS);
    }
    this.notice.hidden = !waiting;
    this.root.setAttribute("aria-busy", waiting);
    if (!waiting) return;
    const share = Math.round(100 * (header.progress || 0));
    const cancel = header.state === "seeking"
      ? el("button", { type: "button", onclick: () => (this.link.drop(), this.link.send({ cmd: "cancel" })) }, "Cancel") : null;
    if (this.notice.dataset.state !== header.state) {
      this.notice.dataset.state = header.state;
      this.notice.replaceChildren(el("p", {}), el("progress", { max: 100 }), ...(cancel ? [cancel] : []));
    }
    say(this.notice.querySelector("p"), header.message || "One moment …");
    this.notice.querySelector("progress").value = share;
    this.polling = setTimeout(() => this.link.send({ cmd: "poll" }), POLL_MS);
  }

  // --- on the screen -----------------------------------------------------------------------------------------------

  /** Show one frame on every board. */
  paint(frame) {
    const moved = frame.tick !== this.tick || !this.painted;
    this.walk = frame.more?.total === undefined ? null : frame.more;
    this.controls.setWalk(this.walk);
    if (this.walk && !this.link.asks("ref")) this.wanted = this.walk.made;
    this.tick = frame.tick;
    this.painted = true;
    this.header.boards.forEach((board, b) => {
      const panel = this.panels.get(board.id);
      panel.show(frame.grids[b], frame, frame.more?.numbers?.[b]);
      panel.setCaption(frame.captions?.[b] ?? board.caption);
    });
    say(this.sentence, frame.sentence ?? "");
    this.sentence.title = this.sentence.textContent;
    const micro = this.header.micro;
    say(this.source, [`tick ${grouped(frame.tick)}`, micro && `event ${micro[0]} of ${micro[1]}`, frame.source].filter(Boolean).join(" · "));
    this.setChips(frame.status ?? []);
    this.controls.setTick(frame.tick, Math.max(this.header.furthest ?? 0, frame.tick));
    if (frame.found) this.setFound(frame.found);
    else if (moved) this.light({});
    if (!this.player.playing) this.describe();
    this.ready();
  }

  /** data-ready: "1" only while the picture of data-tick is painted and no other one is under way. */
  ready() {
    const ready = this.painted && this.header.state === "ready" && !this.walk?.late && (this.player.playing || !this.link.moving);
    for (const panel of this.panels.values()) panel.canvas.dataset.ready = ready ? "1" : "0";
  }

  /** Alternative text; not while running, when nobody could listen to it. */
  describe() {
    for (const { canvas, plan, caption } of this.panels.values()) {
      canvas.setAttribute("aria-label", [plan.title, plan.alt, caption.textContent].filter(Boolean).join(". "));
    }
  }

  setChips(status) {
    const names = status.map(([label]) => label).join("\n");
    if (names !== this.chipNames) {
      this.chipNames = names;
      this.chips.replaceChildren(...status.map(([label]) => el("li", {}, el("span", {}, label), el("b", {}))));
    }
    status.forEach(([, value, tone], k) => {
      const chip = this.chips.children[k];
      say(chip.lastChild, typeof value === "number" ? grouped(value) : String(value));
      chip.className = tone ?? "";
    });
  }

  setFound({ inspect, lit, asked }) {
    const hover = asked?.hover && !this.pinned;
    if (hover && !(this.hovered && this.hovered.cell === asked.cell && this.hovered.panel.id === asked.board)) return;
    this.inspector.show(inspect, !!this.pinned);
    this.light(lit);
    this.layPins();
    if (hover && inspect) this.showLens(inspect);
  }

  light(lit) {
    for (const panel of this.panels.values()) panel.light(lit[panel.id]);
  }

  layPins() {
    for (const panel of this.panels.values()) {
      panel.outline(panel.pin, this.pinned?.board === panel.id ? [this.pinned.cell] : []);
      panel.outline(panel.pointed, this.hovered?.panel === panel ? [this.hovered.cell] : []);
    }
    this.root.classList.toggle("pinned", !!this.pinned);
  }

  /** New sizes when the window, the machine (`force`) or presenter mode changes; never between frames. */
  layout(force = false) {
    const size = [this.root.clientWidth, innerHeight].join();
    if (!this.panels.size || !this.root.isConnected || (size === this.size && !force)) return;
    this.size = size;
    arrange(this, [...this.panels.values()]);
    this.layPins();
  }

  // --- from the viewer ---------------------------------------------------------------------------------------------

  /** What every ask carries. */
  context() {
    const { player } = this;
    return {
      tick: this.tick, from: player.playing ? player.lastSent : this.tick, frames: player.batch, per_frame: player.perFrame,
      fps: Math.round(1000 / Math.max(player.delay, 1000 / 60)), play: player.playing,
      kind: this.controls.kind.value, board: this.pinned?.board ?? null, cell: this.pinned?.cell ?? null,
    };
  }

  run() {
    this.saying.setAttribute("aria-live", "off");
    this.player.lastSent = this.tick;
    this.controls.setPlaying(true);
    this.player.start();
  }

  /** Stop on the frame that is painted; `tell` Python, which may be ahead, to come back to it. */
  pause(tell = true) {
    const was = this.player.playing;
    this.player.stop();
    this.controls.setPlaying(false);
    this.saying.setAttribute("aria-live", "polite");
    this.describe();
    if (was) this.link.drop();
    if (was && tell) this.link.send({ cmd: "stop" });
  }

  act(name, value) {
    if (!this.header || !this.painted) return;
    const motions = {
      step: { cmd: "step", n: 1 }, back: { cmd: "step", n: -1 }, micro: { cmd: "micro", n: 1 },
      next: { cmd: "next", n: 1 }, prev: { cmd: "prev", n: 1 }, home: { cmd: "home" }, end: { cmd: "end" },
    };
    if (name === "toggle") {
      if (this.player.playing) this.pause();
      else this.run();
    } else if (name in motions) this.move(motions[name]);
    else if (name === "seek" || name === "scrub") {
      const tick = Math.round(Number(value));
      if (Number.isFinite(tick) && tick >= 0 && tick <= 1e9) this.move({ cmd: "seek", n: tick });
    } else if (name === "unpin") this.unpin();
    else if (name === "deeper" || name === "higher") this.stepWalk(name === "deeper" ? 1 : -1);
    else if (name === "choose" && this.root.classList.contains("alone")) {
      this.chosen = [...this.panels.keys()][value - 1] ?? this.chosen;
      this.layout(true);
    } else if (name === "kind") this.link.send({ cmd: "kind", kind: value });
    else if (name === "delay" || name === "perFrame") {
      this.player[name] = Number(value);
      if (!this.player.playing) this.link.send({ cmd: "speed" });
    }
    this.controls.scrubbing = name === "scrub";
    if (name !== "scrub" && name !== "unpin") this.refocus();
  }

  /** One reference on or back; on from the last one begins the walk again. Python hears the number, null for all of them. */
  stepWalk(by) {
    if (!this.walk) return;
    const { total } = this.walk, from = this.wanted ?? this.walk.made;
    const to = by > 0 && from >= total ? 1 : Math.min(total, Math.max(0, from + by));
    this.wanted = to;
    this.move({ cmd: "ref", n: to >= total ? null : to });
  }

  move(ask) {
    this.pause(false);
    this.link.send(ask);
    this.ready();
  }

  click(panel, cell) {
    if (cell < 0 || (this.pinned?.board === panel.id && this.pinned.cell === cell)) return this.unpin();
    this.pause(false);
    this.pinned = { board: panel.id, cell };
    // A card that floats stands on the side away from the cell.
    const box = panel.node.getBoundingClientRect();
    this.root.classList.toggle("card-left", box.left + box.width / 2 > innerWidth * 0.6);
    this.layPins();
    this.lens.hide();
    this.link.send({ cmd: "inspect" });
    this.refocus();
  }

  unpin() {
    if (!this.pinned) return;
    this.pinned = null;
    this.inspector.show(null);
    this.light({});
    this.layPins();
  }

  hover(panel, cell, event) {
    const same = this.hovered?.panel === panel && this.hovered.cell === cell;
    if (cell >= 0) this.pointer = [event.clientX, event.clientY];
    if (same && cell >= 0) return this.showLens(this.lensFound);
    this.lensFound = null;
    clearTimeout(this.hovering);
    this.hovered = cell >= 0 ? { panel, cell } : null;
    panel.canvas.classList.toggle("pointing", cell >= 0);
    this.layPins();
    if (cell < 0) {
      this.lens.hide();
      if (!this.pinned) this.light({}), this.inspector.show(null);
      return;
    }
    this.showLens(null);
    if (this.pinned || this.player.playing) return;
    this.hovering = setTimeout(() => {
      if (!this.link.out && !this.player.playing) this.link.send({ cmd: "inspect", board: panel.id, cell, hover: true });
    }, HOVER_MS);
  }

  showLens(found) {
    this.lensFound = found;
    const { panel, cell } = this.hovered;
    this.lens.show(panel.describe(cell), this.header.palette, ...this.pointer, found);
  }

  /** Keys go to the board again, unless the viewer is writing somewhere. */
  refocus() {
    const active = document.activeElement;
    const inside = this.root.getRootNode().activeElement;
    if (!inside && active?.matches("input[type=number], input[type=text]:not([role=combobox]), textarea")) return;
    this.stage.focus({ preventScroll: true });
  }
}

const boards = new WeakMap();
let style;

/** The board's style sheet, fetched once beside this file. */
function styled(shadow) {
  style ??= fetch(new URL("board.css", import.meta.url)).then((answer) => answer.text()).then((text) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    return sheet;
  });
  return style.then((sheet) => {
    if (!shadow.adoptedStyleSheets.includes(sheet)) shadow.adoptedStyleSheets = [...shadow.adoptedStyleSheets, sheet];
  });
}

/** Streamlit calls this for every message and for every rerun. */
export async function show({ parentElement, data, setTriggerValue }) {
  await styled(parentElement);
  const host = parentElement.querySelector(".pagingviz");
  if (!host || !data) return;
  let board = boards.get(host);
  if (!board) boards.set(host, (board = new Board(host)));
  board.link.emit = (ask) => setTriggerValue("ask", ask);
  board.receive(data);
}

/** Streamlit's clean-up, which also runs when a newer message overtakes an older one: only a board that is gone is left. */
export function leave(parentElement) {
  setTimeout(() => {
    const host = parentElement.querySelector(".pagingviz");
    const board = boards.get(host);
    if (board && !host.isConnected) board.leave(), boards.delete(host);
  }, 0);
}
