"""Numbers to words. Every claim is decided by an interval, never written beforehand."""

from collections.abc import Sequence
from typing import Any, Literal

from dreamshot.params import Method, Profile
from stages.report.paper import TABLES

Result = dict[str, Any]
Direction = Literal["up", "down", "unclear", "unknown"]

METRIC_NAMES = {"clip_t": "CLIP-T", "dino": "DINO", "shot_accuracy": "Shot accuracy"}
METRIC_MEANING = {
    "clip_t": "how well a picture fits its prompt (cosine)",
    "dino": "how near it is to the real frame its caption describes (cosine)",
    "shot_accuracy": "share of pictures that show the shot type wanted, judged by the probe",
}
SET_NAMES = {
    "main": "prompt names the shot type",
    "ablation": "prompt without the shot type",
    "control": "baseline against baseline, other seed",
}


def minus(text: str) -> str:
    """The typographic minus."""
    return text.replace("-", "−")


def score(metric: str, value: float) -> str:
    """A mean as the paper prints it (four decimals), an accuracy in percent."""
    return minus(f"{100 * value:.1f}%" if metric == "shot_accuracy" else f"{value:.4f}")


def change(metric: str, value: float, unit: bool = True) -> str:
    """A difference with its sign; accuracies in percentage points."""
    if metric == "shot_accuracy":
        return minus(f"{100 * value:+.1f}") + (" points" if unit else "")
    return minus(f"{value:+.4f}")


def interval(metric: str, result: Result) -> str:
    """ "−0.0010 to +0.0040", "" without one."""
    if "ci_lo" not in result:
        return ""
    return f"{change(metric, result['ci_lo'], unit=False)} to {change(metric, result['ci_hi'], unit=False)}"


def p_value(result: Result, key: str = "p") -> str:
    """ "< 0.001", else three decimals, "–" without one."""
    if key not in result:
        return "–"
    return "< 0.001" if result[key] < 0.001 else f"{result[key]:.3f}"


def count(n: int, noun: str, plural: str = "") -> str:
    """ "1 film", "2 films"."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def series(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def direction(result: Result) -> Direction:
    """Where the interval lies: above 0, below 0, over it, or nowhere because there is none."""
    if "ci_lo" not in result:
        return "unknown"
    if result["ci_lo"] > 0:
        return "up"
    return "down" if result["ci_hi"] < 0 else "unclear"


def evidence(metric: str, result: Result, level: str) -> str:
    """ "+0.0826, 95% interval +0.0700 to +0.0950", or why there is no interval."""
    if "ci_lo" not in result:
        return f"{change(metric, result['diff'])}; {count(result['clusters'], 'film')}, too few for an interval"
    return f"{change(metric, result['diff'])}, {level} interval {interval(metric, result)}"


def headline(results: dict[str, Any]) -> str:
    """The finding on shot types in a line."""
    result = results.get("main", {}).get("shot_accuracy")
    if not result:
        return "What fine-tuning does to a model’s pictures"
    return {
        "up": "Fine-tuned, the model draws the shot it is asked for more often",
        "down": "Fine-tuned, the model draws the shot it is asked for less often",
        "unclear": "Fine-tuning did not clearly change which shot the model draws",
        "unknown": "Too few films to say what fine-tuning does to the shots",
    }[direction(result)]


def measured(metric: str, result: Result) -> str:
    """ "+0.0826", or that and why there is no interval."""
    few = f", from {count(result['clusters'], 'film')}, too few for an interval" if "ci_lo" not in result else ""
    return change(metric, result["diff"]) + few


def accuracy_sentence(result: Result, level: str) -> str:
    """The finding on shot types."""
    ours, baseline = (score("shot_accuracy", result[key]) for key in ("ours", "baseline"))
    doubt = " The data do not decide whether that is more than chance." if direction(result) == "unclear" else ""
    return (
        f"Of the fine-tuned model’s pictures {ours} show the shot type that the prompt names, of the baseline’s "
        f"{baseline} ({evidence('shot_accuracy', result, level)}).{doubt}"
    )


def likeness_sentence(metric: str, result: Result) -> str:
    """The finding on DINO or CLIP-T."""
    what = {
        "dino": {
            "up": "The pictures come nearer to the real frames",
            "down": "The pictures move away from the real frames",
            "unclear": "The pictures are not clearly nearer to the real frames, nor farther",
            "unknown": "Whether the pictures come nearer to the real frames cannot be told",
        },
        "clip_t": {
            "up": "They fit their prompts better",
            "down": "They fit their prompts less well",
            "unclear": "How well they fit their prompts does not clearly change",
            "unknown": "Whether they fit their prompts better cannot be told",
        },
    }[metric][direction(result)]
    return f"{what} ({METRIC_NAMES[metric]} {measured(metric, result)})."


def ablation_sentence(result: Result, method: Method) -> str:
    """What the fine-tuning does by itself, when the prompt does not ask for a shot type."""
    if method == "textual_inversion":
        return (
            f"Textual inversion teaches nothing but the words of the shot type: without them in the prompt its "
            f"pictures are the baseline’s by construction (shot accuracy {measured('shot_accuracy', result)})."
        )
    what = {
        "up": "The effect does not need the word in the prompt: without it",
        "down": "Without the shot type in the prompt the effect turns round:",
        "unclear": "Without the shot type in the prompt there is no clear effect:",
        "unknown": "Without the shot type in the prompt",
    }[direction(result)]
    return f"{what} shot accuracy changes by {measured('shot_accuracy', result)}."


def paper_sentence() -> str:
    """What the paper found, from its table 3."""
    gains = {row.metric: change(row.metric, row.ours - row.baseline) for row in TABLES[0].rows}
    return f"The paper reports DINO {gains['dino']} and CLIP-T {gains['clip_t']}."


def control_sentence(block: dict[str, Any]) -> str:
    """What the comparison with no cause shows."""
    tested = [name for name in METRIC_NAMES if name in block and direction(block[name]) != "unknown"]
    if not tested:
        return ""
    moved = [METRIC_NAMES[name] for name in tested if direction(block[name]) != "unclear"]
    if not moved:
        return "The control, the baseline against itself with another seed, shows no clear difference, as it should."
    return (
        f"The control, the baseline against itself with another seed, differs in {series(moved)}, where nothing "
        f"should: one interval in twenty does so by chance, but effects of that size are no finding here."
    )


def probe_sentence(probe: dict[str, Any]) -> str:
    """How far the shot types can be trusted."""
    held_out = probe.get("held_out")
    if not held_out:
        reason = probe.get("reason", "no record")
        return f"Shot types are {'judged' if probe.get('fitted') else 'not judged'}: {reason}."
    return (
        f"The probe that judges shot types is right on {score('shot_accuracy', held_out['accuracy'])} of "
        f"{count(held_out['n'], 'real crop')} from {count(held_out['groups'], 'film')}, each judged by a probe that "
        f"never saw its film."
    )


def finding(results: dict[str, Any], probe: dict[str, Any], profile: Profile) -> str:
    """What the numbers say, in a paragraph."""
    level = f"{100 * profile.score.confidence:g}%"
    main = results.get("main", {})
    sentences = [accuracy_sentence(main["shot_accuracy"], level)] if "shot_accuracy" in main else []
    sentences += [likeness_sentence(name, main[name]) for name in ("dino", "clip_t") if name in main]
    ablation = results.get("ablation", {}).get("shot_accuracy")
    sentences += [paper_sentence()] + ([ablation_sentence(ablation, profile.train.method)] if ablation else [])
    sentences += [control_sentence(results.get("control", {})), probe_sentence(probe)]
    return " ".join(sentence for sentence in sentences if sentence)
