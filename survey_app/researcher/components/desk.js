// What the desks share: one way to ask the server, to load a crop, to draw a key and to show what went wrong.
const address = (crop) => `/desk/crops/${crop.frame}/${crop.square.replaceAll(" ", "-")}.png`;

async function ask(path, said) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(said),
  });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

// One request at a time. What goes wrong is shown, and the page stays as it is.
function carefully(place) {
  let busy = false;
  return async (work) => {
    if (busy) return;
    busy = true;
    try {
      await work();
      place.hidden = true;
    } catch (error) {
      const away = error instanceof TypeError;
      place.textContent = away ? "The server does not answer; nothing was saved. Start it again, then try again." : error.message;
      place.hidden = false;
    } finally {
      busy = false;
    }
  };
}

function crops() {
  const loaded = new Map(); // address -> the picture's decoding
  return (crop) => {
    const from = address(crop);
    if (!loaded.has(from)) {
      const picture = new Image();
      picture.src = from;
      const decoding = picture.decode();
      decoding.catch(() => loaded.delete(from)); // it may load when it is asked for again
      loaded.set(from, decoding);
    }
    return loaded.get(from);
  };
}

function make(tag, ...inside) {
  const made = document.createElement(tag);
  made.append(...inside);
  return made;
}

function button(key, words, hint, act) {
  const made = make("button", ...(key ? [make("kbd", key)] : []), words, make("small", hint));
  made.type = "button";
  made.onclick = act;
  return made;
}

// Whether this desk is drawn already for this person: Streamlit calls again at every rerun of its script.
function drawn(root, data) {
  const session = JSON.stringify(data);
  if (root.dataset.session === session) return true;
  root.dataset.session = session;
  return false;
}

function listen(press) {
  window.addEventListener("keydown", press, true);
  return () => window.removeEventListener("keydown", press, true);
}
