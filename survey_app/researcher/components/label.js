// One crop at a time. A key sends the decision; the next crop, loaded beforehand, appears when the server has it.
const KEYS = [
  ["1", "close", "Close", "neck up, or nearer"],
  ["2", "medium", "Medium", "waist to shins up"],
  ["3", "long", "Long", "whole figure, or farther"],
];

export default function ({ data, parentElement }) {
  const find = (name) => parentElement.querySelector(name);
  const root = find(".desk");
  if (root.dataset.session === data.who + data.look) return;
  root.dataset.session = data.who + data.look;
  const loaded = new Map(); // address -> picture, decoded ahead
  let state = null, flag = false, asking = false, busy = false, shown = 0;

  const address = (crop) => `/desk/crops/${crop.frame}/${crop.square.replaceAll(" ", "-")}.png`;
  const crop = () => state.queue[0];

  async function ask(what, said = {}) {
    const answer = await fetch(`/desk/label/${what}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ who: data.who, look: data.look, ...said }),
    });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    return found;
  }

  // Run one request at a time; what goes wrong is shown, and the crop stays.
  async function attempt(what, said) {
    if (busy) return;
    busy = true;
    try {
      await show(await ask(what, said));
      find(".error").hidden = true;
    } catch (error) {
      const gone = error instanceof TypeError;
      find(".error").textContent = gone ? "The server does not answer; nothing was saved. Start it again and press the key again." : error.message;
      find(".error").hidden = false;
    } finally {
      busy = false;
    }
  }

  function load(crop) {
    const from = address(crop);
    if (!loaded.has(from)) {
      const picture = new Image();
      picture.src = from;
      loaded.set(from, picture.decode());
    }
    return loaded.get(from);
  }

  async function show(next) {
    state = next;
    flag = asking = false;
    for (const ahead of state.queue) load(ahead).catch(() => {});
    const picture = find(".crop");
    picture.hidden = !crop();
    find(".empty").hidden = !!crop();
    if (crop()) {
      await load(crop()).catch(() => { throw new Error(`the picture of frame ${crop().frame} does not load`); });
      picture.src = address(crop());
      picture.dataset.frame = crop().frame;
    } else {
      find(".empty").textContent = data.look === "first"
        ? "No crop is left to label. Every crop has a label, is on somebody else's screen, or is of a film that is full."
        : "No crop is left for a second look. It shows what somebody else has labelled first.";
    }
    shown = performance.now();
    root.setAttribute("aria-busy", "false");
    draw();
  }

  const decide = (shot_type, reason = "") => crop() && attempt("decide", {
    frame: crop().frame, square: crop().square, shot_type, reason,
    medium_close_up: flag && (shot_type === "close" || shot_type === "medium"),
    seconds: Math.min(86399, (performance.now() - shown) / 1000),
  });

  function button(key, words, hint, act, pressed) {
    const made = document.createElement("button");
    made.type = "button";
    const small = document.createElement("small");
    small.textContent = hint;
    const cap = document.createElement("kbd");
    cap.textContent = key;
    made.append(cap, words, small);
    made.onclick = act;
    if (pressed !== undefined) made.setAttribute("aria-pressed", pressed);
    made.disabled = !crop() && key !== "Z";
    return made;
  }

  function draw() {
    find(".who").textContent = `${data.who}: ${state.mine} labelled`;
    for (const link of parentElement.querySelectorAll(".looks a")) {
      const other = new URL(location.href);
      other.searchParams.set("look", link.dataset.look);
      link.href = other;
      link.toggleAttribute("aria-current", link.dataset.look === data.look);
    }
    find(".keys").replaceChildren(
      ...KEYS.map(([key, type, words, hint]) => button(key, words, hint, () => decide(type))),
      button("F", "Medium close-up", "flag: chest up", toggleFlag, flag),
      button("X", "Reject", "with a reason", toggleReasons, asking),
      button("Z", "Undo", "the last one", () => attempt("undo")),
    );
    drawReasons();
    drawCounts();
    drawLast();
  }

  function drawReasons() {
    const list = find(".reasons");
    list.hidden = !asking;
    list.replaceChildren(...["Why? (Esc: not after all)", ...data.reasons].map((reason, number) => {
      const item = document.createElement("li");
      item.append(number ? button(String(number), reason, "", () => decide("reject", reason)) : reason);
      return item;
    }));
  }

  function drawCounts() {
    const rows = data.look === "first"
      ? state.quotas.map((quota) => [quota.type, quota.have, quota.need])
      : [["second", state.second.have, state.second.need]];
    find(".quotas").replaceChildren(...rows.map(([name, have, need]) => {
      const row = document.createElement("div");
      const share = need ? Math.min(100, (100 * have) / need) : 0;
      row.innerHTML = `<dt></dt><dd><span class="bar"><i style="width:${share}%"></i></span><span class="count">${have} of ${need}</span></dd>`;
      row.querySelector("dt").textContent = name;
      return row;
    }));
    const film = find(".film");
    film.replaceChildren();
    if (!crop()?.film) return;
    const name = document.createElement("b");
    name.textContent = crop().film;
    film.append("Film ", name, document.createElement("br"));
    Object.entries(crop().of_film).forEach(([type, count], place) => {
      const part = document.createElement("span");
      part.textContent = `${place ? ", " : ""}${count} of ${state.cap} ${type}`;
      part.className = count >= state.cap ? "full" : "";
      film.append(part);
    });
  }

  function drawLast() {
    const last = state.last;
    const more = last && (last.reason ? ` (${last.reason})` : last.medium_close_up ? " (medium close-up)" : "");
    find(".last").textContent = last ? `Saved: ${last.shot_type}${more}` : "Nothing saved yet.";
  }

  function toggleFlag() { flag = !flag; draw(); }
  function toggleReasons() { asking = !asking; draw(); }

  function press(event) {
    const inside = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !state) return;
    if (inside.matches?.("input, textarea, select")) return;
    const key = event.key.toLowerCase();
    const type = KEYS.find(([named]) => named === key);
    if (asking && key === "escape") toggleReasons();
    else if (asking && data.reasons[Number(key) - 1]) decide("reject", data.reasons[Number(key) - 1]);
    else if (asking && key !== "x") return;
    else if (key === "z" || key === "backspace") attempt("undo");
    else if (!crop()) return;
    else if (type) decide(type[1]);
    else if (key === "f") toggleFlag();
    else if (key === "x") toggleReasons();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  root.press && window.removeEventListener("keydown", root.press, true);
  root.press = press;
  window.addEventListener("keydown", press, true);
  attempt("state");
  return () => window.removeEventListener("keydown", press, true);
}
