"use strict";

// The key is kept here and nowhere else: operations are opened without leaving the page, and a reload forgets it.
let key = "";
// The page that is shown, and the one that was asked for last.
let shown = location.pathname;
let wanted;

document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  const isPlain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
  if (!link || !isPlain || link.origin !== location.origin || link.hash || !/^\/docs(\/[^/]+)?$/.test(link.pathname)) return;
  event.preventDefault();
  open(link.href, true);
});

// It is also told of steps within a page, which the browser takes by itself.
window.addEventListener("popstate", () => location.pathname !== shown && open(location.href, false));

document.addEventListener("input", ({ target }) => {
  if (target.id === "key") key = target.value;
  if (target.id === "example") target.form.elements.body.value = target.value;
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!event.target.ariaBusy) send(event.target);
});

async function open(address, isNew) {
  wanted = address;
  const answer = await fetch(address);
  const text = await answer.text();
  if (wanted !== address) return;
  if (!answer.ok) return location.assign(address);
  if (isNew) {
    history.replaceState({ y: scrollY }, "");
    history.pushState(null, "", address);
  }
  shown = location.pathname;
  const page = new DOMParser().parseFromString(text, "text/html");
  document.title = page.title;
  document.body.replaceChildren(...page.body.children);
  arrive();
  document.querySelector("h1").focus({ preventScroll: true });
  const target = location.hash && document.getElementById(location.hash.slice(1));
  target ? target.scrollIntoView() : window.scrollTo(0, history.state?.y ?? 0);
}

// Shows the key that was given, and the place of this operation among the others.
function arrive() {
  const field = document.getElementById("key");
  if (field) field.value = key;
  const nav = document.querySelector(".operations");
  const current = nav?.querySelector("[aria-current]");
  if (current) nav.scrollTop = current.offsetTop - nav.clientHeight / 3;
}

async function send(form) {
  const { address, options } = request(form);
  form.ariaBusy = "true";
  try {
    const began = performance.now();
    const answer = await fetch(address, options);
    const text = await answer.text();
    const took = Math.round(performance.now() - began);
    tell(form, `${answer.status} ${answer.statusText} · ${took} ms`, [laidOut(text), headers(answer), curl(address, options)]);
  } catch (error) {
    tell(form, `There was no answer: ${error.message}`, [curl(address, options)]);
  }
  form.ariaBusy = null;
}

// The status alone is read out; the rest is there to be looked at.
function tell(form, status, rest) {
  const told = rest.filter(Boolean).map((text) => Object.assign(document.createElement("pre"), { textContent: text, tabIndex: 0 }));
  form.querySelector("output").textContent = status;
  form.querySelector(".answer").replaceChildren(...told);
}

// An empty field is not sent; of a list each line, or each that is chosen, is a value.
function request(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  const options = { method: form.dataset.method, headers: {}, cache: "no-store" };
  for (const field of form.querySelectorAll("[data-in]")) {
    const chosen = field.multiple ? [...field.selectedOptions].map((option) => option.value) : field.value.split("\n");
    const values = chosen.filter(Boolean);
    if (field.dataset.in === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(field.value));
    if (field.dataset.in === "query") values.forEach((value) => query.append(field.name, value));
    if (field.dataset.in === "header" && field.value) options.headers[field.name] = field.value;
  }
  if (key) options.headers.Authorization = `Bearer ${key}`;
  const body = form.elements.body;
  if (body) {
    options.headers["Content-Type"] = body.closest("[data-type]").dataset.type;
    options.body = body.value;
  }
  return { address: location.origin + path + (query.size ? `?${query}` : ""), options };
}

// A text in single quotes is left alone by a shell; the key is to stay out of its history.
function curl(address, { method, headers, body }) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const words = [`curl -i ${quoted(address)}`];
  if (method !== "GET") words.push(`-X ${method}`);
  for (const [name, value] of Object.entries(headers)) {
    words.push(name === "Authorization" ? '-H "Authorization: Bearer $LEDGER_KEY"' : `-H ${quoted(`${name}: ${value}`)}`);
  }
  if (body) words.push(`--data-raw ${quoted(body)}`);
  return words.join(" \\\n  ");
}

const headers = (answer) => [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");

function laidOut(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

arrive();
