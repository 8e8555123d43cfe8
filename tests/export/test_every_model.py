"""Every model that predicts frames exports, and the embedded server plays it."""

import numpy as np
import pytest
import tensorflow as tf

from rnnpt import export
from rnnpt.heads import AISSchedule
from rnnpt.serving.client import Client
from rnnpt.serving.server import ModelServer
from tests.catalogue import MODELS, make_batch, with_random_weights

SCHEDULE = AISSchedule(num_runs=20, num_temperatures=20)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_served_model_answers_as_the_model_itself(name, tmp_path):
    model = with_random_weights(MODELS[name]())
    export.save(model, tmp_path / name / "1", 8, 8, SCHEDULE)
    frames = np.concatenate([
        make_batch(1, 4, seed=seed, support=model.head.support)["frames"] for seed in (6, 7)])
    seeds, temperature = np.array([[1, 2], [3, 4]], np.int32), np.ones(2, np.float32)
    with ModelServer(name, tmp_path / name, port=0, rest_api_port=0) as server:
        with Client(f"127.0.0.1:{server.port}", model_name=name, timeout_s=30) as client:
            state = client.start(2)
            for frame in np.swapaxes(frames, 0, 1):
                stepped = client.step(frame, state, seeds, temperature)
                state = stepped.state
            scored = client.score(frames)
            short = client.score(frames[:1, :3])
            drawn = client.generate(None, 3, seeds, temperature, state=state)
    heard = model.advance(frames, None, model.initial_state(2))
    np.testing.assert_allclose(state, np.concatenate(heard, axis=1), rtol=1e-4, atol=1e-5)
    ours, _ = model.generate_from(heard, tf.constant([3, 3]), seeds, temperature)
    np.testing.assert_allclose(drawn.frames, ours, rtol=1e-4, atol=1e-4)
    bound = 6 * scored.standard_error + 1e-3
    assert (np.abs(scored.log_likelihood - model.log_prob(frames)) < bound).all()
    bound = 6 * short.standard_error + 1e-3
    assert (np.abs(short.log_likelihood - model.log_prob(frames[:1, :3])) < bound).all()
