// What pages can do beyond what the server drew: local times, copying, the theme, and regions that stay
// fresh. Everything else works without this file.

const BETWEEN_MS = 1500; // two fresh copies are so far apart at least, however much happens
const AFTER_MS = 4000; // and one more so long after the last event: what lists show is stored a little later
const POLL_MS = 5000; // where there is no stream
const REFUSED_MS = 20000; // until one is asked for again
const later = (ms) => new Promise((done) => setTimeout(done, ms));

// Times: the server writes UTC; here they are in the viewer's zone, with UTC on hover. The forms are those of
// times.py, as long, or the page moves.

const FORMS = {
  full: { dateStyle: "medium", timeStyle: "medium" },
  short: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
  axis: { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" },
};
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

function ago(date) {
  const seconds = (date - Date.now()) / 1000;
  const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(Math.trunc(seconds / length), unit);
}

function writeTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    const form = element.dataset.form;
    element.textContent = form === "ago" ? ago(date) : new Intl.DateTimeFormat("en-GB", FORMS[form]).format(date);
  }
}

// Copying: from an attribute, or from another element.

async function copy(button) {
  const from = button.dataset.copyFrom;
  const text = from ? document.getElementById(from).textContent : button.dataset.copy;
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  await later(1500);
  button.textContent = label;
}

// Fresh copies: regions with data-swap are replaced by those of the same id.

let fetching = null;

// `into`: what was sent is a form, and the region of this id shows its answer.
async function refresh(request = location.href, options = {}, into = null) {
  const isAnswer = into !== null;
  if (fetching?.isAnswer && !isAnswer) return; // what a form sent is not given up for a fresh copy
  if (!fetching?.isAnswer) fetching?.stop.abort(); // nor for another form
  const mine = (fetching = { stop: new AbortController(), isAnswer });
  try {
    const answer = await fetch(request, { ...options, signal: mine.stop.signal, headers: { Accept: "text/html" } });
    if (answer.redirected) { // to sign in, or to what a form has made
      location.assign(answer.url);
      return;
    }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    swap(fresh, into);
    if (!isAnswer && answer.ok) stopWhereDone(fresh);
    return fresh;
  } finally {
    if (fetching === mine) fetching = null;
  }
}

// With the answer to a form what was typed comes back; else nobody is disturbed while typing. What a form was
// answered (data-swap="answer") stays until the same form is answered again.
function swap(fresh, into) {
  for (const old of document.querySelectorAll("[data-swap]")) {
    const now = fresh.getElementById(old.id);
    const isTyping = old.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
    const keeps = old.dataset.swap === "answer" ? old.id !== into : isTyping && into === null;
    if (now === null || keeps) continue;
    keepOpen(old, now);
    writeTimes(now);
    if (now.innerHTML === old.innerHTML) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    old.replaceChildren(...now.childNodes);
    old.removeAttribute("aria-busy");
    if (focused) document.getElementById(focused)?.focus();
  }
}

function stopWhereDone(fresh) {
  if (!fresh.querySelector("main")?.dataset.refresh) delete document.querySelector("main").dataset.refresh;
}

// What an error page says in place of an answer; what was typed stays.
function problem(fresh) {
  const page = fresh.querySelector(".problem");
  return page && [page.querySelector("h1"), page.querySelector("h1 + p")].map((part) => part.textContent).join(": ");
}

function keepOpen(old, now) {
  const were = old.querySelectorAll("details");
  now.querySelectorAll("details").forEach((details, n) => (details.open = were[n]?.open ?? details.open));
}

// Saved views of a list: names for its addresses, kept in this browser alone.

const saved = document.querySelector("[data-saved]");

function savedViews() {
  try {
    return JSON.parse(localStorage.getItem(location.pathname)) ?? [];
  } catch {
    return []; // not allowed, or not ours
  }
}

function saveViews(views) {
  localStorage.setItem(location.pathname, JSON.stringify(views));
  writeViews();
}

function writeViews() {
  saved.replaceChildren(...savedViews().map(({ name, query }) => {
    const item = document.createElement("li");
    const link = Object.assign(document.createElement("a"), { className: "tag", href: location.pathname + query, textContent: name });
    if (query === location.search) link.setAttribute("aria-current", "true");
    const forget = Object.assign(document.createElement("button"), { type: "button", className: "small ghost", textContent: "×" });
    forget.setAttribute("aria-label", `Forget ${name}`);
    forget.addEventListener("click", () => saveViews(savedViews().filter((each) => each.name !== name)));
    item.append(link, forget);
    return item;
  }));
}

function saveView(form) {
  const name = form.elements.view.value.trim();
  if (!name) return;
  saveViews([...savedViews().filter((each) => each.name !== name), { name, query: location.search }]);
  form.closest("details").open = false;
}

// Live: something happened (server-sent events), or some seconds have passed.

const connection = document.querySelector("[data-connection]");

function say(text) {
  connection.hidden = !text;
  connection.textContent = text;
}

let standing = ""; // what is said while all goes well
let paused = false;
let due = false;
let refreshed = -BETWEEN_MS;

// At once, or as soon as the last copy is old enough.
async function soon() {
  if (due || paused || document.hidden) return;
  due = true;
  await later(refreshed + BETWEEN_MS - performance.now());
  due = false;
  refreshed = performance.now();
  if (paused) return;
  await refresh().then(() => say(standing), (error) => error.name === "AbortError" || say("No connection. Trying again …"));
}

let trailing;

function happened() {
  soon();
  clearTimeout(trailing);
  trailing = setTimeout(soon, AFTER_MS);
}

// A stream is held only while somebody looks: of one key there are a few at once. Where it is refused the
// page is fetched every so often, until there is room.
let source = null;
let polling = null;

function listen(address) {
  source?.close();
  source = new EventSource(address);
  for (const name of ["event", "delivery"]) source.addEventListener(name, happened);
  source.onopen = () => pollWhile("");
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return say("Live connection lost. Trying again …");
    pollWhile("Many live pages are open with this key. This one is fetched every few seconds.");
    setTimeout(() => document.hidden || listen(address), REFUSED_MS);
  };
}

function pollWhile(reason) {
  standing = reason;
  say(reason);
  clearInterval(polling);
  if (reason) polling = setInterval(soon, POLL_MS);
}

function lookAt(address) {
  if (document.hidden) return source?.close();
  listen(address);
  soon();
}

function follow(main) {
  const address = main.dataset.live;
  if (address) {
    listen(address);
    document.addEventListener("visibilitychange", () => lookAt(address));
    addEventListener("pagehide", () => source.close());
    addEventListener("pageshow", (event) => event.persisted && lookAt(address));
  }
  if (main.dataset.refresh) setInterval(() => main.dataset.refresh && soon(), Number(main.dataset.refresh) * 1000);
}

// What people do.

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from], [data-pause]");
  if (button === null) return;
  if (!("pause" in button.dataset)) return void copy(button);
  paused = !paused;
  button.setAttribute("aria-pressed", paused);
  button.textContent = paused ? "Follow again" : "Pause";
  if (!paused) soon();
});

document.addEventListener("change", (event) => {
  const field = event.target;
  if (field.matches("[data-theme-choice]")) {
    document.documentElement.dataset.theme = field.value;
    fetch(field.form.action, { method: "POST", body: new URLSearchParams(new FormData(field.form)), redirect: "manual" });
  } else if (field.matches("[data-submit]")) {
    field.form.requestSubmit();
  } else if (field.matches("[name=types]")) {
    addUp();
  }
});

// What the ticked types bring together; a family or everything counts its types once.

function addUp() {
  const sum = document.querySelector("[data-sum]");
  const known = [...document.querySelectorAll("[data-per-day]")];
  if (sum === null || known.length === 0) return;
  const ticked = [...document.querySelectorAll("[name=types]:checked")].map((box) => box.value);
  const chosen = known.filter((box) => ticked.some((pattern) => covers(pattern, box)));
  const perDay = chosen.reduce((all, box) => all + Number(box.dataset.perDay), 0);
  const bytes = chosen.reduce((all, box) => all + Number(box.dataset.bytes), 0);
  const shown = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
  const size = bytes < 1e6 ? `${shown.format(bytes / 1e3)} kB` : `${shown.format(bytes / 1e6)} MB`;
  sum.textContent = `≈ ${shown.format(perDay)} events a day, ${size}`;
  sum.hidden = ticked.length === 0;
}

function covers(pattern, box) {
  if (pattern === box.value) return true;
  if (box.closest("[data-streams]")) return false; // no star includes them
  return pattern === "*" || pattern.endsWith(".*") && box.value.startsWith(pattern.slice(0, -1));
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if ("saveView" in form.dataset) {
    event.preventDefault();
    saveView(form);
  }
  if (form.method !== "post") return;
  const button = event.submitter ?? form.querySelector("button");
  const into = event.submitter?.dataset.into ?? form.dataset.enhance; // where its answer is shown
  const enhanced = into !== undefined;
  const data = new FormData(form, event.submitter);
  if (enhanced) event.preventDefault();
  await later(0); // a disabled button would not be sent along
  button.disabled = true;
  if (!enhanced) return;
  const region = document.getElementById(into);
  region?.setAttribute("aria-busy", "true");
  const action = event.submitter?.getAttribute("formaction") ?? form.action;
  await refresh(action, { method: "POST", body: new URLSearchParams(data) }, into)
    .then((fresh) => answered(fresh, form, action))
    .then(() => event.submitter && lookedAt(region))
    .catch(() => say("Not sent: no connection. Try again."));
  region?.removeAttribute("aria-busy");
  button.disabled = false;
});

// The next time it is another form; and where the session has ended, the server keeps what was typed.
function answered(fresh, form, action) {
  if (!fresh) return;
  if (fresh.querySelector("[data-again]")) {
    form.action = action;
    return form.submit();
  }
  const once = fresh.querySelector("[name=once]")?.value;
  if (once) document.querySelectorAll("[name=once]").forEach((field) => (field.value = once));
  say(problem(fresh));
  // A day goes on by itself, a few events at a time, until it is over or its page is left.
  if (form.dataset.enhance === "day") document.querySelector("[data-goes-on]")?.requestSubmit();
}

// Where an answer is out of sight, whoever asked is brought to it.
function lookedAt(region) {
  const answer = region?.childElementCount ? region : document.querySelector("main [role=alert]");
  answer?.scrollIntoView({ block: "nearest" });
}

addEventListener("pageshow", () => document.querySelectorAll("button[disabled]").forEach((button) => (button.disabled = false)));

writeTimes(document);
// On narrow screens places to go to and tabs are lines to be scrolled: what is open is in sight.
for (const here of document.querySelectorAll(".side [aria-current], .tabs [aria-current]")) {
  const line = here.closest("ul");
  line.scrollLeft = here.offsetLeft - line.offsetLeft - (line.clientWidth - here.offsetWidth) / 2;
}
if (saved) writeViews();
addUp();
document.querySelector("[data-focus]")?.focus();
follow(document.querySelector("main"));
