"""`aggregator status`: how the federation stands, for whoever keeps it running."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from aggregator.asking import OTHER_VERSION
from aggregator.cli.options import Home, Json
from aggregator.config import AggregatorHome, load_config
from aggregator.federation import stored_roster
from aggregator.run_state import StateFile
from aggregator.tls import ends
from schemas.audit.events import Quarantined, RefusalReceived, ReplyReceived, TurnedAway
from schemas.audit.lines import read_facts
from schemas.command_line import say_json
from schemas.enrolment import Member
from schemas.names import SiteName, moment_of

_SOON = timedelta(days=30)


def status(home: Home, json: Json = False) -> None:
    """Show members, connected nodes, runs, what ends soon, and calls that were turned away.

    It only reads, so it works while a run owns the home.

    Example: aggregator status --home /srv/federation
    """
    paths = AggregatorHome(home)
    found = _found(paths)
    if json:
        say_json(found)
        return
    typer.echo(f"{found['federation']}, roster {found['serial']}")
    for one in found["members"]:
        state = "connected" if one["connected"] else "not connected"
        typer.echo(f"{one['site']}: {state}{', ' + one['key'] if one['key'] else ''}")
        if one["version"]:
            typer.echo(f"  {one['version']}")
    for name, run in found["runs"].items():
        typer.echo(f"{name}: round {run['round']}, {run['phase']}; accepted {run['accepted']}")
    if found["certificate"]:
        typer.echo(f"The certificate counts until {found['certificate'][:10]}.")
    for reason, count in found["turned_away"].items():
        typer.echo(f"Turned away at the port, {reason}: {count} calls")


def _found(paths: AggregatorHome) -> dict[str, Any]:
    config, roster = load_config(paths), stored_roster(paths)
    online = set[str]()
    if config.address is not None:
        from aggregator.flower.link import connected  # noqa: PLC0415 (takes a second to load)

        online = connected(paths.link)
    turned_away = Counter[str]()
    if paths.door.exists():
        for facts in read_facts(paths.door, TurnedAway):
            if isinstance(facts, TurnedAway):
                turned_away[facts.reason] += facts.count
    versions = _versions(paths)
    return {
        "federation": config.federation,
        "serial": roster.serial,
        "members": [
            {
                "site": one.site,
                "connected": one.site in online,
                "key": _key(one),
                "version": versions.get(one.site, ""),
            }
            for one in roster.members
        ],
        "runs": dict(_runs(paths)),
        "certificate": moment_of(ends(paths.tls)) if config.address else None,
        "turned_away": dict(sorted(turned_away.items())),
    }


def _versions(paths: AggregatorHome) -> dict[SiteName | None, str]:
    """Say of each site whose last reply was of another version what was found."""
    found = dict[SiteName | None, str]()
    for facts in read_facts(paths.journal, Quarantined, ReplyReceived, RefusalReceived):
        match facts:
            case Quarantined(check=check, site=site, reason=reason) if check == OTHER_VERSION:
                found[site] = reason
            case ReplyReceived(site=site) | RefusalReceived(site=site):
                found.pop(site, None)
            case _:
                """Quarantined for another reason."""
    return found


def _runs(paths: AggregatorHome) -> list[tuple[str, dict[str, Any]]]:
    """Return how each run stands, oldest first."""
    found = []
    for path in sorted(paths.runs.glob("*/states.jsonl")):
        state = StateFile(path).last()
        if state is not None:
            accepted = state.accepted.round or None
            stands = {"round": state.round, "phase": state.phase, "accepted": accepted}
            found.append((path.parent.name, stands))
    return found


def _key(member: Member) -> str:
    """Say that a key has expired, or will soon; empty when there is nothing to say."""
    if member.until is None:
        return ""
    left = datetime.fromisoformat(member.until) - datetime.now(UTC)
    if left <= timedelta(0):
        return f"its key EXPIRED on {member.until[:10]}"
    return f"its key expires on {member.until[:10]}" if left < _SOON else ""
