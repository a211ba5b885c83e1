"""Load a video and what something made of its frames, one by one."""

from __future__ import annotations

from pathlib import Path

from untrained.data.measurement import Measurement
from untrained.data.series import read_series
from untrained.data.tasks.photo import Photo, photo_measurement
from untrained.errors import UserError
from untrained.physics.processed import Processed


def load_video(
    path: str | Path, *, processed: str | Path | None = None, key: str | None = None
) -> Measurement:
    """Load the input frames I_t and the processed frames P_t.

    Args:
        path: folder, stack or array of the input, see `read_series`.
        processed: the same of what was made of every frame.
        key: name of the array of an .npz that is the input.

    Raises:
        UserError: no processed frames, or other numbers or sizes of them.
    """
    if processed is None:
        raise UserError(
            "video makes frames that were processed one by one consistent: give the processed "
            "frames with --processed FOLDER, INPUT being the frames before"
        )
    shown = read_series(path, key=key)
    made = read_series(processed)
    given, found = tuple(shown.y.shape[2:]), tuple(made.y.shape[2:])
    if given != found:
        raise UserError(
            f"--processed: {processed} has {found[0]} frames of {found[1]} x {found[2]}, and the "
            f"input {given[0]} of {given[1]} x {given[2]}; each frame of the input has its "
            "processed one, of the same size"
        )
    colours, wanted = shown.y.shape[1], made.y.shape[1]
    if colours not in (1, wanted):
        raise UserError(
            f"the input has {colours} channels and --processed {wanted}: save both in colour, or "
            "the input in grey"
        )
    physics = Processed(shown.y, wanted)
    notes = (*shown.notes, *made.notes)
    photo = Photo(made.y, made.reference, None, None, notes)
    return photo_measurement("video", path, photo, physics, None, notes)
