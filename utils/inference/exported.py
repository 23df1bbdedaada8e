"""Exported models, .pt2 and .onnx, read so that they predict through the same code."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from utils.errors import UserError
from utils.predictors.command_line import in_windows

KEY = "segforge"  # what a file of ours carries beside the network
STRIDES = 2, 512  # least and most strides of a side where a file leaves the size free
MOST_IMAGES = 1024  # where it leaves the batch free
Run = Callable[[Tensor], dict[str, Tensor]]


class Exported(nn.Module):
    """An exported network as the predictors call it.

    Label maps that were decided inside the file come back as scores of 0 and 1, so that windows
    vote.

    Args:
        run: From an image (B, C, H, W) to the file's outputs by name.
        about: What tools/export.py wrote of it.

    Attributes:
        stride: Sides of an image are multiples of it.
    """

    def __init__(self, run: Run, about: dict[str, Any]):
        super().__init__()
        self.run, self.about, self.stride = run, about, about["stride"]

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        height, width = image.shape[-2:]
        high, wide = self.about["size"] or self._free_size(height, width)
        if height > high or width > wide:
            raise UserError(
                f"the model was exported for images of {wide}x{high}; this is {width}x{height}: "
                f"predict it with --mode sliding --window {high},{wide}"
            )
        image = F.pad(image, (0, wide - width, 0, high - height), mode="replicate")
        parts = [self._batch(part) for part in image.split(self.about["batch"] or MOST_IMAGES)]
        return {
            name: torch.cat([part[name] for part in parts])[..., :height, :width]
            for name in parts[0]
        }

    def _free_size(self, height: int, width: int) -> tuple[int, int]:
        """The sides to pad to in a file that leaves the size free."""
        least, most = (strides * self.stride for strides in STRIDES)
        if max(height, width) > most:
            raise UserError(
                f"the model was exported for sides up to {most}; this is {width}x{height}: "
                "predict it with --mode sliding --window 512"
            )
        return tuple(max(side + -side % self.stride, least) for side in (height, width))

    def _batch(self, image: Tensor) -> dict[str, Tensor]:
        missing = (self.about["batch"] or len(image)) - len(image)
        full = torch.cat([image, image[-1:].expand(missing, -1, -1, -1)]) if missing else image
        outputs = {name: out[: len(image)].clone() for name, out in self.run(full).items()}
        if "labels" in outputs:
            votes = F.one_hot(outputs.pop("labels"), self.about["classes"]).movedim(-1, 1)
            outputs["out"] = votes.float()
        return outputs


def load_exported(path: Path, device: torch.device) -> tuple[dict[str, Any], Exported]:
    """What a checkpoint would say, and the network, from a file of tools/export.py.

    A network of one fixed size is predicted in windows of that size, at each scale and mirrored
    where the checkpoint's predictor is MultiScale. Labels that one gives are votes, which Argmax
    counts.

    Raises:
        UserError: If the file is missing, damaged or not of tools/export.py, or its runtime is not
            installed.
    """
    if not path.is_file():
        raise UserError(f"there is no model {path}; check the path")
    text, run = READERS[path.suffix](path, device)
    if not text:
        raise UserError(
            f"{path} was not written by tools/export.py: it says nothing of its classes"
        )
    state = json.loads(text)
    about = state["export"]
    if about["size"]:
        section = state["config"]["predictor"]
        state["config"]["predictor"] = in_windows(section, window=about["size"])
    if about.get("labels"):
        state["config"]["labeler"] = {"type": "Argmax", "args": {}}
    return state, Exported(run, about)


def read_program(path: Path, device: torch.device) -> tuple[str, Run]:
    """A torch.export program."""
    extra = {KEY: ""}
    try:
        program = torch.export.load(path, extra_files=extra)
    except (RuntimeError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no torch.export program that can be read") from error
    if device.type != "cpu":
        program = torch.export.passes.move_to_device_pass(program, device)
    module = program.module()
    return extra[KEY], lambda batch: module(batch)  # hidden: a program has no train() or eval()


def read_onnx(path: Path, device: torch.device) -> tuple[str, Run]:
    """An ONNX file, run by onnxruntime."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"{path} needs onnxruntime: pip install onnxruntime") from error
    wanted = ["CPUExecutionProvider"]
    if device.type == "cuda":
        wanted.insert(0, "CUDAExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(str(path), providers=providers)
    except Exception as error:  # its own classes derive from nothing else
        raise UserError(f"{path} is no ONNX file that can be read") from error
    (image,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]

    def run(batch: Tensor) -> dict[str, Tensor]:
        found = session.run(names, {image.name: batch.cpu().numpy()})
        return {n: torch.from_numpy(v).to(device) for n, v in zip(names, found, strict=True)}

    return session.get_modelmeta().custom_metadata_map.get(KEY, ""), run


READERS = {".pt2": read_program, ".onnx": read_onnx}
