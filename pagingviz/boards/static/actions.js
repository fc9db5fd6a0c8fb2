// What the viewer's actions (names from keys.js and controls.js) ask of Python. Nothing here has a state.

const NAVIGATION = {
  step: { cmd: "step", n: 1 }, back: { cmd: "step", n: -1 }, micro: { cmd: "micro", n: 1 },
  next: { cmd: "next", n: 1 }, prev: { cmd: "prev", n: 1 }, home: { cmd: "home" }, end: { cmd: "end" },
};

/**
 * The ask that leads to another tick, or null when the action does not: an action that has nothing to do with ticks, or a
 * tick to seek that is no number from 0 to `mostTick`.
 */
export function navigationAsk(name, value, mostTick) {
  if (Object.hasOwn(NAVIGATION, name)) return { ...NAVIGATION[name] };
  if (name !== "seek" && name !== "scrub") return null;
  const tick = Math.round(Number(value));
  return Number.isFinite(tick) && tick >= 0 && tick <= mostTick ? { cmd: "seek", n: tick } : null;
}

/**
 * How many references of a walk to show after one step on (`by` = 1) or back (-1), `from` of `total` being shown. A step on
 * after the last reference begins the walk again.
 */
export function nextReference(from, total, by) {
  return by > 0 && from >= total ? 1 : Math.min(total, Math.max(0, from + by));
}
