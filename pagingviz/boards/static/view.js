// All that a live board shows around and with its canvases: panels, status line, sentence, notice, presenter mode.
import { Aloud } from "./aloud.js";
import { arrange } from "./arrange.js";
import { setVariables } from "./colours.js";
import { el, grouped, setText } from "./dom.js";
import { KEYS_OF_A_MAP, Panel } from "./panel.js";
import { explain, explainCut, Tip, writeMarked } from "./tip.js";

const MAP_KEYS = "Arrow keys go from cell to cell, Enter keeps a cell and reads its card, E explains the words of this map one "
  + "after the other, Escape leaves the map.";
const WRITING = "input[type=number], input[type=text]:not([role=combobox]), textarea";

export class View {
  /**
   * Fills `host`. `parts` = {controls: Controls, inspection: Inspection}; `on` = {act(name, value), and all that a Panel calls}
   * is called for what the viewer does.
   */
  constructor(host, { controls, inspection }, on) {
    this.on = on;
    this.controls = controls;
    this.inspection = inspection;
    this.panels = new Map(); // board id -> Panel, in the order of the page
    this.about = {}; // text of a legend, title, chip or word -> what the glossary says of it, [[word, text], ...]
    this.marked = {}; // text of a sentence, caption, chip or card -> the words in it, [[from, to, word], ...]
    this.chips = el("ul", { class: "chips", "aria-label": "Status" });
    this.grid = el("div", { class: "boards" });
    this.notice = el("div", { class: "notice", role: "status", hidden: true });
    this.aside = el("p", { class: "aside", hidden: true });
    this.rail = el("div", { class: "rail" }, inspection.inspector.node);
    this.stage = el("div", { class: "stage", tabindex: "-1" }, this.grid, this.rail, this.notice);
    this.tabs = el("nav", { class: "tabs", "aria-label": "Boards" });
    this.sentence = el("p", { class: "what" });
    this.source = el("code", { class: "source" });
    this.sentenceBox = el("div", { class: "sentence", "aria-live": "polite", "aria-atomic": "true" }, this.sentence, this.source);
    this.aloud = new Aloud();
    this.root = el("div", { class: "board" },
      controls.node, controls.timeline, this.chips, this.tabs, this.stage, this.sentenceBox, this.aside, inspection.lens.node,
      this.aloud.node, el("p", { id: KEYS_OF_A_MAP, hidden: true }, MAP_KEYS));
    this.tip = new Tip(this.root);
    explainCut(this.sentence);
    host.replaceChildren(this.root);
    this.watchSize(host);
  }

  act(name, value) {
    this.on.act(name, value);
  }

  watchSize(host) {
    this.resized = new ResizeObserver(() => this.layout());
    this.resized.observe(host);
    this.onWindow = () => this.layout();
    addEventListener("resize", this.onWindow);
    this.onFonts = () => this.layout(true); // before, words had other widths, and a line too many took room from the cells
    document.fonts.addEventListener("loadingdone", this.onFonts);
  }

  close() {
    this.tip.leave();
    this.aloud.close();
    this.resized.disconnect();
    removeEventListener("resize", this.onWindow);
    document.fonts.removeEventListener("loadingdone", this.onFonts);
  }

  // --- from the header ---------------------------------------------------------------------------------------------

  /** Take over the theme, the way of showing and the boards of a header. */
  applyHeader(header) {
    this.palette = header.palette;
    this.root.dataset.theme = header.theme;
    setVariables(this.root, header.palette);
    setText(this.aside, header.aside ?? "");
    this.aside.hidden = !header.aside;
    const present = !!header.present, [first] = header.boards;
    this.setPresent(present);
    this.root.classList.toggle("walks", !!first?.heads?.length);
    this.root.classList.toggle("compact", !!header.compact && !present);
    this.about = { ...this.about, ...header.about };
    this.marked = header.marked;
    this.controls.explain(this.about);
    const changed = this.setBoards(header);
    if (changed || present !== this.wasPresent) this.layout(true);
    this.wasPresent = present;
  }

  /** Make, change and remove panels as the header names boards; returns whether one has come or has another shape. */
  setBoards({ boards, codes, palette }) {
    const wanted = new Set(boards.map((board) => board.id));
    for (const [id, panel] of this.panels) if (!wanted.has(id)) panel.node.remove(), this.panels.delete(id);
    let changed = false;
    for (const board of boards) {
      let panel = this.panels.get(board.id);
      if (!panel) {
        panel = new Panel(board.id, codes, this.on);
        this.panels.set(board.id, panel);
        this.grid.append(panel.node);
        changed = true;
      }
      changed = panel.setBoard(board, palette, this.about) || changed;
    }
    return changed;
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

  /** The message over the boards while there is no true picture; `cancel` is called when the viewer gives up a long way. */
  setNotice({ state, progress, message }, cancel) {
    const waiting = state !== "ready";
    this.notice.hidden = !waiting;
    this.root.setAttribute("aria-busy", waiting);
    if (!waiting) return;
    if (this.notice.dataset.state !== state) {
      this.notice.dataset.state = state;
      const button = state === "seeking" ? [el("button", { type: "button", onclick: cancel }, "Cancel")] : [];
      this.notice.replaceChildren(el("p", {}), el("progress", { max: 100 }), ...button);
    }
    setText(this.notice.querySelector("p"), message || "One moment …");
    this.notice.querySelector("progress").value = Math.round(100 * (progress || 0));
  }

  // --- one frame ---------------------------------------------------------------------------------------------------

  /** Show a frame on every board, with its sentence and status; `header` is that of its message. */
  show(frame, header) {
    header.boards.forEach((board, b) => {
      const panel = this.panels.get(board.id);
      panel.show(frame.grids[b], frame, frame.more?.corners?.[b]);
      const caption = frame.captions?.[b] ?? board.caption;
      panel.setCaption(caption, this.marked[caption], this.about);
    });
    this.write(this.sentence, frame.sentence ?? "");
    const event = header.micro && `event ${header.micro[0]} of ${header.micro[1]}`;
    setText(this.source, [`tick ${grouped(frame.tick)}`, event, frame.source].filter(Boolean).join(" · "));
    this.setChips(frame.status ?? []);
    this.controls.setTick(frame.tick, Math.max(header.furthest, frame.tick));
    this.tip.settle();
  }

  /** Write a text, with its words of the glossary marked. */
  write(node, text) {
    writeMarked(node, text, this.marked[text], this.about);
  }

  /** The status line: [[label, value, tone], ...]. */
  setChips(status) {
    const names = JSON.stringify(status.map(([label]) => [label, this.about[label]]));
    if (names !== this.chipNames) {
      this.chipNames = names;
      this.chips.replaceChildren(...status.map(([label]) => el("li", {}, el("span", {}, label), el("b", {}))));
      status.forEach(([label], k) => explain(this.chips.children[k], this.about[label]));
    }
    status.forEach(([, value, tone], k) => {
      const chip = this.chips.children[k];
      this.write(chip.lastChild, typeof value === "number" ? grouped(value) : String(value));
      chip.className = tone ?? "";
    });
  }

  /** While the machine runs, screen readers are not disturbed by its sentences. */
  setPlaying(playing) {
    this.sentenceBox.setAttribute("aria-live", playing ? "off" : "polite");
    this.controls.setPlaying(playing);
  }

  /** Alternative text of the canvases; not while running, when nobody could listen to it. */
  describe() {
    for (const { canvas, board, caption } of this.panels.values()) {
      canvas.setAttribute("aria-label", [board.title, board.alt, caption.textContent].filter(Boolean).join(". "));
    }
  }

  /** data-ready of every canvas. */
  setReady(ready) {
    for (const panel of this.panels.values()) panel.canvas.dataset.ready = ready ? "1" : "0";
  }

  // --- on the page -------------------------------------------------------------------------------------------------

  /** New sizes when the window, the machine (`force`) or presenter mode changes; never between frames. */
  layout(force = false) {
    const size = [this.root.clientWidth, innerHeight].join();
    if (!this.panels.size || !this.root.isConnected || (size === this.size && !force)) return;
    this.size = size;
    arrange(this, [...this.panels.values()]);
    this.inspection.light();
    this.inspection.drawOutlines();
    this.inspection.placeCard();
  }

  /** Presenter mode that shows one board at a time: show the board with this number, counted from 1. */
  choose(number) {
    if (!this.root.classList.contains("alone")) return;
    this.chosen = [...this.panels.keys()][number - 1] ?? this.chosen;
    this.layout(true);
  }

  /** Explain one word after the other (`by` = 1), or back (-1): of the map that has the focus and the card, or all beside the maps. */
  explain(by) {
    const panel = this.focused?.closest(".panel"), words = [...this.root.querySelectorAll("[data-tip]")];
    const told = this.tip.tell(words.filter((word) => word.closest(".panel") === (panel ?? null) || (panel && word.closest(".card"))), by);
    if (!told) return;
    this.inspection.lens.hide(); // it may lie over the word
    this.aloud.say(told);
  }

  /** The element of the board that has the focus, or null. */
  get focused() {
    return this.root.getRootNode().activeElement;
  }

  /** Give the keys to the board again, unless the viewer is writing somewhere, is being greeted or is in a map. */
  refocus() {
    const { focused } = this;
    if (focused ? focused.closest(".greeting, .panel") : document.activeElement?.matches(WRITING)) return;
    this.focusStage();
  }

  focusStage() {
    this.stage.focus({ preventScroll: true });
  }
}
