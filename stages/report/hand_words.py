"""The words for what people did by hand (see ``hands``): labels, second looks, captions, and films in two sets."""

from typing import Any

from stages.report.words import count, minus, series

FLAG_NAMES = {
    "empty": "empty",
    "too_long": "longer than the text encoder reads",
    "repeats": "that repeat themselves",
    "shot_scale": "that name another shot scale than the label",
}


def percent(value: float) -> str:
    """ "12.5%", "100%"."""
    return f"{100 * value:.1f}".removesuffix(".0") + "%"


def amounts(counts: dict[str, int]) -> str:
    """ "12 close and 3 reject", without what there is none of; "none" where there is nothing."""
    return series([f"{n:,} {name}" for name, n in counts.items() if n] or ["none"])


def shared(films: dict[str, int]) -> str:
    """What it means that films are in the training and the test set; "" where none is."""
    if not films["train_and_test"]:
        return ""
    return (
        f"Films are not kept apart, as in the paper: {films['train_and_test']} of "
        f"{count(films['test'], 'test film')} also gave frames to train on. The test frames are not of unseen films, "
        f"and what is found on them need not hold for other films."
    )


def splits_caption(films: dict[str, int]) -> str:
    """Whether films are in two rows of the table of frames in use."""
    if not films["twice"]:
        return "no film is in two rows"
    return f"{count(films['twice'], 'film is', 'films are')} in more than one row"


def near(facts: dict[str, Any]) -> str:
    """How many labels are on the disputed border."""
    if not facts["labels"]:
        return "None is marked as a medium close-up, the disputed border."
    return (
        f"Of the close and medium ones {percent(facts['share'])} are marked as medium close-ups, the disputed border."
    )


def labels(facts: dict[str, Any]) -> str:
    """Who labelled, what, why not, and how fast."""
    why = f" ({amounts(facts['reasons'])})" if facts["reasons"] else ""
    kinds = [f"{n:,} {kind}{why if kind == 'reject' else ''}" for kind, n in facts["by_type"].items() if n]
    who = f"{count(facts['people'], 'person', 'people')} labelled {count(facts['labels'], 'crop')}"
    sentences = [f"{who}: {series(kinds or ['none'])}.", near(facts["medium_close_ups"])]
    if "seconds_median" in facts:
        sentences.append(f"Half of {count(facts['timed'], 'timed look')} took at most {facts['seconds_median']:g} s.")
    if facts["outdated"]:
        old = count(facts["outdated"], "frame has a label", "frames have labels")
        sentences.append(f"{old} of another crop than today’s only, which is not used.")
    return " ".join(sentences)


def second_look(facts: dict[str, Any], level: str) -> str:
    """How well two people agree, or that nobody knows."""
    look = facts.get("second_look")
    if not look:
        return "Nobody has looked twice: how well people agree on these labels is not known."
    again = (
        f"Somebody else labelled {count(look['n'], 'crop')} of {count(look['films'], 'film')} again without seeing the "
        f"first label; {percent(look['observed'])} got the same one"
    )
    if "kappa" not in look:
        return f"{again}, but one label was all that was given, so chance would have done as well."
    kappa = "Cohen’s kappa " + minus(f"{look['kappa']:.2f}")
    if "ci_lo" not in look:
        return f"{again} ({kappa}, too little for an interval)."
    ends = minus(f"{look['ci_lo']:.2f} to {look['ci_hi']:.2f}")
    return f"{again} ({kappa}, {level} interval {ends}, which takes crops of one film as alike)."


def review(train: dict[str, Any]) -> str:
    """How much people changed the training captions."""
    if not train["reviewed"] and not train["edited"]:
        return f"No person has reviewed any of {count(train['captions'], 'training caption')}."
    who = count(train["editors"], "person has", "people have") if train["editors"] else "People have"
    seen = f"{train['reviewed']:,} of {count(train['captions'], 'training caption')}"
    looked = f"{who} reviewed {seen} ({percent(train['reviewed_share'])})"
    if not train["edited"]:
        return f"{looked} and changed none."
    return (
        f"{looked}; {train['edited']:,} ({percent(train['edited_share'])}) were changed, by "
        f"{train['edit_distance_mean']:.1f} characters on average."
    )


def captions(facts: dict[str, Any], captioner: str) -> str:
    """Who wrote the captions, what people changed, and what may be wrong with them."""
    train, test = facts["train"], facts["test"]
    flagged = {FLAG_NAMES[flag]: n + test["flagged"][flag] for flag, n in train["flagged"].items()}
    odd = f"Flagged: {amounts(flagged)}." if any(flagged.values()) else "None is flagged."
    return (
        f"{captioner} described {count(train['captions'] + test['captions'], 'frame')}. {review(train)} "
        f"The {test['captions']:,} test captions are the captioner’s own, as in the paper. {odd}"
    )
