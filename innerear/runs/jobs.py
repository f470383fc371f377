"""The tasks of a run, each with its protocol and corpora, which all models share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial

from innerear.data.registry import load_corpus
from innerear.data.schema import Corpus
from innerear.models.family import DTYPE
from innerear.protocols.base import Protocol, corpus_names
from innerear.protocols.registry import protocol_of
from innerear.results.environment import machine
from innerear.results.schema import CorpusInfo, result_key
from innerear.runs.plans import Options, Plan
from innerear.runs.subjects import Subject
from innerear.tasks.causal_settings import PlantedCauses
from innerear.tasks.task import Task, is_timed
from innerear.util.errors import InputError


@dataclass(frozen=True)
class Job:
    """One task: its protocol and corpora.

    `asked` is the hash of the task of the plan, which its protocol may have resolved further.
    """

    task: Task
    asked: str
    protocol: Protocol

    @classmethod
    def of(cls, task: Task, options: Options, load: Callable[[str], Corpus]) -> "Job":
        """Build the protocol of a task.

        Raises
        ------
        InputError
            If the options do not fit it or, where they are strict, it cannot use a clip; or if its timings
            are of another machine.
        """
        asked = task.sha256()
        if is_timed(task):
            task = _of_this_machine(task, options)
        if options.dtype != DTYPE and isinstance(task.measure, PlantedCauses):
            raise InputError(f"{task.id}: causes are planted into models in {DTYPE}, not {options.dtype}")
        protocol = protocol_of(task, load)
        if options.strict:
            for corpus in protocol.corpora.values():
                for name, reason in corpus.refused:
                    raise InputError(f"{task.id} cannot use {name} of {corpus.name}: {reason}")
        protocol.cache = None if options.fresh else options.cache
        return cls(protocol.task, asked, protocol)

    @property
    def corpora(self) -> dict[str, Corpus]:
        """The corpora by role."""
        return self.protocol.corpora

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprints of the corpora by role."""
        return {role: corpus.fingerprint() for role, corpus in self.corpora.items()}

    def key(self, model_sha256: str) -> str:
        """The key of the result of a model."""
        test, train = self.fingerprints["test"], self.fingerprints.get("train")
        return result_key(self.task.sha256(), model_sha256, test, train)

    def corpus_info(self, role: str, refused: Sequence[tuple[str, str]]) -> CorpusInfo:
        """What a result says of a corpus; `refused` are clips that a model could not process."""
        corpus = self.corpora[role]
        return CorpusInfo(
            name=corpus.name,
            version=corpus.version,
            fingerprint=self.fingerprints[role],
            items=len(corpus),
            speakers=len(corpus.speakers),
            seconds=round(sum(item.duration for item in corpus), 3),
            human=corpus.human,
            licence=corpus.licence,
            source=corpus.source,
            refused=sorted({*corpus.refused, *refused}),
        )

    def label(self, subject: Subject) -> str:
        """How messages name the measurement of a subject."""
        return f"{subject.name} · {self.task.id} on {self.corpora['test'].name}"


def _of_this_machine(task: Task, options: Options) -> Task:
    """A task of timings, with the machine that they are of."""
    here = machine(options.device)
    if task.machine not in (None, here):
        raise InputError(
            f"{task.id}: these timings are of {task.machine}, and this is {here}; only that machine can "
            f"repeat them. `innerear run --tasks {task.id}` times this one, in a table of its own"
        )
    return task.resolve(machine=here)


def loader(plan: Plan, options: Options) -> Callable[[str], Corpus]:
    """A function that loads a corpus once; those of the plan are loaded, so that a bad one is told first."""
    read = cache(partial(load_corpus, data_dir=options.data_dir, strict=options.strict))
    list(map(read, sorted({name for task in plan.tasks for name in corpus_names(task).values()})))
    return read


def subjects_that_come_with(jobs: Sequence[Job]) -> dict[str, tuple[Subject, list[Job]]]:
    """Floors and methods of tasks by hash, each with the tasks that it belongs to."""
    found: dict[str, tuple[Subject, list[Job]]] = {}
    for job in jobs:
        for listener in job.protocol.floors():
            subject = Subject.loaded(listener)
            found.setdefault(subject.sha256, (subject, []))[1].append(job)
    return found
