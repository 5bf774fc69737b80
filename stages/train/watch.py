"""What is looked at while it trains, for `dvc plots`: the loss held out at fixed noises and time steps, pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from dreamshot.records import png_bytes
from dreamshot.work import clean, write_atomic
from stages.artist import Artist, Request
from stages.diffusion import to_unit
from stages.train.loop import Draw, Log, Run, averaged, errors, precision, stacked
from stages.train.prior import manner_of, read

# --- the held-out loss ---


def fixed_times(count: int, total: int) -> list[int]:
    """``count`` time steps of ``total``, each the middle of an equal part of them."""
    return [int((place + 0.5) * total / count) for place in range(count)]


def fixed_draw(run: Run, draw: int) -> Draw:
    """The held-out examples at one of the fixed noises, with whole captions and the latents' means."""
    import torch

    examples = run.data.held_out
    mean, _ = stacked(run, examples)
    generator = torch.Generator().manual_seed(run.seed_of("held out", draw))
    times = fixed_times(run.params.validation.draws, run.scheduler.config.num_train_timesteps)
    return Draw(
        latents=to_unit(mean, run.pipeline.vae),
        noise=torch.randn(mean.shape, generator=generator),
        times=torch.full((len(examples),), times[draw]),
        prompts=[item.prompt for item in examples],
    )


def held_out_loss(run: Run) -> float:
    """The mean squared error over the held-out examples and the fixed time steps, all weighed alike."""
    import torch

    total, size = 0.0, max(1, run.params.batch // run.params.accumulate)
    for number in range(run.params.validation.draws):
        whole = fixed_draw(run, number)
        for start in range(0, len(whole.prompts), size):
            here = slice(start, start + size)
            item = Draw(whole.latents[here], whole.noise[here], whole.times[here], whole.prompts[here])
            with torch.inference_mode():
                total += float(errors(run, item).sum())
    return total / (run.params.validation.draws * len(run.data.held_out))


# --- pictures ---


def pictures(run: Run) -> list[np.ndarray]:
    """The first held-out prompts drawn as the run stands, each from a seed of its own that stays."""
    examples = run.data.held_out[: run.params.validation.pictures]
    if not examples:
        return []
    drawing, size = run.params.drawing, len(run.data.pixels[examples[0].picture]())
    manner = manner_of(drawing, size, slab=min(drawing.batch, len(examples)))
    artist = Artist(run.pipeline, manner, around=partial(precision, run))
    wanted = [Request(item.prompt, run.seed_of("validation", item.picture), 1.0) for item in examples]
    return [picture.pixels for picture in artist.draw(wanted)]


def look(run: Run, folder: Path) -> None:
    """Measure the held-out loss and draw the validation pictures, unless it has been done; these go into ``folder``."""
    if run.step in run.log.held_out or not run.data.held_out:
        return
    with averaged(run):
        run.log.held_out[run.step] = held_out_loss(run)
        for number, pixels in enumerate(pictures(run)):
            write_atomic(folder / picture_file(run.step, number), png_bytes(pixels))


def picture_file(step: int, number: int) -> str:
    return f"{step:06d}-{number}.png"


# --- for dvc plots ---


class Silent:
    """What the processes beside the first write: nothing."""

    def show(self, log: Log) -> None:
        pass

    def finish(self, log: Log) -> None:
        pass


@contextmanager
def live(folder: Path, pictures: Path, first: bool) -> "Iterator[Live | Silent]":
    """What shows the log; an older log in ``folder`` is cleared away."""
    if not first:
        yield Silent()
        return
    shown = Live(clean(folder), pictures)
    try:
        yield shown
    finally:
        shown.end()


class Live:
    """The log as dvclive writes it, in ``folder``; a resumed run's is written again from its log."""

    def __init__(self, folder: Path, pictures: Path) -> None:
        from dvclive.live import Live as DVCLive

        self._live = DVCLive(str(folder), save_dvc_exp=False, dvcyaml=None, monitor_system=False)
        self._pictures = pictures
        self._done = 0

    def end(self) -> None:
        self._live.end()

    def show(self, log: Log) -> None:
        """Write what the log holds and has not been written: a row a step, and what was seen before it."""
        for step in range(self._done, len(log.losses)):
            self._look(log, step)
            self._live.step = step + 1
            self._live.log_metric("loss", log.losses[step])
            self._live.next_step()
        self._done = len(log.losses)

    def finish(self, log: Log) -> None:
        """Write what was seen after the last step."""
        self.show(log)
        self._look(log, self._done)

    def _look(self, log: Log, step: int) -> None:
        if step not in log.held_out:
            return
        self._live.step = step
        self._live.log_metric("held_out", log.held_out[step])
        for path in sorted(self._pictures.glob(f"{step:06d}-*.png")):
            self._live.log_image(path.name, read(path))
