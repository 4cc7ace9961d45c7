// How a section is drawn, and how old its content is.
// Which part of the loop a section is the word of.
const PARTS = {drift: "monitor", quality: "monitor", controller: "controller", rollout: "rollout"};
const CALLED = {gateway: "gateway", rollout: "rollout engine", monitor: "monitor", controller: "retrain controller"};

// A section is drawn anew only when what it says has changed; what was open stays open, what had the focus keeps it.
const drawn = {};
function show(id, data, build) {
  const text = JSON.stringify(data ?? null);
  if (drawn[id] === text) return;
  drawn[id] = text;
  const body = $(id).querySelector(".body"),
    active = document.activeElement;
  const open = [...body.querySelectorAll("details[open]")].map(node => node.dataset.key),
    focused = body.contains(active) && active.dataset.key;
  body.replaceChildren(...[build(data)].flat(2).filter(Boolean));
  for (const node of body.querySelectorAll("[data-key]")) {
    if (node.tagName === "DETAILS" && open.includes(node.dataset.key)) node.open = true;
    if (focused && node.dataset.key === focused && node.tagName === active.tagName) node.focus();
  }
}
function freshness(state) {
  for (const [id, part] of Object.entries(PARTS)) {
    const status = state.parts.find(each => each.part === part),
      section = $(id);
    section.classList.toggle("stale", status.stale);
    section.querySelector(".age").textContent = !known(status.age_seconds)
      ? `never a word of the ${CALLED[part]}`
      : status.stale
        ? `the ${CALLED[part]} is silent; this is its word of ${ago(status.age_seconds)} ago`
        : `${ago(status.age_seconds)} ago`;
  }
}
