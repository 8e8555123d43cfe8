"""The chorales: the whole set once, then a small corpus for cache and errors."""
import importlib.metadata
import importlib.util
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnnpt.datasets import Splits, chorale, chorales


def corpus() -> Path:
    origin = importlib.util.find_spec("music21").origin
    return Path(origin).parent / "corpus" / "bach"


@pytest.fixture(scope="module")
def quarters(tmp_path_factory) -> Splits:
    return chorales(cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def small_corpus(tmp_path, monkeypatch) -> list[Path]:
    """Twelve scores in a folder of their own instead of all."""
    folder = tmp_path / "bach"
    folder.mkdir()
    for path in sorted(corpus().glob("bwv2[5-6]*.mxl"))[:12]:
        shutil.copy(path, folder)
    monkeypatch.setattr(chorale, "_find_scores", lambda: sorted(folder.iterdir()))
    return sorted(folder.iterdir())


def rolls(data: Splits) -> dict[str, np.ndarray]:
    return {name: roll for split in (data.train, data.valid, data.test)
            for name, roll in zip(split.names, split.sequences)}


def test_chorales_are_music_for_four_voices_on_the_keyboard(quarters):
    frames = np.concatenate(list(rolls(quarters).values()))
    assert quarters.num_visible == 88
    assert len(rolls(quarters)) > 390
    assert set(np.unique(frames)) == {0, 1}
    # The JSB set of 2012 has 23134 frames of 3.89 notes.
    assert 22000 < len(frames) < 24000
    assert 3.8 < frames.sum(axis=1).mean() < 4.1


def test_chorales_stand_in_c(quarters):
    """The notes of C and G are the commonest, those foreign to C major and C minor rare."""
    counts = sum(roll.sum(axis=0, dtype=int) for roll in rolls(quarters).values())
    classes = np.array([counts[(np.arange(88) + 21) % 12 == pitch].sum() for pitch in range(12)])
    assert set(np.argsort(classes)[-2:]) == {0, 7}
    assert classes[[1, 6]].sum() < 0.03 * classes.sum()


def test_split_follows_the_file_name_and_nearly_the_published_shares(quarters):
    for split in ("train", "valid", "test"):
        assert all(chorale._choose_split(name) == split for name in getattr(quarters, split).names)
    sizes = np.array([len(quarters.train), len(quarters.valid), len(quarters.test)])
    np.testing.assert_allclose(sizes / sizes.sum(), [0.6, 0.2, 0.2], atol=0.03)


def test_no_chorale_crosses_the_splits(quarters):
    def runs(roll):
        return {roll[i:i + 4].tobytes() for i in range(len(roll) - 3)}

    train = [runs(roll) for roll in quarters.train.sequences]
    for other in (quarters.valid, quarters.test):
        for mine in map(runs, other.sequences):
            assert max(len(mine & known) / min(len(mine), len(known)) for known in train) < 0.5


def test_the_prelude_is_no_chorale(quarters):
    assert (corpus() / "bwv846.mxl").exists()
    assert "bwv846" not in rolls(quarters)


def test_eighths_carry_the_notes_between_the_quarters(small_corpus, tmp_path):
    quarters, eighths = chorales("quarter", tmp_path), chorales("eighth", tmp_path)
    assert (quarters.steps_per_quarter, eighths.steps_per_quarter) == (1, 2)
    assert (quarters.name, eighths.name) == ("chorales", "chorales_eighth")
    for name, roll in rolls(eighths).items():
        np.testing.assert_array_equal(roll[::2], rolls(quarters)[name])


def test_second_call_reads_the_cache_and_gives_the_same(small_corpus, tmp_path, monkeypatch):
    first = chorales(cache_dir=tmp_path / "cache")
    version = importlib.metadata.version("music21")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [
        f"chorales_quarter_recipe{chorale.RECIPE}_music21_{version}.npz"]
    monkeypatch.setattr(chorale, "_find_scores", lambda: pytest.fail("it read the scores again"))
    second = chorales(cache_dir=tmp_path / "cache")
    for split in ("train", "valid", "test"):
        assert getattr(first, split).names == getattr(second, split).names
        for one, other in zip(getattr(first, split).sequences, getattr(second, split).sequences):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("damage", [
    lambda content: b"", lambda content: b"no archive", lambda content: content[:-200],
    lambda content: content[:100] + b"\0" * 400 + content[500:]])
def test_broken_cache_is_built_anew(damage, small_corpus, tmp_path, caplog):
    cache = tmp_path / "cache"
    first = chorales(cache_dir=cache)
    path, = cache.iterdir()
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert list(rolls(chorales(cache_dir=cache))) == list(rolls(first))
    assert "Building the chorales anew" in caplog.text
    assert path.read_bytes() == content


def test_a_cache_that_cannot_be_written_is_no_obstacle(small_corpus, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert len(rolls(chorales(cache_dir=tmp_path / "cache"))) == 12
    assert "Could not keep the chorales" in caplog.text


def test_a_copy_under_another_name_is_left_out(small_corpus, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    shutil.copy(small_corpus[0], small_corpus[0].with_name("bwv999.mxl"))
    data = chorales(cache_dir=tmp_path)
    assert "bwv999" not in rolls(data)
    assert f"Left out bwv999, which is nearly {small_corpus[0].stem}" in caplog.text


def test_a_score_that_cannot_be_read_is_left_out(small_corpus, tmp_path, caplog):
    small_corpus[0].write_bytes(b"no score")
    assert len(rolls(chorales(cache_dir=tmp_path))) == 11
    assert f"Left out {small_corpus[0].name}: " in caplog.text


def test_unknown_step_is_refused():
    with pytest.raises(ValueError, match="`step` must be 'quarter' or 'eighth'.*step='half'"):
        chorales("half")


def test_without_scores_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="Install music21 from its wheel"):
        chorales(cache_dir=tmp_path)


def test_music21_and_note_seq_are_not_imported_for_a_cached_set(small_corpus, tmp_path):
    chorales(cache_dir=tmp_path / "cache")
    code = ("import sys; from rnnpt.datasets import chorales; "
            f"chorales(cache_dir={str(tmp_path / 'cache')!r}); "
            "print({'music21', 'note_seq'} & set(sys.modules))")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                            check=True)
    assert answer.stdout == "set()\n"
