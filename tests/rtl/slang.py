# SPDX-License-Identifier: Apache-2.0
"""Reads Verilog with slang (pyslang from PyPI, which brings no program of its own): slang.py SLANG-ARGUMENT...
Exit 1 when slang finds an error."""
import sys

from pyslang.driver import Driver

driver = Driver()
driver.addStandardArgs()
ok = driver.parseCommandLine(" ".join(["slang"] + sys.argv[1:])) and driver.processOptions() and driver.parseAllSources()
sys.exit(0 if ok and driver.runFullCompilation(True) else 1)
