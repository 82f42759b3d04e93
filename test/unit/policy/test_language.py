# Copyright 2026 tinyvla_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Words that steer: known wordings, new ones, and those that no policy should act on."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.policies import random_observation, tiny_policy_config, write_random_checkpoint
from harness.small_training import run_options, small_recipe
from tinyvla_ros.core.errors import InputError, UnknownInstructionError
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.language import embed
from tinyvla_ros.policy.language_config import HashedWords
from tinyvla_ros.policy.policy import Policy
from training.learning.batches import VALIDATION, BatchSampler
from training.learning.mixture import load_mixture
from training.learning.train import train

HASHED = {"kind": "hashed", "dim": 256}
PARAPHRASES = {"go": ("move on", "walk forward"), "stay": ("do not leave",)}


@pytest.fixture(scope="module")
def talkative(tmp_path_factory, data):
    """A checkpoint trained for a few steps with hashed words, two tasks, five wordings."""
    out = tmp_path_factory.mktemp("talkative") / "run"
    recipe = small_recipe(steps=2).model_copy(update={
        "language": HashedWords(**HASHED), "paraphrases": PARAPHRASES})
    train(recipe, run_options(data), out)
    return out / "last"


def _actions(policy: Policy, text: str) -> np.ndarray:
    return policy.infer(replace(random_observation(policy.config), instruction=text)).actions


def test_hashing_puts_wordings_that_share_words_together():
    words = HashedWords(**HASHED)
    door, opened, shouted, coffee = embed(words, [
        "open the door", "please open that door", "OPEN  the Door", "make me a coffee"])
    assert np.linalg.norm(door) == pytest.approx(1.0)
    assert np.array_equal(door, shouted)
    assert door @ opened > 0.7
    assert abs(door @ coffee) < 0.3


def test_a_policy_takes_new_wordings_and_reports_the_nearest_known_one(talkative):
    policy = Policy(talkative)
    assert policy.match_instruction("walk forward please") == "walk forward"
    known, new = _actions(policy, "walk forward"), _actions(policy, "walk forward quickly")
    assert not np.array_equal(known, new)
    assert np.array_equal(_actions(policy, "Walk  FORWARD"), known)


def test_paraphrases_are_wordings_of_their_own(talkative):
    policy = Policy(talkative)
    assert policy.config.instruction_index("Move on") == 0
    assert policy.config.instruction_index("do not leave") == 1
    assert not np.array_equal(_actions(policy, "go"), _actions(policy, "move on"))


def test_a_wording_like_none_is_refused_and_names_the_nearest(talkative):
    with pytest.raises(UnknownInstructionError, match=r"'make me a coffee'.*similarity"):
        Policy(talkative).infer(replace(random_observation(load_checkpoint(talkative).config),
                                        instruction="make me a coffee"))


@pytest.mark.parametrize(("text", "message"), [
    ("", "instruction is empty"), ("   ", "instruction is empty"),
    ("go " * 200, "600 characters .* at most 400"),
    ("go\x00now", "control character"),
    ("the then", "nearest: .* 0.4"),
    ("öffne die Tür", "nearest: .* 0.4"),
])
def test_words_that_cannot_be_used_are_one_sentence(talkative, text, message):
    with pytest.raises(InputError, match=message) as err:
        Policy(talkative).match_instruction(text)
    assert "\n" not in str(err.value)


def test_words_beyond_ascii_are_words(tmp_path):
    config = tiny_policy_config(instructions=["öffne die Tür", "ドアを閉める"], language=HASHED)
    write_random_checkpoint(tmp_path / "c", config)
    policy = Policy(tmp_path / "c")
    # The same text in its decomposed Unicode form.
    assert policy.match_instruction("ÖFFNE die Tu\u0308r") == "öffne die Tür"
    assert policy.match_instruction("ドアを閉める") == "ドアを閉める"


def test_ignoring_the_instruction_makes_all_instructions_alike(talkative):
    ignoring = Policy(talkative, ignore_instruction=True)
    assert np.array_equal(_actions(ignoring, "go"), _actions(ignoring, "stay"))
    assert not np.array_equal(_actions(ignoring, "go"), _actions(Policy(talkative), "go"))


def test_a_learned_table_shares_a_vector_between_paraphrases(tmp_path):
    words = tiny_policy_config().instructions
    config = tiny_policy_config(paraphrases={words[1]: ["push it"]})
    write_random_checkpoint(tmp_path / "c", config)
    policy = Policy(tmp_path / "c")
    assert np.array_equal(_actions(policy, "push it"), _actions(policy, words[1]))
    assert not np.array_equal(_actions(policy, "push it"), _actions(policy, words[0]))
    with pytest.raises(UnknownInstructionError, match="known"):
        policy.match_instruction("push it harder")


def test_training_draws_every_wording_and_sometimes_none(data):
    recipe = small_recipe(instruction_dropout=0.3).model_copy(update={
        "language": HashedWords(**HASHED), "paraphrases": PARAPHRASES})
    mixture = load_mixture([(data, 1.0)], recipe)
    everything = np.arange(len(mixture.starts))
    sampler = BatchSampler(mixture, everything, recipe)
    drawn = torch.cat([sampler[k].instruction for k in range(100)])
    assert sorted(drawn.unique().tolist()) == [-1, 0, 1, 2, 3, 4]
    assert 0.2 < (drawn == -1).float().mean() < 0.4
    quiet = BatchSampler(mixture, everything, recipe, VALIDATION)
    assert set(torch.cat([quiet[k].instruction for k in range(20)]).tolist()) == {0, 1}


def test_the_words_drawn_are_those_of_the_frame(data):
    recipe = small_recipe().model_copy(update={
        "language": HashedWords(**HASHED), "paraphrases": PARAPHRASES})
    mixture = load_mixture([(data, 1.0)], recipe)
    sampler = BatchSampler(mixture, np.arange(len(mixture.starts)), recipe)
    owners = np.array(recipe.policy_config(mixture.tasks).wording_owners)
    task_of = {tuple(s): t for s, t in zip(mixture.states.tolist(), mixture.task_index,
                                           strict=True)}
    batch = sampler[3]
    assert [task_of[tuple(s)] for s in batch.state.tolist()] == owners[batch.instruction].tolist()


@pytest.mark.parametrize(("changes", "message"), [
    ({"paraphrases": {"fly": ["go up"]}}, "Unknown instruction 'fly'"),
    ({"paraphrases": {"reach the red target": ["Press the  red button"]}}, "something twice"),
    ({"language": {"kind": "telepathy"}}, "telepathy"),
])
def test_wordings_that_do_not_fit_are_refused(changes, message):
    data = tiny_policy_config().model_dump() | changes
    with pytest.raises(ValueError, match=message):
        PolicyConfig.model_validate(data)


def test_paraphrases_of_an_instruction_that_is_not_in_the_data(data, tmp_path):
    recipe = small_recipe().model_copy(update={"paraphrases": {"goo": ("run",)}})
    with pytest.raises(InputError, match=r"'goo'.*'go', 'stay'"):
        train(recipe, run_options(data), tmp_path / "run")


# ---- a sentence encoder, small and random, saved and loaded as a real one ---------------------

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "go", "stay", "move", "on", "walk",
         "forward", "do", "not", "leave", "please"]


@pytest.fixture(scope="module")
def sentence_encoder(tmp_path_factory):
    pytest.importorskip("sentence_transformers")
    from transformers import BertConfig, BertModel, BertTokenizerFast

    path = tmp_path_factory.mktemp("encoder") / "tiny-sentences"
    path.mkdir()
    (path / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab_file=str(path / "vocab.txt")).save_pretrained(path)
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=1,
                         num_attention_heads=2, intermediate_size=32,
                         max_position_embeddings=64)).save_pretrained(path)
    return path


def _with_sentences(encoder, **changes):
    from tinyvla_ros.policy.language_config import SentenceEmbedding
    language = SentenceEmbedding(kind="sentence", model=str(encoder), dim=32, **changes)
    return small_recipe(steps=2).model_copy(update={"language": language,
                                                    "paraphrases": PARAPHRASES})


def test_a_sentence_encoder_is_needed_for_new_wordings_only(sentence_encoder, data, tmp_path):
    place = tmp_path / "encoder"
    shutil.copytree(sentence_encoder, place)
    train(_with_sentences(place, min_similarity=-1.0), run_options(data), tmp_path / "run")
    policy = Policy(tmp_path / "run" / "last")
    new = _actions(policy, "walk forward please")
    known = _actions(policy, "walk forward")
    assert not np.array_equal(new, known)
    embed.__globals__["_sentence_encoder"].cache_clear()
    shutil.rmtree(place)
    alone = Policy(tmp_path / "run" / "last")
    assert np.array_equal(_actions(alone, "walk forward"), known)
    with pytest.raises(InputError, match=r"not a directory.*config\.json"):
        alone.match_instruction("walk forward please")


def test_a_sentence_encoder_of_another_size(sentence_encoder, data, tmp_path):
    recipe = _with_sentences(sentence_encoder)
    recipe = recipe.model_copy(update={
        "language": recipe.language.model_copy(update={"dim": 384})})
    with pytest.raises(InputError, match=r"32.*language\.dim.*384"):
        train(recipe, run_options(data), tmp_path / "run")


def test_a_sentence_encoder_without_its_files(data, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty .*config\.json.*tokenizer\*.*safetensors"):
        train(_with_sentences(tmp_path / "empty"), run_options(data), tmp_path / "run")
