"""PyTorch beside TensorFlow in one process."""

import importlib.util


def load_torch(*others: str) -> bool:
    """Load PyTorch with its compiler, where it is installed; call it before TensorFlow is imported.

    In the other order the two compilers end the process.

    Args:
        *others: packages that the comparison needs beside it.

    Returns:
        Whether all of them are installed; a line says so where they are not.
    """
    missing = [name for name in ("torch", *others) if importlib.util.find_spec(name) is None]
    if missing:
        print(f"{' and '.join(missing)} not installed: PyTorch is left out")
        return False
    import torch

    torch.func.linearize(lambda number: number, torch.ones([]))
    return True
