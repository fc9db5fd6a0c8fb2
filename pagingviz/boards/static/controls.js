// The player row: buttons, event kind, tick, pace, and the scrubber with its marks.
import { el, grouped, icon, setText, svg } from "./dom.js";
import { explain } from "./tip.js";

const DELAYS = [0, 17, 33, 50, 100, 250, 500, 1000]; // ms between two redraws
const TICKS = [1, 2, 5, 10, 25, 100, 1000, 10000]; // ticks between two redraws
const delayText = (ms) => (ms ? `wait ${ms} ms` : "no delay");
const ticksText = (n) => (n === 1 ? "1 tick a frame" : `${grouped(n)} ticks a frame`);
const MARKS_WIDTH = 1000; // units across the scrubber

/** Where the scrubber ends, at least a tenth beyond the furthest tick: there is more to come. It changes once in a while only. */
function scaleEnd(furthest) {
  const step = 10 ** Math.floor(Math.log10(Math.max(furthest, 100))) / 2;
  return Math.ceil((1.1 * furthest + 1) / step) * step;
}

/** `act(name, value)` is called for everything the viewer does here. */
export class Controls {
  constructor(act) {
    const told = (node, title) => (explain(node, [["", title]]), node);
    const button = (name, text, key, title) => told(
      el("button", { type: "button", class: `act ${name}`, "aria-label": text ? null : `${title}, key ${key}`, "data-act": name, onclick: () => act(name) },
        icon(name === "toggle" ? "run" : name), text && el("span", {}, text), el("kbd", {}, key)), `${title} (${key}).`);
    const select = (name, title) =>
      told(el("select", { "aria-label": title, onchange: (event) => act(name, event.target.value) }), `${title}.`);
    this.run = button("toggle", "run", "Space", "Run or pause");
    this.kind = select("kind", "Kind of event that Next and Previous look for");
    this.delay = select("delay", "Delay between two redraws");
    this.perFrame = select("perFrame", "Ticks between two redraws");
    this.tick = el("input", {
      type: "number", min: 0, step: 1, class: "tick", "aria-label": "Tick: jump to it",
      onchange: (event) => act("seek", event.target.value),
      onkeydown: (event) => event.key === "Enter" && act("seek", event.target.value),
    });
    this.range = el("input", {
      type: "range", min: 0, max: 1, step: 1, "aria-label": "Scrub through time", "data-board-scrubber": true,
      oninput: (event) => act("scrub", event.target.value), onchange: () => act("focus"),
    });
    const inside = "Next event inside this tick";
    this.microStep = button("micro", "micro", "M", inside);
    this.marks = svg("svg", { class: "marks", viewBox: `0 0 ${MARKS_WIDTH} 8`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.furthest = el("span", { class: "furthest" });
    this.node = el("div", { class: "player", role: "toolbar", "aria-label": "Player" },
      button("home", null, "Home", "Tick 0"), button("back", null, "←", "One tick back"), this.run,
      button("step", "step", "→", "One tick forward"), this.microStep,
      el("span", { class: "group" }, button("prev", null, "P", "Previous event of the chosen kind"), this.kind,
        button("next", null, "N", "Next event of the chosen kind")),
      button("end", null, "End", "The furthest tick reached"));
    this.timeline = el("div", { class: "timeline" }, this.marks, this.range,
      el("label", { class: "field" }, el("span", {}, "tick"), this.tick, this.furthest),
      el("span", { class: "pace" }, this.delay, this.perFrame));
    this.walked = el("b", { class: "walked" });
    this.walk = el("span", { class: "walk", hidden: true }, button("higher", null, "↑", "One reference back"), this.walked,
      button("deeper", null, "↓", "One reference on; after the last one the walk begins again"));
    this.node.append(this.walk);
    this.about = {};
    explain(this.kind, () => {
      const chosen = this.kind.selectedOptions[0]?.label;
      return [["", `${this.kind.getAttribute("aria-label")}: ${chosen}.`], ...this.linesOf(chosen)];
    });
    explain(this.tick, () => [["", "Jump to a tick."], ...this.linesOf("tick")]);
    explain(this.microStep, () => [["", `${inside} (M).`], ...this.linesOf("micro")]);
    this.setOptions(this.delay, DELAYS.map((ms) => [ms, delayText(ms)]));
    this.setOptions(this.perFrame, TICKS.map((n) => [n, ticksText(n)]));
  }

  /** Take over what the glossary says of words, {text: [[word, text], ...]}. */
  explain(about) {
    this.about = about;
  }

  linesOf(text) {
    return this.about[text] ?? [];
  }

  /** The options of a select, [[value, label], ...]; equal ones are left alone. */
  setOptions(node, pairs) {
    const text = JSON.stringify(pairs);
    if (node.dataset.options === text) return;
    node.dataset.options = text;
    node.replaceChildren(...pairs.map(([value, label]) => el("option", { value }, label)));
  }

  /** Select a value, adding it when it is not one of the choices. */
  setPace(delay, perFrame) {
    const choose = (node, value, text) => {
      if (![...node.options].some((option) => +option.value === value)) node.append(el("option", { value }, text));
      node.value = value;
    };
    choose(this.delay, delay, delayText(delay));
    choose(this.perFrame, perFrame, ticksText(perFrame));
  }

  /** The kinds of events, [[kind, label], ...], and the chosen one. */
  setKinds(kinds, chosen) {
    this.setOptions(this.kind, kinds);
    if (chosen != null) this.kind.value = chosen;
  }

  setPlaying(playing) {
    this.run.setAttribute("aria-pressed", playing);
    this.run.querySelector("svg").replaceWith(icon(playing ? "pause" : "run"));
    setText(this.run.querySelector("span"), playing ? "pause" : "run");
  }

  /** The tick that is painted and the furthest one reached; the fields that the viewer is using are left alone. */
  setTick(tick, furthest) {
    const active = this.node.getRootNode().activeElement;
    const end = scaleEnd(furthest);
    if (+this.range.max !== end) {
      this.range.max = end;
      this.drawMarks();
    }
    this.range.style.setProperty("--reached", `${(100 * furthest) / end}%`);
    if (!this.scrubbing) this.range.value = tick;
    if (active !== this.tick) this.tick.value = tick;
    setText(this.furthest, tick < furthest ? `reached ${grouped(furthest)}` : "");
  }

  /** How many references of the longest walk are made; null: no walk is shown. */
  setWalk(walk) {
    this.walk.hidden = !walk;
    if (walk) setText(this.walked, walk.made < walk.total ? `ref. ${walk.made} of ${walk.total}` : `all ${walk.total} refs`);
  }

  /** The largest tick that there is. */
  setMostTick(most) {
    this.tick.max = most;
  }

  /** `marks`: [[tick, kind], ...]; `kinds`: [[kind, label], ...]; `colours` of the kinds, which begin again after the last. */
  setMarks(marks, kinds, colours) {
    this.markList = marks;
    this.markKinds = kinds.map(([kind]) => String(kind));
    this.markColours = colours;
    this.drawMarks();
  }

  /** One path for each colour, so that thousands of marks stay cheap. */
  drawMarks() {
    const paths = new Map();
    for (const [tick, kind] of this.markList ?? []) {
      const x = ((tick / +this.range.max) * MARKS_WIDTH).toFixed(1);
      const colour = this.markColours[Math.max(0, this.markKinds.indexOf(String(kind))) % this.markColours.length];
      paths.set(colour, `${paths.get(colour) ?? ""}M${x} 0V8`);
    }
    this.marks.replaceChildren(...[...paths].map(([colour, d]) => svg("path", { d, class: "mark", stroke: colour })));
  }
}
