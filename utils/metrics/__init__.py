"""Every metric a config may name; importing this package registers them."""

from base.base_metric import METRICS, BaseMetric
from utils.metrics.group import MetricGroup
from utils.metrics.iou import IoU

__all__ = ["METRICS", "BaseMetric", "IoU", "MetricGroup"]
