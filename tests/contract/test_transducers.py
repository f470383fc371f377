"""Transducers: steps as `transformers` takes them, interventions, and the probability of a text."""

import json
import shutil
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import zoo_transducers  # noqa: F401  (lists its architectures)
from conftest import measured, pair_corpus
from transformers.loss.loss_tdt import tdt_loss
from zoo import ARCHITECTURES, clip

from innerear.activations.capture import capture
from innerear.data.registry import load_corpus
from innerear.interventions import forced_choice
from innerear.interventions.forced_choice import log_odds, log_probs, option, text_log_odds
from innerear.interventions.run import encode, generate
from innerear.interventions.spec import Intervention
from innerear.models.bare import bare_steps
from innerear.models.base import Transcript
from innerear.models.lattice import total_log_prob
from innerear.models.loading import load_model
from innerear.models.site import Site
from innerear.protocols.phone_probing import PhoneProbingProtocol
from innerear.protocols.registry import protocol_of
from innerear.protocols.semantic_bias import SemanticBiasProtocol
from innerear.tasks.applicable import applicable_tasks
from innerear.tasks.task import load_task, task_names
from innerear.util.errors import InnerearError, InputError

KINDS = ("parakeet_rnnt", "parakeet_tdt")


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("transducers") / request.param
    ARCHITECTURES[request.param].save(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return load_model(str(folder))


@pytest.fixture(scope="module")
def tdt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tdt") / "parakeet_tdt"
    ARCHITECTURES["parakeet_tdt"].save(folder)
    return folder


def encoded(model, audio):
    with torch.inference_mode():
        return model.encode([audio])


# -- decoding


@pytest.mark.parametrize(("seconds", "seed"), [(1.3, 0), (1.3, 1), (4.0, 2), (2.56, 4)])
def test_every_step_is_that_of_transformers(folder, model, seconds, seed):
    """Blanks, tokens and moves; 2.56 s end with a frame that the extractor masks."""
    audio = clip(seconds, seed)
    (path,) = model.paths(encoded(model, audio))
    tokens, moves = bare_steps(folder, audio)
    assert path.tokens == tokens
    assert path.frames == np.cumsum([0, *moves[:-1]]).tolist()
    assert path.ended
    assert path.written
    assert model.blank in path.tokens or seconds < 4


def test_a_transcript_has_the_frame_of_each_token(model):
    (made,) = model.transcribe([clip(4.0, 2)])
    (path,) = model.paths(encoded(model, clip(4.0, 2)))
    steps = zip(path.frames, path.tokens, path.log_probs, strict=True)
    kept = [step for step in steps if step[1] != model.blank]
    assert list(zip(made.frames, made.tokens, made.log_probs, strict=True)) == kept
    assert max(made.frames) < model.clock.count(len(clip(4.0, 2)))


def test_repeated_tokens_are_written_twice(model):
    token = model.tokenize("the")[0]
    twice = model._spelling.uncollapsed([token, token])
    assert twice.count(model._spelling.uncollapsed([token]).strip()) == 2


def test_rows_of_a_batch_go_their_own_ways(model):
    clips = [clip(1.3, seed) for seed in range(4)]
    with torch.inference_mode():
        together = model.greedy_decode(model.encode(clips))
    assert [made.tokens for made in together] == [model.transcribe([audio])[0].tokens for audio in clips]


def test_a_limit_ends_an_output_early(model):
    states = encoded(model, clip())
    (whole,) = model.greedy_decode(states)
    (short,) = model.greedy_decode(states, 2)
    assert short.tokens == whole.tokens[:2]
    assert whole.ended
    assert not short.ended
    (stopped,) = generate(model, states, [()], stop=lambda tokens: len(tokens) == 3)
    assert (stopped.tokens, stopped.ended) == (whole.tokens[:3], False)


# -- interventions


def by_hand(model, audio, actions):
    """Greedy decoding by whole passes of `transformers`' own modules, one step after another."""
    network, states = model.network, encoded(model, audio)
    with torch.inference_mode():
        heard = network.encoder_projector(states)
    tokens, written, frame, here = [], [], 0, 0
    while frame < heard.shape[1]:
        with torch.inference_mode():
            fed = torch.tensor([[model.blank, *written]])
            inner = network.decoder.embedding(fed)
            for layer, module in enumerate(network.decoder.layers, start=1):
                inner = module(inner)[0]
                inner = actions.get(f"predictor.{layer}", lambda states: states)(inner)
            predicted = network.decoder.decoder_projector(inner)[:, -1]
            joint = network.joint.activation(heard[:, frame] + predicted)
            logits = network.joint.head(actions.get("joint", lambda states: states)(joint))[0]
        size = network.config.vocab_size
        token = int(logits[:size].argmax())
        tokens.append(token)
        if len(logits) > size:
            move = network.config.durations[int(logits[size:].argmax())]
            move = max(move, int(token == model.blank))
        else:
            here = 0 if token == model.blank else here + 1
            move = int(token == model.blank or here == network.config.max_symbols_per_step)
            here = 0 if move else here
        frame += move
        if token != model.blank:
            written.append(token)
    return written


@pytest.mark.parametrize("site", ["predictor.1", "predictor.2", "joint"])
def test_worlds_equal_decoding_by_hand(model, site):
    width = model.network.config.decoder_hidden_size
    added = 0.5 * torch.randn(width, generator=torch.Generator().manual_seed(3))
    worlds = [
        (),
        (Intervention(site=site, kind="add", source="direction"),),
        (Intervention(site=site, kind="zero"),),
    ]
    made = generate(model, encoded(model, clip()), worlds, {"direction": added})
    expected = [
        by_hand(model, clip(), actions)
        for actions in ({}, {site: lambda states: states + added}, {site: torch.zeros_like})
    ]
    assert [list(row.tokens) for row in made] == expected
    assert len({row.tokens for row in made}) > 1


def test_positions_count_tokens_and_steps(model):
    """Before the first token the predictor is at 0, and the joint takes its first step at 0."""
    states = encoded(model, clip())
    (path,) = model.paths(states)
    first = next(at for at, token in enumerate(path.tokens) if token != model.blank)
    never = torch.zeros(model.network.config.decoder_hidden_size)
    for site, late in (("predictor.2", 1), ("joint", first + 1)):
        world = (Intervention(site=site, kind="set", source="state", positions=(late,)),)
        plain, late_row = generate(model, states, [(), world], {"state": never})
        assert late_row.tokens[0] == plain.tokens[0]
    with pytest.raises(InnerearError, match=r"zero at joint never acted"):
        generate(model, states, [(Intervention(site="joint", kind="zero", positions=(10**6,)),)])


def test_worlds_of_the_encoder_are_decoded(model):
    site = Site("encoder", 2)
    world = (Intervention(site=site, kind="zero"),)
    states = encode(model, [clip()], [(), world])
    plain, changed = generate(model, states, [(), ()])
    assert plain.tokens == model.transcribe([clip()])[0].tokens != changed.tokens


def test_a_patch_between_rows_is_refused_where_rows_are_not_in_step(model):
    world = (Intervention(site="joint", kind="patch", row=0),)
    with pytest.raises(InputError, match="joint cannot be patched from another row"):
        generate(model, encoded(model, clip()), [(), world])


def test_what_a_lens_reads_is_hooked_along_the_path(model):
    sites = model.encoder_sites
    states = torch.stack([model.states([clip()], sites)[site][0] for site in sites])
    states = states[:, : model.clock.count(len(clip()))]
    with model.reading(["joint", "predictor.2"]) as kept:
        emitted = model.emissions(states)
    (path,) = model.paths(encoded(model, clip()))
    assert kept["joint"].shape[:2] == emitted.log_probs.shape[:2] == (len(sites), len(path.tokens))
    assert kept["predictor.2"].shape[1] == 1 + len(path.written)
    best = emitted.log_probs[-1].max(-1)
    assert best.indices.tolist() == path.tokens
    torch.testing.assert_close(best.values, torch.tensor(path.log_probs), atol=1e-4, rtol=1e-4)
    assert emitted.texts[-1] == model.transcribe([clip()])[0].text


# -- the probability of a text


def every_path(blank, label, after_blank, after_label):
    """The same sum by enumeration of paths: (frame, tokens so far), and what is emitted for how long."""
    frames, states = blank.shape

    def paths(frame, state):
        if frame == frames:
            return 1.0 if state == states - 1 else 0.0
        total = 0.0
        for duration, move in after_blank.items():
            if duration and frame + duration <= frames:
                chance = np.exp(blank[frame, state] + move[frame, state])
                total += chance * (
                    paths(frame + duration, state) if frame + duration < frames else state == states - 1
                )
        for duration, move in after_label.items():
            if state < states - 1 and frame + duration < frames:
                chance = np.exp(label[frame, state] + move[frame, state])
                total += chance * paths(frame + duration, state + 1)
        return total

    return paths(0, 0)


@pytest.mark.parametrize(("frames", "tokens"), list(product((1, 2, 4), (0, 1, 3))))
@pytest.mark.parametrize("durations", [None, (0, 1, 2, 3, 4), (1, 2), (0, 2)])
def test_the_forward_algorithm_sums_over_all_alignments(frames, tokens, durations):
    rng = np.random.default_rng(frames + 10 * tokens)

    def log_probs(*shape):
        raw = rng.standard_normal(shape)
        return raw - np.log(np.exp(raw).sum(axis=-1, keepdims=True))

    scores = log_probs(frames, tokens + 1, 3)
    blank, label = scores[..., 0], scores[:, :-1, 1]
    if durations is None:
        still = np.zeros((frames, tokens + 1))
        moves = {1: still}, {0: still}
    else:
        drawn = log_probs(frames, tokens + 1, len(durations))
        moves = ({each: drawn[..., at] for at, each in enumerate(durations)},) * 2
    expected = every_path(blank, label, *moves)
    assert np.exp(total_log_prob(blank, label, *moves)) == pytest.approx(expected, rel=1e-12, abs=1e-300)


def test_the_probabilities_of_all_texts_sum_to_one():
    """A plain transducer of two tokens that never change: texts of up to 40 tokens over one frame."""
    blank, label = np.log(0.5), np.log(0.25)
    total = sum(
        2**size
        * np.exp(
            total_log_prob(
                np.full((1, size + 1), blank), np.full((1, size), label),
                {1: np.zeros((1, size + 1))}, {0: np.zeros((1, size + 1))},
            )
        )
        for size in range(40)
    )  # fmt: skip
    assert total == pytest.approx(1, rel=1e-11)


def test_a_transducer_with_durations_scores_texts_as_transformers_trains_it(model):
    if "tdt" not in model.identity.family:
        return  # the loss of the plain one needs torchaudio
    states, text = encoded(model, clip()), model.tokenize("the cat")
    network, size = model.network, model.network.config.vocab_size
    with torch.inference_mode():
        predicted = network.decoder(torch.tensor([[model.blank, *text]]))
        logits = network.joint(predicted[:, None], network.encoder_projector(states)[:, :, None])
        loss = tdt_loss(
            logits[..., :size], logits[..., size:], torch.tensor([text]), torch.tensor([states.shape[1]]),
            torch.tensor([len(text)]), model.blank, network.config.durations, reduction="sum",
        )  # fmt: skip
    (found,) = model.log_likelihoods(states, [text])
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(-float(loss), abs=1e-3)


def test_a_text_is_likelier_than_any_one_alignment_of_it(model):
    """All tokens in the first frame, then a blank a frame; a model's own text is likelier than another."""
    states, text = encoded(model, clip()), model.tokenize("the")
    network, size = model.network, model.network.config.vocab_size
    with torch.inference_mode():
        predicted = network.decoder(torch.tensor([[model.blank, *text]]))
        lattice = network.joint(predicted[:, None], network.encoder_projector(states)[:, :, None])[0]
    scores, lengths = lattice[..., :size].log_softmax(-1), lattice[..., size:].log_softmax(-1)
    one = sum(scores[0, at, token] for at, token in enumerate(text)) + scores[:, -1, model.blank].sum()
    if lengths.shape[-1]:
        one += lengths[0, : len(text), 0].sum() + lengths[:, -1, 1].sum()
    written = model.transcribe([clip()])[0].tokens
    total, own, other = model.log_likelihoods(states, [text, written, text * len(written)])
    assert float(total) >= float(one)
    assert float(own) > float(other)


# -- what is refused


def test_contradictory_folders_are_one_line(folder, tmp_path):
    cases = [
        ("generation_config.json", "decoder_start_token_id", 3, "a transducer starts from its blank"),
        ("config.json", "blank_token_id", 9999, "blank_token_id is 9999, not one of the model's"),
        ("config.json", "max_symbols_per_step", 0, "max_symbols_per_step is 0, which cannot be"),
    ]
    if "tdt" in folder.name:
        cases.append(("config.json", "durations", [0], r"durations is \[0\], which cannot be"))
    for name, key, value, message in cases:
        changed = tmp_path / key
        shutil.copytree(folder, changed)
        table = json.loads((changed / name).read_text()) | {key: value}
        (changed / name).write_text(json.dumps(table))
        with pytest.raises(InputError, match=message):
            load_model(str(changed))


def test_a_prompt_that_a_model_does_not_have_is_one_line(tmp_path):
    ARCHITECTURES["nemotron3_5_asr"].save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"default_prompt_id": 9999}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="default_prompt_id is 9999, not one of the model's"):
        load_model(str(tmp_path))


def test_what_decides_the_steps_is_part_of_the_identity(folder, model, tmp_path):
    changes = {"max_symbols_per_step": 3, "hidden_act": "gelu"}
    if "tdt" in folder.name:
        changes["durations"] = [0, 1, 2, 3, 5]
    for key, value in changes.items():
        changed = tmp_path / key
        shutil.copytree(folder, changed)
        table = json.loads((changed / "config.json").read_text()) | {key: value}
        (changed / "config.json").write_text(json.dumps(table))
        assert load_model(str(changed)).identity.sha256 != model.identity.sha256


# -- what tasks make of it


def test_a_word_is_chosen_by_all_alignments(model):
    """The odds are those of the two whole texts, each with or without a full stop."""
    states = encoded(model, clip())
    before, word, foil = "it was a", "car", "card"
    (odds,) = text_log_odds(model, states, [(before, word, foil)])
    either = [
        model.log_likelihoods(states, [model.tokenize(f"{before} {each}{end}") for end in ("", ".")])
        for each in (word, foil)
    ]
    expected = either[0].exp().sum().log() - either[1].exp().sum().log()
    assert odds.dtype == torch.float64
    assert float(odds) == pytest.approx(float(expected), abs=1e-9)
    joint = (Intervention(site="joint", kind="zero"),)
    with pytest.raises(InputError, match="with interventions in its encoder only"):
        log_probs(model, states, [option(model, before, word)], [joint])


def test_words_are_spelt_in_the_case_that_the_vocabulary_has(model):
    def spell(text):
        return (
            [3] if text == text.lower() and "," not in text else [3, model._spelling.tokenizer.unk_token_id]
        )

    lower = SimpleNamespace(tokenize=spell, tokenizer=model._spelling.tokenizer)
    plain = SimpleNamespace(_spelling=lower)
    assert type(model).tokenize(plain, "However, I did") == [3]
    assert model.tokenize("He did") == model._spelling.tokenize("He did")


def test_semantic_bias_is_measured_by_alignments(model, monkeypatch):
    """All of the task, with written words and the prior of the texts scripted, and the odds its own."""
    task = load_task("semantic-bias")
    task = task.resolve(measure=task.measure.model_dump() | {"graded": 2, "resamples": 100, "steps": 5})
    corpus = pair_corpus(lambda at, number, *_: clip(0.7, 10 * at + number), start=0.3)
    protocol = SemanticBiasProtocol(task, lambda _: corpus)
    heard, encode = [], model.encode
    clips = [item for word in protocol._words for item in word.clips]
    word_of = {item.audio().tobytes(): item.label("word") for item in clips}

    def follow(audio):
        heard.append(word_of.get(audio[0].tobytes(), ""))
        return encode(audio)

    monkeypatch.setattr(model, "encode", follow)
    monkeypatch.setattr(model, "greedy_decode", lambda _, most=None: [Transcript(heard[-1], (5,), (-0.1,))])
    prior = torch.tensor([2.0, -1.0, 0.0])
    monkeypatch.setattr(forced_choice, "text_log_odds", lambda _m, _e, texts: prior.repeat(len(texts) // 3))
    found = measured(protocol, model)
    assert found.scores["understood_alone"].value == 1
    assert found.scores["bias"].value == pytest.approx(found.items["outcome"].mean())
    assert all(np.isfinite(score.value) for score in found.scores.values())
    first = next(item for item in clips if item.id == found.items["item"][0])
    expected = log_odds(model, encode([first.audio()]), first)
    assert found.items["odds favours-foil"][0] == pytest.approx(float(expected), abs=1e-3)


READ = (
    "abx", "accent", "encoder-lens", "erasure", "logit-lens", "noise", "phone-recognition", "phoneme-probing",
    "semantic-bias",    "semantic-category", "sparse-features", "speaker-gender", "speed", "transcription",
)  # fmt: skip


@pytest.mark.parametrize("name", sorted({*task_names()} - {"planted-causes"}))
def test_every_task_applies_or_says_why_not(tdt, name):
    model = load_model(str(tdt))
    reason = protocol_of(load_task(name), load_corpus).unsupported_reason(model)
    assert applicable_tasks(model.capabilities)[name] == reason
    if name in READ:
        assert reason is None
    else:
        assert "is a transducer: it has no decoder whose states read the audio" in reason


# -- a planted cause


def test_phones_taken_away_at_one_layer_are_missed_from_there_on(tdt):
    """The directions in which phones differ most at `encoder.2` are removed, or as many random ones."""
    protocol = PhoneProbingProtocol(load_task("phoneme-probing").resolve(limit=84), load_corpus)
    model = load_model(str(tdt))
    (captured,) = capture(model, [protocol.demands(model)["test"]])
    states = torch.from_numpy(captured.joined("states")[2]).double()
    phones = np.asarray(protocol.frames["test"].phone)
    centred = states - states.mean(0)
    means = torch.stack([centred[torch.from_numpy(phones == each)].mean(0) for each in sorted(set(phones))])
    _, _, phone_directions = torch.linalg.svd(means, full_matrices=False)
    drawn = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(0)).double())[0]

    def accuracy(directions):
        planted = load_model(str(tdt))
        basis = directions[:16].float()
        mean = states.mean(0).float()
        planted.network.encoder.layers[1].register_forward_hook(
            lambda _module, _args, out: out - (out - mean) @ basis.T @ basis
        )
        found = measured(protocol, planted)
        probe = next(curve for curve in found.curves if curve.name == "probe")
        return np.array([point.value for point in probe.points]), found.scores["majority"].value

    untouched, majority = accuracy(torch.zeros(32, 32).double())
    assert (untouched > majority + 0.08).all(), "phones are readable at every layer of the untouched model"
    found, _ = accuracy(phone_directions)
    np.testing.assert_allclose(found[:2], untouched[:2], atol=1e-6)
    assert (found[2:] < majority + 0.02).all()
    random, _ = accuracy(drawn)
    assert (random[2:] > untouched[2:] - 0.03).all()
