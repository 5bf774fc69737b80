"""The labelling page as Streamlit's own widgets make it, for ``benchmarks.label``: a button a class, a rerun a key."""

from pathlib import Path

import streamlit as st

from dreamshot.labels import Label, append
from dreamshot.params import load_params
from dreamshot.paths import CROPS
from dreamshot.records import Pool
from survey_app.researcher.clock import now
from survey_app.researcher.label_desk import read_crops


@st.cache_resource
def crops() -> tuple[Pool, list[str]]:
    """The pictures, and the frames in the order in which they are shown."""
    return Pool(CROPS / "shards"), [crop.frame for crop in read_crops(load_params().seed)]


pool, frames = crops()
at = st.session_state.setdefault("at", 0)


def decide(shot_type: str) -> None:
    """Write the label down and go on."""
    append(Path(load_params().labels), Label(frames[at], shot_type, "anna", now()))
    st.session_state["at"] += 1


st.image(pool.png(frames[at]))
for key, shot_type in (("1", "close"), ("2", "medium"), ("3", "long")):
    st.button(shot_type, shortcut=key, on_click=decide, args=(shot_type,))
