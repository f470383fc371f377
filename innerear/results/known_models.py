"""Hold the model of a result against the registered models, the published ones, and what its kind can be."""

from collections.abc import Iterator
from functools import cache

from innerear.models.family import PRECISIONS
from innerear.models.registry import UNTRAINED, ModelSpec, load_spec, model_names, trained_on
from innerear.results import published
from innerear.results.schema import ModelInfo, Result
from innerear.tasks.declarations import declaration

_TWIN = "-random"


def model_problems(result: Result) -> Iterator[str]:
    """What does not agree with what is known of a result's model, one line each."""
    model = result.model
    spec = _spec(model.name)
    yield from _OF_KIND.get(model.kind, _without_network)(model)
    if (model.kind == "architecture") != (model.parts.get("weights") == UNTRAINED):
        yield f"{_called(model)} its weights say otherwise"
    if model.kind == "architecture" and not declaration(result.task.protocol).timed:
        yield f"{model.name} is an architecture with random weights, of which only timings say something"
    if spec and model.kind == ("model" if spec.trained else "architecture"):
        yield from _registered(model, spec)
    elif spec:
        yield f"{_called(model)} this name is registered for something else"
    known = published.models().get(model.name)
    if known and known.kind == model.kind and known.seed == model.seed:
        for name in sorted({*known.parts, *model.parts}):
            if known.parts.get(name) != model.parts.get(name) and not _chosen(name, known, model):
                own, published_one = _short(model, name), _short(known, name)
                yield f"the {name} of {model.name} is {own}, but {published_one} is published"
                break
    data = spec.training_data if spec and model.kind == "model" else model.training_data
    expected = trained_on(data, result.corpus.name, result.corpus.human)
    if model.contaminated is not expected:
        said = {True: "yes", False: "no", None: "unknown"}
        yield (
            f"trained on {result.corpus.name}: {said[model.contaminated]}, but {said[expected]} by the "
            f"training data of {model.name}"
        )


@cache
def _spec(name: str) -> ModelSpec | None:
    return load_spec(name) if name in model_names() else None


def _of_model(model: ModelInfo) -> Iterator[str]:
    if model.seed is not None or model.twin_of is not None or "recipe" in model.parts:
        yield f"{_called(model)} has the seed or the recipe of a random twin"
    for other in published.models().values():
        if other.kind == "twin" and other.parts["weights"] == model.parts.get("weights"):
            yield f"{_called(model)} its weights are those of {other.name}"


def _of_twin(model: ModelInfo) -> Iterator[str]:
    if model.twin_of is None or model.seed is None or "recipe" not in model.parts:
        yield f"{model.name} is called a random twin, but lacks its model, its seed or its recipe"
        return
    if model.name != (name := f"{model.twin_of}{_TWIN}"):
        yield f"the random twin of {model.twin_of} is {name}, not {model.name}"
    if model.training_data:
        yield f"{model.name} is called a random twin, but has training data"
    for other in published.models().values():
        if other.kind == "model" and other.parts["weights"] == model.parts.get("weights"):
            yield f"{model.name} is called a random twin, but its weights are those of {other.name}"
    if whole := published.models().get(model.twin_of):
        names = sorted({*model.parts, *whole.parts} - {"weights", "recipe"})
        differing = [name for name in names if model.parts.get(name) != whole.parts.get(name)]
        if any(not _chosen(name, model, whole) for name in differing):
            yield f"{model.name} has another architecture or front end than {model.twin_of}"


def _without_network(model: ModelInfo) -> Iterator[str]:
    if "weights" in model.parts or model.parameters or model.training_data:
        yield f"{model.name} is called a {model.kind}, but has the weights of a network or training data"


def _registered(model: ModelInfo, spec: ModelSpec) -> Iterator[str]:
    for name in sorted({"family", "parameters", "licence"}.difference(spec.unverified)):
        if (own := getattr(model, name)) != (known := getattr(spec, name)):
            yield f"the {name} of {model.name} is {own}, but {known} is registered"
    if tuple(model.training_data) != spec.training_data:
        yield (
            f"{model.name} says it was trained on {', '.join(model.training_data) or 'nothing'}, but it is "
            f"registered with {', '.join(spec.training_data)}; run it by its registered name"
        )
    hashes = {getattr(source, "weights_sha256", None) for source in spec.sources}
    if None not in hashes and model.parts.get("weights") not in hashes:
        yield f"the weights of {model.name} are {_short(model, 'weights')}, which are not the registered ones"


def _called(model: ModelInfo) -> str:
    return f"{model.name} is called {'an' if model.kind == 'architecture' else 'a'} {model.kind}, but"


def _chosen(name: str, *models: ModelInfo) -> bool:
    """Whether a part is one that a run chooses: the type of numbers."""
    return name == "dtype" and all(model.parts.get(name) in PRECISIONS for model in models)


def _short(model: ModelInfo, name: str) -> str:
    part = model.parts.get(name, "none")
    return part[:12] if len(part) == 64 else part  # else it is no hash


_OF_KIND = {"model": _of_model, "twin": _of_twin, "architecture": _of_model}
