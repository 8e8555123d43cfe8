"""What each problem of long memory is trained with by momentum alone (thesis, section 7.4.2)."""

import dataclasses

# A value that serves from the first update on, and others that serve from the update after their @.
# The thesis has 3e-5, 3e-4 from update 1,500 on, 3e-3 from 3,000, 1e-3 from 6,000 and 1e-4 from
# 30,000, and no clipping. Our gradients explode now and then, and a jump of its rates then undoes
# what members have learned. Clipped ones bear larger rates, by which members find out about the
# inputs sooner, and more of them do.
MARKED_RATE = ["3e-3", "6e-3@3000", "3e-2@6000", "3e-3@30000", "3e-4@42000"]
# The thesis says only that it must fall to about 1e-5 after 1,500 updates, or gradients explode.
# Those that are clipped do not.
MEM5_RATE = ["3e-3", "1e-3@4000", "1e-4@30000"]
SYMBOL_RATE = ["1e-2", "2e-2@1500", "5e-3@4000", "5e-4@30000", "5e-5@42000"]
MOMENTUM = ["0.9", "0.98@4000"]


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the thesis says of a problem, section 7.4.2.

    Args:
        num_steps: T.
        input_scale: of the input connections.
        learning_rate: by updates.
        readout_scale: of the output connections.
        clip_norm: of each member's gradient.
        batch_size: sequences of an update.
        thesis: errors of table 7.3, of Nesterov's gradient and of momentum.
    """

    num_steps: int
    input_scale: float
    learning_rate: list[str]
    readout_scale: float
    clip_norm: float
    batch_size: int = 100
    thesis: dict[str, float] = dataclasses.field(default_factory=dict)


# The last two numbers of each: the thesis says nothing of them.
_MARKED = (MARKED_RATE, 0.03, 0.1)
_SYMBOLS = (SYMBOL_RATE, 0.26, 1.0)
SETTINGS = {
    "add": Setting(80, 0.02, *_MARKED, thesis={"nesterov": 0.011, "momentum": 0.25}),
    "mul": Setting(80, 0.02, *_MARKED, thesis={"nesterov": 0.27, "momentum": 0.34}),
    "mem5": Setting(200, 0.3, MEM5_RATE, 0.1, 1.0, 32,
                    thesis={"nesterov": 0.025, "momentum": 0.18}),
    "mem20": Setting(50, 0.3, *_SYMBOLS, thesis={"nesterov": 0.032, "momentum": 0.00006}),
    "xor": Setting(50, 0.02, *_MARKED),
    "order": Setting(50, 0.3, *_SYMBOLS),
    "order3": Setting(50, 0.3, *_SYMBOLS),
    "permutation": Setting(50, 0.3, *_SYMBOLS),
}
