"""The environment of a result."""

import os
import subprocess
import sys

from innerear.results.environment import environment, processor

NAME = "from innerear.results.environment import processor; print(processor('cpu'))"


def test_a_processor_is_named_with_the_vector_instructions_in_use():
    assert environment("cpu").cpu == processor("cpu")
    without = os.environ | {"ATEN_CPU_CAPABILITY": "default"}
    ran = subprocess.run(
        [sys.executable, "-c", NAME], env=without, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == f"{processor('cpu').rpartition(' ')[0]} (DEFAULT)"
