"""One loop in plain torch that sees only players: exact means, exact resume, no step lost to a bad number.

>>> import torch
>>> from latentia.training import Player, Settings, adam, train
>>> line = torch.nn.Linear(1, 1)
>>> def loss(rows, inputs):
...     error = (line(rows[:, :1]) - rows[:, 1:]).square().flatten()
...     return error.mean(), {"squared_error": error}
>>> rows = torch.tensor([[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]])
>>> player = Player("line", line, loss, adam(0.1))
>>> result = train([player], rows, module=line, settings=Settings(max_epochs=300, batch_size=3, seed=0, num_threads=1))
>>> round(line.weight.item(), 1), round(line.bias.item(), 1), result.stopped
(2.0, 1.0, 'max_epochs')
"""

from latentia.training.events import Callback, EpochEnd, TrainingResult
from latentia.training.loop import train
from latentia.training.noise import Inputs, Noise, draw, key, permutation
from latentia.training.players import Loss, OptimizerFactory, Player, Terms, Validate, adagrad, adam
from latentia.training.run import RunFolder
from latentia.training.schedules import Constant, Cosine, Cyclic, Exponential, Linear, Schedule, Stages, Step, WarmUp
from latentia.training.settings import Settings
from latentia.training.threads import calibrate, threads

__all__ = [
    "Callback",
    "Constant",
    "Cosine",
    "Cyclic",
    "EpochEnd",
    "Exponential",
    "Inputs",
    "Linear",
    "Loss",
    "Noise",
    "OptimizerFactory",
    "Player",
    "RunFolder",
    "Schedule",
    "Settings",
    "Stages",
    "Step",
    "Terms",
    "TrainingResult",
    "Validate",
    "WarmUp",
    "adagrad",
    "adam",
    "calibrate",
    "draw",
    "key",
    "permutation",
    "threads",
    "train",
]
