"""Prefect blocks: what a QPU is and what it takes to reach it. Prefect loads this package itself
(entry point ``prefect.collections``), so that the blocks show in its UI."""

from qpuflow.blocks.aer import AerQpu
from qpuflow.blocks.bluefors import BlueforsCryostat
from qpuflow.blocks.braket import BraketCredentials, BraketQpu
from qpuflow.blocks.ibm import IbmCredentials, IbmQpu
from qpuflow.blocks.plugin import PluginQpu, QpuCredentials
from qpuflow.blocks.qblox import QbloxQpu
from qpuflow.blocks.qpu import BlockMissing, QpuBlock, load_qpu
from qpuflow.blocks.quantinuum import QuantinuumCredentials, QuantinuumQpu

__all__ = [
    "AerQpu",
    "BlockMissing",
    "BlueforsCryostat",
    "BraketCredentials",
    "BraketQpu",
    "IbmCredentials",
    "IbmQpu",
    "PluginQpu",
    "QbloxQpu",
    "QpuBlock",
    "QpuCredentials",
    "QuantinuumCredentials",
    "QuantinuumQpu",
    "load_qpu",
]
