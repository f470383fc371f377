"""Every protocol declares what results and reports must know of it, and they know how to use it."""

import pytest

from innerear.protocols.registry import PROTOCOLS
from innerear.report.table_charts import DRAWINGS, OVERVIEWS
from innerear.tasks.declarations import DECLARATIONS, declaration
from innerear.tasks.task import load_task, task_names
from innerear.util.errors import InnerearError


def test_every_protocol_has_its_declaration():
    assert set(DECLARATIONS) == set(PROTOCOLS)
    assert {load_task(name).measure.protocol for name in task_names()} <= set(DECLARATIONS)


@pytest.mark.parametrize("protocol", sorted(DECLARATIONS))
def test_what_is_declared_can_be_drawn(protocol):
    declared = declaration(protocol)
    assert {picture.drawing for picture in declared.pictures} <= set(DRAWINGS)
    assert {picture.drawing for picture in declared.overviews} <= set(OVERVIEWS)
    names = [picture.name for picture in (*declared.pictures, *declared.overviews)]
    assert len(names) == len(set(names))
    assert not {"layers", "curves"} & set(names), "pictures of every result"


def test_an_unknown_protocol_is_an_error_of_one_line():
    with pytest.raises(InnerearError, match=r"^unknown protocol 'telepathy'.*$"):
        declaration("telepathy")
