// Drift, quality, the controller, the ledger, the parts and the gateway.
function drawDrift(drift) {
  if (!drift)
    return el(
      "p",
      {class: "soft"},
      "Nothing is known: the monitor has not looked yet. That is not the same as no drift.",
    );
  const seen = drift.features.filter(each => each.detected);
  return [
    el(
      "p",
      {},
      !drift.features.some(each => each.judged)
        ? drift.sentence || "No feature was compared yet."
        : seen.length
          ? el("strong", {class: "bad"}, `Drifting: ${seen.map(each => words(each.feature)).join(", ")}`)
          : `Nothing drifts among ${drift.features.filter(each => each.judged).length} features.`,
      known(drift.report) && [
        " ",
        el("a", {href: drift.report, target: "_blank", rel: "noopener"}, "Evidently’s report"),
      ],
    ),
    drift.faults.map(text => el("p", {class: "bad"}, `The monitor’s last look had a fault: ${text}`)),
    known(drift.note) && el("p", {class: "soft"}, drift.note),
    el(
      "ul",
      {class: "plain features"},
      drift.features.map(each => {
        const top = 1.15 * Math.max(each.distance || 0, each.limit || 0, 1e-9),
          x = value => (200 * value) / top;
        return el(
          "li",
          {},
          el(
            "div",
            {class: "line"},
            el(
              "span",
              {},
              el("strong", {}, words(each.feature)),
              known(each.kind) && el("small", {}, ` ${words(each.kind)}`),
            ),
            each.detected
              ? tag("drifts", "bad")
              : each.judged === false
                ? tag("too few", "warn")
                : tag("steady", "good"),
          ),
          known(each.distance) &&
            el(
              "svg",
              {
                class: "meter",
                viewBox: "0 0 200 16",
                preserveAspectRatio: "none",
                role: "img",
                "aria-label": `distance ${few(each.distance)}, limit ${few(each.limit)}`,
              },
              el("rect", {class: "track", x: 0, y: 4, width: 200, height: 8, rx: 2}),
              el("rect", {
                class: each.detected ? "over" : "fill",
                x: 0,
                y: 4,
                width: x(each.distance),
                height: 8,
                rx: 2,
              }),
              known(each.limit) && el("line", {class: "limit", x1: x(each.limit), x2: x(each.limit), y1: 0, y2: 16}),
            ),
          el(
            "small",
            {},
            [
              known(each.distance) && `distance ${few(each.distance)}`,
              known(each.limit) && `limit ${few(each.limit)}`,
              known(each.p_value) && `p ${few(each.p_value, 2)}`,
            ]
              .filter(Boolean)
              .join(" · "),
          ),
          known(each.moved) && el("p", {}, each.moved),
        );
      }),
    ),
  ];
}
function drawQuality(quality) {
  if (!quality) return el("p", {class: "soft"}, "Nothing is known: the monitor has not looked yet.");
  return [
    quality.variants.length > 0
      ? el(
          "div",
          {class: "scroll", tabindex: 0, role: "region", "aria-label": "Click rate by release"},
          el(
            "table",
            {},
            el("caption", {}, "Lists with a click, among lists whose labels are final"),
            el(
              "thead",
              {},
              el(
                "tr",
                {},
                ["group", "release", "click rate", "final lists"].map((name, index) =>
                  el("th", {scope: "col", class: index > 1 ? "number" : null}, name),
                ),
              ),
            ),
            el(
              "tbody",
              {},
              quality.variants.map(each =>
                el(
                  "tr",
                  {},
                  el("th", {scope: "row"}, each.variant),
                  el("td", {}, digest(each.release)),
                  el("td", {class: "number"}, share(each.click_rate)),
                  el("td", {class: "number"}, known(each.lists) ? few(each.lists) : ""),
                ),
              ),
            ),
          ),
        )
      : el("p", {}, "No list has final labels yet, so no click rate is given."),
    facts([
      ["before (baseline)", known(quality.baseline) ? share(quality.baseline) : ""],
      ["lists not final yet", known(quality.immature) ? few(quality.immature) : ""],
      ["catalogue shown", known(quality.coverage) ? share(quality.coverage) : ""],
      ["concentration (Gini)", known(quality.gini) ? few(quality.gini) : ""],
      ["lists that explored", known(quality.explored) ? share(quality.explored) : ""],
    ]),
    known(quality.sentence) && el("p", {class: quality.alarm ? "bad" : "soft"}, quality.sentence),
  ];
}
function drawController(controller) {
  if (!controller) return el("p", {class: "soft"}, "Nothing is known: the retrain controller has not said a word yet.");
  return [
    controller.held.map(text => el("p", {class: "warn"}, el("strong", {}, text))),
    controller.budget &&
      el("p", {class: "soft"}, `${controller.budget.used} of at most ${controller.budget.of} runs in 24 hours.`),
    !controller.decisions.length && el("p", {}, "No alert has asked for a run."),
    el(
      "ol",
      {class: "plain decisions"},
      controller.decisions.map(each =>
        el(
          "li",
          {},
          el(
            "div",
            {class: "line"},
            el(
              "span",
              {},
              tag(words(each.state).toLowerCase(), TONES[String(each.state).toLowerCase()]),
              known(each.alert) && el("strong", {}, ` ${each.alert}`),
            ),
            el("small", {}, when(each.time)),
          ),
          known(each.reason) && el("p", {}, each.reason),
          known(each.run) && el("small", {}, "run ", el("code", {}, each.run)),
        ),
      ),
    ),
  ];
}
function drawLedger(ledger) {
  if (ledger.fault) return el("p", {class: "bad"}, ledger.fault);
  if (!ledger.entries.length) return el("p", {class: "soft"}, "No decision yet.");
  return [
    ledger.entries.map(entry =>
      el(
        "details",
        {"data-key": entry.sequence},
        el(
          "summary",
          {"data-key": entry.sequence},
          el("small", {class: "when"}, when(entry.time)),
          el("strong", {}, entry.action),
          " ",
          digest(entry.release),
          el("small", {}, ` ${entry.reason}`),
        ),
        el("pre", {tabindex: 0}, JSON.stringify(entry, null, 1)),
      ),
    ),
    ledger.total > ledger.entries.length &&
      el("p", {class: "soft"}, `The latest ${ledger.entries.length} of ${ledger.total}.`),
  ];
}
const drawParts = ({parts, faults}) => [
  faults.map(text => el("p", {class: "bad"}, text)),
  el(
    "ul",
    {class: "plain parts"},
    parts.map(each =>
      el(
        "li",
        {class: each.stale ? "silent" : null},
        el("strong", {}, CALLED[each.part] || each.part),
        el(
          "small",
          {},
          each.note ||
            (!each.stale ? "alive" : known(each.time) ? `silent since ${when(each.time)}` : "never said a word"),
        ),
      ),
    ),
  ),
];
const drawGateway = own =>
  Object.keys(own).length
    ? facts(
        Object.entries(own).map(([name, value]) => [
          words(name),
          typeof value === "number" ? few(value) : String(value),
        ]),
      )
    : el("p", {class: "soft"}, "It has counted nothing yet.");
