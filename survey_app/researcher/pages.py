"""Streamlit's script: who is here, and which page."""

from pathlib import Path
from typing import Any

import streamlit as st

from dreamshot.errors import StudyError
from dreamshot.labels import REASONS, check_name
from survey_app.researcher.agreement_page import page as agreement_page

PARTS = Path(__file__).parent / "components"


def part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")


def desk(name: str) -> Any:
    """The component of a desk: its own markup and script, and what all desks share."""
    script, style = part("desk.js") + part(f"{name}.js"), part("desk.css")
    return st.components.v2.component(f"dreamshot.{name}", html=part(f"{name}.html"), css=style, js=script)


LABEL, CAPTIONS = desk("label"), desk("captions")


def ask_name() -> str:
    """The person's name, kept in the page's address for a reload; stops the script until it is given."""
    who = st.query_params.get("who", st.session_state.get("who", ""))
    try:
        if who:
            st.query_params["who"] = st.session_state["who"] = check_name(who)
            return str(who)
    except StudyError as error:
        st.error(str(error))
    with st.form("name", border=False, width=420):
        st.subheader("Who is there?")
        st.caption("The name stands beside every decision; a pseudonym does as well.")
        name = st.text_input("Name", placeholder="anna").strip().lower()
        if st.form_submit_button("Begin", type="primary") and name:
            st.query_params["who"] = name
            st.rerun()
    st.stop()


def label_page() -> None:
    """One crop at a time, by keyboard."""
    who = ask_name()
    look = "second" if st.query_params.get("look") == "second" else "first"
    LABEL(key=f"label-{who}-{look}", data={"who": who, "look": look, "reasons": list(REASONS)})


def captions_page() -> None:
    """One training caption at a time, beside its picture."""
    who = ask_name()
    CAPTIONS(key=f"captions-{who}", data={"who": who})


st.set_page_config(page_title="DreamShot", page_icon="🎬", layout="wide")
st.html("<style>" + part("page.css") + "</style>")
PAGES = [
    st.Page(label_page, title="Label", default=True),
    st.Page(agreement_page, title="Agreement", url_path="agreement"),
    st.Page(captions_page, title="Captions", url_path="captions"),
]
st.navigation(PAGES, position="top").run()
