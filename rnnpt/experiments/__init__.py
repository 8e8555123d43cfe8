"""Named experiments: their settings, their run folders, training, evaluation and the demo."""
