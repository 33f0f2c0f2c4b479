"""The JSON Schema of a data contract, for editors and other programs.

* It is a help, not the rule: pydantic cannot say there what holds between fields, such as that
  least is not above most. Only reading a contract decides.
* It is never hashed: its wording may change with pydantic, a contract's digest does not.
"""

import json

from schemas.contract import DataContract

__all__ = ["contract_schema"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_ID = "urn:consilium:schema:data-contract:1"
_COMMENT = "Rules between fields are not in here; the program that reads a contract holds them."


def contract_schema() -> str:
    """Return the schema as indented JSON with sorted keys."""
    schema = DataContract.model_json_schema(mode="validation")
    described = {"$schema": _DRAFT, "$id": _ID, "$comment": _COMMENT, **schema}
    return json.dumps(described, indent=2, sort_keys=True, ensure_ascii=True) + "\n"
