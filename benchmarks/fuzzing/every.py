"""Every reader that is fuzzed. A new format is one more `Subject` in the table of its topic."""

from fuzzing.measurements import MEASUREMENTS
from fuzzing.options import OPTIONS
from fuzzing.pictures import PICTURES
from fuzzing.runs import RUNS
from fuzzing.scanners import SCANNERS
from fuzzing.scans import SCANS

EVERY = (*PICTURES, *MEASUREMENTS, *OPTIONS, *RUNS, *SCANNERS, *SCANS)
