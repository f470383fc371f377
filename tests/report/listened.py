"""A folder of results on real clips of an embedded corpus, for tests of the page of items."""

from pathlib import Path

import pandas as pd
from synthetic import curve, make_result

from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus
from innerear.data.text import edits
from innerear.results.schema import Result
from innerear.results.store import Store
from innerear.tasks.task import Task, load_task

HOSTILE = '<img src=x onerror="document.title=`owned`"> & </script><script>document.title="owned"</script>'
SITES = [f"encoder.{layer}" for layer in range(5)]
Sound = tuple[Result, pd.DataFrame]


def clips(name: str, limit: int | None = 2) -> tuple[Task, Corpus]:
    """A task, and the clips that it selects."""
    task = load_task(name).resolve(limit=limit)
    return task, task.select(load_corpus(task.corpus))


def result(task: Task, corpus: Corpus, model: str, measured: dict | None = None, **changes) -> Result:
    """A result of a task on its clips; `measured` changes what it says of them."""
    info = {
        "id": task.id, "version": task.version, "protocol": task.measure.protocol,
        "spec": task.canonical(), "sha256": task.sha256(), **task.prose(),
    }  # fmt: skip
    about = {
        "name": corpus.name, "version": corpus.version, "fingerprint": corpus.fingerprint(),
        "items": len(corpus),
    }  # fmt: skip
    return make_result(
        0.8, task=info, corpus={**about, **(measured or {})}, model={"name": model},
        curves=[curve("probe", [0.5, 0.6, 0.7, 0.8, 0.8])], **changes,
    )  # fmt: skip


def transcripts(model: str, wrong: str, **changes) -> Sound:
    """Everything as it was said, but the second clip: its last word is `wrong`."""
    task, corpus = clips("transcription")
    rows = []
    for number, item in enumerate(corpus):
        written = f"{item.text.rsplit(' ', 1)[0]} {wrong}" if number == 1 else item.text
        counts = edits(item.text, written, "en")
        rows.append({
            "item": item.id, "unit": item.id, "speaker": item.speaker, "condition": item.condition,
            "noise": item.label("noise"), "reference": item.text, "written": written,
            "outcome": float(counts.errors), "weight": float(counts.reference), "errors": counts.errors,
            "words": counts.reference,
        })  # fmt: skip
    score = {"wer": make_result().scores["accuracy"].model_copy(update={"direction": "lower"})}
    return result(task, corpus, model, headline="wer", scores=score, **changes), pd.DataFrame(rows)


def phones(model: str, wrong: int) -> Sound:
    """Each phone is read from layer 2 on; phone number `wrong` is not read at all."""
    task, corpus = clips("phoneme-probing")
    rows = []
    for item in corpus:
        for phone in [each for each in item.phones if each.label != "sil"][:6]:
            right = len(rows) != wrong
            rows.append({
                "item": item.id, "unit": f"{item.id}@{phone.middle:.4f}", "speaker": item.speaker, "fold": 0,
                "type": f"{phone.label}|word{len(rows)}", "truth": phone.label,
                "predicted": phone.label if right else "zh", "outcome": float(right),
                **{f"correct.{site}": right and layer >= 2 for layer, site in enumerate(SITES)},
            })  # fmt: skip
    return result(task, corpus, model), pd.DataFrame(rows)


def heads(model: str, late: float) -> Sound:
    """The best heads look at the start of each word, but for the first: `late` seconds after it."""
    task, corpus = clips("alignment-heads")
    rows = [
        {
            "item": item.id, "unit": f"{item.id}@{at}", "speaker": item.speaker, "word": word.label,
            "start": word.start, "end": word.end, "duration": item.duration, "order": 0.1,
            "peak": word.end + late if at == 0 else word.start, "on_word": at != 0,
            "outcome": 1000 * (word.end - word.start + late) if at == 0 else 0.0,
        }
        for item in corpus
        for at, word in enumerate(item.words)
    ]  # fmt: skip
    return result(task, corpus, model), pd.DataFrame(rows)


def lens(model: str, tokens: list[str], mapped: bool = False) -> Sound:
    """Tokens of the first clip: layer n agrees on the first n of them; `mapped`: what each would write."""
    task, corpus = clips("logit-lens")
    item = corpus.items[0]
    rows = pd.DataFrame([
        {
            "item": item.id, "unit": f"{item.id}@{at}", "speaker": item.speaker, "condition": item.condition,
            "token": at, "piece": piece, "right": "wrong" if at == 1 else "right", "outcome": 0.5,
            **{f"agrees.{site}": layer > at for layer, site in enumerate(SITES)},
        }
        for at, piece in enumerate(tokens)
    ])  # fmt: skip
    table = [
        {"item": item.id, "token": piece, "layer": layer, "top": f"top{at}{layer}", "rank": 1, "kl": 0.1}
        for at, piece in enumerate(tokens)
        for layer in range(len(SITES))
    ]
    return result(task, corpus, model, tables={"lens_map": table} if mapped else {}), rows


def from_layers(model: str) -> Sound:
    """What the decoder writes from each layer: the layer's name, and the text from the last."""
    task, corpus = clips("encoder-lens")
    rows = [
        {
            "item": item.id, "unit": item.id, "speaker": item.speaker, "grounded_at_last": True,
            "outcome": 1.0,
            **{f"kind.{site}": "loop" for site in SITES},
            **{f"written.{site}": f"from {site}" for site in SITES[:-1]}, f"written.{SITES[-1]}": item.text,
        }
        for item in corpus
    ]  # fmt: skip
    return result(task, corpus, model), pd.DataFrame(rows)


def listened(folder: Path) -> Store:
    """Two models, `one` and `two`, on tasks of every kind that the page shows in its own way."""
    store = Store(folder)
    for made in (
        transcripts("one", "wrong"), transcripts("two", HOSTILE), phones("one", 3), phones("two", 4),
        heads("one", 0.1), heads("two", 0.2), lens("one", ["▁The", "▁end"], mapped=True),
        lens("two", ["Ġthe", "Ġend", "."]), from_layers("one"), from_layers("two"),
    ):  # fmt: skip
        store.save(*made)
    return store
