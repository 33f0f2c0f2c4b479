"""A simulation as one self-contained page: a plot and a table."""

from html import escape

from deployment.simulation_records import SimulatedRound, Simulation

_WIDTH, _HEIGHT, _EDGE = 640, 280, 44
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#111}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:right;padding:.2rem .5rem;"
    "border-bottom:1px solid #ccc}svg{max-width:100%;height:auto}"
)


def page(found: Simulation) -> str:
    """Return the page."""
    title = f"Simulation of {escape(found.plan)} at {found.sites} hospitals"
    facts = (
        f"{found.patients} patients each; away with probability {found.dropout:g}; label skew "
        f"{found.skew:g}; {found.poisoners} poison ({escape(found.attack)}); seed {found.seed}. "
        f"Accepted: {_accepted(found)}. Ended: {escape(found.ended)}."
    )
    head = "".join(
        f'<th scope="col">{one}</th>'
        for one in ("Round", "Updates", "Left out", "Verdict", "AUROC released", "AUROC held out")
    )
    rows = "".join(_row(one) for one in found.rounds)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{facts}</p>{plot(found)}"
        f"<table><caption>Rounds; held-out figures are of a hospital that never takes part"
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></body></html>\n"
    )


def plot(found: Simulation) -> str:
    """Draw the AUROC by round: held out as a line, released as rings."""
    last = max((one.round for one in found.rounds), default=1)
    known = [one for one in found.rounds if one.held_out is not None]
    line = " ".join(f"{_x(one.round, last)},{_y(one.held_out)}" for one in known)
    rings = "".join(
        f'<circle cx="{_x(one.round, last)}" cy="{_y(one.released)}" r="5" fill="none" '
        'stroke="#a33" stroke-width="2"/>'
        for one in found.rounds
        if one.released is not None
    )
    grid = "".join(
        f'<line x1="{_EDGE}" x2="{_WIDTH - 10}" y1="{_y(at)}" y2="{_y(at)}" stroke="#ddd"/>'
        f'<text x="{_EDGE - 8}" y="{_y(at) + 5}" text-anchor="end" font-size="13">{at:g}</text>'
        for at in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    base = f'y="{_HEIGHT - 8}" text-anchor="middle" font-size="13"'
    ends = "".join(f'<text x="{_x(at, last)}" {base}>{at}</text>' for at in sorted({1, last}))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="AUROC by round: held out '
        f'as a line, released as rings">{grid}{ends}'
        f'<polyline points="{line}" fill="none" stroke="#15527a" stroke-width="2"/>{rings}</svg>'
    )


def _row(one: SimulatedRound) -> str:
    cells = (
        str(one.updates),
        escape(", ".join(one.quarantined)),
        one.verdict,
        _figure(one.released),
        _figure(one.held_out),
    )
    return (
        f'<tr><th scope="row">{one.round}</th>' + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"
    )


def _accepted(found: Simulation) -> str:
    return (
        "nothing" if found.accepted_round is None else f"the model of round {found.accepted_round}"
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _x(number: int, last: int) -> float:
    share = 0.5 if last == 1 else (number - 1) / (last - 1)
    return round(_EDGE + 10 + share * (_WIDTH - _EDGE - 40), 1)


def _y(figure: float | None) -> float:
    return round(_HEIGHT - 30 - (figure or 0.0) * (_HEIGHT - 50), 1)
