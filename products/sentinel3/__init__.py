"""Sentinel-3 SYN and OLCI: swaths, readers, and factories of small deliveries."""

from trifuse.moved import keep_moved_names
from trifuse.products.sentinel3.factory import write_syn
from trifuse.products.sentinel3.factory_olci import write_olci_l1
from trifuse.products.sentinel3.grid import SwathSource
from trifuse.products.sentinel3.olci import OlciSwath, open_olci, open_olci_swath
from trifuse.products.sentinel3.reader import SynSwath, open_sentinel3, open_syn_swath

__all__ = [
    "write_syn",
    "write_olci_l1",
    "SwathSource",
    "OlciSwath",
    "open_olci",
    "open_olci_swath",
    "SynSwath",
    "open_sentinel3",
    "open_syn_swath",
]

keep_moved_names(__name__)
