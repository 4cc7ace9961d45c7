// Elements, numbers and times as every section shows them.
"use strict";
const $ = id => document.getElementById(id);

// What came from elsewhere is text: children are appended as text nodes, and nothing here parses markup.
function el(tag, props, ...children) {
  const svg = ["svg", "rect", "line", "path", "title"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props || {}))
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  node.append(
    ...children.flat(2).filter(child => child !== null && child !== undefined && child !== false && child !== ""),
  );
  return node;
}
const known = value => value !== null && value !== undefined && value !== "";
const few = (value, digits = 3) =>
  typeof value !== "number"
    ? String(value)
    : Number.isInteger(value)
      ? value.toLocaleString("en")
      : String(Number(value.toPrecision(digits)));
const share = value => (typeof value === "number" ? few(100 * value) + " %" : "unknown");
const when = iso =>
  String(iso || "")
    .slice(0, 19)
    .replace("T", " ");
const ago = seconds =>
  seconds < 100
    ? `${Math.max(0, Math.round(seconds))} s`
    : seconds < 6000
      ? `${Math.round(seconds / 60)} min`
      : seconds < 172800
        ? `${Math.round(seconds / 3600)} h`
        : `${Math.round(seconds / 86400)} days`;
const words = name => String(name).replaceAll("_", " ");
const digest = release => (release ? el("code", {title: release}, String(release).slice(0, 12)) : "");
const tag = (text, tone) => el("span", {class: `state ${tone || ""}`}, text);
const facts = pairs =>
  el(
    "dl",
    {class: "facts"},
    pairs.filter(pair => known(pair[1])).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
