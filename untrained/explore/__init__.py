"""What a file holds, what looks wrong in it, and the command to run next: `untrained explore`."""

from untrained.explore.contents import Entry, list_contents
from untrained.explore.findings import Findings, explore
from untrained.explore.pictures import write_pictures

__all__ = ["Entry", "Findings", "explore", "list_contents", "write_pictures"]
