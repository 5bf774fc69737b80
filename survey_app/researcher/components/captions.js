// One caption at a time beside its picture; saved ones are on the disk before the next is shown.
const FLAGS = {
  empty: "no words",
  too_long: "longer than CLIP reads",
  repeats: "repeats itself",
  shot_scale: "names another shot scale",
};
const SHOWS = { all: () => true, unreviewed: (row) => !row.reviewed, flagged: (row) => row.flags.length > 0 };

export default function ({ data, parentElement }) {
  const find = (name) => parentElement.querySelector(name);
  const root = find(".desk");
  if (drawn(root, data)) return;
  const load = crops(), careful = carefully(find(".error")), edit = find(".edit");
  let rows = [], at = 0, show = "all", limit = 0, checking = 0, said = "";
  const row = () => rows[at];
  const send = (what, more = {}) => ask(`/desk/caption/${what}`, { who: data.who, ...more });

  // The nearest row that is shown, from a place in a direction, round the end; -1 if there is none.
  function next(from, step, wanted = SHOWS[show]) {
    for (let count = 0; count < rows.length; count++) {
      const place = (((from + step * count) % rows.length) + rows.length) % rows.length;
      if (wanted(rows[place])) return place;
    }
    return -1;
  }

  function take(changed) {
    for (const one of changed) rows[rows.findIndex((row) => row.frame === one.frame)] = one;
  }

  function go(place) {
    at = place;
    const none = at < 0;
    find(".crop").hidden = none;
    find(".empty").hidden = !none;
    find(".empty").textContent = rows.length ? "No caption is left here. Choose another view." : "There are no training captions.";
    edit.disabled = none;
    if (!none) {
      find(".crop").src = address(row());
      find(".crop").dataset.frame = row().frame;
      edit.value = row().caption;
      for (const step of [1, -1]) {
        const other = next(at + step, step);
        if (other >= 0) load(rows[other]).catch(() => {});
      }
    }
    root.setAttribute("aria-busy", "false");
    draw();
  }

  // What is typed and not saved keeps the page where it is.
  const settled = (act) => () => {
    const open = at >= 0 && edit.value !== row().caption;
    if (!open) return act();
    find(".last").textContent = "Your text is not saved: Ctrl ⏎ saves it, Esc gives it up.";
    edit.focus();
  };
  const giveUp = () => { edit.value = row().caption; said = ""; draw(); };
  const back = settled(() => go(next(at - 1, -1)));
  const ahead = settled(() => go(next(at + 1, 1)));
  const save = () => at >= 0 && careful(async () => {
    const before = row();
    take((await send("save", { frame: before.frame, caption: edit.value })).rows);
    said = row().caption === before.raw ? "Saved as it was." : "Saved.";
    const unseen = next(at + 1, 1, (row) => !row.reviewed && SHOWS[show](row));
    go(unseen >= 0 ? unseen : next(at + 1, 1));
  });
  const undo = settled(() => careful(async () => {
    const changed = (await send("undo")).rows;
    take(changed);
    said = changed.length ? `Taken back: ${changed.length === 1 ? "one caption" : `${changed.length} captions`}.` : "Nothing to take back.";
    go(changed.length ? rows.findIndex((row) => row.frame === changed[0].frame) : at);
  }));
  const replace = settled(() => careful(async () => {
    const changed = (await send("replace", { find: find(".find").value, by: find(".by").value })).rows;
    take(changed);
    said = `Replaced in ${changed.length} ${changed.length === 1 ? "caption" : "captions"}.`;
    go(at);
    count();
  }));

  function count() {
    const wanted = find(".find").value;
    const number = wanted ? rows.filter((row) => row.caption.includes(wanted)).length : 0;
    find(".found").textContent = wanted ? `in ${number} of ${rows.length} captions` : "";
  }

  function drawFlags(checked) {
    const chips = checked.flags.map((flag) => make("span", FLAGS[flag]));
    find(".flags").replaceChildren(make("span", `${checked.tokens} of ${limit} tokens`), ...chips);
    chips.forEach((chip) => { chip.className = "flag"; });
  }

  function check() {
    clearTimeout(checking);
    const frame = row().frame, caption = edit.value;
    checking = setTimeout(async () => {
      const checked = await send("check", { frame, caption }).catch(() => null);
      if (checked && row()?.frame === frame && edit.value === caption) drawFlags(checked);
    }, 200);
  }

  function draw() {
    const done = rows.filter((row) => row.reviewed).length;
    find(".who").textContent = data.who;
    find(".place").textContent = `${done} of ${rows.length} reviewed`;
    find(".progress i").style.width = `${rows.length ? (100 * done) / rows.length : 0}%`;
    find(".shows").replaceChildren(...Object.keys(SHOWS).map((name) => {
      const choice = button("", name, String(rows.filter(SHOWS[name]).length), settled(() => { show = name; go(next(Math.max(at, 0), 1)); }));
      choice.setAttribute("aria-pressed", name === show);
      return choice;
    }));
    find(".film").replaceChildren();
    find(".raw").textContent = row()?.raw ?? "";
    find(".flags").replaceChildren();
    if (at >= 0) {
      const by = row().reviewed ? `reviewed by ${row().editor || "hand"}` : "not reviewed yet";
      find(".film").append(make("b", `${row().shot_type} shot`), ` of ${row().film}, ${by}`);
      drawFlags(row());
    } else edit.value = "";
    find(".moves").replaceChildren(
      button("Ctrl ⏎", "Save, next", "", save),
      button("Alt ←", "Back", "", back),
      button("Alt →", "Next", "", ahead),
      button("Alt Z", "Undo", "", undo),
    );
    find(".last").textContent = said;
  }

  edit.oninput = check;
  find(".find").oninput = count;
  find(".replace").onsubmit = (event) => { event.preventDefault(); replace(); };
  careful(async () => {
    const state = await send("state");
    rows = state.rows;
    limit = state.tokens;
    const unseen = next(0, 1, SHOWS.unreviewed);
    go(unseen >= 0 ? unseen : next(0, 1));
  });
  return listen((event) => {
    const keys = { ArrowLeft: back, ArrowRight: ahead, z: undo };
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") save();
    else if (event.key === "Escape" && at >= 0) giveUp();
    else if (event.altKey && keys[event.key] && rows.length) keys[event.key]();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
