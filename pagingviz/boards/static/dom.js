// Small helpers for building elements.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

/** An HTML element: attributes named on... are listeners; children are nodes or text, never markup. */
export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** The same for an SVG element. */
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

const ICONS = {
  home: "M3 3h2v10H3zM13 3v10L6 8z",
  end: "M11 3h2v10h-2zM3 3v10l7-5z",
  back: "M11 3v10L4 8z",
  step: "M5 3v10l7-5z",
  run: "M4 2v12l10-6z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  micro: "M3 7h3v2H3zM7 7h2v2H7zM10 4v8l4-4z",
  prev: "M9 3v10L3 8zM11 6h3v4h-3z",
  higher: "M3 11h10L8 4z",
  deeper: "M3 5h10l-5 7z",
  next: "M7 3v10l6-5zM2 6h3v4H2z",
};

/** The drawing on a button; names are those of ICONS. */
export const icon = (name) => svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));

/** Change a text only when it differs: the browser then has nothing to lay out. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** 1234567 -> 1 234 567 (thin spaces). */
export const grouped = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u2009");
