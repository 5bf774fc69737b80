"""Streamlit's script: who is here, and which page."""

from pathlib import Path

import streamlit as st

from dreamshot.errors import StudyError
from dreamshot.labels import REASONS, check_name

PARTS = Path(__file__).parent / "components"


def part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")


desk = st.components.v2.component("dreamshot.label", html=part("label.html"), css=part("desk.css"), js=part("label.js"))


def ask_name() -> str:
    """The person's name, kept in the page's address for a reload; stops the script until it is given."""
    who = st.query_params.get("who", "")
    if not who:
        with st.form("name", border=False):
            st.subheader("Who is labelling?")
            st.caption("The name stands in the log of decisions; a pseudonym does as well.")
            who = st.text_input("Name", placeholder="anna").strip().lower()
            st.form_submit_button("Begin", type="primary")
    try:
        if who:
            st.query_params["who"] = check_name(who)
            return who
    except StudyError as error:
        st.error(str(error))
    st.stop()


def label_page() -> None:
    """One crop at a time, by keyboard."""
    who = ask_name()
    look = "second" if st.query_params.get("look") == "second" else "first"
    desk(key=f"label-{who}-{look}", data={"who": who, "look": look, "reasons": list(REASONS)})


st.set_page_config(page_title="DreamShot", page_icon="🎬", layout="wide")
st.html("<style>" + part("page.css") + "</style>")
PAGES = [st.Page(label_page, title="Label", url_path="label", default=True)]
st.navigation(PAGES, position="top").run()
