"""Post-processing of label maps by name; a config's `postprocess` lists sections of these."""

from utils.registry import Registry

POSTPROCESSORS = Registry("postprocessor")
