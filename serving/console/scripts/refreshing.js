// Asks the gateway, draws what it says, and says so when it is silent.
const EVERY = 2000; // milliseconds between two questions
const PATIENCE = 5000; // and for an answer

async function ask(path, options) {
  const answer = await fetch(path, {cache: "no-store", signal: AbortSignal.timeout(PATIENCE), ...options});
  const body = await answer.json().catch(() => ({error: `${path} gave no JSON`}));
  if (!answer.ok) throw new Error(body.error || `${path} answered ${answer.status}`);
  return body;
}
let heard = null,
  last = null,
  timer = null,
  busy = false;
function complain(error) {
  const refused = !(error instanceof TypeError) && error.name !== "TimeoutError" && error.name !== "AbortError";
  const since = heard
    ? `since ${heard.toLocaleTimeString("en-GB")} (${ago((Date.now() - heard) / 1000)})`
    : "since this page was opened";
  const kept = heard ? "What you see below is the last it said, and may be wrong by now." : "";
  const text = refused
    ? `The gateway answers, but could not say how things are ${since}: ${error.message}. ${kept}`
    : `The gateway has not answered ${since}. ${kept}`;
  const line = $("banner").querySelector("p");
  if (line) line.textContent = text;
  else $("banner").append(el("p", {}, text));
  document.body.classList.add("gone");
  if (last) doubt(last, refused);
}
// Nothing may look alive on the word of a gateway that is gone.
function doubt(state, refused) {
  const told = part =>
    part !== "gateway" ? `unknown since ${heard.toLocaleTimeString("en-GB")}` : refused ? "fails" : "does not answer";
  show("parts", {faults: [], parts: state.parts.map(({part}) => ({part, stale: true, note: told(part)}))}, drawParts);
  for (const [id, part] of Object.entries(PARTS))
    $(id).querySelector(".age").textContent = `the ${CALLED[part]} may or may not be alive`;
}
async function refresh() {
  if (busy || document.hidden) return;
  busy = true;
  try {
    last = await ask("v1/state");
    draw(last);
    heard = new Date();
    document.body.classList.remove("gone");
    $("banner").replaceChildren();
  } catch (error) {
    complain(error);
  }
  busy = false;
  clearTimeout(timer);
  timer = setTimeout(refresh, EVERY);
}
function draw(state) {
  const simulated = Math.abs(new Date(state.time) - new Date(state.machine_time)) > 60000;
  $("clock").textContent = `${when(state.time)} UTC${simulated ? ", simulated time" : ""}`;
  $("where").textContent = state.home;
  show("serving", state.serving, drawServing);
  show("rollout", state.rollout, drawRollout);
  show("drift", state.drift, drawDrift);
  show("quality", state.quality, drawQuality);
  show("controller", state.controller, drawController);
  show("ledger", state.ledger, drawLedger);
  show("gateway", state.gateway, drawGateway);
  show(
    "parts",
    {
      faults: state.faults,
      parts: state.parts.map(({age_seconds, time, ...rest}) => ({...rest, time: rest.stale ? time : ""})),
    },
    drawParts,
  );
  freshness(state);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
refresh();
people();
