// One crop at a time. A key sends the decision; the next crop, loaded beforehand, appears when the server has it.
const KEYS = [
  ["1", "close", "Close", "neck up, or nearer"],
  ["2", "medium", "Medium", "waist to shins up"],
  ["3", "long", "Long", "whole figure, or farther"],
];
const EMPTY = {
  first: "No crop is left to label: each has a label, is on somebody else’s screen, or is of a film that is full.",
  second: "No crop is left for a second look: it shows what somebody else has labelled first.",
};

export default function ({ data, parentElement }) {
  const find = (name) => parentElement.querySelector(name);
  const root = find(".desk");
  if (drawn(root, data)) return;
  const load = crops(), careful = carefully(find(".error"));
  let state = null, flag = false, asking = false, shown = 0, visible = false;
  const crop = () => state.queue[0];

  const attempt = (what, said) => careful(async () =>
    show(await ask(`/desk/label/${what}`, { who: data.who, look: data.look, ...said })));

  async function show(next) {
    state = next;
    flag = asking = visible = false;
    for (const ahead of state.queue) load(ahead).catch(() => {});
    const picture = find(".crop");
    picture.hidden = true;
    find(".empty").hidden = !!crop();
    find(".empty").textContent = EMPTY[data.look];
    if (crop()) {
      await load(crop()).catch(() => { throw new Error(`The picture of frame ${crop().frame} does not load; reload the page.`); });
      picture.src = address(crop());
      picture.dataset.frame = crop().frame;
      picture.hidden = false;
      visible = true;
    }
    shown = performance.now();
    root.setAttribute("aria-busy", "false");
    draw();
  }

  // Only of a crop that is on the screen.
  const decide = (shot_type, reason = "") => visible && attempt("decide", {
    frame: crop().frame, square: crop().square, shot_type, reason,
    medium_close_up: flag && (shot_type === "close" || shot_type === "medium"),
    seconds: Math.min(86399, (performance.now() - shown) / 1000),
  });
  const undo = () => attempt("undo");
  const toggleFlag = () => { flag = !flag; draw(); };
  const toggleReasons = () => { asking = !asking; draw(); };

  function draw() {
    find(".who").textContent = `${data.who}: ${state.mine} labelled`;
    for (const link of parentElement.querySelectorAll(".looks a")) {
      const other = new URL(location.href);
      other.searchParams.set("look", link.dataset.look);
      link.href = other;
      link.toggleAttribute("aria-current", link.dataset.look === data.look);
    }
    const flagged = button("F", "Medium close-up", "flag: chest up", toggleFlag);
    flagged.setAttribute("aria-pressed", flag);
    const rejecting = button("X", "Reject", "with a reason", toggleReasons);
    rejecting.setAttribute("aria-expanded", asking);
    const answers = [...KEYS.map(([key, type, words, hint]) => button(key, words, hint, () => decide(type))), flagged, rejecting];
    for (const answer of answers) answer.disabled = !visible;
    find(".keys").replaceChildren(...answers, button("Z", "Undo", "the last one", undo));
    drawReasons();
    drawCounts();
    drawLast();
  }

  function drawReasons() {
    const list = find(".reasons");
    list.hidden = !asking;
    find(".keys").hidden = asking;
    const reasons = data.reasons.map((reason, place) =>
      make("li", button(String(place + 1), reason, "", () => decide("reject", reason))));
    const back = make("li", button("Esc", "Not after all", "", toggleReasons));
    list.replaceChildren(make("li", "Why is it rejected?"), ...reasons, back);
  }

  function drawCounts() {
    const rows = data.look === "first"
      ? state.quotas.map((quota) => [quota.type, quota.have, quota.need])
      : [["second", state.second.have, state.second.need]];
    find(".quotas").replaceChildren(...rows.map(([name, have, need]) => {
      const share = make("i"), count = make("span", `${have} of ${need}`), bar = make("span", share);
      share.style.width = `${need ? Math.min(100, (100 * have) / need) : 0}%`;
      bar.className = "bar";
      count.className = "count";
      return make("div", make("dt", name), make("dd", bar, count));
    }));
    const film = find(".film");
    film.replaceChildren();
    if (!crop()?.film) return;
    film.append("Film ", make("b", crop().film), make("br"));
    Object.entries(crop().of_film).forEach(([type, count], place) => {
      const part = make("span", `${place ? ", " : ""}${count} of ${state.cap} ${type}`);
      part.className = count >= state.cap ? "full" : "";
      film.append(part);
    });
  }

  function drawLast() {
    const last = state.last;
    const more = last && (last.reason ? ` (${last.reason})` : last.medium_close_up ? " (medium close-up)" : "");
    find(".last").textContent = last ? `Saved: ${last.shot_type}${more}` : "Nothing saved yet.";
  }

  attempt("state");
  return listen((event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !state) return;
    if (event.composedPath()[0].matches?.("input, textarea, select")) return;
    const key = event.key.toLowerCase();
    const type = KEYS.find(([named]) => named === key);
    const reason = asking && data.reasons[Number(key) - 1];
    if (asking && key === "escape") toggleReasons();
    else if (reason) decide("reject", reason);
    else if (key === "z" || key === "backspace") undo();
    else if (key === "x" && visible) toggleReasons();
    else if (asking || !visible) return;
    else if (type) decide(type[1]);
    else if (key === "f") toggleFlag();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
