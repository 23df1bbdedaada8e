"""A moving average of a model's weights."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage:
    """average <- decay * average + (1 - decay) * model, for weights and running statistics.

    The first update copies the model. Whole numbers, counts and tables, are always copied.

    Args:
        model: What to follow.
        decay: 0 to 1.

    Attributes:
        model: The averaged model, in evaluation mode.
    """

    def __init__(self, model: nn.Module, decay: float):
        self._average = AveragedModel(
            model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True
        )
        self.model = self._average.module.eval().requires_grad_(False)

    def update(self, model: nn.Module) -> None:
        self._average.update_parameters(model)
        for own, new in zip(self.model.buffers(), model.buffers(), strict=True):
            if not own.is_floating_point():
                own.copy_(new)

    def state(self) -> dict[str, Any]:
        return {"state_dict": self.model.state_dict(), "updates": int(self._average.n_averaged)}

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["state_dict"])
        self._average.n_averaged.fill_(state["updates"])
