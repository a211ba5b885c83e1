"""All readers that are fuzzed."""

from fuzzing.scanners import SCANNERS
from fuzzing.scans import SCANS
from fuzzing.subjects import SUBJECTS

EVERY = (*SUBJECTS, *SCANNERS, *SCANS)
