"""Write a trained model as a torch.export program (.pt2) or an ONNX file, and check it.

    python tools/export.py --model saved/NAME/RUN/best_model.pth --output model.onnx --dynamic size

The file is read back and run on random images, and on those of --images, against the model.
`inference.py --model model.onnx` predicts with it.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import math
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from inference import load  # noqa: E402
from utils.command import add_common_options, at_least, import_packages, run  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.inference.exported import KEY, MOST_IMAGES, READERS, STRIDES, Run, load_exported  # noqa: E402
from utils.inference.packing import Packed, description  # noqa: E402
from utils.inference.predict import Predict  # noqa: E402
from utils.inference.sources import Source, find_source  # noqa: E402

log = logging.getLogger("segforge")
CPU = torch.device("cpu")
BOUND = 1e-3  # of the largest value: farther than rounding in float32 takes the file's from it
SHARE = 0.01  # of values that may be: a tie in a max-pooling with indices moves a few pixels


def trace(packed: Packed, image: Tensor, stride: int, dynamic: list[str]) -> ExportedProgram:
    """The network as a graph.

    Raises:
        UserError: If torch cannot trace it so.
    """
    dims: dict[int, object] = {}
    if "batch" in dynamic:
        dims[0] = Dim("batch", max=MOST_IMAGES)
    if "size" in dynamic:
        least, most = STRIDES
        dims |= {
            2: stride * Dim("rows", min=least, max=most),
            3: stride * Dim("columns", min=least, max=most),
        }
    try:
        return torch.export.export(packed, (image,), dynamic_shapes={"image": dims})
    except Exception as error:  # torch has many classes for what it cannot trace
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"torch.export cannot trace {type(packed.model).__name__} with "
            f"{' and '.join(dynamic) or 'nothing'} dynamic: {first}"
        ) from error


def save_program(program: ExportedProgram, path: Path, text: str) -> None:
    """Write a torch.export program.

    Raises:
        UserError: If the file cannot be written.
    """
    made = io.BytesIO()  # torch ends the process where it writes to a full disk itself
    with warnings.catch_warnings(action="ignore"):  # of weights in channels_last
        torch.export.save(program, made, extra_files={KEY: text})
    try:
        path.write_bytes(made.getbuffer())
    except OSError as error:
        raise unwritable(path, error) from error


def save_onnx(program: ExportedProgram, path: Path, text: str) -> None:
    """Write an ONNX file.

    Raises:
        UserError: If the packages are missing, ONNX lacks an operation of the network, or the file
            cannot be written.
    """
    try:
        made = torch.onnx.export(program, dynamo=True, verbose=False)
    except ImportError as error:
        raise UserError(f"ONNX needs {error.name}: pip install onnx onnxscript") from error
    except torch.onnx.errors.OnnxExporterError as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(f"the network cannot be written as ONNX: {first}") from error
    names = list(program.call_spec.out_spec.context)
    for value, name in zip(made.model.graph.outputs, names, strict=True):
        value.name = name
    made.model.metadata_props[KEY] = text
    try:
        made.save(str(path), external_data=False)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be written: {error.strerror or error}")


SAVERS = {".pt2": save_program, ".onnx": save_onnx}


@torch.no_grad()
def differences(packed: Packed, run: Run, images: list[Tensor]) -> tuple[float, float, float]:
    """Of the file to the network: the largest of any value (NaN where one is), the share of pixels
    whose highest channel is another one, and that of values farther off than rounding.

    Args:
        packed: The network that was exported.
        run: The file, from a batch to its outputs.
        images: Batches (B, C, H, W) as the network takes them.
    """
    largest, changed, far = [], [], []
    for image in images:
        expected = packed(image)
        for name, found in run(image).items():
            distance = (found - expected[name]).abs().double()
            largest.append(distance.max())  # NaN goes before any number
            far.append(~(distance <= BOUND * expected[name].abs().max()).flatten())
            decided = [v.argmax(1) if v.ndim == 4 else v for v in (found, expected[name])]
            changed.append((decided[0] != decided[1]).flatten())
    shares = [float(torch.cat(each).double().mean()) for each in (changed, far)]
    return float(torch.stack(largest).max()), *shares


def other_shape(shape: tuple[int, ...], stride: int, dynamic: list[str]) -> tuple[int, ...]:
    """A batch of another size and number, where the file leaves them free."""
    batch, channels, height, width = shape
    if "batch" in dynamic:
        batch += 1
    if "size" in dynamic:
        height, width = height + stride, width + 2 * stride
    return batch, channels, height, width


def random_images(shape: tuple[int, ...], pixels: bool, count: int = 3) -> list[Tensor]:
    noise = torch.Generator().manual_seed(0)
    scale = 255 if pixels else 1
    return [scale * torch.rand(shape, generator=noise) for _ in range(count)]


def real_images(source: Source, predict: Predict, shape: tuple[int, ...], pixels: bool) -> list:
    """Corners of images, each repeated to fill a batch.

    Raises:
        UserError: If one cannot be read.
    """
    batch, _, height, width = shape
    images = []
    for read in source.reads(predict.channels, lambda name: True):
        frame = read()
        if frame is None or len(images) == 16:
            break
        if frame.image is None:
            raise UserError(frame.error)
        image = predict.prepare(frame.image)
        if pixels:
            scale = np.iinfo(frame.image.dtype).max / 255
            image = torch.from_numpy(frame.image / scale).float().permute(2, 0, 1)[None]
        down, right = max(height - image.shape[2], 0), max(width - image.shape[3], 0)
        padded = torch.nn.functional.pad(image, (0, right, 0, down), mode="replicate")
        images.append(padded[..., :height, :width].expand(batch, -1, -1, -1).contiguous())
    return images


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    if args.output.suffix not in SAVERS:
        raise UserError(f"--output {args.output}: name a file that ends in .pt2 or .onnx")
    if not args.output.parent.is_dir():
        raise UserError(f"--output {args.output}: there is no folder {args.output.parent}")
    if args.model.suffix in READERS:
        raise UserError(f"--model {args.model} is an exported file; give the checkpoint it is of")
    source = find_source(args.images) if args.images else None
    predict = load(args.model)
    stride = predict.model.stride
    least = STRIDES[0] * stride if "size" in args.dynamic else stride
    size = [max(side + -side % stride, least) for side in args.size]
    batch = max(args.batch, 2) if "batch" in args.dynamic else args.batch
    packed = Packed(predict, args.pixels, args.labels).eval()
    shape = (batch, predict.channels, *size)
    images = real_images(source, predict, shape, args.pixels) if source else []
    program = trace(packed, random_images(shape, args.pixels)[0], stride, args.dynamic)
    fixed = (
        None if "size" in args.dynamic else size,
        None if "batch" in args.dynamic else batch,
    )
    text = json.dumps(description(predict, args.pixels, args.labels, *fixed))
    part = args.output.with_name(f"{args.output.stem}.part{args.output.suffix}")
    try:
        SAVERS[args.output.suffix](program, part, text)
        log.info("%s: %.1f MB", args.output, part.stat().st_size / 1e6)
        exported = load_exported(part, CPU)[1].run
        report(packed, exported, "random images", random_images(shape, args.pixels))
        if args.dynamic:
            other = other_shape(shape, stride, args.dynamic)
            what = f"random images, {other[0]} of {other[3]}x{other[2]}"
            report(packed, exported, what, random_images(other, args.pixels))
        if images:
            report(packed, exported, f"{len(images)} images of {args.images[0]}", images)
        os.replace(part, args.output)
    finally:
        part.unlink(missing_ok=True)


def report(packed: Packed, exported: Run, what: str, images: list[Tensor]) -> None:
    """Print how far a file is from the network.

    Raises:
        UserError: If it is farther than rounding makes it, or gives what is no number.
    """
    most, changed, far = differences(packed, exported, images)
    log.info("%s: largest difference %.2g, other labels at %.4f%%", what, most, 100 * changed)
    if math.isnan(most) or far > SHARE:
        raise UserError(
            f"{what}: the file does not give what the model gives: {100 * far:.2g}% of the values "
            f"are no numbers or off by more than {BOUND:g} of the largest, where {100 * SHARE:g}% "
            "may be off; it is not kept. Try the other format, another --size, or no --dynamic"
        )


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common_options(parser)
    add = parser.add_argument
    add("-m", "--model", required=True, type=Path, help="checkpoint of a run")
    add("-o", "--output", required=True, type=Path, help="file to write, .pt2 or .onnx")
    size = "height and width in pixels (512 512), made up to the model's stride"
    add("--size", nargs=2, type=at_least(1), default=[512, 512], metavar=("H", "W"), help=size)
    add("--batch", type=at_least(1), default=1, help="images at once (1)")
    dynamic = "what stays free: batch, size, or both; else it is fixed"
    add("--dynamic", nargs="+", choices=["batch", "size"], default=[], help=dynamic)
    add("--pixels", action="store_true", help="take pixel values 0 to 255, normalise inside")
    add("--labels", action="store_true", help="give label maps in place of scores")
    add("--images", nargs="+", type=Path, help="check the file on these images too")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
