"""The agreement page: how well two people agree who have looked at the same crops."""

from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import altair as alt
import pandas as pd
import streamlit as st

from dreamshot.errors import StudyError
from dreamshot.labels import DECISIONS, label_table, looked_twice, read_labels, read_seen, read_squares
from dreamshot.params import load_params
from dreamshot.paths import CROPS
from dreamshot.records import Pool
from metrics.agreement import Agreement, agreement

SHOWN = 24  # crops on which two people differ
ALL = "everybody: the first look beside the second"


@dataclass(frozen=True)
class Looks:
    """Crops that two people have looked at; a row a crop, as ``looked_twice`` gives them."""

    rows: pd.DataFrame

    def people(self) -> list[str]:
        """The pairs of people, those with the most crops first."""
        pairs = self.rows["who_first"] + " and " + self.rows["who_second"]
        return [str(pair) for pair in pairs.value_counts().index]

    def of(self, people: str) -> pd.DataFrame:
        """The rows of a pair of people, or all of them."""
        pairs = self.rows["who_first"] + " and " + self.rows["who_second"]
        return self.rows if people == ALL else self.rows[pairs == people]


def read_looks() -> Looks:
    """What stands at this moment."""
    seen = read_seen()
    labels = read_labels(Path(load_params().labels), seen)
    return Looks(looked_twice(label_table(labels, seen.films, read_squares())))


def agreed(rows: pd.DataFrame) -> Agreement:
    return agreement(rows["shot_type_first"], rows["shot_type_second"], rows["film"], DECISIONS)


def signed(value: float) -> str:
    """Two decimals, with a minus sign where a hyphen would stand."""
    return f"{value:.2f}".replace("-", "−")


def kappa_text(found: Agreement) -> str:
    """Kappa as it is shown, a dash where there is none."""
    return "–" if found.kappa is None else signed(found.kappa)


def interval_text(found: Agreement) -> str:
    if found.ci_lo is None or found.ci_hi is None:
        return "no interval: too few films, or one answer only"
    return f"95% interval {signed(found.ci_lo)} to {signed(found.ci_hi)}, over {found.clusters} films"


def confusion(found: Agreement) -> alt.LayerChart:
    """The confusion table as a heat map: rows are the first person's labels, columns the second's."""
    cells = pd.DataFrame(
        [
            {"first": first, "second": second, "crops": count}
            for first, row in zip(found.categories, found.table, strict=True)
            for second, count in zip(found.categories, row, strict=True)
        ]
    )
    order = list(found.categories)
    base = alt.Chart(cells).encode(
        x=alt.X("second:N", sort=order, title="second look", axis=alt.Axis(orient="top", labelAngle=0)),
        y=alt.Y("first:N", sort=order, title="first look"),
    )
    colour = alt.Color("crops:Q", scale=alt.Scale(range=["#f2f5f8", "#2f5d8a"]), legend=None)
    dark = alt.condition(alt.datum.crops > cells["crops"].max() / 2, alt.value("white"), alt.value("#1d2730"))
    return (
        base.mark_rect().encode(color=colour) + base.mark_text(fontSize=16).encode(text="crops:Q", color=dark)
    ).properties(height=300)


def show_numbers(found: Agreement) -> None:
    numbers, table = st.columns([2, 3], gap="large")
    with numbers:
        st.metric("Cohen’s kappa", kappa_text(found), help="0: as if by lot; 1: always alike")
        st.caption(interval_text(found))
        alike = round(found.observed * found.n)
        st.metric(
            "Labelled alike", f"{alike} of {found.n}", f"{found.observed:.0%}", delta_color="off", delta_arrow="off"
        )
        st.caption(f"By lot, each with their own frequencies: {found.expected:.0%}.")
    table.altair_chart(confusion(found))


def show_differences(rows: pd.DataFrame) -> None:
    """The crops on which the two differ, side by side."""
    other = rows[rows["shot_type_first"] != rows["shot_type_second"]]
    if other.empty:
        return
    st.subheader(f"Labelled differently: {len(other)}")
    pool = Pool(CROPS / "shards")
    columns = cycle(st.columns(6))
    for row in other.head(SHOWN).itertuples():
        said = f"{row.shot_type_first} / {row.shot_type_second}"
        next(columns).image(pool.png(str(row.frame)), caption=said, width="stretch")
    if len(other) > SHOWN:
        st.caption(f"The first {SHOWN} are shown.")


def page() -> None:
    """Kappa, the confusion table and the crops on which people differ."""
    st.header("How well do two people agree?")
    try:
        looks = read_looks()
    except StudyError as error:
        st.error(str(error))
        return
    if looks.rows.empty:
        st.info(
            "Nobody has looked twice yet. A second person opens Label, chooses Second look, and labels the crops shown "
            "there without seeing what was said of them."
        )
        return
    people = st.selectbox("Whose labels", [ALL, *looks.people()])
    rows = looks.of(people)
    show_numbers(agreed(rows))
    show_differences(rows)
