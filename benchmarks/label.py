"""From a key press to the next crop on the screen: the labelling desk against the same page out of Streamlit's widgets.

    python -m benchmarks.label

Both are served here with crops of 512 x 512 and driven by Chromium, one after the other. Prints the median, the 95th of
100 and the worst of both, and the ratio of the medians. A crop is on the screen at the first frame that the browser
draws after the picture has changed and is decoded.
"""

import statistics
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

from dreamshot.provenance import cpu_facts, cpu_name
from stages.chunks import cores
from tests.pages import browsing, serving, write_pages_study

DECISIONS = 100
PEER = Path(__file__).with_name("label_peer.py")
# Notes the key press, and the time at which another picture has been drawn.
WATCH = """selector => {
  const find = (root) => root.querySelector(selector) ?? [...root.querySelectorAll('*')].map((one) => one.shadowRoot &&
    find(one.shadowRoot)).find(Boolean);
  const name = () => find(document)?.currentSrc ?? '';
  window.times = [];
  let pressed = 0, before = '';
  window.addEventListener('keydown', () => { pressed = performance.now(); before = name(); }, true);
  const look = () => {
    const picture = find(document);
    if (pressed && name() && name() !== before && picture.complete && picture.naturalWidth) {
      window.times.push(performance.now() - pressed);
      pressed = 0;
    }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


def milliseconds(page: Any, address: str, picture: str) -> list[float]:
    """The time of each of DECISIONS, in milliseconds."""
    page.goto(address)
    page.wait_for_selector(picture)
    page.wait_for_timeout(1000)
    page.evaluate(WATCH, picture)
    for count in range(DECISIONS):
        page.keyboard.press(str(1 + count % 3))
        page.wait_for_function("count => window.times.length > count", arg=count)
        page.wait_for_timeout(150)
    found: list[float] = page.evaluate("window.times")
    return found


def told(name: str, times: list[float]) -> str:
    """A row of the table."""
    worst = sorted(times)
    return f"{name:24} {statistics.median(times):7.0f} {worst[int(0.95 * len(worst))]:9.0f} {worst[-1]:7.0f}"


def main() -> None:
    """Measure and print."""
    quiet = ("--server.headless=true", "--browser.gatherUsageStats=false", "--server.address=127.0.0.1")
    servers = {
        "the desk": (("-m", "survey_app.researcher", "--port={port}"), ".crop"),
        "Streamlit's own widgets": (
            ("-m", "streamlit", "run", str(PEER), "--server.port={port}", *quiet),
            "[data-testid=stImageContainer] img",
        ),
    }
    times = {}
    for name, (arguments, picture) in servers.items():
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            write_pages_study(train=40, side=512, select={"max_per_film": 100})
            with serving(Path(folder), *arguments) as server, browsing() as page:
                times[name] = milliseconds(page, f"{server.address}/?who=anna", picture)
    print(f"{cpu_name(cpu_facts())}, {cores()} cores, {DECISIONS} decisions each, crops of 512 x 512")
    print(f"{'milliseconds':24}  median  95% below   worst")
    print("\n".join(told(name, found) for name, found in times.items()))
    ours, peer = (statistics.median(found) for found in times.values())
    print(f"ratio of the medians {peer / ours:.1f}")


if __name__ == "__main__":
    main()
