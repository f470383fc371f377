"""A table of each kind that has a chart, by its name in results."""

LENS = [
    {"item": "c", "token": f"▁t{at}", "layer": layer, "top": "Ġx", "rank": 0 if layer == 2 else 10**at}
    for at in range(4) for layer in range(3)
]  # fmt: skip
KINDS = [
    {"site": f"encoder.{layer}", "norm": norm, "empty": 1, "correct": layer, "loop": 2, "partial": 0,
     "gibberish": 0, "fluent": 1, "wer": 1.0}
    for norm in (True, False) for layer in range(3)
]  # fmt: skip
FAITHFULNESS = [
    {"ranking": name, "heads": count, "resolved": share * at / 2}
    for name, share in (("ranked", 1.0), ("random-0", 0.2), ("random-1", 0.4))
    for at, count in enumerate((1, 2, 4))
]
POINTS = [
    {"arm": f"arm {arm}", "where": where, "strength": 0.1 * at, "cost": 0.01 * at, "reduction": 0.1 * arm}
    for arm in range(9) for where in ("decoder.1", "decoder.2") for at in range(3)
]  # fmt: skip
HEADS = [
    {"layer": layer, "head": head, "value": 0.1 * head, "marked": head == 1}
    for layer in (1, 2) for head in range(3)
]  # fmt: skip
PSYCHOMETRIC = [
    {"evidence": kind, "context": name, "level": level, "n": 5, "chosen": level / 6, "fitted": 0.5,
     "threshold": 3.0, "censored": False, "slope": 2.0, "lapse": 0.02}
    for kind in ("step", "dB") for name in ("first", "neutral") for level in range(7)
]  # fmt: skip
TABLES = {
    "confusion_matrix": [{"truth": "AA", "AA": 3, "AE": 1}, {"truth": "AE", "AA": 0, "AE": 5}],
    "lens_map": LENS,
    "kinds": KINDS,
    "head_map": HEADS,
    "head_map_self": [{**row, "value": -row["value"], "marked": False} for row in HEADS],
    "calibration": [{"predicted": 0.1, "observed": 0.2, "clips": 5}],
    "psychometric": PSYCHOMETRIC,
    "faithfulness": FAITHFULNESS,
    "points": POINTS,
}
