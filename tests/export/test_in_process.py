"""An export played in this process through the client."""

import numpy as np
import pytest

from rnnpt import export
from rnnpt.serving.client import InvalidArgument
from tests.export.conftest import Exported, draw_frames, int32


def test_client_without_a_server_plays_the_newest_version(exported: Exported) -> None:
    prime = draw_frames(2, 4)
    with export.load(exported.directory.parent) as client:
        generated = client.generate(prime, num_steps=[5, 3], seed=8, temperature=0.9)
        scored = client.score(prime)
        assert [status.version for status in client.status()] == [client.metadata().version] == [1]
    drawn = exported.model.generate(prime, 5, int32([8, 0], [8, 1]), 0.9)
    np.testing.assert_array_equal(generated.frames[0], drawn[0])
    np.testing.assert_array_equal(generated.frames[1, :3], drawn[1, :3])
    np.testing.assert_array_equal(generated.length, [5, 3])
    np.testing.assert_array_equal(scored.frames_scored, [4, 4])


def test_refusal_is_one_line(exported: Exported) -> None:
    client = export.load(exported.directory)
    with pytest.raises(
            InvalidArgument, match=r"^assertion failed: \[num_steps must be .*got\] \[11\] .*\]$"):
        client.generate(num_steps=11)


def test_wrong_shape_is_refused_before_the_graph_is_run(exported: Exported) -> None:
    with pytest.raises(InvalidArgument, match=r"frames must have the shape \(any, any, 6\), got"):
        export.load(exported.directory).score(np.zeros([1, 2, 5]))
