"""`untrained check-operator MODULE:CALLABLE`."""

from __future__ import annotations

import click


@click.command("check-operator")
@click.argument("operator", metavar="MODULE:CALLABLE")
def check_operator(operator: str) -> int:
    """Check whether an operator's adjoint is one.

    MODULE:CALLABLE or FILE.py:CALLABLE, called without arguments; the object has A, x_shape, and
    A_adjoint unless it is to be derived. The code in that module or file is run. Exit status 0:
    usable; 1: its A_adjoint is no adjoint.
    """
    from untrained.own_code import build, own_code
    from untrained.physics import check

    with own_code(operator, "operator"):
        report = check.check_operator(build(operator, "operator"))
    click.echo(str(report))
    return 0 if report.ok else 1
