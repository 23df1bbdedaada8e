"""What inference writes for an image, by the name that `--save` takes."""

from utils.writers.embeddings import EMBEDDINGS
from utils.writers.labels import IDS, INSTANCES, PALETTE
from utils.writers.pictures import OVERLAY
from utils.writers.scores import CONFIDENCE, PROBABILITIES
from utils.writers.submissions import SUBMISSIONS
from utils.writers.writer import Result, Task, Writer

WRITERS: dict[str, Writer] = {
    "palette": PALETTE,
    "ids": IDS,
    "overlay": OVERLAY,
    "probabilities": PROBABILITIES,
    "confidence": CONFIDENCE,
    "instances": INSTANCES,
    "embeddings": EMBEDDINGS,
    **SUBMISSIONS,
}

__all__ = ["WRITERS", "Result", "Task", "Writer"]
