"""An architecture of one's own: HuBERT under another name. The row needs no torch; its class is imported when
a model is loaded."""

from dataclasses import replace

from innerear.models.families import FAMILIES

FAMILY = replace(
    FAMILIES["hubert"],
    network="innerear_example.network:ExampleForCTC",
    bare="innerear_example.network:ExampleModel",
)
