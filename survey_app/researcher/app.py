"""The application: Streamlit's pages, and beside them the routes that the pages talk to."""

from pathlib import Path

import streamlit as st

from survey_app.researcher.routes import ROUTES

app = st.App(Path(__file__).with_name("pages.py"), routes=ROUTES)
