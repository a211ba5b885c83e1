"""The commands, and what becomes of their errors."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

import click

from untrained.cli.bench import bench
from untrained.cli.check import check_operator
from untrained.cli.demo import demo
from untrained.cli.evaluate import evaluate
from untrained.cli.explore import explore
from untrained.cli.interrupt import INTERRUPTED, MESSAGE
from untrained.cli.lab import lab
from untrained.cli.listing import listing
from untrained.cli.pretrain import pretrain
from untrained.cli.reconstruct import reconstruct
from untrained.cli.simulate import simulate
from untrained.errors import UserError, one_paragraph
from untrained.solver.memory import is_out_of_memory


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 79})
@click.version_option(package_name="untrained")
def commands() -> None:
    """Reconstruct images from measurements with networks that never saw training data."""


for command in (
    demo,
    reconstruct,
    pretrain,
    simulate,
    evaluate,
    explore,
    listing,
    check_operator,
    bench,
    lab,
):
    commands.add_command(command)


def status(arguments: list[str] | None, interrupted: Callable[[], bool] = lambda: False) -> int:
    """Run a command: 0 done, 2 bad input or usage, 130 interrupted, 1 anything else.

    What does not fit into memory is too large an input. `interrupted` tells whether Ctrl-C came:
    any error after that is of the interruption, and no fault of a file.
    """
    try:
        answer = _run(arguments, interrupted)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(MESSAGE, err=True)
        return INTERRUPTED
    except UserError as error:
        _debug()
        click.echo(f"untrained: {error}", err=True)
        return 2
    except BrokenPipeError:
        return 1
    except OSError as error:
        _debug()
        where = f"{error.filename}: " if error.filename else ""
        click.echo(
            f"untrained: {one_paragraph(f'{where}{error.strerror or error}')}; check the path, and "
            "who may read and write it (set UNTRAINED_DEBUG=1 for details)",
            err=True,
        )
        return 2
    except Exception as error:  # the last resort: one paragraph, never a traceback
        _debug()
        click.echo(f"untrained: {_sentence(error)} (set UNTRAINED_DEBUG=1 for details)", err=True)
        return 2 if is_out_of_memory(error) else 1
    return answer if isinstance(answer, int) else 0


def _run(arguments: list[str] | None, interrupted: Callable[[], bool]) -> object:
    """Run a command; what fails after Ctrl-C failed by it."""
    try:
        return commands.main(arguments, standalone_mode=False)
    except Exception:
        if interrupted():
            raise KeyboardInterrupt from None
        raise


def _sentence(error: Exception) -> str:
    if is_out_of_memory(error):
        return (
            "there is not enough memory for this; take a smaller image, network or number of "
            "steps; `reconstruct ... --dry-run` tells what a run needs"
        )
    return one_paragraph(f"{type(error).__name__}: {error}")


def _debug() -> None:
    if os.environ.get("UNTRAINED_DEBUG") == "1":
        traceback.print_exc()
