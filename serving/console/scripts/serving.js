// Who serves, and the rollout with its guards.
function drawServing(serving) {
  const variants = serving.variants;
  if (!variants.length)
    return [
      el("p", {}, "Nothing is routed yet: no release was ever promoted here. `everloop run` makes the first."),
      serving.faults.map(text => el("p", {class: "bad"}, text)),
    ];
  const spoken = variants.map(each => `${each.variant} ${share(each.share)}`).join(", ");
  const bar = el(
    "div",
    {class: "split", role: "img", "aria-label": `Shares of users: ${spoken}`},
    variants.map(each => {
      const piece = el(
        "span",
        {class: each.variant + (each.share < 0.15 ? " thin" : "")},
        each.share < 0.15 ? "" : share(each.share),
      );
      piece.style.flexGrow = each.share;
      piece.style.flexBasis = "0";
      return piece;
    }),
  );
  return [
    bar,
    el(
      "div",
      {class: "variants"},
      variants.map(each =>
        el(
          "div",
          {},
          el(
            "p",
            {},
            el("span", {class: `dot ${each.variant}`}),
            el("strong", {}, each.variant),
            ` ${share(each.share)} of users`,
          ),
          el(
            "p",
            {},
            digest(each.release),
            known(each.model) && ` ${each.model}`,
            known(each.since) && el("small", {}, ` since ${when(each.since)}`),
          ),
          known(each.why) && el("p", {class: "soft"}, each.why),
        ),
      ),
    ),
    serving.mirror && el("p", {}, "Every request of the champion is also asked of the candidate, unanswered (shadow)."),
    serving.faults.map(text => el("p", {class: "bad"}, text)),
  ];
}

function interval({low, high, value, limit}) {
  const given = [low, high, value, limit].filter(each => typeof each === "number");
  if (given.length < 2 || typeof low !== "number" || typeof high !== "number") return null;
  const from = Math.min(0, ...given),
    to = Math.max(0, ...given),
    pad = (to - from) * 0.06 || 1,
    x = each => (200 * (each - from + pad)) / (to - from + 2 * pad);
  return el(
    "svg",
    {
      class: "meter",
      viewBox: "0 0 200 16",
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": `between ${few(low)} and ${few(high)}` + (known(limit) ? `, limit ${few(limit)}` : ""),
    },
    el("rect", {class: "track", x: 0, y: 5, width: 200, height: 6, rx: 2}),
    el("line", {class: "zero", x1: x(0), x2: x(0), y1: 0, y2: 16}),
    el("rect", {class: "range", x: x(low), y: 3, width: Math.max(1, x(high) - x(low)), height: 10}),
    typeof value === "number" && el("line", {class: "value", x1: x(value), x2: x(value), y1: 3, y2: 13}),
    typeof limit === "number" && el("line", {class: "edge", x1: x(limit), x2: x(limit), y1: 0, y2: 16}),
  );
}
function spark(trail, limit) {
  const points = trail.filter(each => typeof each.low === "number" && typeof each.high === "number");
  if (points.length < 3) return null;
  const all = points.flatMap(each => [each.low, each.high]).concat(typeof limit === "number" ? [limit] : []);
  const from = Math.min(...all),
    to = Math.max(...all),
    x = index => (300 * index) / (points.length - 1),
    y = value => 47 - (44 * (value - from)) / (to - from || 1);
  const edge = (name, back) =>
    points
      .map((each, index) => [x(index), y(each[name])])
      .map(pair => pair.join(" "))
      [back ? "reverse" : "slice"]();
  return el(
    "svg",
    {
      class: "spark",
      viewBox: "0 0 300 50",
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": "How the interval narrowed",
    },
    el("path", {class: "band", d: `M${[...edge("low"), ...edge("high", true)].join("L")}Z`}),
    points.every(each => typeof each.value === "number") &&
      el("path", {d: `M${points.map((each, index) => `${x(index)} ${y(each.value)}`).join("L")}`}),
    typeof limit === "number" && el("line", {x1: 0, x2: 300, y1: y(limit), y2: y(limit)}),
  );
}
const TONES = {
  passes: "good",
  broken: "bad",
  undecided: "warn",
  promoted: "good",
  aborted: "bad",
  paused: "warn",
  succeeded: "good",
  failed: "bad",
  rejected: "warn",
  suppressed: "soft",
  running: "warn",
};
function drawRollout(rollout) {
  if (!rollout) return el("p", {class: "soft"}, "No rollout so far.");
  return [
    el(
      "p",
      {class: "line"},
      el(
        "span",
        {},
        tag(
          {step: "under way", waiting: "waits for its predictor"}[rollout.state] || rollout.state,
          TONES[rollout.state],
        ),
        " ",
        digest(rollout.candidate),
        known(rollout.champion) && [" against ", digest(rollout.champion)],
      ),
      known(rollout.since) && el("small", {}, `since ${when(rollout.since)}`),
    ),
    known(rollout.why) && el("p", {}, rollout.why),
    el(
      "ol",
      {class: "plain steps", "aria-label": "Steps"},
      rollout.steps.map(step =>
        el(
          "li",
          {class: step.state, "aria-current": step.state === "now" ? "step" : null},
          `${share(step.share)}${{done: " ✓", now: " now", stopped: " stopped", todo: ""}[step.state]}`,
        ),
      ),
    ),
    known(rollout.lists) &&
      rollout.state === "step" &&
      el(
        "p",
        {class: "soft"},
        `${few(rollout.lists)} lists of the candidate at this step; the next takes at least ${few(rollout.min_lists)}.`,
      ),
    rollout.guards.some(guard => guard.interval) &&
      el(
        "small",
        {},
        "Bars: where the truth surely lies (blue), the estimate (dark line), what is accepted (red line); below, how they narrowed.",
      ),
    el(
      "ul",
      {class: "plain guards"},
      rollout.guards.map(guard =>
        el(
          "li",
          {},
          el("div", {class: "line"}, el("strong", {}, words(guard.guard)), tag(guard.state, TONES[guard.state])),
          known(guard.sentence) && el("p", {}, guard.sentence),
          guard.interval && interval(guard.interval),
          spark(guard.trail || [], (guard.interval || {}).limit),
          Object.keys(guard.figures || {}).length > 0 &&
            el(
              "small",
              {},
              Object.entries(guard.figures)
                .filter(([, value]) => known(value) && typeof value !== "object")
                .map(([name, value]) => `${words(name)} ${few(value)}`)
                .join(" · "),
            ),
        ),
      ),
    ),
  ];
}
