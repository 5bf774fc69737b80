"""Keep the stills that the study can use; every other file goes to the ledger with its reason.

    python -m stages.ingest

Reads the folder ``frames`` of params.yaml: the stills, with ``frames.csv`` (file, film, year), ``films.csv`` (film,
title, year) or both (see ``listing``); either may also have the columns ``licence`` and ``source``. Writes
``data/ingest/``: ``frames.parquet`` (frame, film, title, year, file, width, height, mode, dhash, licence, source; ""
where no table gives a text), ``ledger.parquet`` (file, frame, film, rule, value, limit), the kept pictures upright, in
sRGB and without bars in ``shards/``, and ``run.json``.

The rules, in the order in which they are asked; a file goes by the first that it fails:

| rule | a file goes when |
| --- | --- |
| unlisted | no row of the listing names it |
| missing_film, missing_year | the listing does not say; a year is never guessed from a path, where it may be a post's |
| too_old | year < min_year |
| too_many_pixels | width * height in the header > max_pixels; it is not decoded |
| undecodable | its pixels cannot be read to the last one, or reading them ends its process or takes two minutes |
| channels | the file's own bands < min_channels: the paper's literal rule for colour |
| chroma | mean CIELAB chroma < min_chroma: grey content in three bands (0 turns it off) |
| min_side | shorter side, upright and without bars, < min_side |
| duplicate | a kept file, of any film, has the same pixels |
| near_duplicate | a kept file, of any film, is alike by ``stages.alike`` (dhash_distance -1: off) |

Of several files that are alike the largest is kept, then the first by name. A run that was killed goes on where it was.
"""
