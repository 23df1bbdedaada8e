"""Every metric a config may name; importing this package registers them."""

from base.base_metric import METRICS, BaseMetric
from utils.metrics.boundary_f import BoundaryF
from utils.metrics.group import MetricGroup, metric_of
from utils.metrics.instance_scores import InstanceScores
from utils.metrics.iou import IoU
from utils.metrics.kitti_road import KittiRoad
from utils.metrics.lane_scores import LaneScores

__all__ = [
    "METRICS",
    "BaseMetric",
    "BoundaryF",
    "InstanceScores",
    "IoU",
    "KittiRoad",
    "LaneScores",
    "MetricGroup",
    "metric_of",
]
