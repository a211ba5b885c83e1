"""The commands, and what becomes of their errors."""

from __future__ import annotations

from collections.abc import Callable

import click

from untrained.cli.bench import bench
from untrained.cli.check import check_operator
from untrained.cli.demo import demo
from untrained.cli.evaluate import evaluate
from untrained.cli.explore import explore
from untrained.cli.failures import explain
from untrained.cli.interrupt import INTERRUPTED, MESSAGE
from untrained.cli.lab import lab
from untrained.cli.listing import listing
from untrained.cli.pretrain import pretrain
from untrained.cli.reconstruct import reconstruct
from untrained.cli.simulate import simulate


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
    except BrokenPipeError:
        return 1
    except Exception as error:  # one paragraph, never a traceback
        code, text = explain(error)
        click.echo(f"untrained: {text}", err=True)
        return code
    return answer if isinstance(answer, int) else 0


def _run(arguments: list[str] | None, interrupted: Callable[[], bool]) -> object:
    """Run a command; what fails after Ctrl-C failed by it."""
    try:
        return commands.main(arguments, standalone_mode=False)
    except Exception:
        if interrupted():
            raise KeyboardInterrupt from None
        raise
