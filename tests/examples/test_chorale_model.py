import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_chorale_model_writes_music_and_an_export(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "chorale_model.py"), "--smoke", "--output_dir",
         str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "chorale.mid").read_bytes().startswith(b"MThd")
    assert (tmp_path / "models" / "chorales" / "1" / "saved_model.pb").is_file()
