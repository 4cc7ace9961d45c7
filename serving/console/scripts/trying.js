// The try-it box. What changed since the list before is said in words and marked in colour.
const WHY = {
  unknown_user: "nobody has seen this person yet",
  no_history: "there is no history to go by",
  unknown_items: "the release knows none of the history's items",
  history_unavailable: "the online history could not be read",
  model: "the model failed on this history",
};
let before = null,
  turn = 0;
const post = (path, body) =>
  ask(path, {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(body)});
const titled = item => (known(item.title) ? item.title : item.id);
async function list(person, clicked) {
  const mine = ++turn,
    started = performance.now();
  const answer = (await post("v1/models/everloop:predict", {instances: [{user_id: person, k: 10}]})).predictions[0];
  const spent = performance.now() - started;
  const past = (await ask(`v1/history?user=${encodeURIComponent(person)}`)).items;
  const {titles} = await ask(`v1/titles?${new URLSearchParams(answer.items.map(item => ["item", item.id]))}`);
  for (const item of answer.items) item.title = titles[item.id];
  if (mine !== turn) return; // somebody has asked again meanwhile
  const former = before && before.person === person ? before.items : null,
    places = new Map((former || []).map((item, index) => [item.id, index]));
  const gone = (former || []).filter(item => !answer.items.some(each => each.id === item.id));
  const changes = answer.items.map((item, index) =>
    !former
      ? ""
      : !places.has(item.id)
        ? "new"
        : places.get(item.id) > index
          ? `up ${places.get(item.id) - index}`
          : places.get(item.id) < index
            ? `down ${index - places.get(item.id)}`
            : "",
  );
  before = {person, items: answer.items};
  const fresh = changes.filter(each => each === "new").length,
    moved = changes.filter(each => each && each !== "new").length;
  $("said").textContent =
    (clicked ? `Took the click on ${titled(clicked)}. ` : "") +
    (former ? (fresh + moved ? `${fresh} new, ${moved} moved.` : "The list is the same.") : "") +
    (known(answer.fallback) ? ` From popularity, since ${WHY[answer.fallback] || words(answer.fallback)}.` : "");
  const newest = past.slice(-12).reverse();
  $("answer").replaceChildren(
    el("h3", {}, "Lately took, newest first"),
    newest.length
      ? el(
          "ul",
          {class: "plain past"},
          newest.map((item, index) =>
            el("li", {class: clicked && index === 0 && item.id === clicked.id ? "fresh" : null}, titled(item)),
          ),
        )
      : el("p", {class: "soft"}, "Nothing yet."),
    el("h3", {}, "Would be shown now; choose one to click it"),
    el(
      "ol",
      {class: "plain shown"},
      answer.items.map((item, index) => {
        const button = el(
          "button",
          {type: "button", "data-item": item.id},
          el("span", {class: "soft"}, String(index + 1)),
          el("span", {}, el("strong", {}, titled(item)), el("small", {}, item.reason)),
          el(
            "span",
            {class: "figures"},
            changes[index] && el("span", {class: changes[index] === "new" ? "good" : "soft"}, changes[index]),
            el("small", {}, `score ${few(item.score)}`),
            el("small", {}, `shown with p ${few(item.propensity)}`),
          ),
        );
        button.addEventListener("click", () => take(person, item, answer.request_id));
        return el("li", {class: changes[index] === "new" ? "fresh" : null}, button);
      }),
    ),
    (gone.length > 0 && el("p", {class: "soft"}, `No longer in the list: ${gone.map(titled).join(", ")}.`)) || "",
    el(
      "p",
      {class: "soft"},
      "Answered by ",
      el("strong", {}, answer.variant),
      " ",
      digest(answer.release),
      ` in ${few(spent, 2)} ms${known(answer.note) ? `; ${answer.note}` : ""}.`,
    ),
  );
}
async function tell(action) {
  const buttons = () => document.querySelectorAll("#try button");
  buttons().forEach(button => {
    button.disabled = true;
  });
  try {
    await action();
  } catch (error) {
    $("said").textContent =
      error instanceof TypeError || error.name === "TimeoutError"
        ? "The gateway does not answer; nothing was changed here."
        : error.message;
  }
  buttons().forEach(button => {
    button.disabled = false;
  });
}
const take = (person, item, request) =>
  tell(async () => {
    await post("v1/events", {user_id: person, item_id: item.id, event: "click", request_id: request});
    await list(person, item);
    $("answer").querySelector(".shown button")?.focus();
  });
$("ask").addEventListener("submit", event => {
  event.preventDefault();
  const person = $("person").value.trim();
  if (person) {
    before = before?.person === person ? before : null;
    tell(() => list(person));
  }
});
async function people() {
  try {
    $("people").replaceChildren(
      ...(await ask("v1/people")).people.map(person =>
        el("option", {value: typeof person === "object" ? person.id : person}),
      ),
    );
  } catch {
    setTimeout(people, 5 * EVERY);
  }
}
