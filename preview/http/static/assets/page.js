// Lists the user's previews, follows the log of one, stops it. Uses the session cookie that /login sets.
const api = new URL("api/v1/", document.baseURI);
const byId = (id) => document.getElementById(id);
// More than this in the page helps nobody; the service has all of it.
const MAX_LINES = 2000;
let open = null;

function say(text) {
  byId("notice").textContent = text;
}

async function ask(path, options = {}) {
  const answer = await fetch(new URL(path, api), options);
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 401) throw new Error("Not logged in: open the link that the service printed.");
  throw new Error(problem.detail || `The service answered ${answer.status}.`);
}

async function list() {
  const { previews } = await (await ask("previews?limit=50")).json();
  byId("previews").replaceChildren(...previews.map((one) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${one.generation_id}: ${one.status}`;
    button.addEventListener("click", () => follow(one));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  say(previews.length ? `${previews.length} previews` : "No previews yet.");
}

function show(text, level = "") {
  const line = document.createElement("div");
  line.className = level;
  line.textContent = text.replace(/\u001b\[[0-9;]*m/g, "");
  const log = byId("log");
  const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  log.append(line);
  while (log.childElementCount > MAX_LINES) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function take(frame, state) {
  let kind = "message";
  let data = "";
  for (const line of frame.split("\n")) {
    if (line.startsWith("id: ")) state.last = line.slice(4);
    else if (line.startsWith("event: ")) kind = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (!data) return;
  const said = JSON.parse(data);
  if (kind === "message") show(said.message, said.level);
  else if (kind === "gap") show(`… lines ${said.first} to ${said.last} are gone (${said.reason}) …`, "WARNING");
  else if (kind === "status") byId("title").textContent = `${state.name}: ${said.status}`;
  else if (kind === "end") {
    state.over = true;
    show(`— ${said.reason || said.status} —`);
    byId("stop").disabled = true;
  }
}

async function read(path, state, signal) {
  const headers = state.last ? { "Last-Event-ID": state.last } : {};
  const answer = await ask(path, { headers, signal });
  if (answer.status === 204) state.over = true;
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const frames = (rest + value).split("\n\n");
    rest = frames.pop();
    frames.forEach((frame) => take(frame, state));
  }
}

async function follow(one) {
  open?.abort();
  const mine = (open = new AbortController());
  const base = `generations/${encodeURIComponent(one.generation_id)}/preview`;
  const state = { name: one.generation_id, last: "", over: false };
  byId("log").replaceChildren();
  byId("title").textContent = `${one.generation_id}: ${one.status}`;
  byId("open").textContent = byId("open").href = one.base_url || "";
  byId("stop").disabled = !["starting", "running"].includes(one.status);
  byId("stop").onclick = () => ask(base, { method: "DELETE" }).then(list, (error) => say(error.message));
  while (!state.over && !mine.signal.aborted) {
    try {
      await read(`${base}/logs/stream?tail=${MAX_LINES}`, state, mine.signal);
    } catch (error) {
      if (mine.signal.aborted) return;
      say(error.message);
    }
    if (!state.over) await new Promise((wake) => setTimeout(wake, 2000));
  }
  if (!mine.signal.aborted) list().catch((error) => say(error.message));
}

list().catch((error) => say(error.message));
