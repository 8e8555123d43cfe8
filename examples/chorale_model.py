"""Train an RNN-RBM on Bach's chorales in a few lines, and write music that it makes up.

The schedule of Pasa, Testolin and Sperduti (2014): first sequences drawn from a hidden Markov
model of the chorales, then the chorales themselves.

    python examples/chorale_model.py [--smoke] [--output_dir music]
"""

import argparse
from pathlib import Path

import keras

from rnnpt import datasets, export, models, pretraining
from rnnpt.music.piano_roll import PianoRoll, onsets_of
from rnnpt.music.pianoroll_midi import pianoroll_to_midi


def main() -> None:
    """Train, export and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a toy size, in seconds")
    parser.add_argument("--output_dir", type=Path, default=Path("music"))
    arguments = parser.parse_args()
    epochs, units = (1, 10) if arguments.smoke else (60, 100)

    music = datasets.chorales()
    model = models.RNNRBM(num_hidden=units, num_recurrent=units)
    pretraining.HMM(num_states=10, num_sequences=5 * units, epochs=max(1, epochs // 6)).run(
        model, music.train)
    model.compile(optimizer=keras.optimizers.Adam(0.003, global_clipnorm=15.0))
    stop = keras.callbacks.EarlyStopping(
        "val_log_likelihood", mode="max", patience=10, restore_best_weights=True)
    model.fit(
        music.train.segments(100, batch_size=8), validation_data=music.valid.pieces(),
        epochs=epochs, callbacks=[stop], verbose=2)

    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    frames = model.generate(None, num_steps=64, seed=1, temperature=0.9)[0].numpy()
    roll = PianoRoll(frames, onsets_of(frames), qpm=72.0)
    (arguments.output_dir / "chorale.mid").write_bytes(pianoroll_to_midi(roll))
    export.save(model, export.next_version(arguments.output_dir / "models" / "chorales"))
    print(f"{arguments.output_dir / 'chorale.mid'} and an export beside it")


if __name__ == "__main__":
    main()
