"""The frozen arrays that a plan names: taken in with its approval, and held to its digest.

* They reach a hospital beside the plan, out of band; no message carries them.
* They are public: nothing of a cohort is in them. They are read as safetensors, never unpickled.
* A file that is missing or was changed is refused before anything is charged.
"""

from pathlib import Path

from hospital_node.config import NodeHome
from hospital_node.models.registry import Network, built
from hospital_node.models.tuning import tuned
from schemas.errors import InputRefused, PlanNotApproved
from schemas.files import write_durably
from schemas.names import Digest, digest_of
from schemas.plan import FROZEN_SUFFIX, TrainingPlan
from schemas.recipe import Preprocessing
from schemas.wire.arrays import Arrays, declared_layout, decoded


def take_in(home: NodeHome, plan: TrainingPlan, plan_file: Path) -> None:
    """Keep the frozen arrays beside a plan that is about to be approved, if it names any.

    Those that are here already, from an earlier approval, need no file.

    Raises:
        InputRefused: the file is missing, or is not the one that the plan names.
        ArraysRefused: it holds no finite float32 arrays.
    """
    digest = plan.initial.frozen
    if digest is None or _stored(home, digest) is not None:
        return
    beside = plan_file.with_suffix(FROZEN_SUFFIX)
    try:
        content = beside.read_bytes()
    except OSError:
        raise _not_beside(f"{beside.name} cannot be read beside the plan", digest) from None
    if digest_of(content) != digest:
        raise _not_beside(f"{beside.name} has the digest {digest_of(content)[:19]}…", digest)
    decoded(content, declared_layout(content))
    write_durably(_path(home, digest), content)


def network_of(home: NodeHome, plan: TrainingPlan, recipe: Preprocessing) -> Network:
    """Build an approved plan's network, with its frozen part in place.

    Raises:
        PlanNotApproved: the frozen arrays are missing here, or were changed.
        ArraysRefused: they do not fit the network.
        InvalidRecord: the network does not fit the images.
    """
    network = built(plan, recipe)
    if plan.initial.frozen is None:
        return network
    return tuned(network, plan.trainable, frozen=_frozen(home, plan.initial.frozen))


def whole_arrays(home: NodeHome, plan: TrainingPlan, trained: Arrays) -> Arrays:
    """Return every array of a plan's network: the trained ones, and the frozen ones beside them.

    Raises:
        PlanNotApproved: the frozen arrays are missing here, or were changed.
    """
    if plan.initial.frozen is None:
        return trained
    content = _frozen(home, plan.initial.frozen)
    return decoded(content, declared_layout(content)) | dict(trained)


def _frozen(home: NodeHome, digest: Digest) -> bytes:
    content = _stored(home, digest)
    if content is None:
        message = "plan refused: the frozen arrays that it names are missing here, or were changed"
        next_step = "approve the plan again, with its file of frozen arrays beside it"
        raise PlanNotApproved(message, next_step=next_step)
    return content


def _stored(home: NodeHome, digest: Digest) -> bytes | None:
    """Return the stored arrays of this digest; None where they are missing or changed."""
    try:
        content = _path(home, digest).read_bytes()
    except OSError:
        return None
    return content if digest_of(content) == digest else None


def _path(home: NodeHome, digest: Digest) -> Path:
    return home.frozen / f"{digest.removeprefix('sha256:')}.safetensors"


def _not_beside(found: str, digest: Digest) -> InputRefused:
    return InputRefused(
        f"frozen arrays refused: {found}, the plan names {digest[:19]}…",
        next_step="ask the study lead for the file that consilium init-weights wrote beside the "
        "plan, and put it beside your copy",
    )
