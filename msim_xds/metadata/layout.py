"""Where each attribute stands in ebRIM, made from the attribute table for the reader (ITI TF-3 4.2.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from msim_xds.ihe.attributes import ATTRIBUTES, AUTHOR_SLOTS, Owner, Where
from msim_xds.ihe.names import ASSOCIATION_DOCUMENTATION_SCHEME, FOLDER_NODE, SUBMISSION_SET_NODE
from msim_xds.metadata.model import Association, DocumentEntry, Folder, RegistryObject, SubmissionSet


class Target(NamedTuple):
    """The field that a slot, scheme or identifier fills, and what the framework calls it."""

    name: str
    field: str
    single: bool
    is_author: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """How objects of one kind stand in ebRIM.

    Attributes:
        kind: the framework's name of the kind.
        build: makes the object from its fields.
        marker: the classificationNode that marks the kind.
        xml: field by XML attribute.
        slots: target by slot name.
        schemes: target by classificationScheme.
        identifiers: target by identificationScheme.
        title: field of rim:Name.
        extra: field of all other slots.
        kept: names of slots that go there without being extra metadata.
    """

    kind: str
    build: Callable[..., RegistryObject]
    marker: str
    xml: Mapping[str, str]
    slots: Mapping[str, Target]
    schemes: Mapping[str, Target]
    identifiers: Mapping[str, Target]
    title: str = "title"
    extra: str = "extra"
    kept: frozenset[str] = frozenset()


def _layout(owner: Owner, build: Callable[..., RegistryObject], marker: str) -> Layout:
    rows = [row for row in ATTRIBUTES[owner] if row.name != "entryUUID"]

    def targets(*places: Where) -> dict[str, Target]:
        return {
            row.key: Target(row.name, row.field, row.most == 1, row.where is Where.AUTHOR)
            for row in rows
            if row.where in places
        }

    return Layout(
        kind=owner.value,
        build=build,
        marker=marker,
        xml={row.key: row.field for row in rows if row.where is Where.XML},
        slots=targets(Where.SLOT),
        schemes=targets(Where.CODE, Where.AUTHOR),
        identifiers=targets(Where.IDENTIFIER),
    )


DOCUMENT_ENTRY: Final = _layout(Owner.DOCUMENT_ENTRY, DocumentEntry, "")
SUBMISSION_SET: Final = _layout(Owner.SUBMISSION_SET, SubmissionSet, SUBMISSION_SET_NODE)
FOLDER: Final = _layout(Owner.FOLDER, Folder, FOLDER_NODE)

#: Slots of metadata update; kept so that a rule can name what they ask for (ITI TF-3 4.2.2, ITI TF-2 3.57).
UPDATE_SLOTS: Final = frozenset({"PreviousVersion", "AssociationPropagation", "OriginalStatus", "NewStatus"})

ASSOCIATION: Final = Layout(
    kind="Association",
    build=Association,
    marker="",
    xml={
        "status": "status",
        "home": "home",
        "objectType": "object_type",
        "associationType": "type",
        "sourceObject": "source",
        "targetObject": "target",
    },
    slots={"SubmissionSetStatus": Target("SubmissionSetStatus", "submission_set_status", single=False)},
    schemes={
        ASSOCIATION_DOCUMENTATION_SCHEME: Target("associationDocumentation", "documentation", single=False)
    },
    identifiers={},
    title="name",
    extra="slots",
    kept=UPDATE_SLOTS,
)

AUTHOR: Final[Mapping[str, Target]] = {
    name: Target(name, field, most == 1) for name, field, _, most in AUTHOR_SLOTS
}
CODE: Final[Mapping[str, Target]] = {"codingScheme": Target("codingScheme", "scheme", single=True)}
