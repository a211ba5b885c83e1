"""All readers that are fuzzed."""

from fuzzing.scanners import SCANNERS
from fuzzing.subjects import SUBJECTS

EVERY = (*SUBJECTS, *SCANNERS)
