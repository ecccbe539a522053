"""Whether freed memory stays with the process: counted in pages that the kernel has to give, not in seconds."""

import platform
import subprocess
import sys

import pytest

FREE_AND_TAKE = """
import resource, sys, torch
from fedgan.core.memory import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
faults = []
for _ in range(30):  # the first ones leave gaps too small for the next
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)  # 64 MiB, taken and freed
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(faults))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_the_next_tensor_gets_the_same_pages() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", FREE_AND_TAKE, how]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert faults("keep") < faults("default") / 10
