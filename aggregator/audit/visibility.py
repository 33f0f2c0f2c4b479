"""Who could read one site's update or histogram, as the plan says and the log bears out."""

from typing import assert_never

from aggregator.audit.reading import Reading
from schemas.audit.events import SumLost, SumOpened
from schemas.plan import TrainingPlan
from schemas.protection.messages import Purpose
from schemas.protection.settings import Encrypted, Masked, Open

_ONE_KEY = (
    " The sites share the key of a round, and each is handed all that it adds up: any one site, by "
    "itself, could have opened each update in them, noise included, and told it on."
)


def visibility(source: Reading, plan: TrainingPlan) -> str:
    """Say what the aggregator saw of each site."""
    match plan.protection:
        case Open():
            updates = "Each update is signed by its site and readable by the aggregator "
            updates += "(protection: open)."
        case Masked():
            updates = "No single update was ever visible: each left its site under masks, and the "
            updates += "aggregator opened " + _sums(source, "train")
        case Encrypted():
            updates = "The aggregator could open no update: each left its site encrypted, and the "
            updates += "sites opened " + _sums(source, "train") + _ONE_KEY
        case _:
            assert_never(plan.protection)
    histograms = (
        "No single histogram was visible either: " + _sums(source, "evaluate")
        if plan.evaluation.protection == "masked"
        else "Each evaluation histogram is signed by its site and readable by the aggregator."
    )
    return f"{updates} {histograms}"


def _sums(source: Reading, purpose: Purpose) -> str:
    """Count the sums that were opened and lost, with the sites in them."""
    opened = [one for _, one in source.stated(SumOpened) if one.purpose == purpose]
    lost = sum(one.purpose == purpose for _, one in source.stated(SumLost))
    if not opened:
        return f"no sum. Attempts that were lost, with nothing opened: {lost}."
    sites = [len(one.survivors) for one in opened]
    least, most = min(sites), max(sites)
    among = f"{least}" if least == most else f"{least} to {most}"
    return (
        f"sums alone, {len({one.total for one in opened})} of {among} sites each. Attempts that "
        f"were lost, with nothing opened: {lost}."
    )
